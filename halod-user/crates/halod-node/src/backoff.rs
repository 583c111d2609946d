//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits from 100 ms, growing to 1 s, each shortened by a random part so that the nodes of a
/// cluster do not all come in the same moment.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Backoff {
    /// The next wait is the first.
    pub fn new() -> Backoff {
        Backoff(FIRST)
    }

    /// The next wait; `random` is in 0..1.
    pub fn next(&mut self, random: f64) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST);
        wait.mul_f64(1.0 - random.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_second() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..6).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.next(1.0).as_millis(), 750);
    }
}
