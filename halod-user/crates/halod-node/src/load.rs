//! How busy the node is.

use std::time::Duration;

use halod_proto::{Load, MAX_LINE_TO_HALOD, ToHalod};
use halod_routes::RouteId;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::LoadCommand;
use crate::shell;

/// A number is not longer.
const LONGEST_OUTPUT: u64 = 1024;

/// Runs the command at its interval; what it printed last, or nothing where it failed.
pub fn watch(config: LoadCommand) -> watch::Receiver<Option<f64>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut trouble = String::new();
        let mut ticks = interval(config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !sender.is_closed() {
            ticks.tick().await;
            match measure(&config.command, config.interval).await {
                Ok(value) => {
                    trouble.clear();
                    sender.send_replace(Some(value));
                }
                Err(error) => {
                    if error != trouble {
                        tracing::warn!("the load command {error}");
                    }
                    trouble = error;
                    sender.send_replace(None);
                }
            }
        }
    });
    receiver
}

async fn measure(command: &str, limit: Duration) -> Result<f64, String> {
    let mut child = shell::command(command)
        .stderr(std::process::Stdio::inherit())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let output = child.stdout.take();
    let run = async {
        let mut text = String::new();
        if let Some(output) = output {
            let read = output.take(LONGEST_OUTPUT).read_to_string(&mut text).await;
            read.map_err(|error| format!("prints no text: {error}"))?;
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("fails: {status}"));
        }
        number(&text)
    };
    match timeout(limit, run).await {
        Ok(value) => value,
        Err(_) => {
            shell::kill(&mut child).await;
            Err(format!("takes longer than {limit:?}; killed"))
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
    number.ok_or_else(|| format!("prints {text:?}, which is not a number such as 0.25"))
}

/// A load; without its routes where HaloD would not read a line as long.
pub fn load(value: Option<f64>, routes: Vec<(RouteId, u64)>) -> Load {
    let load = Load {
        connections: routes.iter().map(|&(_, connections)| connections).sum(),
        value,
        routes,
    };
    let line = ToHalod::Heartbeat {
        seq: u64::MAX,
        load: Some(load.clone()),
    };
    // A line's own end is not counted.
    if line.to_line().len() - 1 <= MAX_LINE_TO_HALOD {
        load
    } else {
        Load {
            routes: Vec::new(),
            ..load
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(" 0.25\n"), Ok(0.25));
        assert_eq!(number("-3"), Ok(-3.0));
        for bad in ["", "x", "1 2", "inf", "NaN"] {
            let error = number(bad).expect_err(bad);
            assert!(error.contains("not a number"), "{error}");
        }
    }

    #[test]
    fn no_line_is_too_long() {
        let routes = |count| (1..=count).map(|r| (r, 7)).collect::<Vec<_>>();
        assert_eq!(load(None, routes(1000)).routes.len(), 1000);
        let most = load(Some(0.1), routes(20_000));
        assert_eq!((most.connections, most.routes.len()), (140_000, 0));
    }
}
