//! The hook: a command of the deployment's own, run when routes come or go.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use halod_proto::{FromHalod, MovedRoutes};
use halod_routes::RouteSet;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Hook;

/// How many events may wait for a slow hook.
const WAITING: usize = 1024;

/// Longest line of a hook's output that is logged as one, in bytes.
const OUTPUT_LINE: u64 = 2048;

/// Longest HALOD_ROUTES, in bytes. The kernel starts no program with a longer variable
/// (MAX_ARG_STRLEN, 128 KiB with its name; include/uapi/linux/binfmts.h).
const LONGEST_ROUTES: usize = 130_000;

/// What the hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    event: &'static str,
    generation: u64,
    routes: RouteSet,
    to: Option<String>,
    /// For its standard input.
    message: String,
}

/// How long the agent's end waits for hooks.
const AT_THE_END: Duration = Duration::from_secs(5);

/// Runs hooks, one at a time and in order, without ever making its caller wait.
#[derive(Debug)]
pub struct Hooks {
    queue: mpsc::Sender<Run>,
    task: JoinHandle<()>,
}

impl Hooks {
    /// Starts the task that runs them.
    pub fn start(hook: Hook) -> Hooks {
        let (sender, mut receiver) = mpsc::channel::<Run>(WAITING);
        let task = tokio::spawn(async move {
            while let Some(run) = receiver.recv().await {
                run_one(&hook, run).await;
            }
        });
        Hooks {
            queue: sender,
            task,
        }
    }

    /// Waits a moment for the hooks that run or are queued.
    pub async fn finish(self) {
        drop(self.queue);
        if timeout(AT_THE_END, self.task).await.is_err() {
            tracing::warn!("a hook still runs; it is left to itself");
        }
    }

    /// Queues the runs that a message asks for.
    pub fn tell(&self, message: &FromHalod) {
        for run in runs(message) {
            if let Err(error) = self.queue.try_send(run) {
                tracing::error!(%error, "hooks are too slow; this event is lost");
            }
        }
    }
}

/// One run for each message, but one for each node that routes moved to, so that a hook needs
/// no JSON to know who has them.
fn runs(message: &FromHalod) -> Vec<Run> {
    let run = |generation: u64, routes: &RouteSet, to: Option<String>, message: &FromHalod| Run {
        event: message.kind(),
        generation,
        routes: routes.clone(),
        to,
        message: message.to_line(),
    };
    match message {
        FromHalod::Assign {
            generation, routes, ..
        } => {
            vec![run(*generation, routes, None, message)]
        }
        FromHalod::Reserve { generation } => {
            vec![run(*generation, &RouteSet::default(), None, message)]
        }
        FromHalod::RouteMoved { generation, moves } => {
            let one = |moved: &MovedRoutes| {
                let moves = vec![moved.clone()];
                let message = FromHalod::RouteMoved {
                    generation: *generation,
                    moves,
                };
                run(
                    *generation,
                    &moved.routes,
                    moved.to.as_ref().map(ToString::to_string),
                    &message,
                )
            };
            moves.iter().map(one).collect()
        }
        _ => Vec::new(),
    }
}

async fn run_one(hook: &Hook, run: Run) {
    let Run {
        event,
        generation,
        ref routes,
        ..
    } = run;
    tracing::debug!(event, generation, %routes, "hook starts");
    let mut child = match spawn(hook, &run) {
        Ok(child) => child,
        Err(error) => return tracing::error!(event, %error, "hook cannot be started"),
    };
    log_output(event, "stdout", child.stdout.take());
    log_output(event, "stderr", child.stderr.take());
    let input = child.stdin.take();
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let wait = async {
        // A hook that does not read must not keep us from seeing that it ended.
        let write = async {
            if let Some(mut input) = input {
                // It need not read; then this fails, which is fine.
                let _ = input.write_all(run.message.as_bytes()).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            status = child.wait() => status,
            status = write => status,
        }
    };
    match timeout(hook.timeout, wait).await {
        Ok(Ok(status)) if status.success() => {
            tracing::info!(event, generation, %routes, "hook done");
        }
        Ok(Ok(status)) => tracing::warn!(event, generation, %routes, %status, "hook failed"),
        Ok(Err(error)) => tracing::error!(event, %error, "hook cannot be waited for"),
        Err(_) => {
            tracing::warn!(event, generation, %routes, limit = ?hook.timeout, "hook takes too long; killed");
            kill(&mut child, group).await;
        }
    }
}

fn spawn(hook: &Hook, run: &Run) -> std::io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &hook.command])
        .env("HALOD_EVENT", run.event)
        .env("HALOD_GENERATION", run.generation.to_string())
        .env("HALOD_TO", run.to.as_deref().unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group: what the shell starts is killed with it.
        .process_group(0);
    let routes = run.routes.to_string();
    if routes.len() <= LONGEST_ROUTES {
        command.env("HALOD_ROUTES", routes);
    } else {
        // Absent rather than cut: a part would look like the whole.
        tracing::warn!(
            run.event,
            "too many routes for HALOD_ROUTES; the hook has them in its input only"
        );
        command.env_remove("HALOD_ROUTES");
    }
    command.spawn()
}

async fn kill(child: &mut Child, group: Option<Pid>) -> Option<ExitStatus> {
    // The child has not been waited for, so the number is still its group's.
    if let Some(Err(error)) = group.map(|g| kill_process_group(g, Signal::KILL)) {
        tracing::warn!(%error, "hook cannot be killed");
    }
    child.wait().await.ok()
}

/// Logs what a hook says, for as long as anything holds the other end.
fn log_output<R>(event: &'static str, stream: &'static str, output: Option<R>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let Some(output) = output else { return };
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut output)
            .take(OUTPUT_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            let text = String::from_utf8_lossy(&line);
            tracing::info!(
                event,
                stream,
                "hook says: {}",
                text.trim_end().escape_debug()
            );
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_to_several_nodes_are_several_runs() {
        let moved = |routes: &str, to: &str| MovedRoutes {
            routes: routes.parse().expect("routes"),
            to: Some(to.parse().expect("a name")),
        };
        let moves = vec![moved("1-8", "n2"), moved("9,11", "n3")];
        let runs = runs(&FromHalod::RouteMoved {
            generation: 7,
            moves,
        });
        let told: Vec<_> = runs
            .iter()
            .map(|r| (r.routes.to_string(), r.to.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("1-8".to_owned(), Some("n2")),
                ("9,11".to_owned(), Some("n3"))
            ]
        );
        assert_eq!(
            runs[1].message,
            "{\"type\":\"route_moved\",\"generation\":7,\"moves\":[{\"routes\":[[9,9],[11,11]],\"to\":\"n3\"}]}\n"
        );
    }
}
