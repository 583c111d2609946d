//! How often one address may try to register. Pure: the time is an argument.
//!
//! Each address has a bucket of tokens for connections, and one for failures: whoever fails too
//! often is turned away unheard for a while, the next time for twice as long. Connections that
//! have registered are not concerned.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Most addresses that are remembered: about 400 KiB. The one that was silent for longest is forgotten.
const MOST: usize = 4096;

/// So many failures of an address in a row cost nothing ...
const FORGIVEN: f64 = 32.0;
/// ... and so many a second: a misconfigured agent tries about once.
const FORGIVEN_RATE: f64 = 2.0;
/// How long an address that fails more often is turned away at first, doubled each time ...
const FIRST: Duration = Duration::from_secs(1);
/// ... up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without being turned away anew, it begins at [`FIRST`] again.
const PEACE: Duration = Duration::from_secs(600);

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, rate: f64, size: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(size);
        self.at = now;
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

#[derive(Debug)]
struct Source {
    connections: Bucket,
    failures: Bucket,
    /// How often it was turned away for a while.
    times: u32,
    until: Instant,
}

/// Why a connection is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More connections a second than its address may make.
    Rate,
    /// Its address failed too often, and is not heard for so long.
    Failures(Duration),
}

/// All addresses that were seen of late.
#[derive(Debug)]
pub struct Gate {
    rate: f64,
    burst: f64,
    sources: HashMap<IpAddr, Source>,
}

impl Gate {
    /// Lets `burst` connections of an address through at once, and `rate` a second.
    pub fn new(rate: u32, burst: u32) -> Gate {
        Gate {
            rate: rate.into(),
            burst: burst.into(),
            sources: HashMap::new(),
        }
    }

    /// Whether a new connection is heard.
    ///
    /// # Errors
    /// Why it is not.
    pub fn enter(&mut self, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let (rate, burst) = (self.rate, self.burst);
        let source = self.source(peer, now);
        if now < source.until {
            return Err(Refusal::Failures(source.until - now));
        }
        if !source.connections.take(rate, burst, now) {
            return Err(Refusal::Rate);
        }
        Ok(())
    }

    /// A connection that was heard did not say a good hello; for how long its address is turned
    /// away now, if that was one too many.
    pub fn failed(&mut self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let source = self.source(peer, now);
        if source.failures.take(FORGIVEN_RATE, FORGIVEN, now) || now < source.until {
            return None;
        }
        if now.saturating_duration_since(source.until) > PEACE {
            source.times = 0;
        }
        let pause = LONGEST.min(FIRST * 2_u32.pow(source.times.min(8)));
        source.times += 1;
        source.until = now + pause;
        source.failures.tokens = FORGIVEN;
        Some(pause)
    }

    fn source(&mut self, peer: IpAddr, now: Instant) -> &mut Source {
        let address = whole(peer);
        if self.sources.len() >= MOST && !self.sources.contains_key(&address) {
            let silent = self.sources.iter().min_by_key(|(_, s)| s.connections.at);
            if let Some(&silent) = silent.map(|(address, _)| address) {
                self.sources.remove(&silent);
            }
        }
        let full = |tokens| Bucket { tokens, at: now };
        let burst = self.burst;
        self.sources.entry(address).or_insert_with(|| Source {
            connections: full(burst),
            failures: full(FORGIVEN),
            times: 0,
            until: now,
        })
    }
}

/// What counts as one address: of IPv6 its /64, in which a host chooses as it likes.
fn whole(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut gate = Gate::new(10, 50);
        let let_in =
            |gate: &mut Gate, now| (0..100).filter(|_| gate.enter(PEER, now).is_ok()).count();
        assert_eq!(let_in(&mut gate, start), 50);
        assert_eq!(gate.enter(PEER, start), Err(Refusal::Rate));
        assert_eq!(let_in(&mut gate, start + seconds(2)), 20);
        assert_eq!(let_in(&mut gate, start + seconds(3600)), 50);
        // Another address is not concerned.
        let other = "2001:db8::1".parse().expect("an address");
        assert_eq!(gate.enter(other, start), Ok(()));
    }

    #[test]
    fn failures_cost_a_growing_while() {
        let mut now = Instant::now();
        let mut gate = Gate::new(1000, 100_000);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = (0..1000)
                .find_map(|_| gate.failed(PEER, now))
                .expect("a pause");
            assert_eq!(gate.enter(PEER, now), Err(Refusal::Failures(pause)));
            now += pause;
            assert_eq!(gate.enter(PEER, now), Ok(()));
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += PEACE + seconds(61);
        let pause = (0..1000).find_map(|_| gate.failed(PEER, now));
        assert_eq!(pause, Some(FIRST));
    }

    #[test]
    fn one_failure_a_second_is_forgiven_for_ever() {
        let start = Instant::now();
        let mut gate = Gate::new(100, 100);
        for second in 0..10_000 {
            assert_eq!(gate.failed(PEER, start + seconds(second)), None);
        }
    }

    #[test]
    fn a_host_is_one_however_many_addresses_it_takes() {
        let now = Instant::now();
        let mut gate = Gate::new(1, 1);
        let peer = |text: &str| text.parse().expect("an address");
        assert_eq!(gate.enter(peer("2001:db8:0:1::1"), now), Ok(()));
        assert_eq!(
            gate.enter(peer("2001:db8:0:1:ffff::2"), now),
            Err(Refusal::Rate)
        );
        assert_eq!(gate.enter(peer("2001:db8:0:2::1"), now), Ok(()));
        assert_eq!(gate.enter(peer("192.0.2.1"), now), Ok(()));
        assert_eq!(
            gate.enter(peer("::ffff:192.0.2.1"), now),
            Err(Refusal::Rate)
        );
    }

    #[test]
    fn the_memory_is_bounded_and_the_longest_silent_goes() {
        let start = Instant::now();
        let mut gate = Gate::new(1, 1);
        for n in 0..3 * MOST as u32 {
            let peer = IpAddr::V4(n.into());
            let now = start + Duration::from_millis(n.into());
            assert_eq!(gate.enter(peer, now), Ok(()));
            // Heard all the time, it stays.
            let _ = gate.enter(PEER, now);
        }
        assert_eq!(gate.sources.len(), MOST);
        assert!(gate.sources.contains_key(&PEER));
    }
}
