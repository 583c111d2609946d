use halod_proto::NodeState;
use halod_routes::RouteSet;

use crate::chain::Stay;
use crate::drains::Ended;
use crate::outcome::Outcome;
use crate::{Cluster, LossCause, Move, NodeId, Notice, Time};

impl Cluster {
    /// A node has no connection left on routes that it has lost.
    pub(crate) fn emptied(&mut self, id: NodeId, routes: &RouteSet, outcome: &mut Outcome) {
        if self.drains.legs_of(id) == 0 {
            return;
        }
        for route in routes.iter() {
            if self.drains.emptied(route, id, &self.table, self.now) {
                outcome.emptied.push(Ended { route, node: id });
            }
        }
    }

    /// A node says that it leaves: it goes when it keeps no connection any more, which may be at
    /// once.
    pub(crate) fn leaves(&mut self, id: NodeId, outcome: &mut Outcome) {
        let Some(node) = self.members.get_mut(id).filter(|node| !node.leaving) else {
            return;
        };
        node.leaving = true;
        let node = node.name.clone();
        let slot = self.withdraw(id, NodeState::Draining, outcome);
        outcome.causes.push(format!("{node} leaves"));
        outcome.notices.push(Notice::NodeLeaving { node, slot });
    }

    /// Those that leave and keep no connection any more are to be told so, and go.
    pub(crate) fn let_go(&mut self, outcome: &mut Outcome) {
        for node in self.members.iter().filter(|node| node.leaving) {
            if self.drains.legs_of(node.id) == 0 {
                let cause = LossCause::Leaving;
                let part = (node.id, "the node leaves".to_owned());
                outcome.part.push(part);
                outcome.save = true;
                outcome.notices.push(Notice::NodeLost {
                    node: node.name.clone(),
                    slot: None,
                    cause,
                });
            }
        }
    }

    /// Leads connections by these moves; returns whose are cut since a route moved too often.
    pub(crate) fn drain_moved(&mut self, moves: &[Move]) -> Vec<Ended> {
        let Cluster {
            config,
            drains,
            members,
            now,
            ..
        } = self;
        let stay = Stay {
            until: now.after(config.drain_ms.into()),
            udp_until: match config.udp_stay_ms {
                0 => Time(0),
                stay => now.after(stay.into()),
            },
        };
        drains.moves(moves, |id| {
            let there = members.get(id).is_some_and(|n| n.state != NodeState::Lost);
            (there && config.drain_ms > 0).then_some(stay)
        })
    }
}
