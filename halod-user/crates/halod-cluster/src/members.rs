use std::collections::{BTreeMap, BTreeSet, HashMap};

use halod_proto::{NodeName, NodeState};

use crate::saved::SavedNodes;
use crate::{ConnId, Node, NodeId, Time};

/// The nodes that a cluster knows, found by number, name, connection, or what is due next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    nodes: BTreeMap<NodeId, Node>,
    by_name: HashMap<NodeName, NodeId>,
    by_conn: HashMap<ConnId, NodeId>,
    /// A time that is not after its deadline for each node that has one, as in [`Node::look`]: a
    /// heartbeat moves a deadline and nothing here. The first is a deadline.
    looks: BTreeSet<(Time, NodeId)>,
    turns: u64,
    /// Those that were saved last.
    pub(crate) saved: SavedNodes,
}

impl Members {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// For changes of what no index depends on; the others have their own methods.
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.saved.touch(id);
        self.nodes.get_mut(&id)
    }

    /// The same for what changes with each heartbeat, nothing of which is saved.
    pub(crate) fn heard_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    pub(crate) fn named(&self, name: &NodeName) -> Option<&Node> {
        self.get(*self.by_name.get(name)?)
    }

    pub(crate) fn of_conn(&self, conn: ConnId) -> Option<NodeId> {
        self.by_conn.get(&conn).copied()
    }

    /// The lowest number that no node has.
    pub(crate) fn free_id(&self) -> NodeId {
        let used = self.nodes.keys().map(|id| id.0);
        let free = (1..).zip(used).find(|(free, used)| free != used);
        NodeId(free.map_or(self.nodes.len() as u32 + 1, |(free, _)| free))
    }

    /// A number for the end of the queue of those who wait.
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Adds a node whose number and name are new.
    pub(crate) fn insert(&mut self, node: Node) {
        self.by_name.insert(node.name.clone(), node.id);
        if let Some(conn) = node.conn {
            self.by_conn.insert(conn, node.id);
        }
        let (id, deadline) = (node.id, node.deadline);
        self.saved.touch(id);
        self.nodes.insert(id, node);
        self.set_deadline(id, deadline);
    }

    /// Drops a node's record.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.set_conn(id, None);
        self.set_deadline(id, None);
        self.saved.touch(id);
        let node = self.nodes.remove(&id)?;
        self.by_name.remove(&node.name);
        Some(node)
    }

    /// Gives a node its connection, or none; returns the former one.
    pub(crate) fn set_conn(&mut self, id: NodeId, conn: Option<ConnId>) -> Option<ConnId> {
        let node = self.nodes.get_mut(&id)?;
        let former = std::mem::replace(&mut node.conn, conn);
        node.heartbeat = None;
        if let Some(former) = former {
            self.by_conn.remove(&former);
        }
        if let Some(conn) = conn {
            self.by_conn.insert(conn, id);
        }
        former
    }

    /// Sets when a node is due.
    pub(crate) fn set_deadline(&mut self, id: NodeId, deadline: Option<Time>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.deadline = deadline;
        if node.look.is_none_or(|look| Some(look) > deadline) {
            Members::look(&mut self.looks, node);
        } else if self.looks.first().is_some_and(|(_, first)| *first != id) {
            return;
        }
        self.find_next();
    }

    /// Looks at a node when it is due.
    fn look(looks: &mut BTreeSet<(Time, NodeId)>, node: &mut Node) {
        if let Some(former) = node.look {
            looks.remove(&(former, node.id));
        }
        looks.extend(node.deadline.map(|deadline| (deadline, node.id)));
        node.look = node.deadline;
    }

    /// Makes the first look a deadline.
    fn find_next(&mut self) {
        while let Some(&(at, id)) = self.looks.first()
            && let Some(node) = self.nodes.get_mut(&id)
            && node.deadline != Some(at)
        {
            Members::look(&mut self.looks, node);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.looks.first().map(|&(deadline, _)| deadline)
    }

    /// The nodes that are due, the longest overdue first.
    pub(crate) fn due(&self, now: Time) -> Vec<(Time, NodeId)> {
        let looks = self.looks.iter().take_while(|(at, _)| *at <= now);
        let due = looks.filter_map(|&(_, id)| Some((self.get(id)?.deadline?, id)));
        let mut due: Vec<_> = due.filter(|(deadline, _)| *deadline <= now).collect();
        due.sort_unstable();
        due
    }

    /// Puts a node into a state, in which it is the latest.
    pub(crate) fn set_state(&mut self, id: NodeId, state: NodeState, now: Time) {
        let turn = self.next_turn();
        if let Some(node) = self.get_mut(id) {
            node.state = state;
            node.since = now;
            node.turn = turn;
        }
    }

    /// The lost node that was lost first.
    pub(crate) fn oldest_lost(&self) -> Option<NodeId> {
        let lost = self.iter().filter(|node| node.state == NodeState::Lost);
        lost.min_by_key(|node| node.turn).map(|node| node.id)
    }
}
