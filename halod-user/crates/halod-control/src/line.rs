//! Lines with a bound, the framing of both directions.

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// More bytes than `bound` without a newline.
    #[error("a line is longer than {bound} bytes")]
    Oversized {
        /// The bound, in bytes without the newline.
        bound: usize,
    },
    /// The line is not UTF-8.
    #[error("a line is not UTF-8")]
    NotUtf8,
    /// The stream ended inside a line.
    #[error("the connection ended inside a line")]
    Truncated,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads one line of at most `bound` bytes, without its newline; `None` at the end of the stream.
///
/// # Errors
/// See [`LineError`]. After an error the stream is not at the start of a line: close it.
pub async fn read_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    bound: usize,
) -> Result<Option<String>, LineError> {
    let mut line = Vec::new();
    let limit = u64::try_from(bound).unwrap_or(u64::MAX).saturating_add(1);
    let read = stream.take(limit).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(if read > bound {
            LineError::Oversized { bound }
        } else {
            LineError::Truncated
        });
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| LineError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_at_the_newline_and_at_the_bound() {
        let mut bytes: &[u8] = b"ab\nabc\nabcd\n";
        assert_eq!(
            read_line(&mut bytes, 3).await.expect("ab"),
            Some("ab".into())
        );
        assert_eq!(
            read_line(&mut bytes, 3).await.expect("abc"),
            Some("abc".into())
        );
        assert!(matches!(
            read_line(&mut bytes, 3).await,
            Err(LineError::Oversized { bound: 3 })
        ));
    }

    #[tokio::test]
    async fn an_end_is_told_from_a_truncated_line() {
        let mut bytes: &[u8] = b"ab\nc";
        assert!(read_line(&mut bytes, 9).await.expect("ab").is_some());
        assert!(matches!(
            read_line(&mut bytes, 9).await,
            Err(LineError::Truncated)
        ));
        assert_eq!(read_line(&mut bytes, 9).await.expect("end"), None);
        let mut bytes: &[u8] = b"\xff\n";
        assert!(matches!(
            read_line(&mut bytes, 9).await,
            Err(LineError::NotUtf8)
        ));
    }
}
