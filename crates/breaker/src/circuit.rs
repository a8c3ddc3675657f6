//! The circuit breaker: closed, open, half-open.
//!
//! Closed lets everything through and counts failures in a row; so many of them open it. Open lets nothing through for a
//! while. Then it is half-open: a few tries may go, a success of all of them closes it, a failure opens it again. Numbers
//! are nowhere given; ours are the defaults of [`BreakerSettings`].

/// How a breaker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open, in milliseconds.
    pub open_ms: u64,
    /// Tries that must succeed while it is half-open before it closes.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_ms: 30_000, probes: 1 }
    }
}

/// What it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything goes through.
    #[default]
    Closed,
    /// A few tries go through.
    HalfOpen,
    /// Nothing goes through.
    Open,
}

impl BreakerState {
    /// For the metric `millstream_breaker_state`: 0 closed, 1 half-open, 2 open.
    pub fn as_gauge(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
        }
    }

    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// What people are told: once when an outage begins, and once when it ends, however often it opens in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The target is left alone from now on.
    Opened,
    /// The target works again, after so many milliseconds.
    Recovered(u64),
}

/// A breaker. Times are milliseconds of a clock that never goes back.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
    failures: u32,
    successes: u32,
    until_ms: u64,
    outage_since_ms: Option<u64>,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed, failures: 0, successes: 0, until_ms: 0, outage_since_ms: None }
    }

    /// What it is at this moment.
    pub fn state(&self, now_ms: u64) -> BreakerState {
        match self.state {
            BreakerState::Open if now_ms >= self.until_ms => BreakerState::HalfOpen,
            state => state,
        }
    }

    /// How long to wait before the next try, in milliseconds; 0 when it may go now.
    pub fn wait_ms(&self, now_ms: u64) -> u64 {
        match self.state(now_ms) {
            BreakerState::Open => self.until_ms - now_ms,
            _ => 0,
        }
    }

    /// A try succeeded.
    pub fn succeeded(&mut self, now_ms: u64) -> Option<Notice> {
        self.failures = 0;
        self.state = self.state(now_ms);
        if self.state == BreakerState::Closed {
            return None;
        }
        self.successes += 1;
        if self.successes < self.settings.probes {
            return None;
        }
        self.state = BreakerState::Closed;
        self.outage_since_ms.take().map(|since| Notice::Recovered(now_ms.saturating_sub(since)))
    }

    /// A try failed.
    pub fn failed(&mut self, now_ms: u64) -> Option<Notice> {
        self.failures = self.failures.saturating_add(1);
        let before = self.state(now_ms);
        if before == BreakerState::Closed && self.failures < self.settings.failures {
            return None;
        }
        self.state = BreakerState::Open;
        self.until_ms = now_ms.saturating_add(self.settings.open_ms);
        self.successes = 0;
        if self.outage_since_ms.is_some() {
            return None;
        }
        self.outage_since_ms = Some(now_ms);
        Some(Notice::Opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(probes: u32) -> Breaker {
        Breaker::new(BreakerSettings { failures: 3, open_ms: 100, probes })
    }

    proptest::proptest! {
        /// Whatever happens: notices take turns, nothing is tried while it is open, and success alone closes it.
        #[test]
        fn any_course_of_things_is_told_as_outages_that_begin_and_end(
            probes in 1_u32..4,
            steps in proptest::collection::vec((proptest::bool::ANY, 0_u64..150), 1..200),
        ) {
            let (mut it, mut now, mut out) = (breaker(probes), 0, false);
            for (success, ms) in steps {
                now += ms;
                if it.wait_ms(now) > 0 {
                    assert_eq!((it.state(now), it.state(now + it.wait_ms(now))), (BreakerState::Open, BreakerState::HalfOpen));
                    continue;
                }
                let notice = if success { it.succeeded(now) } else { it.failed(now) };
                match notice {
                    Some(Notice::Opened) => assert!(!std::mem::replace(&mut out, true) && !success),
                    Some(Notice::Recovered(_)) => assert!(std::mem::replace(&mut out, false) && success),
                    None => {}
                }
                assert_eq!(out, it.state(now) != BreakerState::Closed);
            }
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut it = breaker(1);
        assert_eq!([it.failed(0), it.failed(1), it.succeeded(2), it.failed(3), it.failed(4)], [None; 5]);
        assert_eq!((it.state(5), it.wait_ms(5)), (BreakerState::Closed, 0));
        assert_eq!(it.failed(10), Some(Notice::Opened));
        assert_eq!((it.state(11), it.wait_ms(11), it.wait_ms(110)), (BreakerState::Open, 99, 0));
    }

    #[test]
    fn an_outage_is_told_once_and_ends_when_all_probes_succeed() {
        let mut it = breaker(2);
        (0..2).for_each(|now| assert_eq!(it.failed(now), None));
        assert_eq!(it.failed(2), Some(Notice::Opened));
        assert_eq!(it.state(102), BreakerState::HalfOpen);
        assert_eq!(it.failed(102), None, "the same outage");
        assert_eq!(it.state(103), BreakerState::Open);
        assert_eq!((it.succeeded(210), it.state(210)), (None, BreakerState::HalfOpen));
        assert_eq!((it.succeeded(211), it.state(211)), (Some(Notice::Recovered(209)), BreakerState::Closed));
    }
}
