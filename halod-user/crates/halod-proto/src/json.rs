//! A line as JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::MessageError;
use crate::error::{cut, quote};

/// Whether a line may hold an object. serde would also take a struct from an array, which this
/// protocol has not.
fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{')
}

/// Reads the one object that a line holds, if it is such a one.
pub(crate) fn parse_borrowed<'a, T: Deserialize<'a>>(line: &'a str) -> Option<T> {
    is_object(line).then(|| serde_json::from_str(line).ok())?
}

/// Reads the one object that a line holds.
pub(crate) fn parse<T: DeserializeOwned>(line: &str) -> Result<T, MessageError> {
    if !is_object(line) {
        return Err(MessageError::NotAnObject(quote(line)));
    }
    serde_json::from_str(line).map_err(|error| MessageError::Json {
        what: cut(&error.to_string()),
        line: quote(line),
    })
}

/// Writes a message as a line with its `\n`. JSON escapes line ends within strings.
pub(crate) fn to_line<T: Serialize>(message: &T) -> String {
    // Fails only for maps whose keys are not strings, and for types that fail by
    // themselves; messages have neither.
    let mut line = serde_json::to_string(message).expect("messages can be written as JSON");
    line.push('\n');
    line
}
