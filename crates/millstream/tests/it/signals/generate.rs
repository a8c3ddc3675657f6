//! A million signals, the same every time: what fifteen hundred users do in ten hours of a night, in the mix of a real
//! application, out of order by seconds and now and then by minutes, and among them the cast of `incidents`.

use std::fmt::Write;

use event::Millis;

use super::incidents::{self, Script};

/// 2024-03-02T20:00:00Z: long ago, so that no event is ahead of any clock, and before midnight, so that days change.
pub(crate) const BASE: Millis = 1_709_409_600_000;
/// From the first event to the last.
pub(crate) const SPAN: Millis = 10 * HOUR;
pub(crate) const HOUR: Millis = 3_600_000;
pub(crate) const MINUTE: Millis = 60_000;
pub(crate) const PLACES: [&str; 4] = ["US", "EU", "ASIA", "CA"];

const USERS: u64 = 1_500;
/// By how much an event may come later than it happened, mostly.
const JITTER: u64 = 3_000;

/// What a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Click,
    FileAccess,
    ApiCall { status: u16, response_ms: u16 },
    Login { success: bool, place: &'static str },
    Purchase { cents: u32 },
}

/// One signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    /// What its id is made of: unique.
    pub(crate) number: u32,
    pub(crate) user: u32,
    /// When it happened.
    pub(crate) time: Millis,
    /// When it is sent, on the same scale.
    pub(crate) arrival: Millis,
    pub(crate) act: Act,
}

/// The whole load.
pub(crate) struct Load {
    /// In the order in which they are sent.
    pub(crate) signals: Vec<Signal>,
    /// What the cast among them must and must not raise.
    pub(crate) script: Script,
}

/// Chance by xorshift64*: a seed gives the same run everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn between(&mut self, from: Millis, to: Millis) -> Millis {
        from + self.below((to - from) as u64) as Millis
    }
}

/// `total` signals from a seed.
pub(crate) fn generate(total: usize, seed: u64) -> Load {
    let mut dice = Dice::new(seed);
    let script = incidents::script();
    let mut signals = script.signals.clone();
    while signals.len() < total {
        let at = signals.len();
        match dice.below(600) {
            0 => burst(&mut dice, &mut signals),
            _ => signals.push(ordinary(&mut dice)),
        }
        for signal in &mut signals[at..] {
            signal.arrival = signal.time + delay(&mut dice);
        }
    }
    signals.truncate(total);
    signals.sort_by_key(|signal| signal.arrival);
    for (number, signal) in signals.iter_mut().enumerate() {
        signal.number = number as u32;
    }
    Load { signals, script }
}

/// Seconds for most, minutes for one in two thousand: those are late for their windows, some for their counts.
fn delay(dice: &mut Dice) -> Millis {
    let usual = dice.below(JITTER) as Millis;
    if dice.below(2_000) == 0 { dice.between(10_000, 40 * MINUTE) } else { usual }
}

fn ordinary(dice: &mut Dice) -> Signal {
    let user = 1 + dice.below(USERS) as u32;
    let act = match dice.below(100) {
        0..40 => Act::Click,
        40..70 => api_call(dice),
        70..85 => Act::FileAccess,
        85..95 => login(dice, user),
        _ => Act::Purchase { cents: 500 + dice.below(199_501) as u32 },
    };
    signal(user, dice.between(BASE, BASE + SPAN), act)
}

fn api_call(dice: &mut Dice) -> Act {
    let status = [200, 200, 200, 400, 401, 500][dice.below(6) as usize];
    Act::ApiCall { status, response_ms: 10 + dice.below(491) as u16 }
}

/// Most log in from home alone; one user in ten travels.
fn login(dice: &mut Dice, user: u32) -> Act {
    let home = user as usize % 4;
    let away = user.is_multiple_of(10) && dice.below(40) == 0;
    let place = if away { PLACES[dice.below(4) as usize] } else { PLACES[home] };
    Act::Login { success: dice.below(5) > 0, place }
}

/// A user in a hurry: somewhat below or above what a rule allows, over somewhat less or more than its window.
fn burst(dice: &mut Dice, signals: &mut Vec<Signal>) {
    let user = 1 + dice.below(USERS) as u32;
    let start = dice.between(BASE, BASE + SPAN);
    let (kind, length) = (dice.below(4), if dice.below(4) == 0 { 70_000 } else { 50_000 });
    let count = match kind {
        0 => 9 + dice.below(20),
        1 => 2 + dice.below(4),
        2 => 4 + dice.below(10),
        _ => 3 + dice.below(5),
    };
    for _ in 0..count {
        let act = match kind {
            0 => Act::Login { success: true, place: PLACES[user as usize % 4] },
            1 => Act::Login { success: false, place: PLACES[user as usize % 4] },
            2 => Act::ApiCall { status: 503, response_ms: 10 + dice.below(491) as u16 },
            _ => Act::Purchase { cents: 100 + dice.below(2_000) as u32 },
        };
        let within = if kind == 3 { length * 50 } else { length };
        let time = dice.between(start, start + within).min(BASE + SPAN - 1);
        signals.push(signal(user, time, act));
    }
}

/// A signal that is sent as it happens; its number comes later.
pub(crate) fn signal(user: u32, time: Millis, act: Act) -> Signal {
    Signal { number: 0, user, time, arrival: time, act }
}

impl Signal {
    /// Its name among the types of the stream.
    pub(crate) fn kind(&self) -> &'static str {
        match self.act {
            Act::Click => "click",
            Act::FileAccess => "file_access",
            Act::ApiCall { .. } => "api_call",
            Act::Login { .. } => "login",
            Act::Purchase { .. } => "purchase",
        }
    }

    /// Appends it as a line of JSON.
    pub(crate) fn write(&self, out: &mut String) {
        let Self { number, user, time, .. } = *self;
        let kind = self.kind();
        let head = format_args!(
            r#"{{"event_id":"signal-{number:08}","user_id":{user},"type":"{kind}","timestamp":{time},"payload":{{"#
        );
        let tail = format_args!(
            r#""session_id":"sess_{user}_{}","ip_address":"192.168.{}.{}","user_agent":"Mozilla/5.0"}}}}"#,
            1_000 + number % 9_000,
            number % 256,
            user % 256
        );
        out.write_fmt(head).expect("memory");
        match self.act {
            Act::Click => {
                let (x, y) = (number % 1_921, number % 1_081);
                write!(out, r#""page":"/products","element":"button","coordinates":{{"x":{x},"y":{y}}},"#)
            }
            Act::FileAccess => {
                let (file, size) = (1 + number % 100, 1_024 + number % 1_047_552);
                write!(out, r#""file_path":"/data/user_{user}/file_{file}.txt","action":"read","file_size":{size},"#)
            }
            Act::ApiCall { status, response_ms } => write!(
                out,
                r#""endpoint":"/api/orders","method":"GET","status_code":{status},"response_time_ms":{response_ms},"#
            ),
            Act::Login { success, place } => {
                write!(out, r#""login_method":"password","success":{success},"location":"{place}","#)
            }
            Act::Purchase { cents } => write!(
                out,
                r#""amount":{}.{:02},"currency":"USD","product_id":"prod_{}","payment_method":"paypal","#,
                cents / 100,
                cents % 100,
                100 + number % 900
            ),
        }
        .expect("memory");
        out.write_fmt(tail).expect("memory");
        out.push('\n');
    }
}
