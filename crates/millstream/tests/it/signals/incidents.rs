//! The cast: users of their own, each with one scripted scene, exactly at the edge of a rule. Half of the scenes are
//! incidents, the other half misses by one event, one cent or one millisecond.

use event::Millis;

use super::generate::{Act, BASE, HOUR, SPAN, Signal, signal};

/// The rules of the pack, by their names.
pub(crate) const RULES: [&str; 7] = [
    "high_frequency_login",
    "repeated_login_failures",
    "unusual_location_login",
    "high_value_purchase",
    "rapid_successive_purchases",
    "high_api_failure_rate",
    "unusual_time_activity",
];

/// The users of the cast are numbered from here.
const FIRST: u32 = 100_000;
/// How often each scene is played.
const TURNS: u32 = 25;
/// From the beginning of the load to three in the morning.
const THREE: Millis = 7 * HOUR;

/// What the cast does and what must come of it.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) signals: Vec<Signal>,
    /// User, rule, time of the anomaly.
    pub(crate) incidents: Vec<(u32, &'static str, Millis)>,
    /// User and the rule that must say nothing of it.
    pub(crate) misses: Vec<(u32, &'static str)>,
}

/// All scenes, spread over the night.
pub(crate) fn script() -> Script {
    let mut script = Script::default();
    for turn in 0..TURNS {
        // No scene is longer than an hour and a bit.
        let start = BASE + Millis::from(turn) * ((SPAN - 2 * HOUR) / Millis::from(TURNS));
        script.logins(start);
        script.locations(start);
        script.purchases(start);
        script.failures(start);
        script.nights(Millis::from(turn));
    }
    script
}

/// `count` of the same from `start`, a second apart, the last one `last` after the first.
fn row(start: Millis, count: usize, last: Millis, act: Act) -> Vec<(Millis, Act)> {
    (0..count).map(|i| (if i + 1 == count { start + last } else { start + i as Millis * 1_000 }, act)).collect()
}

impl Script {
    /// One more user; `fires` is the place among the acts where the rule must fire, if it must.
    fn scene(&mut self, rule: &'static str, acts: &[(Millis, Act)], fires: Option<usize>) {
        let user = FIRST + (self.incidents.len() + self.misses.len()) as u32;
        self.signals.extend(acts.iter().map(|(time, act)| signal(user, *time, *act)));
        match fires {
            Some(at) => self.incidents.push((user, rule, acts[at].0)),
            None => self.misses.push((user, rule)),
        }
    }

    fn logins(&mut self, start: Millis) {
        const RULE: &str = "high_frequency_login";
        let login = Act::Login { success: true, place: "EU" };
        self.scene(RULE, &row(start, 11, 60_000, login), Some(10));
        self.scene(RULE, &row(start, 11, 60_001, login), None);
        self.scene(RULE, &row(start, 10, 10_000, login), None);

        const FAILURES: &str = "repeated_login_failures";
        let failed = Act::Login { success: false, place: "EU" };
        let [row_of_3, row_of_2] = [3, 2].map(|count| row(start, count, 20 * 60_000, failed));
        self.scene(FAILURES, &row_of_3, Some(2));
        self.scene(FAILURES, &row_of_2, None);
        let again = row(start + HOUR / 2, 2, 1_000, failed);
        self.scene(FAILURES, &[&row_of_2[..], &[(start + 25 * 60_000, login)], &again].concat(), None);
        let unbroken = [&row_of_2[..], &[(start + 25 * 60_000, Act::Click)], &again].concat();
        self.scene(FAILURES, &unbroken, Some(3));
    }

    fn locations(&mut self, start: Millis) {
        const RULE: &str = "unusual_location_login";
        let from = |place, after| (start + after, Act::Login { success: true, place });
        self.scene(RULE, &[from("EU", 0)], None);
        self.scene(RULE, &[from("EU", 0), from("EU", 1_000), from("EU", HOUR)], None);
        self.scene(RULE, &[from("EU", 0), from("US", 1_000), from("EU", 2_000), from("US", 3_000)], Some(1));
    }

    fn purchases(&mut self, start: Millis) {
        const HIGH: &str = "high_value_purchase";
        let purchase = |cents| Act::Purchase { cents };
        self.scene(HIGH, &[(start, purchase(100_000))], None);
        self.scene(HIGH, &[(start, purchase(100_001))], Some(0));

        const RAPID: &str = "rapid_successive_purchases";
        self.scene(RAPID, &row(start, 5, HOUR, purchase(1_000)), Some(4));
        self.scene(RAPID, &row(start, 5, HOUR + 1, purchase(1_000)), None);
        self.scene(RAPID, &row(start, 4, 3_000, purchase(1_000)), None);
    }

    fn failures(&mut self, start: Millis) {
        const RULE: &str = "high_api_failure_rate";
        let call = |status| Act::ApiCall { status, response_ms: 100 };
        self.scene(RULE, &row(start, 6, 60_000, call(400)), Some(5));
        self.scene(RULE, &row(start, 6, 60_001, call(400)), None);
        self.scene(RULE, &row(start, 5, 5_000, call(500)), None);
        let mut almost = row(start, 6, 5_000, call(500));
        almost[2].1 = call(399);
        self.scene(RULE, &almost, None);
    }

    fn nights(&mut self, turn: Millis) {
        const RULE: &str = "unusual_time_activity";
        let three = BASE + THREE;
        self.scene(RULE, &[(three - 1 - turn, Act::Click)], None);
        self.scene(RULE, &[(three + turn, Act::FileAccess)], Some(0));
        self.scene(RULE, &[(three + HOUR - 1 - turn, Act::Purchase { cents: 100 })], Some(0));
        self.scene(RULE, &[(three + HOUR + turn, Act::Click)], None);
    }
}
