//! What this machine is to do: from the daemon, or else from the configuration and the kernel.

use halod_config::Config;
use halod_control::{Client, ClientError, ListenerReport, NodeReport, Request, StatusReport};
use halod_netlink::{Deliver, Select, Table};
use halod_proto::NodeState;

use crate::facts::{Cluster, Listener, Node};

use super::Where;

pub(super) async fn look(place: &Where<'_>, table: Option<&Table>) -> Cluster {
    let config = Config::load(place.config).map_err(|error| error.to_string());
    let asked = tokio::time::timeout(place.timeout, ask(place)).await;
    let said = match asked {
        Ok(said) => said.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "halod at {} did not answer within {}",
            place.socket.display(),
            humantime::format_duration(place.timeout)
        )),
    };
    match said {
        Ok((status, listeners, nodes)) => Cluster {
            daemon: Ok(status),
            config,
            path: place.config.to_owned(),
            listeners: listeners.into_iter().filter_map(reported).collect(),
            nodes: nodes.into_iter().map(known).collect(),
        },
        Err(error) => Cluster {
            listeners: listeners(config.as_ref().ok(), table),
            nodes: table.map(nodes).unwrap_or_default(),
            daemon: Err(error),
            config,
            path: place.config.to_owned(),
        },
    }
}

type Said = (StatusReport, Vec<ListenerReport>, Vec<NodeReport>);

async fn ask(place: &Where<'_>) -> Result<Said, ClientError> {
    let mut client = Client::connect(place.socket).await?;
    Ok((
        client.request(&Request::Status).await?,
        client.request(&Request::Listeners).await?,
        client.request(&Request::Nodes).await?,
    ))
}

fn reported(listener: ListenerReport) -> Option<Listener> {
    Some(Listener {
        protocol: listener.protocol.parse().ok()?,
        name: listener.name,
        address: listener.address,
        first: listener.port,
        last: listener.last_port,
        deliver: deliver(listener.deliver),
    })
}

fn deliver(said: halod_proto::Deliver) -> Deliver {
    match said {
        halod_proto::Deliver::Nat => Deliver::Nat,
        halod_proto::Deliver::Dsr => Deliver::Dsr,
        halod_proto::Deliver::Ipip => Deliver::Ipip,
    }
}

fn known(node: NodeReport) -> Node {
    Node {
        name: node.name,
        addresses: node.addresses,
        lost: node.state == NodeState::Lost,
    }
}

/// Those of the configuration, which will be in force; or those that are in the kernel.
fn listeners(config: Option<&Config>, table: Option<&Table>) -> Vec<Listener> {
    let last = |first: u16, ports: usize| {
        let last = usize::from(first) + ports.saturating_sub(1);
        u16::try_from(last).unwrap_or(u16::MAX)
    };
    if let Some(config) = config {
        let each = config.listeners.iter().flat_map(|listener| {
            listener.addresses.iter().map(|address| Listener {
                name: listener.name.clone(),
                address: *address,
                protocol: match listener.protocol {
                    halod_proto::Protocol::Tcp => halod_netlink::Protocol::Tcp,
                    halod_proto::Protocol::Udp => halod_netlink::Protocol::Udp,
                },
                first: listener.port,
                last: last(listener.port, listener.select.ports(config.routes) as usize),
                deliver: deliver(listener.deliver),
            })
        });
        return each.collect();
    }
    let table = table.into_iter();
    let each = table.flat_map(|table| table.listeners.iter().map(|it| (it, table.routes.len())));
    each.map(|(listener, routes)| Listener {
        name: listener.name.clone(),
        address: listener.address,
        protocol: listener.protocol,
        first: listener.port,
        last: match listener.select {
            Select::Port => last(listener.port, routes),
            Select::Source | Select::Flow => listener.port,
        },
        deliver: listener.deliver,
    })
    .collect()
}

fn nodes(table: &Table) -> Vec<Node> {
    let each = table.nodes.iter().map(|node| Node {
        name: node.name.clone(),
        addresses: node.addresses.clone(),
        lost: false,
    });
    each.collect()
}
