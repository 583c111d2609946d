//! The clock, as far as it can be told from here.

use crate::facts::Clock;

use super::printed;

pub(super) async fn look() -> Clock {
    let built = std::env::current_exe()
        .and_then(|path| path.metadata())
        .and_then(|data| data.modified());
    Clock {
        synchronised: synchronised().await,
        built: built.ok(),
    }
}

/// By systemd, which asks the kernel (adjtimex), or by chrony's own word.
async fn synchronised() -> Option<bool> {
    if let Ok(text) = printed(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    )
    .await
    {
        return Some(text.trim() == "yes");
    }
    let text = printed("chronyc", &["-n", "tracking"]).await.ok()?;
    let status = text.lines().find(|line| line.starts_with("Leap status"))?;
    Some(!status.contains("Not synchronised"))
}
