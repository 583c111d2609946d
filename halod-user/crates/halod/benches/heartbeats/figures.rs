//! The figures, and those to reach.

use std::time::Duration;

use serde_json::json;

/// Most of one core, in per cent.
const CPU: f64 = 15.0;
/// Most memory, in MiB.
const RESIDENT: f64 = 64.0;
/// Most time from a loss to its commit, for 99 of 100.
const LOSS: Duration = Duration::from_millis(10);

/// Times from a loss to its commit.
pub struct Losses {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Losses {
    pub fn of(mut times: Vec<Duration>) -> Losses {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Losses {
            count: times.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// Of one halod.
pub struct Figures {
    pub transport: &'static str,
    pub nodes: usize,
    /// Heartbeats a second.
    pub beats: f64,
    /// Per cent of one core.
    pub cpu: f64,
    /// MiB at the end of the heartbeats.
    pub resident: f64,
    /// MiB at most, the registering of all nodes included.
    pub peak: f64,
    /// Commits while nothing happened.
    pub spurious: usize,
    /// How long the nodes themselves stood still at most: the machine does other things too.
    pub late: Duration,
    /// Per cent of the machine's time that its host gave to others.
    pub stolen: f64,
    /// Losses that do not count, since some of it was stolen meanwhile.
    pub disturbed: usize,
    pub losses: Losses,
}

impl Figures {
    /// What was to be reached and is not.
    pub fn missed(&self) -> Vec<String> {
        let of = self.transport;
        let missed = [
            (
                self.cpu > CPU,
                format!("{of}: {:.1} % of a core, {CPU} is the most", self.cpu),
            ),
            (
                self.resident > RESIDENT,
                format!(
                    "{of}: {:.1} MiB resident, {RESIDENT} is the most",
                    self.resident
                ),
            ),
            (
                self.losses.p99 > LOSS,
                format!(
                    "{of}: 99 of 100 losses take {:?}, {LOSS:?} is the most",
                    self.losses.p99
                ),
            ),
            (
                self.losses.count <= self.disturbed,
                format!(
                    "{of}: the machine was disturbed in {} losses",
                    self.disturbed
                ),
            ),
            (
                self.spurious > 0,
                format!("{of}: {} commits while no node was lost", self.spurious),
            ),
            (
                self.beats < 9.5 * self.nodes as f64,
                format!("{of}: only {:.0} heartbeats a second were sent", self.beats),
            ),
        ];
        missed
            .into_iter()
            .filter_map(|(missed, text)| missed.then_some(text))
            .collect()
    }

    pub fn json(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        json!({
            "transport": self.transport,
            "nodes": self.nodes,
            "heartbeats_per_s": self.beats,
            "cpu_percent": self.cpu,
            "resident_mib": self.resident,
            "peak_mib": self.peak,
            "spurious_commits": self.spurious,
            "nodes_stood_still_ms": ms(self.late),
            "stolen_percent": self.stolen,
            "disturbed_losses": self.disturbed,
            "losses": self.losses.count,
            "loss_to_commit_ms": {
                "p50": ms(self.losses.p50), "p99": ms(self.losses.p99), "max": ms(self.losses.max),
            },
        })
        .to_string()
    }
}

pub fn table(all: &[Figures]) -> String {
    let mut text = format!(
        "{:8}{:>7}{:>9}{:>8}{:>11}{:>10}{:>9}{:>9}{:>9}{:>10}{:>10}{:>11}\n",
        "",
        "nodes",
        "beats/s",
        "CPU %",
        "RSS MiB",
        "peak MiB",
        "p50 ms",
        "p99 ms",
        "max ms",
        "stall ms",
        "stolen %",
        "disturbed"
    );
    for f in all {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        text += &format!(
            "{:8}{:>7}{:>9.0}{:>8.1}{:>11.1}{:>10.1}{:>9.2}{:>9.2}{:>9.2}{:>10.1}{:>10.1}{:>11}\n",
            f.transport,
            f.nodes,
            f.beats,
            f.cpu,
            f.resident,
            f.peak,
            ms(f.losses.p50),
            ms(f.losses.p99),
            ms(f.losses.max),
            ms(f.late),
            f.stolen,
            f.disturbed
        );
    }
    text
}
