//! Requests to the daemon, with a bound on the wait.

use halod_control::{Client, Request};
use serde::de::DeserializeOwned;

use crate::cli::Cli;
use crate::failure::Failure;

/// Asks the daemon one thing.
pub async fn ask<T: DeserializeOwned>(cli: &Cli, request: &Request) -> Result<T, Failure> {
    let answer = async {
        let mut client = Client::connect(&cli.socket).await?;
        client.request(request).await
    };
    match tokio::time::timeout(cli.timeout, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Unreachable(format!(
            "halod at {} did not answer within {}; --timeout waits longer",
            cli.socket.display(),
            humantime::format_duration(cli.timeout)
        ))),
    }
}
