use std::collections::{BTreeMap, BTreeSet};

use halod_proto::{FromHalod, NodeState};
use halod_routes::RouteId;

use crate::drains::Ended;
use crate::outcome::Outcome;
use crate::{Action, Change, Cluster, DrainEnd, Move, MovedBetween, NodeId, Notice};

impl Cluster {
    /// Settles, and puts everything that an event has led to in the order in which it must be
    /// carried out: first what must be durable and in the kernel, then what nodes are told.
    pub(crate) fn conclude(&mut self, mut outcome: Outcome) -> Vec<Action> {
        if outcome.settle {
            self.settle(&mut outcome);
        }
        let mut concerned: BTreeSet<NodeId> = outcome.welcome.into_iter().collect();
        let change = self.change(&mut outcome, &mut concerned);
        if change.is_some() || outcome.settle {
            self.let_go(&mut outcome);
        }
        concerned.extend(outcome.tell.iter());
        concerned.extend(outcome.part.iter().map(|(id, _)| *id));

        let mut actions = Vec::new();
        match change {
            Some(change) => actions.push(Action::Commit(change)),
            None if outcome.save => actions.push(Action::Save),
            None => {}
        }
        let close = |(conn, reason)| Action::Close { conn, reason };
        actions.extend(std::mem::take(&mut outcome.close).into_iter().map(close));
        for id in concerned {
            self.tell(id, &mut outcome, &mut actions);
        }
        for (id, reason) in std::mem::take(&mut outcome.part) {
            let conn = self.members.set_conn(id, None);
            actions.extend(conn.map(|conn| Action::Close { conn, reason }));
            if self.node(id).is_some_and(|node| node.leaving) {
                self.members.set_state(id, NodeState::Lost, self.now);
                self.gone(id, &mut outcome);
            }
        }
        actions.extend(
            outcome
                .probe
                .and_then(|(id, delay_ms)| self.probe(id, delay_ms)),
        );
        let reply = |(request, result)| Action::Reply { request, result };
        actions.extend(outcome.reply.map(reply));
        if let Some(node) = outcome.joined.and_then(|id| self.node(id)) {
            let joined = Notice::NodeJoined {
                node: node.name.clone(),
                state: node.state,
            };
            actions.push(Action::Notice(joined));
        }
        actions.extend(outcome.notices.into_iter().map(Action::Notice));
        if let Some(id) = outcome.forget {
            self.forget(id);
        }
        actions
    }

    /// Brings the table and the drains up to date. Adds the nodes for which that may be news.
    fn change(
        &mut self,
        outcome: &mut Outcome,
        concerned: &mut BTreeSet<NodeId>,
    ) -> Option<Change> {
        let over = self.drains.expire(&self.table, self.now);
        let moves = if outcome.settle {
            self.take_moves()
        } else {
            Vec::new()
        };
        let cut = self.drain_moved(&moves);
        let emptied = std::mem::take(&mut outcome.emptied);
        if moves.is_empty() && over.is_empty() && emptied.is_empty() && !outcome.republish {
            return None;
        }
        self.drains.index(&self.table);
        self.generation += 1;

        let ends = [
            (over, DrainEnd::Time),
            (emptied, DrainEnd::Empty),
            (cut, DrainEnd::Moved),
        ];
        for (ended, cause) in ends {
            concerned.extend(ended.iter().map(|ended| ended.node));
            self.ended(ended, cause, outcome);
        }
        let both = moves.iter().flat_map(|moved| [moved.from, moved.to]);
        for id in both.flatten() {
            // What it holds is saved with it.
            self.members.saved.touch(id);
            concerned.insert(id);
        }
        if !moves.is_empty() {
            outcome.notices.push(self.moved_notice(&moves));
        }
        Some(Change {
            generation: self.generation,
            cause: self.cause(outcome),
            moves,
        })
    }

    /// Says what has ended. A node knows itself what it has none of left, and when time is over.
    fn ended(&mut self, ended: Vec<Ended>, cause: DrainEnd, outcome: &mut Outcome) {
        let mut by_node: BTreeMap<NodeId, Vec<RouteId>> = BTreeMap::new();
        for Ended { route, node } in ended {
            by_node.entry(node).or_default().push(route);
        }
        for (id, routes) in by_node {
            let Some(node) = self.members.get_mut(id) else {
                continue;
            };
            let routes = routes.into_iter().collect();
            if cause != DrainEnd::Moved {
                node.keeps = node.keeps.difference(&routes);
            }
            let node = node.name.clone();
            let notice = Notice::DrainEnded {
                node,
                routes,
                cause,
            };
            if cause != DrainEnd::Moved {
                outcome.causes.push(notice.to_string());
            }
            outcome.notices.push(notice);
        }
    }

    /// Tells a node, if it is there, what it does not know yet.
    fn tell(&mut self, id: NodeId, outcome: &mut Outcome, actions: &mut Vec<Action>) {
        let Some((node, conn)) = self.node(id).and_then(|node| Some((node, node.conn?))) else {
            return;
        };
        let (name, leaving) = (node.name.clone(), node.leaving);
        let messages = self.news_of(id, outcome.welcome == Some(id));
        let may_stop = |message: &FromHalod| matches!(message, FromHalod::MayStop { .. });
        if !leaving && messages.iter().any(may_stop) {
            outcome.notices.push(Notice::NodeEmpty { node: name });
        }
        let send = |message| Action::Send { conn, message };
        actions.extend(messages.into_iter().map(send));
    }

    fn cause(&self, outcome: &Outcome) -> String {
        let joined = outcome.joined.and_then(|id| self.node(id));
        let joined = joined.map(|node| format!("{} joined", node.name));
        let causes: Vec<String> = joined.into_iter().chain(outcome.causes.clone()).collect();
        if causes.is_empty() {
            "reserve node promoted".to_owned()
        } else {
            causes.join("; ")
        }
    }

    /// Brings the table in line with the slots; returns what changed, by route.
    fn take_moves(&mut self) -> Vec<Move> {
        let table = self.slots.table();
        let former = std::mem::replace(&mut self.table, table);
        (1..)
            .zip(former.into_iter().zip(self.table.iter().copied()))
            .filter(|(_, (from, to))| from != to)
            .map(|(route, (from, to))| Move { route, from, to })
            .collect()
    }

    fn moved_notice(&self, moves: &[Move]) -> Notice {
        let mut groups: BTreeMap<(Option<NodeId>, Option<NodeId>), Vec<RouteId>> = BTreeMap::new();
        for moved in moves {
            let group = groups.entry((moved.from, moved.to)).or_default();
            group.push(moved.route);
        }
        let moved_between = |((from, to), routes): ((_, _), Vec<RouteId>)| MovedBetween {
            routes: routes.into_iter().collect(),
            from: self.name_of(from),
            to: self.name_of(to),
        };
        Notice::RoutesMoved {
            generation: self.generation,
            moves: groups.into_iter().map(moved_between).collect(),
        }
    }
}
