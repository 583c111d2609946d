//! A line as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::MessageError;
use crate::error::{cut, quote};

/// Reads the one object that a line holds.
pub(crate) fn parse<T: DeserializeOwned>(line: &str) -> Result<T, MessageError> {
    // serde would also take a tagged enum from an array, which this protocol has not.
    if !line.trim_start().starts_with('{') {
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
