//! What would move if a node went: tried on a copy of the cluster.

use std::collections::BTreeMap;

use halod_cluster::{Action, Command, Event, NodeId, NodeName, RouteId};
use halod_control::{Going, PlanReport, PlannedMove};
use tokio::time::Instant;

use super::Heart;

impl<K> Heart<K> {
    /// The error says why it cannot go so.
    pub(super) fn plan(&self, name: &str, how: Going) -> Result<PlanReport, String> {
        let name: NodeName = name.parse().map_err(|e| format!("{e}"))?;
        let node = self.cluster.node_named(&name).map(|node| node.id);
        let now = self.time(Instant::now());
        let mut after = self.cluster.clone();
        let command = match how {
            Going::Drain => Command::Drain(name),
            // Its slot is filled as if it were lost.
            Going::Lose => Command::Remove(name),
        };
        let request = 0;
        let mut moves = Vec::new();
        for action in after.handle(now, Event::Operator { request, command }) {
            match action {
                Action::Commit(change) => moves = change.moves,
                Action::Reply { result, .. } => drop(result?),
                _ => {}
            }
        }
        let keeps = |cluster: &halod_cluster::Cluster, route, node| {
            let mut formers = cluster.formers(route).iter();
            formers.find(|former| Some(former.node) == node).cloned()
        };

        let mut groups: BTreeMap<(Option<NodeId>, Option<NodeId>, u64), Vec<RouteId>> =
            BTreeMap::new();
        for it in moves {
            let kept = keeps(&after, it.route, it.from);
            let drain_ms = kept.map_or(0, |former| former.until.since(now));
            let routes = groups.entry((it.from, it.to, drain_ms)).or_default();
            routes.push(it.route);
        }
        let name = |id: Option<NodeId>| Some(self.name(id?));
        let planned = |((from, to, drain_ms), routes): ((_, _, u64), Vec<RouteId>)| PlannedMove {
            routes: routes.into_iter().collect(),
            from: name(from),
            to: name(to),
            drain_ms,
        };
        let left = self.cluster.drains().map(|(route, _)| route);
        let ended = left.filter(|&route| {
            self.cluster.node_of(route) != node
                && keeps(&self.cluster, route, node).is_some()
                && keeps(&after, route, node).is_none()
        });
        Ok(PlanReport {
            generation: self.cluster.generation(),
            routes: self.cluster.routes(),
            ended: ended.collect(),
            moves: groups.into_iter().map(planned).collect(),
        })
    }
}
