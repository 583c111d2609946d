//! `halodctl listeners`.

use halod_control::{ListenerReport, Request};

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, table};

const HEADER: [&str; 5] = ["NAME", "ADDRESS", "PROTOCOL", "PORTS", "ON NODES"];

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let listeners: Vec<ListenerReport> = ask(cli, &Request::Listeners).await?;
    output.result(&listeners, |listeners| {
        table(&HEADER, listeners.iter().map(row))
    })
}

fn row(listener: &ListenerReport) -> [String; 5] {
    let more = listener.last_port.saturating_sub(listener.port);
    let last = listener.node_port.saturating_add(more);
    [
        listener.name.clone(),
        listener.address.to_string(),
        listener.protocol.clone(),
        format!("{}-{}", listener.port, listener.last_port),
        format!("{}-{last}", listener.node_port),
    ]
}
