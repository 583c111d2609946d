//! `halodctl listeners`.

use halod_control::{ListenerReport, Request};
use halod_proto::Select;

use crate::cli::Cli;
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, table};

const HEADER: [&str; 7] = [
    "NAME", "ADDRESS", "PROTOCOL", "PORTS", "ON NODES", "ROUTE BY", "DELIVER",
];

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let listeners: Vec<ListenerReport> = ask(cli, &Request::Listeners).await?;
    output.result(&listeners, |listeners| {
        table(&HEADER, listeners.iter().map(row))
    })
}

fn row(listener: &ListenerReport) -> [String; 7] {
    let more = listener.last_port.saturating_sub(listener.port);
    let ports = |first: u16| match listener.select {
        Select::Port => format!("{first}-{}", first.saturating_add(more)),
        _ => first.to_string(),
    };
    [
        listener.name.clone(),
        listener.address.to_string(),
        listener.protocol.clone(),
        ports(listener.port),
        ports(listener.node_port),
        listener.select.to_string(),
        listener.deliver.to_string(),
    ]
}
