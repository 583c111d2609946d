//! Shell commands of the deployment's own.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// A command for `/bin/sh`, in its own process group: what the shell starts is killed with it.
pub fn command(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", text])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Kills a command that was not waited for, with all that it started in its group.
pub async fn kill(child: &mut Child) {
    // Until it has been waited for, the number is still its group's.
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(Err(error)) = group
        .and_then(Pid::from_raw)
        .map(|group| kill_process_group(group, Signal::KILL))
    {
        tracing::warn!(%error, "a command cannot be killed");
    }
    let _ = child.wait().await;
}
