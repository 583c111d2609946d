//! How much of the machine's time its host gave to others meanwhile: a latency then says little of
//! halod.

/// Of all processors, in ticks since the start (`proc_stat(5)`).
pub struct Machine {
    all: u64,
    stolen: u64,
}

impl Machine {
    pub fn now() -> Machine {
        let text = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
        let line = text.lines().next().expect("a first line");
        // user nice system idle iowait irq softirq steal; what follows is in the first two already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(|ticks| ticks.parse().expect("a number"))
            .collect();
        Machine {
            all: ticks.iter().sum(),
            stolen: ticks.last().copied().unwrap_or_default(),
        }
    }

    /// Per cent of the time since then.
    pub fn stolen_since(&self, then: &Machine) -> f64 {
        let all = self.all.saturating_sub(then.all).max(1);
        100.0 * self.stolen.saturating_sub(then.stolen) as f64 / all as f64
    }
}
