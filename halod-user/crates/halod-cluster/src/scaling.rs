//! Whether the load asks for another number of active nodes, and why.

use serde::Serialize;

use crate::{Measure, NodeName, Scale, Time};

/// What the load comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Of all nodes that are connected and have said something.
    pub(crate) total: f64,
    /// M.
    pub(crate) active: u32,
    /// An active node whose load is not known.
    pub(crate) unknown: Option<NodeName>,
    /// Why there cannot be an active node more.
    pub(crate) no_more: Option<&'static str>,
    /// Why there cannot be one less.
    pub(crate) no_less: Option<&'static str>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Up,
    Down,
}

/// What load asks for, as far as it was looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scaler {
    /// When to look next.
    pub(crate) due: Option<Time>,
    looked: Option<Time>,
    /// In which direction a limit is passed, and since when.
    passed: Option<(Step, Time)>,
    stepped: Option<(Time, String)>,
    total: f64,
    why: String,
}

/// What load asks for, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScalingReport {
    /// The figure that decides.
    pub by: Measure,
    /// Its sum over all connected nodes.
    pub total: f64,
    /// More than this for each active node asks for one more.
    pub up_at: f64,
    /// Less than this, were it spread over one node less, asks for one less.
    pub down_at: f64,
    /// What is done or not done, and why, in a sentence.
    pub why: String,
    /// When there was a step last.
    pub last_step: Option<Time>,
    /// Why it was made.
    pub last_why: Option<String>,
}

impl Scaler {
    /// Looks at the load; `pause_ms` is the time between two looks. Says what to do; the reason is
    /// then [`Scaler::why`].
    pub(crate) fn look(
        &mut self,
        now: Time,
        pause_ms: u64,
        scale: &Scale,
        figures: &Figures,
    ) -> Option<Step> {
        self.due = Some(now.after(pause_ms));
        // After a standstill of HaloD nobody knows what was meanwhile.
        let gap = self.looked.map_or(0, |looked| now.since(looked));
        if gap > 3 * pause_ms {
            self.passed = None;
        }
        self.looked = Some(now);
        self.total = figures.total;
        let (step, why) = self.judge(now, scale, figures);
        self.why = why;
        if step.is_some() {
            self.passed = None;
            self.stepped = Some((now, self.why.clone()));
        }
        step
    }

    fn judge(&mut self, now: Time, scale: &Scale, figures: &Figures) -> (Option<Step>, String) {
        let nodes = figures.active;
        if nodes == 0 {
            self.passed = None;
            return (None, "no node is active".to_owned());
        }
        if let Some(node) = &figures.unknown {
            self.passed = None;
            return (None, format!("waiting for the load of {node}"));
        }
        let (total, by) = (figures.total, scale.by);
        let each = total / f64::from(nodes);
        let then_each = total / f64::from(nodes.saturating_sub(1).max(1));
        let (step, limit) = if each > scale.up_at {
            (Step::Up, scale.up_at)
        } else if nodes > 1 && then_each < scale.down_at {
            (Step::Down, scale.down_at)
        } else {
            self.passed = None;
            let asks = if nodes > 1 {
                format!(
                    "; {} each on a node less, not below {}",
                    figure(then_each),
                    figure(scale.down_at)
                )
            } else {
                String::new()
            };
            let why = format!(
                "{by} {} on {nodes} active: {} each, not above {}{asks}",
                figure(total),
                figure(each),
                figure(scale.up_at)
            );
            return (None, why);
        };
        let since = match self.passed {
            Some((passed, since)) if passed == step => since,
            _ => now,
        };
        self.passed = Some((step, since));
        let for_ms = now.since(since);
        let story = match step {
            Step::Up => format!(
                "{by} {} on {nodes} active: {} each, above {} for {for_ms} ms",
                figure(total),
                figure(each),
                figure(limit)
            ),
            Step::Down => format!(
                "{by} {} on {nodes} active: {} each on a node less, below {} for {for_ms} ms",
                figure(total),
                figure(then_each),
                figure(limit)
            ),
        };
        let cannot = match step {
            Step::Up => figures.no_more,
            Step::Down => figures.no_less,
        };
        if let Some(cannot) = cannot {
            return (None, format!("{story}, but {cannot}"));
        }
        if for_ms < scale.hold_ms.into() {
            let hold_ms = scale.hold_ms;
            return (None, format!("{story}; a step is made after {hold_ms} ms"));
        }
        let last = self.stepped.as_ref().map(|(at, _)| now.since(*at));
        let interval_ms = scale.interval_ms;
        match last.filter(|last| *last < interval_ms.into()) {
            Some(ms) => {
                let why = format!(
                    "{story}, but the last step was {ms} ms ago; the next may be after \
                     {interval_ms} ms"
                );
                (None, why)
            }
            None => (Some(step), story),
        }
    }

    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    pub(crate) fn report(&self, scale: &Scale) -> ScalingReport {
        let (last_step, last_why) = self.stepped.clone().unzip();
        ScalingReport {
            by: scale.by,
            total: self.total,
            up_at: scale.up_at,
            down_at: scale.down_at,
            why: if self.looked.is_none() {
                "nothing was looked at yet".to_owned()
            } else {
                self.why.clone()
            },
            last_step,
            last_why,
        }
    }
}

/// A figure with no more than two places.
fn figure(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
