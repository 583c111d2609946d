//! Output: text or JSON, coloured or not, and tables.

use std::io::{self, Write};
use std::time::Duration;

use anstream::AutoStream;
use clap::ColorChoice;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// Columns of the narrowest terminal that rows are folded for. Serial consoles say that they
/// have none.
const NARROWEST: u16 = 40;

/// Where results and failures go.
pub struct Output {
    json: bool,
    out: AutoStream<io::Stdout>,
}

impl Output {
    /// Output to the process's standard streams. Colours are taken out again where `color`, the
    /// terminal or NO_COLOR says so.
    pub fn new(json: bool, color: ColorChoice) -> Output {
        let choice = match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        Output {
            json,
            out: AutoStream::new(io::stdout(), choice),
        }
    }

    /// Prints a result: as it is in JSON, or the text that `text` makes of it.
    pub fn result<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = if self.json {
            let mut line = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::Failed(format!("cannot print as JSON: {error}")))?;
            line.push('\n');
            line
        } else {
            text(value)
        };
        self.text(&text)
    }

    /// Prints one of a stream of results, in one line.
    pub fn line<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let mut line = if self.json {
            serde_json::to_string(value)
                .map_err(|error| Failure::Failed(format!("cannot print as JSON: {error}")))?
        } else {
            text(value)
        };
        line.push('\n');
        self.text(&line)
    }

    /// Prints text, at once.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Tells of a failure on the standard error.
    pub fn failure(&self, failure: &Failure) {
        let text = if self.json {
            serde_json::json!({"error": failure.to_string(), "exit": failure.exit_code()})
                .to_string()
        } else {
            format!("halodctl: {}", clean(&failure.to_string()))
        };
        // Nothing is left to be told by where this fails.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Text of others, harmless to a terminal: control characters are written out.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let plain = escaped.is_none().then_some(letter);
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// A table. Its rows are one line each, but for a terminal that is too narrow.
pub fn table(
    header: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if table.width().is_some_and(|columns| columns >= NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| Cell::new(clean(&cell))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

/// What stands in a table for what is not there.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time in milliseconds as `1m 5s`, in whole seconds where it is a second or more.
pub fn seconds(ms: u64) -> String {
    let ms = if ms < 1000 { ms } else { ms - ms % 1000 };
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// `1 route`, `2 routes`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(clean("a\x1b[31mb\nä\u{9b}"), "a\\u{1b}[31mb\\nä\\u{9b}");
    }

    #[test]
    fn rows_of_any_length_stay_one_line() {
        let long = "x".repeat(1000);
        let text = table(&["A", "B"], [[long.clone(), "y".to_owned()]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(&format!("{long}  y\n")));
    }
}
