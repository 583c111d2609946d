//! Failures and the exit codes that they are.

use std::fmt;
use std::io;

use halod_control::ClientError;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// Refused, or failed in a way that has no code of its own.
    Failed(String),
    /// The command line asks for what cannot be.
    Usage(String),
    /// No daemon, or one that does not answer.
    Unreachable(String),
    /// No kernel module.
    NoModule(String),
    /// Not permitted.
    Permission(String),
    /// The doctor's findings, which have been printed, are bad.
    Problems,
    /// Whoever reads the output has stopped reading.
    PipeClosed,
}

impl Failure {
    /// As `halodctl --help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::PipeClosed => 0,
            Failure::Failed(_) | Failure::Problems => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 3,
            Failure::NoModule(_) => 4,
            Failure::Permission(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(text)
            | Failure::Usage(text)
            | Failure::Unreachable(text)
            | Failure::NoModule(text)
            | Failure::Permission(text) => f.write_str(text),
            Failure::Problems => f.write_str("there are problems"),
            Failure::PipeClosed => f.write_str("the output was closed"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let text = error.to_string();
        match error {
            ClientError::Connect { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Failure::Permission(text)
            }
            ClientError::Connect { .. } | ClientError::Closed | ClientError::Send(_) => {
                Failure::Unreachable(text)
            }
            ClientError::Refused(_) | ClientError::Line(_) | ClientError::Form(_) => {
                Failure::Failed(text)
            }
        }
    }
}

impl From<halod_netlink::Error> for Failure {
    fn from(error: halod_netlink::Error) -> Failure {
        let text = error.to_string();
        match error {
            halod_netlink::Error::NoModule => Failure::NoModule(text),
            halod_netlink::Error::Permission { .. } => Failure::Permission(text),
            _ => Failure::Failed(text),
        }
    }
}

/// From writing output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => Failure::Failed(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn connect(kind: io::ErrorKind) -> u8 {
        let path = PathBuf::from("/nowhere");
        let source = io::Error::from(kind);
        Failure::from(ClientError::Connect { path, source }).exit_code()
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        assert_eq!(connect(io::ErrorKind::PermissionDenied), 5);
        assert_eq!(connect(io::ErrorKind::NotFound), 3);
        assert_eq!(connect(io::ErrorKind::ConnectionRefused), 3);
        assert_eq!(Failure::from(ClientError::Closed).exit_code(), 3);
        assert_eq!(
            Failure::from(ClientError::Refused("no".into())).exit_code(),
            1
        );
        let denied = halod_netlink::Error::Permission { what: "flush" };
        assert_eq!(Failure::from(denied).exit_code(), 5);
        assert_eq!(Failure::from(halod_netlink::Error::NoModule).exit_code(), 4);
        assert_eq!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(),
            0
        );
    }
}
