//! `halodctl node activate | reserve | drain | remove NAME`.

use halod_control::Request;

use crate::cli::{Cli, Node};
use crate::daemon::ask;
use crate::failure::Failure;
use crate::output::{Output, clean};

pub async fn run(cli: &Cli, node: &Node, output: &mut Output) -> Result<(), Failure> {
    let request = match node.clone() {
        Node::Activate { name } => Request::NodeActivate { name },
        Node::Reserve { name } => Request::NodeReserve { name },
        Node::Drain { name } => Request::NodeDrain { name },
        Node::Remove { name } => Request::NodeRemove { name },
    };
    let done: String = ask(cli, &request).await?;
    let done = serde_json::json!({ "done": done });
    output.result(&done, |done| {
        format!("{}\n", clean(done["done"].as_str().unwrap_or_default()))
    })
}
