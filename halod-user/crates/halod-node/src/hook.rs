//! The hook: a command of the deployment's own, run when routes come or go.

use std::process::Stdio;
use std::time::Duration;

use halod_proto::{FromHalod, MovedRoutes};
use halod_routes::RouteSet;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Hook;
use crate::drains::Users;
use crate::event::Event;
use crate::shell;

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
    left_ms: Option<u64>,
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
            self.queue(run);
        }
    }

    /// Queues a run for users who are to be asked to reconnect.
    pub fn reconnect(&self, users: &Users) {
        self.queue(Run {
            event: "reconnect",
            generation: users.generation,
            routes: users.clients.iter().map(|client| client.route).collect(),
            to: users.to.as_ref().map(ToString::to_string),
            left_ms: None,
            message: Event::Reconnect(users.into()).to_line(),
        });
    }

    /// Queues a run for routes that have no connection left.
    pub fn drained(&self, generation: u64, routes: &RouteSet) {
        self.queue(Run {
            event: "drained",
            generation,
            routes: routes.clone(),
            to: None,
            left_ms: None,
            message: Event::Drained { generation, routes }.to_line(),
        });
    }

    fn queue(&self, run: Run) {
        if let Err(error) = self.queue.try_send(run) {
            tracing::error!(%error, "hooks are too slow; this event is lost");
        }
    }
}

/// One run for each message, but one for each node that routes moved to, so that a hook needs
/// no JSON to know who has them.
fn runs(message: &FromHalod) -> Vec<Run> {
    let run = |event, generation: u64, routes: &RouteSet| Run {
        event,
        generation,
        routes: routes.clone(),
        to: None,
        left_ms: None,
        message: message.to_line(),
    };
    let moved = |generation: u64, moved: &MovedRoutes, left_ms, message: FromHalod| Run {
        event: "route_moved",
        generation,
        routes: moved.routes.clone(),
        to: moved.to.as_ref().map(ToString::to_string),
        left_ms: Some(left_ms),
        message: message.to_line(),
    };
    match *message {
        FromHalod::Assign {
            generation,
            ref routes,
            ..
        } => vec![run("assign", generation, routes)],
        FromHalod::Reserve { generation } => {
            vec![run("reserve", generation, &RouteSet::default())]
        }
        FromHalod::MayStop { generation } => {
            vec![run("may_stop", generation, &RouteSet::default())]
        }
        FromHalod::RouteMoved {
            generation,
            ref moves,
        } => {
            let one = |one: &MovedRoutes| {
                let moves = vec![one.clone()];
                let message = FromHalod::RouteMoved { generation, moves };
                moved(generation, one, 0, message)
            };
            moves.iter().map(one).collect()
        }
        FromHalod::Drain {
            generation,
            ref moves,
            deadline_ms,
        } => {
            let one = |one: &MovedRoutes| {
                let message = FromHalod::Drain {
                    generation,
                    moves: vec![one.clone()],
                    deadline_ms,
                };
                moved(generation, one, deadline_ms, message)
            };
            moves.iter().map(one).collect()
        }
        FromHalod::Welcome(_) | FromHalod::Error { .. } => Vec::new(),
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
            shell::kill(&mut child).await;
        }
    }
}

fn spawn(hook: &Hook, run: &Run) -> std::io::Result<Child> {
    let left_ms = run.left_ms.map(|left| left.to_string());
    let mut command = shell::command(&hook.command);
    command
        .env("HALOD_EVENT", run.event)
        .env("HALOD_GENERATION", run.generation.to_string())
        .env("HALOD_TO", run.to.as_deref().unwrap_or_default())
        .env("HALOD_LEFT_MS", left_ms.unwrap_or_default())
        .stdin(Stdio::piped());
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
