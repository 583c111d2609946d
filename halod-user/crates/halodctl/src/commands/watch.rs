//! `halodctl watch`.

use halod_control::{Client, Event};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::{Output, clean};

pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let mut events = Client::connect(&cli.socket).await?.watch().await?;
    while let Some(event) = events.next().await? {
        output.line(&event, text)?;
    }
    Err(Failure::Unreachable(
        "halod has ended the stream of events".to_owned(),
    ))
}

fn text(event: &Event) -> String {
    let Event {
        time,
        generation,
        kind,
        text,
        ..
    } = event;
    let took = event.took_us.map_or(String::new(), |took| {
        format!(" ({:.3} ms)", took as f64 / 1e3)
    });
    clean(&format!("{time} {generation:>6} {kind:<14} {text}{took}"))
}
