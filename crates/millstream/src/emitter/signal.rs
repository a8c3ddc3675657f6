//! The signals pack's generator: five types with their weights and payloads, and injected anomalies that are real.
//! All chance comes from one seed, so that a run can be repeated, ids included.

use std::collections::VecDeque;
use std::io::Write;

use event::Millis;
use fastrand::Rng;
use uuid::Uuid;

const USERS: u32 = 1_000;
/// Events between two injections on average: with the bursts, one event in a hundred is injected.
const GAP: u32 = 660;
/// Logins of one user in a row: one more than the rule of ten, and one to be sure.
const LOGIN_BURST: usize = 12;
/// Failed calls of one user in a row, likewise: the rule is of more than five.
const FAILED_BURST: usize = 7;
/// Where users log in from.
const LOCATIONS: [&str; 4] = ["US", "EU", "ASIA", "CA"];
/// The part of logins that may come from elsewhere than home.
const ELSEWHERE: f64 = 0.02;
/// Events that a duplicate may repeat.
const RECENT: usize = 1_000;

/// What part of the events is deliberately not as it should be, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix {
    /// Repeats an earlier event, id included.
    pub(crate) duplicates: f64,
    /// Must be refused.
    pub(crate) invalid: f64,
    /// Happened 1 to 10 minutes ago.
    pub(crate) late: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Click,
    ApiCall,
    FileAccess,
    Login,
    Purchase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    HighFrequency,
    HighValue,
    FailedRequest,
    UnusualTime,
}

/// Makes signals, one a call.
pub(crate) struct Generator {
    rng: Rng,
    mix: Mix,
    /// What comes in a row, of which user, and how many of it are still to come.
    burst: (Trigger, u32, usize),
    /// Events until the next injection, and which of the three it is: in turn, so that a run of 3000 events has each.
    until_injection: u32,
    injections: usize,
    recent: VecDeque<(Uuid, Box<[u8]>)>,
}

impl Generator {
    /// A generator; the same seed and mix give the same signals at the same times.
    pub(crate) fn new(seed: u64, mix: Mix) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (until_injection, recent) = (rng.u32(GAP / 2..GAP * 3 / 2), VecDeque::with_capacity(RECENT));
        Self { rng, mix, burst: (Trigger::HighFrequency, 0, 0), until_injection, injections: 0, recent }
    }

    /// Appends one signal as a line of JSON; gives its id.
    pub(crate) fn line(&mut self, now: Millis, out: &mut Vec<u8>) -> Uuid {
        let (id, start) = if self.rng.f64() < self.mix.duplicates && !self.recent.is_empty() {
            let (id, line) = &self.recent[self.rng.usize(..self.recent.len())];
            out.extend_from_slice(line);
            (*id, out.len())
        } else {
            self.fresh(now, out)
        };
        // Only what duplicates may repeat is kept.
        if self.mix.duplicates > 0.0 && start < out.len() {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((id, out[start..].into()));
        }
        out.push(b'\n');
        id
    }

    fn fresh(&mut self, now: Millis, out: &mut Vec<u8>) -> (Uuid, usize) {
        let start = out.len();
        let id = uuid::Builder::from_random_bytes(self.rng.u128(..).to_le_bytes()).into_uuid();
        if self.rng.f64() < self.mix.invalid {
            self.invalid(id, now, out);
            return (id, out.len());
        }
        let late = if self.rng.f64() < self.mix.late { self.rng.i64(60_000..600_000) } else { 0 };
        let (kind, trigger, user) = self.choose(now);
        head(out, id, user, kind.name(), now - late);
        self.payload(kind, trigger, user, out);
        out.extend_from_slice(b"}");
        (id, start)
    }

    /// The next type, its user, and whether it is meant to raise an anomaly.
    fn choose(&mut self, now: Millis) -> (Kind, Option<Trigger>, u32) {
        let (trigger, user, left) = self.burst;
        if left > 0 {
            self.burst.2 -= 1;
            return (trigger.kind(), Some(trigger), user);
        }
        let user = self.rng.u32(1..=USERS);
        self.until_injection -= 1;
        if self.until_injection == 0 {
            self.until_injection = self.rng.u32(GAP / 2..GAP * 3 / 2);
            self.injections += 1;
            let (trigger, length) = match self.injections % 3 {
                1 => (Trigger::HighFrequency, LOGIN_BURST),
                2 => (Trigger::HighValue, 1),
                _ => (Trigger::FailedRequest, FAILED_BURST),
            };
            self.burst = (trigger, user, length - 1);
            return (trigger.kind(), Some(trigger), user);
        }
        let hour = now.div_euclid(3_600_000).rem_euclid(24);
        let trigger = (hour == 3 && self.rng.f64() < 0.10).then_some(Trigger::UnusualTime);
        let kind = match self.rng.u8(0..100) {
            0..40 => Kind::Click,
            40..70 => Kind::ApiCall,
            70..85 => Kind::FileAccess,
            85..95 => Kind::Login,
            _ => Kind::Purchase,
        };
        (kind, trigger, user)
    }

    fn payload(&mut self, kind: Kind, trigger: Option<Trigger>, user: u32, out: &mut Vec<u8>) {
        let rng = &mut self.rng;
        match kind {
            Kind::Click => put(
                out,
                format_args!(
                    r#""page":"{}","element":"{}","coordinates":{{"x":{},"y":{}}}"#,
                    one(rng, &["/home", "/products", "/cart", "/profile", "/settings"]),
                    one(rng, &["button", "link", "image", "form"]),
                    rng.u32(0..=1920),
                    rng.u32(0..=1080),
                ),
            ),
            Kind::ApiCall => {
                let failed = trigger == Some(Trigger::FailedRequest);
                let status =
                    if failed { one(rng, &[401, 403, 500]) } else { one(rng, &[200, 200, 200, 400, 401, 500]) };
                put(
                    out,
                    format_args!(
                        r#""endpoint":"{}","method":"{}","status_code":{status},"response_time_ms":{}"#,
                        one(rng, &["/api/users", "/api/products", "/api/orders", "/api/analytics"]),
                        one(rng, &["GET", "POST", "PUT", "DELETE"]),
                        rng.u32(10..=500),
                    ),
                );
            }
            Kind::FileAccess => put(
                out,
                format_args!(
                    r#""file_path":"/data/user_{user}/file_{}.txt","action":"{}","file_size":{}"#,
                    rng.u32(1..=100),
                    one(rng, &["read", "write", "delete"]),
                    rng.u32(1_024..=1_048_576),
                ),
            ),
            Kind::Login => {
                let home = LOCATIONS[user as usize % LOCATIONS.len()];
                let location = if rng.f64() < ELSEWHERE { one(rng, &LOCATIONS) } else { home };
                put(
                    out,
                    format_args!(
                        r#""login_method":"{}","success":{},"location":"{location}""#,
                        one(rng, &["password", "oauth", "sso"]),
                        rng.f64() < 0.8,
                    ),
                );
            }
            Kind::Purchase => purchase(rng, trigger == Some(Trigger::HighValue), out),
        }
        if let Some(trigger) = trigger {
            put(out, format_args!(r#","anomaly_trigger":"{}""#, trigger.name()));
        }
        put(
            out,
            format_args!(
                r#","session_id":"sess_{user}_{}","ip_address":"192.168.{}.{}","user_agent":"Mozilla/5.0 (compatible; emitter)"}}"#,
                rng.u32(1_000..=9_999),
                rng.u8(..),
                rng.u8(..),
            ),
        );
    }

    /// An event that the stream must refuse, in one of five ways.
    fn invalid(&mut self, id: Uuid, now: Millis, out: &mut Vec<u8>) {
        const YEAR_3000: Millis = 32_503_680_000_000;
        let user = self.rng.u32(1..=USERS);
        match self.rng.u8(0..5) {
            0 => put(out, format_args!(r#"{{"event_id":"{id}","type":"click","timestamp":{now},"payload":{{}}}}"#)),
            1 => put(
                out,
                format_args!(
                    r#"{{"event_id":"{id}","user_id":"u{user}","type":"click","timestamp":{now},"payload":{{}}}}"#
                ),
            ),
            2 => {
                head(out, id, user, "teleport", now);
                out.extend_from_slice(b"}}");
            }
            3 => {
                head(out, id, user, "click", YEAR_3000);
                out.extend_from_slice(b"}}");
            }
            _ => put(out, format_args!(r#"{{"event_id":"{id}","user_id":{user},"type":"#)),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::ApiCall => "api_call",
            Self::FileAccess => "file_access",
            Self::Login => "login",
            Self::Purchase => "purchase",
        }
    }
}

impl Trigger {
    /// The type of what is injected; what is unusual at night is of any.
    fn kind(self) -> Kind {
        match self {
            Self::HighFrequency => Kind::Login,
            Self::HighValue => Kind::Purchase,
            Self::FailedRequest | Self::UnusualTime => Kind::ApiCall,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::HighFrequency => "high_frequency",
            Self::HighValue => "high_value",
            Self::FailedRequest => "failed_request",
            Self::UnusualTime => "unusual_time",
        }
    }
}

/// Everything up to the inside of the payload.
fn head(out: &mut Vec<u8>, id: Uuid, user: u32, kind: &str, time: Millis) {
    put(out, format_args!(r#"{{"event_id":"{id}","user_id":{user},"type":"{kind}","timestamp":{time},"payload":{{"#));
}

/// A purchase of 5 to 2000, or of 1500 to 5000.
fn purchase(rng: &mut Rng, high: bool, out: &mut Vec<u8>) {
    let cents = if high { 150_000..=500_000 } else { 500..=200_000 };
    let cents = rng.u32(cents);
    put(
        out,
        format_args!(
            r#""amount":{}.{:02},"currency":"USD","product_id":"prod_{}","payment_method":"{}""#,
            cents / 100,
            cents % 100,
            rng.u32(100..=999),
            one(rng, &["credit_card", "paypal", "bank_transfer"]),
        ),
    );
}

fn one<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    drop(out.write_fmt(text));
}

#[cfg(test)]
#[path = "signal_tests.rs"]
mod tests;
