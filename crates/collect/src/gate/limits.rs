//! What a tenant may send: events a second with a burst, and events a day. Counted in events, since a request may hold one
//! or a thousand.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::IntakeError;

const DAY: Duration = Duration::from_secs(86_400);

/// What one tenant may send; absent is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Events a second, sustained.
    pub events_per_second: Option<NonZeroU32>,
    /// Events at once on top of that; as many as a second's when absent.
    pub burst: Option<NonZeroU32>,
    /// Events in any 24 hours.
    pub events_per_day: Option<NonZeroU32>,
}

/// The limits of all tenants that have any.
#[derive(Debug, Default)]
pub struct Limits {
    tenants: HashMap<String, Vec<Policy>>,
}

/// One limit at work.
#[derive(Debug)]
struct Policy {
    name: &'static str,
    limit: u32,
    window: Duration,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    /// What was left after the last request.
    left: AtomicU32,
}

impl Limits {
    /// Limits by tenant.
    pub fn new(limits: impl IntoIterator<Item = (String, Limit)>) -> Self {
        let policies = |(tenant, limit): (String, Limit)| (tenant, policies(limit));
        Self { tenants: limits.into_iter().map(policies).filter(|(_, policies)| !policies.is_empty()).collect() }
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// Counts events that a tenant sent before this process began to count.
    pub fn count_before(&self, tenant: &str, of_the_last_day: u64) {
        for policy in self.of(tenant).iter().filter(|policy| policy.window == DAY) {
            let used = u32::try_from(of_the_last_day).unwrap_or(u32::MAX).min(policy.limit);
            if let Some(used) = NonZeroU32::new(used) {
                // It cannot be too many, and nobody has taken any before.
                let _ = policy.take(used);
            }
        }
    }

    /// Whether this tenant has a daily limit, so that it matters what it sent before.
    pub fn counts_days(&self, tenant: &str) -> bool {
        self.of(tenant).iter().any(|policy| policy.window == DAY)
    }

    /// Takes a request's events from what its tenant may send.
    ///
    /// # Errors
    /// [`IntakeError::Limited`] when it must wait; [`IntakeError::OverBurst`] when so many never fit.
    pub(crate) fn take(&self, tenant: &str, events: u64) -> Result<(), IntakeError> {
        let policies = self.of(tenant);
        let Some(events) = NonZeroU32::new(u32::try_from(events).unwrap_or(u32::MAX)) else { return Ok(()) };
        // The short limit first: what it refuses must not eat up the long one.
        policies.iter().try_for_each(|policy| policy.take(events))
    }

    /// The headers of an answer to this tenant: `RateLimit-Policy` and `RateLimit`; `None` without limits. As in
    /// draft-ietf-httpapi-ratelimit-headers-10.
    pub(crate) fn headers(&self, tenant: &str) -> Option<(String, String)> {
        let policies = self.of(tenant);
        let list = |item: fn(&Policy) -> String| policies.iter().map(item).collect::<Vec<_>>().join(", ");
        let all = (list(Policy::described), list(Policy::state));
        (!policies.is_empty()).then_some(all)
    }

    fn of(&self, tenant: &str) -> &[Policy] {
        // Mostly nobody has any, and then nothing is looked up.
        if self.tenants.is_empty() { &[] } else { self.tenants.get(tenant).map_or(&[], Vec::as_slice) }
    }
}

fn policies(limit: Limit) -> Vec<Policy> {
    let second = limit.events_per_second.map(|rate| {
        let burst = limit.burst.unwrap_or(rate);
        let window = Duration::from_secs((burst.get().div_ceil(rate.get())).into());
        Policy::new("second", burst, window, Quota::per_second(rate).allow_burst(burst))
    });
    let day = limit.events_per_day.and_then(|events| {
        let quota = Quota::with_period(DAY / events.get())?.allow_burst(events);
        Some(Policy::new("day", events, DAY, quota))
    });
    second.into_iter().chain(day).collect()
}

impl Policy {
    fn new(name: &'static str, limit: NonZeroU32, window: Duration, quota: Quota) -> Self {
        let limiter = RateLimiter::direct(quota).with_middleware();
        Self { name, limit: limit.get(), window, limiter, left: AtomicU32::new(limit.get()) }
    }

    fn take(&self, events: NonZeroU32) -> Result<(), IntakeError> {
        match self.limiter.check_n(events) {
            Ok(Ok(state)) => {
                self.left.store(state.remaining_burst_capacity(), Relaxed);
                Ok(())
            }
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let retry_after_s = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
                Err(IntakeError::Limited { policy: self.name, limit: self.limit, retry_after_s })
            }
            Err(_) => Err(IntakeError::OverBurst { policy: self.name, limit: self.limit, events: events.get() }),
        }
    }

    fn described(&self) -> String {
        format!("\"{}\";q={};qu=\"events\";w={}", self.name, self.limit, self.window.as_secs())
    }

    /// What was left after the last request, and the seconds until all of it is there again.
    fn state(&self) -> String {
        let left = self.left.load(Relaxed);
        let used = f64::from(self.limit - left.min(self.limit)) / f64::from(self.limit);
        let reset = (used * self.window.as_secs_f64()).ceil();
        format!("\"{}\";r={left};t={reset}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, burst: u32, per_day: u32) -> Limits {
        let limit = Limit {
            events_per_second: NonZeroU32::new(per_second),
            burst: NonZeroU32::new(burst),
            events_per_day: NonZeroU32::new(per_day),
        };
        Limits::new([("acme".to_owned(), limit), ("free".to_owned(), Limit::default())])
    }

    #[test]
    fn a_burst_is_taken_and_what_comes_behind_it_must_wait() {
        let limits = limits(1, 100, 0);
        limits.take("acme", 100).unwrap();
        let Err(IntakeError::Limited { policy: "second", limit: 100, retry_after_s }) = limits.take("acme", 10) else {
            panic!("it must wait");
        };
        assert!((9..=10).contains(&retry_after_s), "{retry_after_s}");
        let over = IntakeError::OverBurst { policy: "second", limit: 100, events: 101 };
        assert_eq!(limits.take("acme", 101), Err(over));
        limits.take("acme", 0).unwrap();
        for other in ["free", "unknown", ""] {
            limits.take(other, 1_000_000).unwrap();
            assert_eq!(limits.headers(other), None);
        }
    }

    #[test]
    fn a_day_counts_what_was_sent_before_and_not_what_was_refused() {
        let limits = limits(1_000, 1_000, 3_000);
        assert!(limits.counts_days("acme") && !limits.counts_days("free"));
        limits.count_before("acme", 1_000);
        limits.take("acme", 1_000).unwrap();
        for _ in 0..5 {
            assert!(matches!(limits.take("acme", 900), Err(IntakeError::Limited { policy: "second", .. })));
        }
        let (policy, state) = limits.headers("acme").unwrap();
        assert_eq!(policy, r#""second";q=1000;qu="events";w=1, "day";q=3000;qu="events";w=86400"#);
        assert!(state.starts_with(r#""second";r="#) && state.contains(r#", "day";r=1000;t=57600"#), "{state}");
        limits.count_before("acme", u64::MAX);
        assert!(limits.headers("acme").unwrap().1.contains("\"day\";r="));
    }
}
