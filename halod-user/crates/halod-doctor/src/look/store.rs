//! The directory of the store.

use std::path::Path;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use crate::facts::{Space, Store};

pub(super) fn look(path: &Path) -> Store {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let space = statvfs(directory).map(|found| Space {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        // Some file systems make them as they need them, and say that there are none at all.
        free_files: if found.f_files == 0 {
            u64::MAX
        } else {
            found.f_favail
        },
        read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
        writable: access(directory, Access::WRITE_OK).is_ok(),
    });
    Store {
        directory: directory.to_owned(),
        space: space.map_err(|error| std::io::Error::from(error).to_string()),
        written: path.metadata().and_then(|data| data.modified()).ok(),
    }
}
