//! Measures the seven rules of the signals pack and four windows over a million signals on one core, and snapshots of a
//! million keys: `cargo run --release -p process --example throughput`.

use bytes::Bytes;
use event::{Batch, Block, BlockBuilder, Draft, Field, FieldPath, Millis, Retention, Severity, Span, Stream, StreamId};
use process::{Output, Program, RuleKind, RuleSpec, State, WindowKind, WindowSpec};

const RECORDS: usize = 1_000_000;
const BLOCK: usize = 4_000;
const USERS: u64 = 100_000;
/// 02:02:30 at night: of an hour from here one event in 24 is after three, as of a day's.
const START: Millis = 1_736_906_550_000;

#[expect(clippy::print_stdout, reason = "this is a measurement")]
fn main() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let blocks: Vec<_> = (0..RECORDS / BLOCK).map(|i| block(i, &mut chance)).collect();
    let weight = blocks.iter().map(Block::weight).sum::<usize>() / RECORDS;
    println!("{} bytes a signal", weight - event::ENTRY_BYTES);
    for (name, windows) in [("rules", &[][..]), ("rules and windows", &windows()[..])] {
        let program = Program::compile(&signals(), &rules(), windows).unwrap_or_else(|errors| panic!("{errors:?}"));
        for round in 1..=4 {
            let before = resident_mib();
            let (mut state, mut found) = (State::default(), Output::default());
            let start = now();
            blocks.iter().for_each(|block| program.run(&mut state, block, &mut found));
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{name}, round {round}: {:.3} M records/s, {} anomalies, {} pieces, {} late, {} keys, {:.0} MiB more",
                RECORDS as f64 / seconds / 1e6,
                found.anomalies.len(),
                found.windows.len(),
                found.late.len(),
                state.keys(),
                resident_mib() - before,
            );
        }
    }
    snapshots();
}

/// A state of a million keys, written down and read back.
#[expect(clippy::print_stdout, reason = "this is a measurement")]
fn snapshots() {
    let program = Program::compile(&signals(), &rules()[..1], &[]).unwrap_or_else(|errors| panic!("{errors:?}"));
    let before = resident_mib();
    let (mut state, mut found) = (State::default(), Output::default());
    let mut chance = Chance(7);
    let keys = 1_000_000;
    for i in 0..keys / BLOCK {
        program.run(&mut state, &logins(i, &mut chance), &mut found);
    }
    let bytes_a_key = (resident_mib() - before) * f64::from(1 << 20) / keys as f64;
    let mut bytes = Vec::new();
    for _ in 0..3 {
        bytes.clear();
        let start = now();
        program.encode(&state, &mut bytes);
        let encode_ms = start.elapsed().as_secs_f64() * 1e3;
        let start = now();
        let back = program.decode(&bytes).map(|restored| restored.state.keys());
        let decode_ms = start.elapsed().as_secs_f64() * 1e3;
        println!(
            "snapshot of {} keys: {} KiB, encode {encode_ms:.0} ms, decode {decode_ms:.0} ms ({back:?}); {bytes_a_key:.0} \
             bytes a key in memory",
            state.keys(),
            bytes.len() >> 10,
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "this is a measurement")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// What this process has in memory; 0 where the system does not tell.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) / 1_024.0
}

fn rules() -> Vec<RuleSpec> {
    let rule = |name: &str, when: &str, kind, cooldown_ms| RuleSpec {
        name: name.to_owned(),
        stream: "signals".to_owned(),
        when: when.to_owned(),
        kind,
        severity: Severity::High,
        cooldown_ms,
        description: "{user_id}: {payload.amount}".to_owned(),
        metadata: vec![("amount".to_owned(), "payload.amount".to_owned())],
    };
    let count = |at_least, within_ms, sum: &str| RuleKind::Count { at_least, within_ms, sum: sum.to_owned() };
    let streak = RuleKind::Streak { length: 3, unless: "type == \"login\" && payload.success == true".to_owned() };
    let novel = RuleKind::Novel { value: "payload.location".to_owned(), warm_up: 1 };
    let hours = RuleKind::Hours { from_minute: 180, to_minute: 240, zone: "UTC".to_owned() };
    vec![
        rule("high_frequency_login", "type == \"login\"", count(11, 60_000, ""), 60_000),
        rule("repeated_login_failures", "type == \"login\" && payload.success == false", streak, 0),
        rule("unusual_location_login", "type == \"login\"", novel, 0),
        rule("high_value_purchase", "type == \"purchase\" && payload.amount > 1990", RuleKind::Predicate, 0),
        rule("rapid_successive_purchases", "type == \"purchase\"", count(5, 3_600_000, "payload.amount"), 3_600_000),
        rule(
            "high_api_failure_rate",
            "type == \"api_call\" && payload.status_code >= 400",
            count(6, 60_000, ""),
            60_000,
        ),
        rule("unusual_time_activity", "", hours, 3_600_000),
    ]
}

/// The four windows of the pack.
fn windows() -> [WindowSpec; 1] {
    let measure = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    [WindowSpec {
        name: "signals_by_type".to_owned(),
        stream: "signals".to_owned(),
        when: String::new(),
        kind: WindowKind::Tumbling(vec![60_000, 300_000, 3_600_000, 86_400_000]),
        by: vec!["type".to_owned()],
        lateness_ms: 10_000,
        correct: true,
        measures: vec![
            measure("count", "count()"),
            measure("amount", "sum(payload.amount)"),
            measure("users", "distinct(user_id)"),
            measure("p95", "quantile(payload.response_time_ms, 0.95)"),
        ],
        publish: String::new(),
    }]
}

fn signals() -> Stream {
    let field = |path: &str| FieldPath::parse(path).map(|path| Field { path, required: true });
    Stream {
        name: "signals".to_owned(),
        partitions: 1,
        key: field("user_id"),
        time: None,
        id: None,
        kind: field("type"),
        require: Vec::new(),
        dedup: None,
        retention: Retention { age_ms: None, size_bytes: None },
    }
}

/// xorshift: the same signals in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What the emitter sends: five types with their weights and payloads, 384 bytes each, an hour of them.
fn block(index: usize, chance: &mut Chance) -> Block {
    let mut text = String::new();
    let mut spans = Vec::new();
    for i in 0..BLOCK {
        let user = chance.below(USERS);
        let (kind, payload) = match chance.below(100) {
            0..40 => ("click", click(chance)),
            40..70 => ("api_call", api_call(chance)),
            70..85 => ("file_access", file_access(user, chance)),
            85..95 => ("login", login(user, chance)),
            _ => ("purchase", purchase(chance)),
        };
        let time = START + ((index * BLOCK + i) as Millis * 3_600_000) / RECORDS as Millis;
        spans.push(signal(&mut text, user, kind, time, &payload, chance));
    }
    finish(index, text, spans)
}

/// One login of each of so many users.
fn logins(index: usize, chance: &mut Chance) -> Block {
    let mut text = String::new();
    let mut spans = Vec::new();
    for i in 0..BLOCK {
        let (user, payload) = ((index * BLOCK + i) as u64, login(0, chance));
        spans.push(signal(&mut text, user, "login", START + (user / 50) as Millis, &payload, chance));
    }
    finish(index, text, spans)
}

type Spans = (Millis, Span, Span, Span);

fn signal(text: &mut String, user: u64, kind: &str, time: Millis, payload: &str, chance: &mut Chance) -> Spans {
    let start = text.len();
    text.push_str(&format!("{{\"event_id\":\"{:032x}\",\"user_id\":", chance.below(u64::MAX)));
    let key = Span::shared(text.len(), user.to_string().len());
    text.push_str(&format!("{user},\"type\":\""));
    let kind_at = Span::shared(text.len(), kind.len());
    text.push_str(&format!(
        "{kind}\",\"timestamp\":{time},\"payload\":{{{payload},\"session_id\":\"sess_{user}_{}\",\"ip_address\":\
         \"192.168.{}.{}\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36\"}}}}",
        1_000 + chance.below(9_000),
        chance.below(256),
        chance.below(256),
    ));
    (time, key, kind_at, Span::shared(start, text.len() - start))
}

fn click(chance: &mut Chance) -> String {
    let page = chance.one(&["/home", "/products", "/cart", "/profile", "/settings"]);
    let element = chance.one(&["button", "link", "image", "form"]);
    let (x, y) = (chance.below(1_921), chance.below(1_081));
    format!("\"page\":\"{page}\",\"element\":\"{element}\",\"coordinates\":{{\"x\":{x},\"y\":{y}}}")
}

fn api_call(chance: &mut Chance) -> String {
    let endpoint = chance.one(&["/api/users", "/api/products", "/api/orders", "/api/analytics"]);
    let method = chance.one(&["GET", "POST", "PUT", "DELETE"]);
    let status = chance.one(&["200", "200", "200", "400", "401", "500"]);
    let ms = 10 + chance.below(491);
    format!("\"endpoint\":\"{endpoint}\",\"method\":\"{method}\",\"status_code\":{status},\"response_time_ms\":{ms}")
}

fn file_access(user: u64, chance: &mut Chance) -> String {
    let (file, action) = (1 + chance.below(100), chance.one(&["read", "write", "delete"]));
    let size = 1_024 + chance.below(1_047_553);
    format!("\"file_path\":\"/data/user_{user}/file_{file}.txt\",\"action\":\"{action}\",\"file_size\":{size}")
}

/// Mostly from home.
fn login(user: u64, chance: &mut Chance) -> String {
    const PLACES: [&str; 4] = ["US", "EU", "ASIA", "CA"];
    let method = chance.one(&["password", "oauth", "sso"]);
    let home = PLACES[(user % 4) as usize];
    let (success, location) = (chance.below(10) < 8, if chance.below(50) == 0 { chance.one(&PLACES) } else { home });
    format!("\"login_method\":\"{method}\",\"success\":{success},\"location\":\"{location}\"")
}

fn purchase(chance: &mut Chance) -> String {
    let (amount, cents, product) = (5 + chance.below(1_996), chance.below(100), 100 + chance.below(900));
    let method = chance.one(&["credit_card", "paypal", "bank_transfer"]);
    format!(
        "\"amount\":{amount}.{cents:02},\"currency\":\"USD\",\"product_id\":\"prod_{product}\",\"payment_method\":\"{method}\""
    )
}

fn finish(index: usize, text: String, spans: Vec<Spans>) -> Block {
    let batch = Batch::new(StreamId(0), Bytes::from(text));
    let mut builder = BlockBuilder::default();
    for (time, key, kind, data) in spans {
        let (id, headers) = (Span::EMPTY, Span::EMPTY);
        builder.push(&batch, &Draft { partition: 0, time, id_hash: 0, data, key, kind, id, headers });
    }
    let body = builder.body().to_vec();
    let parsed = Block::parse(StreamId(0), 0, (index * BLOCK) as u64, 1_900_000_000_000, BLOCK, body.into());
    parsed.unwrap_or_else(|error| panic!("{error}"))
}
