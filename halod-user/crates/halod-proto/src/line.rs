//! Bytes into lines, with a bound.

use crate::error::{LineError, quote_bytes};

/// Cuts a stream of bytes into lines. It does no I/O: [`LineCodec::feed`] it what came,
/// then take lines with [`LineCodec::next_line`] until there is none.
///
/// It holds at most the bound plus one feed, if lines are taken after each feed.
#[derive(Debug, Clone)]
pub struct LineCodec {
    buffer: Vec<u8>,
    /// Where the first line that was not taken begins.
    start: usize,
    /// Up to where there is no `\n` from `start` on.
    scanned: usize,
    max: usize,
}

impl LineCodec {
    /// A codec for lines of at most `max` bytes, the `\n` not counted.
    pub fn new(max: usize) -> LineCodec {
        LineCodec {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            max,
        }
    }

    /// Changes the bound, for lines that are not taken yet.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Adds bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line without its `\n`, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`LineError::Oversized`] as soon as more than the bound came without a `\n`; it is
    /// given again at every later call. [`LineError::NotUtf8`] takes the line away.
    pub fn next_line(&mut self) -> Result<Option<&str>, LineError> {
        let end = memchr::memchr(b'\n', &self.buffer[self.scanned..]);
        let end = end.map(|at| self.scanned + at);
        let length = end.unwrap_or(self.buffer.len()) - self.start;
        if length > self.max {
            let begins = quote_bytes(&self.buffer[self.start..]);
            return Err(LineError::Oversized {
                max: self.max,
                begins,
            });
        }
        let Some(end) = end else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        let line = &self.buffer[self.start..end];
        self.start = end + 1;
        self.scanned = self.start;
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(LineError::NotUtf8 {
                at: error.valid_up_to(),
                begins: quote_bytes(line),
            }),
        }
    }

    /// How many bytes are held that were not taken as lines: not 0 at the end of a stream
    /// means that it broke off within a line.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}
