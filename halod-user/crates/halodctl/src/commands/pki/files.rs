//! A certificate and its key as files: never half written, never written over unasked, and no
//! moment at which others can read the key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::Place;
use crate::failure::Failure;

/// Where they go.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// `name`.pem and `name`.key. Fails where one is there and shall stay.
    pub fn new(place: &Place, name: &str) -> Result<Pair, Failure> {
        // Not by `with_extension`: a name may have dots.
        let path = |ending| place.dir.join(format!("{name}.{ending}"));
        let pair = Pair {
            certificate: path("pem"),
            key: path("key"),
        };
        let there = [&pair.certificate, &pair.key]
            .into_iter()
            .find(|path| path.exists());
        match there {
            Some(path) if !place.force => Err(Failure::Failed(format!(
                "{} is there already; --force replaces it",
                path.display()
            ))),
            _ => Ok(pair),
        }
    }

    /// Writes both; the key for its owner alone.
    pub fn write(&self, certificate: &str, key: &str) -> Result<(), Failure> {
        write(&self.key, key, 0o600)?;
        write(&self.certificate, certificate, 0o644)
    }
}

/// Reads one of the CA's files.
pub fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        failure(
            path,
            &error,
            "`halodctl pki init` makes a CA, --dir says where it is",
        )
    })
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = (|| {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|error| {
        failure(
            path,
            &error,
            "a directory that is there and can be written to is needed: see --dir",
        )
    })
}

fn failure(path: &Path, error: &io::Error, remedy: &str) -> Failure {
    let text = format!("{}: {error}; {remedy}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Permission(text),
        _ => Failure::Failed(text),
    }
}
