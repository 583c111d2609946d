//! `halodctl kernel flush`.

use std::io::{self, BufRead, IsTerminal};

use halod_netlink::Client;

use crate::failure::Failure;
use crate::output::Output;

pub async fn run(yes: bool, expected: Option<u64>, output: &mut Output) -> Result<(), Failure> {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !yes && !can_ask {
        return Err(Failure::Usage(
            "flush breaks every connection through the table; say --yes to do it unasked"
                .to_owned(),
        ));
    }
    let mut kernel = Client::connect()?;
    let status = kernel.status().await?;
    if !yes {
        eprint!(
            "Empty the kernel's table of generation {} with {} routes and {} nodes? \
             Every connection through it breaks. Type yes: ",
            status.generation, status.routes, status.nodes
        );
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            return Err(Failure::Failed("nothing was done".to_owned()));
        }
    }
    // Flush what was asked about, not what has come since.
    let expected = expected.or((!yes).then_some(status.generation));
    let generation = kernel.flush(expected).await?;
    let done = serde_json::json!({ "generation": generation });
    output.result(&done, |_| {
        format!("The table is empty; it is of generation {generation}.\n")
    })
}
