//! What happened, for the log and for whoever watches over the control socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use halod_cluster::{Change, DrainEnd, LossCause, NodeId, Notice, RouteId};
use halod_control::{Answer, Event};
use halod_routes::RouteSet;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use super::{Heart, Reply};

/// How many events a watcher may be behind.
const BEHIND: usize = 1024;

/// All who watch.
#[derive(Debug)]
pub(super) struct Watchers(broadcast::Sender<Arc<str>>);

impl Default for Watchers {
    fn default() -> Watchers {
        Watchers(broadcast::Sender::new(BEHIND))
    }
}

/// The time of day, RFC 3339 in UTC with microseconds.
pub(super) fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

impl<K> Heart<K> {
    /// Tells watchers.
    pub(super) fn publish(
        &self,
        kind: &str,
        text: String,
        took_us: Option<u64>,
        details: Map<String, Value>,
    ) {
        if self.watchers.0.receiver_count() > 0 {
            // Nobody may be left by now.
            let _ = self
                .watchers
                .0
                .send(self.event(kind, text, took_us, details));
        }
    }

    fn event(
        &self,
        kind: &str,
        text: String,
        took_us: Option<u64>,
        details: Map<String, Value>,
    ) -> Arc<str> {
        let generation = self.cluster.generation();
        let event = Event {
            time: now(),
            generation,
            kind: kind.to_owned(),
            text,
            took_us,
            details,
        };
        // Fails for maps with keys that are not strings only; there are none.
        serde_json::to_string(&Answer::<()>::Event(event))
            .unwrap_or_default()
            .into()
    }

    /// Everything from now on.
    pub(super) fn watch(&self) -> Reply {
        let cluster = &self.cluster.config().cluster;
        let text = format!(
            "watching {cluster}, generation {}",
            self.cluster.generation()
        );
        let first = self.event("watching", text, None, Map::new());
        Reply::Watch(first, self.watchers.0.subscribe())
    }

    /// Logs and publishes what the cluster tells.
    pub(super) fn notice(&self, notice: &Notice) {
        // Nodes' own words are in it: they shall not forge lines of the log.
        let text = notice.to_string().replace(char::is_control, "\u{fffd}");
        match notice {
            // The commit has a line of its own.
            Notice::RoutesMoved { .. } => tracing::debug!("{text}"),
            Notice::NodeLost {
                cause: LossCause::Leaving,
                ..
            } => tracing::info!("{text}"),
            Notice::NodeLost { .. }
            | Notice::DrainEnded {
                cause: DrainEnd::Moved,
                ..
            }
            | Notice::SlotVacant { .. }
            | Notice::TickLate { .. } => tracing::warn!("{text}"),
            _ => tracing::info!("{text}"),
        }
        let mut details = match serde_json::to_value(notice) {
            Ok(Value::Object(details)) => details,
            _ => Map::new(),
        };
        let kind = match details.remove("kind") {
            Some(Value::String(kind)) => kind,
            _ => "notice".to_owned(),
        };
        // The event has its own, and it is the same.
        details.remove("generation");
        self.publish(&kind, text, None, details);
    }

    /// What a change moves, in words: `1-8 from n1 to n2; 9 from none to n2`.
    pub(super) fn moves(&self, change: &Change) -> String {
        let mut groups: BTreeMap<(Option<NodeId>, Option<NodeId>), Vec<RouteId>> = BTreeMap::new();
        for moved in &change.moves {
            groups
                .entry((moved.from, moved.to))
                .or_default()
                .push(moved.route);
        }
        let name = |node: Option<NodeId>| node.map_or("none".to_owned(), |id| self.name(id));
        let words = groups.into_iter().map(|((from, to), routes)| {
            let routes: RouteSet = routes.into_iter().collect();
            format!("{routes} from {} to {}", name(from), name(to))
        });
        words.collect::<Vec<_>>().join("; ")
    }
}
