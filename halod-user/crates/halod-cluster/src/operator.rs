use halod_proto::{NodeName, NodeState};

use crate::outcome::Outcome;
use crate::{Cluster, Command, LossCause, Node, NodeId, Notice};

impl Cluster {
    /// A command of an operator; always answered.
    pub(crate) fn operator(&mut self, request: u64, command: &Command, outcome: &mut Outcome) {
        let result = match command {
            Command::Activate(name) => self.activate(name, outcome),
            Command::Reserve(name) => self.reserve(name, outcome),
            Command::Remove(name) => self.remove(name, outcome),
        };
        outcome.reply = Some((request, result));
    }

    fn known(&self, name: &NodeName) -> Result<&Node, String> {
        let unknown = || format!("there is no node {name}");
        self.members.named(name).ok_or_else(unknown)
    }

    fn activate(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        match node.state {
            NodeState::Active => return Err(format!("{name} is active already")),
            NodeState::Reserve if node.eligible() => {}
            NodeState::Reserve if node.connected() => {
                return Err(format!(
                    "{name} is unhealthy: its application does not answer"
                ));
            }
            NodeState::Reserve => return Err(format!("{name} is away: it is not connected")),
            state => {
                return Err(format!(
                    "{name} is {state}; only a reserve node can be activated"
                ));
            }
        }
        let id = node.id;
        let cannot = |error| format!("{name} cannot become active: {error}");
        let slot = self.add_slot(id, outcome).map_err(cannot)?;
        outcome.causes.push(format!("{name} activated by operator"));
        let routes = self.assignment().held_by(slot).len();
        Ok(format!("{name} is active: slot {slot}, {routes} routes"))
    }

    fn reserve(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        let id = node.id;
        let slot = match (node.state, node.slot) {
            (NodeState::Active, Some(slot)) if node.connected() => slot,
            (NodeState::Active, _) => {
                return Err(format!(
                    "{name} is away: it is not connected; it will come back or be lost, or can be \
                     removed"
                ));
            }
            (NodeState::Reserve, _) => return Err(format!("{name} is in reserve already")),
            (state, _) => {
                return Err(format!(
                    "{name} is {state}; only an active node can be reserved"
                ));
            }
        };
        if self.slots.filled() == 1 && !self.members.iter().any(Node::eligible) {
            return Err(format!(
                "{name} is the only active node, and no reserve node could take its place: all \
                 routes would be without a node"
            ));
        }
        self.members.set_state(id, NodeState::Reserve, self.now);
        if let Some(node) = self.members.get_mut(id) {
            node.slot = None;
            node.parked = true;
        }
        self.slots.vacate(slot);
        outcome.vacated = true;
        outcome.settle = true;
        outcome.save = true;
        outcome.kept_back = Some(id);
        outcome.causes.push(format!("{name} reserved by operator"));
        let node = name.clone();
        outcome.notices.push(Notice::NodeReserved { node });
        Ok(format!("{name} is in reserve; it left slot {slot}"))
    }

    fn remove(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        let (id, state) = (node.id, node.state);
        if state == NodeState::Active {
            self.lose(id, LossCause::Removed, outcome);
        } else {
            self.take_out(id, outcome);
        }
        let reason = format!("{name} was removed by an operator");
        outcome.part = Some((id, reason));
        outcome.forget = Some(id);
        let node = name.clone();
        outcome.notices.push(Notice::NodeRemoved { node });
        Ok(format!("{name} is removed; it was {state}"))
    }

    /// Makes a node that fills no slot count for nothing any more.
    fn take_out(&mut self, id: NodeId, outcome: &mut Outcome) {
        self.members.set_state(id, NodeState::Lost, self.now);
        outcome.save = true;
    }
}
