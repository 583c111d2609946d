use halod_proto::{NodeName, NodeState};

use crate::outcome::Outcome;
use crate::{Cluster, Command, LossCause, Node, Notice};

impl Cluster {
    /// A command of an operator; always answered.
    pub(crate) fn operator(&mut self, request: u64, command: &Command, outcome: &mut Outcome) {
        let result = match command {
            Command::Activate(name) => self.activate(name, outcome),
            Command::Reserve(name) => self.reserve(name, outcome),
            Command::Drain(name) => self.drain(name, outcome),
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
        let id = node.id;
        match node.state {
            NodeState::Active => return Err(format!("{name} is active already")),
            NodeState::Lost => {
                return Err(format!(
                    "{name} is lost; only a reserve or draining node can be activated"
                ));
            }
            NodeState::Reserve | NodeState::Draining => self.can_be_taken_back(node)?,
        }
        if !node.healthy {
            return Err(format!(
                "{name} is unhealthy: its application does not answer"
            ));
        }
        let cannot = |error| format!("{name} cannot become active: {error}");
        let slot = self.add_slot(id, outcome).map_err(cannot)?;
        outcome.causes.push(format!("{name} activated by operator"));
        let routes = self.assignment().held_by(slot).len();
        Ok(format!("{name} is active: slot {slot}, {routes} routes"))
    }

    fn reserve(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        let id = node.id;
        match node.state {
            NodeState::Active => self.can_be_taken_out(node)?,
            NodeState::Draining => self.can_be_taken_back(node)?,
            NodeState::Reserve => return Err(format!("{name} is in reserve already")),
            NodeState::Lost => {
                return Err(format!(
                    "{name} is lost; only an active or draining node can be reserved"
                ));
            }
        }
        let slot = self.withdraw(id, NodeState::Reserve, outcome);
        if let Some(node) = self.members.get_mut(id) {
            node.parked = true;
        }
        // Not to fill the very slot that it left. One that was vacant before has nobody else.
        outcome.kept_back = slot.map(|_| id);
        outcome.tell.push(id);
        outcome.causes.push(format!("{name} reserved by operator"));
        let node = name.clone();
        outcome.notices.push(Notice::NodeReserved { node });
        let fills = self.slots.vacant().filter(|_| slot.is_none());
        let fills = fills.filter(|_| self.node(id).is_some_and(Node::eligible));
        Ok(match (slot, fills) {
            (Some(left), _) => format!("{name} is in reserve; it left slot {left}"),
            (None, Some(fills)) => format!(
                "{name} was put into reserve, and out of it at once: slot {fills} was without a node"
            ),
            (None, None) => format!("{name} is in reserve"),
        })
    }

    fn drain(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        let id = node.id;
        match node.state {
            NodeState::Active => self.can_be_taken_out(node)?,
            NodeState::Draining => return Err(format!("{name} is draining already")),
            NodeState::Reserve => {
                return Err(format!(
                    "{name} is in reserve: there is nothing to drain; to forget it, remove it"
                ));
            }
            NodeState::Lost => {
                return Err(format!(
                    "{name} is lost: there is nothing to drain; to forget it, remove it"
                ));
            }
        }
        let slot = self.withdraw(id, NodeState::Draining, outcome);
        outcome.tell.push(id);
        outcome.causes.push(format!("{name} drained by operator"));
        let node = name.clone();
        outcome.notices.push(Notice::NodeDraining { node, slot });
        let left = slot.map_or(String::new(), |slot| format!("; it left slot {slot}"));
        let drain_ms = self.config.drain_ms;
        Ok(if drain_ms > 0 {
            format!("{name} is draining{left}, and keeps its connections for {drain_ms} ms at most")
        } else {
            format!("{name} is draining{left}, and keeps no connections: drain is 0")
        })
    }

    /// Whether an active node may lose its slot by an operator's will.
    fn can_be_taken_out(&self, node: &Node) -> Result<(), String> {
        let name = &node.name;
        if !node.connected() {
            return Err(format!(
                "{name} is away: it is not connected; it will come back or be lost, or can be \
                 removed"
            ));
        }
        if self.slots.filled() == 1 && !self.members.iter().any(Node::eligible) {
            return Err(format!(
                "{name} is the only active node, and no reserve node could take its place: all \
                 routes would be without a node"
            ));
        }
        Ok(())
    }

    /// Whether a node without slot can be had again.
    fn can_be_taken_back(&self, node: &Node) -> Result<(), String> {
        let name = &node.name;
        if !node.connected() {
            return Err(format!("{name} is away: it is not connected"));
        }
        if node.leaving {
            return Err(format!("{name} leaves, as it said itself"));
        }
        Ok(())
    }

    fn remove(&mut self, name: &NodeName, outcome: &mut Outcome) -> Result<String, String> {
        let node = self.known(name)?;
        let (id, state) = (node.id, node.state);
        if state == NodeState::Active {
            self.lose(id, LossCause::Removed, outcome);
        } else {
            self.withdraw(id, NodeState::Lost, outcome);
            self.gone(id, outcome);
            outcome.causes.push(format!("{name} removed by operator"));
        }
        let reason = format!("{name} was removed by an operator");
        outcome.part.push((id, reason));
        outcome.forget = Some(id);
        let node = name.clone();
        outcome.notices.push(Notice::NodeRemoved { node });
        Ok(format!("{name} is removed; it was {state}"))
    }
}
