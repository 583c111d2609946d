//! `halodctl kernel counters`.

use halod_netlink::Client;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Output, table};

/// Packets that left by one exit.
#[derive(Serialize)]
struct Counter {
    name: String,
    packets: u64,
}

pub async fn run(output: &mut Output) -> Result<(), Failure> {
    let counters = Client::connect()?.counters().await?;
    let counters: Vec<Counter> = counters
        .into_iter()
        .map(|(name, packets)| Counter { name, packets })
        .collect();
    output.result(&counters, |counters| {
        let rows = counters
            .iter()
            .map(|it| [it.name.clone(), it.packets.to_string()]);
        table(&["EXIT", "PACKETS"], rows)
    })
}
