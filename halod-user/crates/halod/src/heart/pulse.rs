//! Heartbeats that the heart has not heard yet.
//!
//! A heartbeat says that the node lives and how busy it is, and the next one says both anew. So each
//! connection's last one waits where its session leaves it, and the heart looks when it needs it:
//! before it takes the node for silent, and once a second. Of ten heartbeats a second it
//! hears a few, and no task wakes another for the rest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halod_proto::{Load, ToHalod};
use tokio::time::Instant;

#[derive(Debug)]
struct Beat {
    seq: u64,
    load: Option<Load>,
    at: Instant,
}

/// Where a session leaves its last heartbeat.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Beat>>>);

impl Pulse {
    /// Leaves a heartbeat in place of the one before; gives back what is not to wait: all other
    /// messages, and a heartbeat whose number has not risen.
    pub fn leave(&self, message: ToHalod) -> Option<ToHalod> {
        let ToHalod::Heartbeat { seq, load } = message else {
            return Some(message);
        };
        let mut waiting = self.lock();
        let former = match waiting.take() {
            Some(beat) if seq <= beat.seq => {
                *waiting = Some(beat);
                return Some(ToHalod::Heartbeat { seq, load });
            }
            Some(beat) => beat.load,
            None => None,
        };
        *waiting = Some(Beat {
            seq,
            load: load.or(former),
            at: Instant::now(),
        });
        None
    }

    /// The heartbeat that waits, and when it came.
    pub fn take(&self) -> Option<(ToHalod, Instant)> {
        let Beat { seq, load, at } = self.lock().take()?;
        Some((ToHalod::Heartbeat { seq, load }, at))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Beat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(seq: u64, connections: Option<u64>) -> ToHalod {
        let load = connections.map(|connections| Load {
            connections,
            value: None,
            routes: Vec::new(),
        });
        ToHalod::Heartbeat { seq, load }
    }

    #[test]
    fn the_last_heartbeat_waits_with_the_last_load_that_was_said() {
        let pulse = Pulse::default();
        for (seq, load) in [(3, None), (4, Some(7)), (5, Some(8)), (9, None)] {
            assert_eq!(pulse.leave(beat(seq, load)), None);
        }
        let taken = pulse.take().map(|(message, _)| message);
        assert_eq!(taken, Some(beat(9, Some(8))));
        assert!(pulse.take().is_none(), "heard once");
    }

    #[test]
    fn what_breaks_a_rule_or_is_no_heartbeat_does_not_wait() {
        let pulse = Pulse::default();
        assert_eq!(pulse.leave(beat(5, None)), None);
        for message in [beat(5, None), beat(4, Some(1)), ToHalod::Leaving] {
            assert_eq!(pulse.leave(message.clone()), Some(message));
        }
        let taken = pulse.take().map(|(message, _)| message);
        assert_eq!(taken, Some(beat(5, None)));
    }
}
