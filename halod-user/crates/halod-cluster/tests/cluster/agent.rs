//! Nodes that believe what they are told, and are told nothing that cannot be.

use std::collections::{BTreeMap, BTreeSet};

use halod_cluster::{Cluster, ConnId, NodeId};
use halod_proto::{FromHalod, MovedRoutes};

use crate::sim::Sim;

/// What a node knows.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    pub conn: Option<ConnId>,
    pub token: Option<String>,
    pub held: BTreeSet<u32>,
    /// The routes whose connections it keeps, and until when.
    pub keeps: BTreeMap<u32, u64>,
    /// The same before it was welcomed: it is told all anew then.
    kept: BTreeMap<u32, u64>,
    pub may_stop: bool,
    /// Is just being welcomed: it may have had routes and lost them while it was away.
    pub fresh: bool,
    /// The routes that it said to be empty.
    pub emptied: BTreeSet<u32>,
    pub seq: u64,
    /// Was away when HaloD restarted. What a node was told last does not survive that, so until it
    /// is told all anew it may hear of the loss of routes that it did not know of.
    pub out_of_touch: bool,
}

impl Sim {
    pub fn deliver(&mut self, conn: ConnId, message: &FromHalod) {
        if let FromHalod::Welcome(welcome) = message {
            let (name, known) = self.hellos.remove(&conn).expect("an answer to a hello");
            let agent = self.agents.entry(name).or_default();
            assert_eq!(agent.conn, None, "the former connection was closed before");
            agent.conn = Some(conn);
            agent.token = Some(welcome.resume.clone());
            agent.seq = 0;
            agent.may_stop = false;
            agent.fresh = true;
            agent.kept = std::mem::take(&mut agent.keeps);
            if !known {
                agent.held.clear();
                agent.kept.clear();
            }
            return;
        }
        let agent = self
            .agents
            .values_mut()
            .find(|agent| agent.conn == Some(conn));
        let agent = agent.expect("messages go to open connections");
        match message {
            FromHalod::Assign {
                generation, routes, ..
            } => {
                assert_eq!(*generation, self.generation);
                agent.held = routes.iter().collect();
                agent.keeps.retain(|route, _| !routes.contains(*route));
                agent.out_of_touch = false;
                agent.may_stop = false;
            }
            FromHalod::RouteMoved { generation, moves } => {
                assert_eq!(*generation, self.generation);
                for (route, to) in each(&self.cluster, moves) {
                    let kept = agent.keeps.remove(&route).is_some();
                    let kept = kept || agent.kept.contains_key(&route);
                    let had = agent.held.remove(&route) || kept || agent.out_of_touch;
                    assert!(had, "a node loses only what it has");
                    assert_eq!(self.table[route as usize - 1], to);
                }
            }
            FromHalod::Drain {
                generation,
                moves,
                deadline_ms,
            } => {
                assert_eq!(*generation, self.generation);
                for (route, to) in each(&self.cluster, moves) {
                    let kept = agent.kept.contains_key(&route);
                    agent.keeps.insert(route, self.now + deadline_ms);
                    agent.emptied.remove(&route);
                    let had = agent.held.remove(&route) || kept || agent.fresh;
                    assert!(had, "a node drains only what it had");
                    assert_eq!(self.table[route as usize - 1], to);
                }
            }
            FromHalod::MayStop { generation } => {
                assert_eq!(*generation, self.generation);
                assert!(agent.held.is_empty());
                agent.may_stop = true;
            }
            FromHalod::Reserve { generation } => {
                assert_eq!(*generation, self.generation);
                agent.held.clear();
                agent.out_of_touch = false;
                agent.may_stop = false;
            }
            other => panic!("nobody sends {other:?} here"),
        }
    }
}

/// Routes that moved, and where to.
fn each(cluster: &Cluster, moves: &[MovedRoutes]) -> Vec<(u32, Option<NodeId>)> {
    let mut each = Vec::new();
    for moved in moves {
        let id = |name| cluster.node_named(name).expect("a known node").id;
        let to = moved.to.as_ref().map(id);
        each.extend(moved.routes.iter().map(|route| (route, to)));
    }
    each
}
