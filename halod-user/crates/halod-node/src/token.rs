//! The resume token, kept over a restart of the agent.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use halod_proto::{NodeName, is_resume_token};

/// The file that keeps a node's token: `NAME.resume` in the state directory, mode 0600, for
/// whoever has the token can take the node's place.
#[derive(Debug)]
pub struct TokenFile(PathBuf);

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("state directory {directory}: {error}", directory = directory.display())]
pub struct TokenError {
    directory: PathBuf,
    error: io::Error,
}

impl TokenFile {
    /// The file of one node; makes the directory (mode 0700) if it is not there.
    ///
    /// # Errors
    /// The directory cannot be made, or is none, or cannot be written to.
    pub fn new(directory: &Path, name: &NodeName) -> Result<TokenFile, TokenError> {
        let wrong = |error| TokenError {
            directory: directory.to_owned(),
            error,
        };
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(wrong)?;
        let file = TokenFile(directory.join(format!("{name}.resume")));
        file.create_temporary().map_err(wrong)?;
        fs::remove_file(file.temporary()).map_err(wrong)?;
        Ok(file)
    }

    /// The token, if there is one. A file that holds anything else is as good as none.
    pub fn read(&self) -> Option<String> {
        match fs::read_to_string(&self.0) {
            Ok(text) if is_resume_token(text.trim_end()) => Some(text.trim_end().to_owned()),
            Ok(_) => {
                tracing::warn!(file = %self.0.display(), "holds no resume token; ignored");
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %self.0.display(), %error, "cannot read the resume token");
                None
            }
        }
    }

    /// Keeps a token. It is not flushed to the disk: it is good for the few seconds that a
    /// restarted agent needs, and a machine that crashed needs longer.
    ///
    /// # Errors
    /// It could not be written; what was there before is there still.
    pub fn write(&self, token: &str) -> io::Result<()> {
        let mut file = self.create_temporary()?;
        writeln!(file, "{token}")?;
        fs::rename(self.temporary(), &self.0)
    }

    fn temporary(&self) -> PathBuf {
        self.0.with_extension("resume.new")
    }

    /// A new file, so that its mode is ours.
    fn create_temporary(&self) -> io::Result<fs::File> {
        match fs::remove_file(self.temporary()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.temporary())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOKEN: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn is_kept_and_private() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = scratch.path().join("a/b");
        let name: NodeName = "n1.example".parse().expect("a name");
        let file = TokenFile::new(&directory, &name).expect("a token file");
        assert_eq!(file.read(), None);
        file.write(&"f".repeat(32)).expect("written");
        file.write(TOKEN).expect("written again");
        assert_eq!(file.read().as_deref(), Some(TOKEN));
        let path = directory.join("n1.example.resume");
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).expect("the directory").count(), 1);

        fs::write(&path, "nonsense").expect("overwritten");
        assert_eq!(file.read(), None);
    }

    #[test]
    fn a_wrong_directory_is_named() {
        let name: NodeName = "n1".parse().expect("a name");
        let error = TokenFile::new(Path::new("/dev/null"), &name).expect_err("no directory");
        assert!(
            error.to_string().starts_with("state directory /dev/null: "),
            "{error}"
        );
    }
}
