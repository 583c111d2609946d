//! The programs that have sockets open.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::facts::Owner;

/// By the sockets' inodes, those that this process may see: of a server whose workers share them, the oldest.
pub(super) fn look() -> BTreeMap<u32, Owner> {
    let mut owners = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    for pid in pids {
        let process = Path::new("/proc").join(pid.to_string());
        let Ok(files) = fs::read_dir(process.join("fd")) else {
            continue;
        };
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        for file in files.flatten() {
            if let Some(inode) = fs::read_link(file.path()).ok().as_deref().and_then(inode) {
                owners.entry(inode).or_insert_with(|| Owner {
                    name: name.trim().to_owned(),
                    pid,
                });
            }
        }
    }
    owners
}

/// Of `socket:[INODE]`.
fn inode(link: &Path) -> Option<u32> {
    let inside = link.to_str()?.strip_prefix("socket:[")?;
    inside.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says() {
        assert_eq!(inode(Path::new("socket:[1234]")), Some(1234));
        assert_eq!(inode(Path::new("pipe:[1234]")), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let file = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&socket));
        let inode = inode(&fs::read_link(file).expect("its link")).expect("an inode");
        let pid = std::process::id();
        assert_eq!(look().get(&inode).map(|owner| owner.pid), Some(pid));
    }
}
