//! The control API of the daemon: what `halodctl` and other programs on the
//! same machine say to `halod` over its Unix socket.
//!
//! One JSON object a line each way. A request names its `command`; the answer
//! is `{"ok": ...}` or `{"error": "..."}`. After `watch` the daemon sends
//! `{"event": {...}}` lines until one side closes, and takes no more requests
//! on that connection. Any other connection may send one request after another.

mod client;
mod line;
mod report;
mod request;

pub use client::{Client, ClientError, Watch};
pub use line::{LineError, read_line};
pub use report::{
    DrainRun, Event, Failover, FormerReport, KernelReport, KernelState, ListenerReport, NodeReport,
    PlanReport, PlannedMove, RouteReport, RouteRun, ScalingReport, StatusReport,
};
pub use request::{Answer, Going, Request};

/// Where the daemon listens when its configuration does not say otherwise.
pub const DEFAULT_SOCKET: &str = "/run/halod/control.sock";

/// Longest request line, in bytes without the newline.
pub const MAX_REQUEST: usize = 4096;

/// Longest answer line, in bytes without the newline: a report of 4,096 nodes
/// and 65,536 routes in the worst order fits.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;
