use halod_proto::{Load, NodeState};

use crate::outcome::Outcome;
use crate::scaling::{Figures, Step};
use crate::{Cluster, Measure, Node, NodeId, Notice};

/// Load is looked at with each heartbeat, but no more often than this.
const LOOK_PAUSE_MS: u32 = 100;

impl Cluster {
    /// Between two looks at the load.
    pub(crate) fn look_pause_ms(&self) -> u64 {
        self.config.heartbeat_ms.max(LOOK_PAUSE_MS).into()
    }

    /// Lets load decide, when it is time to look at it.
    pub(crate) fn scale(&mut self, outcome: &mut Outcome) {
        let Some(scale) = self.config.scale else {
            return;
        };
        if self.scaler.due.is_none_or(|due| due > self.now) {
            return;
        }
        let pause_ms = self.look_pause_ms();
        if outcome.settle {
            // Once it is clear who is active.
            self.scaler.due = Some(self.now.after(pause_ms));
            return;
        }
        let figures = self.figures(scale.by);
        match self.scaler.look(self.now, pause_ms, &scale, &figures) {
            Some(Step::Up) => self.scale_up(outcome),
            Some(Step::Down) => self.scale_down(outcome),
            None => {}
        }
    }

    fn figures(&self, by: Measure) -> Figures {
        let measure = |load: &Load| match by {
            Measure::Connections => Some(load.connections as f64),
            Measure::Value => load.value,
        };
        let known = |node: &Node| {
            let load = node.load.as_ref().filter(|_| node.connected());
            load.and_then(measure)
        };
        let active = |node: &&Node| node.state == NodeState::Active;
        let unknown = self.members.iter().filter(active);
        let unknown = unknown
            .filter(|node| known(node).is_none())
            .min_by_key(|n| n.id);
        let slots = self.assignment().slots();
        let full = slots >= self.config.routes.min(halod_routes::MAX_SLOTS);
        Figures {
            total: self.members.iter().filter_map(known).sum(),
            active: slots,
            unknown: unknown.map(|node| node.name.clone()),
            no_more: if full {
                Some("there are no routes for another node")
            } else if self.longest_waiting(None, |node| !node.parked).is_none() {
                Some("no node waits in reserve that could be put to work")
            } else {
                None
            },
            no_less: (slots <= self.config.active_min).then_some("active_min allows no less"),
        }
    }

    fn scale_up(&mut self, outcome: &mut Outcome) {
        let Some(id) = self.longest_waiting(None, |node| !node.parked) else {
            return;
        };
        if self.add_slot(id, outcome).is_ok() {
            self.scaled(id, true, outcome);
        }
    }

    fn scale_down(&mut self, outcome: &mut Outcome) {
        let highest = self.assignment().slots();
        let Some(id) = self.slots.node(highest) else {
            return;
        };
        self.withdraw(id, NodeState::Reserve, outcome);
        if self.slots.remove(highest).is_ok() {
            outcome.kept_back = Some(id);
            self.scaled(id, false, outcome);
        }
    }

    fn scaled(&mut self, id: NodeId, up: bool, outcome: &mut Outcome) {
        let Some(node) = self.name_of(Some(id)) else {
            return;
        };
        let why = self.scaler.why().to_owned();
        let notice = Notice::Scaled { node, up, why };
        outcome.causes.push(notice.to_string());
        outcome.notices.push(notice);
    }
}
