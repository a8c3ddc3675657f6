//! The rules of one stream, compiled, and their run over blocks of records.

use event::{Anomaly, Block, Millis, Record, Severity, Stream};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::build::{Condition, Problems};
use crate::compile::Compiler;
use crate::expr::{Expr, Row};
use crate::keys::{Bounds, Keys, Owner};
use crate::template::Template;
use crate::value::write_json_text;
use crate::{RuleError, RuleKind, RuleSpec};

/// The rules of one stream, compiled. Shared by all its partitions.
#[derive(Debug)]
pub struct Program {
    stream: String,
    keyed: bool,
    paths: Vec<event::FieldPath>,
    pub(crate) rules: Vec<Rule>,
    fingerprint: u64,
    pub(crate) bounds: Bounds,
}

/// What the rules of one stream remember of one partition. A fresh one knows nothing.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) rules: Vec<Keys>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) severity: Severity,
    pub(crate) kind: RuleKind,
    pub(crate) cooldown_ms: Millis,
    pub(crate) within: String,
    pub(crate) condition: Condition,
    pub(crate) description: Template,
    pub(crate) metadata: Vec<(String, Expr)>,
}

impl State {
    /// How many keys were forgotten because a rule had too many ([`event::limits::RULE_KEYS_MAX`],
    /// [`event::limits::RULE_TIMES_MAX`]), since the partition's first record.
    pub fn evicted(&self) -> u64 {
        self.rules.iter().map(|keys| keys.evicted).sum()
    }

    /// How many keys are held, over all rules.
    pub fn keys(&self) -> usize {
        self.rules.iter().map(Keys::len).sum()
    }
}

impl Program {
    /// Compiles the rules whose `stream` is this one; others are passed over, so that every stream may be given the
    /// whole list.
    ///
    /// Conditions are CEL: literals, field paths (`a.b.c`), `== != < <= > >=`, `&& || !`, `in [list]`, `+ - * / %`,
    /// `has(a.b)`, `size()`, `startsWith`, `endsWith`, `contains`. A comparison with a field that is not there is
    /// false. The stream's own key and type are read as text that compares with strings and numbers alike.
    ///
    /// In the description and the metadata of a count rule, `count` is the number of records in the window when it
    /// fired (it stops at [`event::limits::RULE_COUNT_MAX`]) and `within` the window's length as text (`1m`).
    ///
    /// # Errors
    /// All problems found, each with its rule, part and column.
    pub fn compile(stream: &Stream, rules: &[RuleSpec]) -> Result<Self, Vec<RuleError>> {
        let mut compiler = Compiler { stream, paths: Vec::new() };
        let mut errors = Vec::new();
        let mut compiled: Vec<Rule> = Vec::new();
        let mut identity = Xxh3::new();
        identity.update(format!("{:?}", (&stream.name, &stream.key, &stream.kind)).as_bytes());
        for spec in rules.iter().filter(|spec| spec.stream == stream.name) {
            let mut problems = Problems { rule: &spec.name, errors: &mut errors };
            if spec.name.is_empty() || compiled.iter().any(|other| other.name == spec.name) {
                problems.add("name", "must be there, and unique among the rules of a stream".to_owned());
            }
            problems.check_kind(spec, stream);
            if let Some(rule) = problems.compile(spec, &mut compiler) {
                compiled.push(rule);
            }
            // Not the severity and the texts: what a state holds does not depend on them.
            identity.update(format!("{:?}", (&spec.name, &spec.when, spec.kind, spec.cooldown_ms)).as_bytes());
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            stream: stream.name.clone(),
            keyed: stream.key.is_some(),
            paths: compiler.paths,
            rules: compiled,
            fingerprint: identity.digest(),
            bounds: Bounds::default(),
        })
    }

    /// A number that changes when a rule's name, condition, kind or cooldown does, or the order of the rules, or the
    /// stream's key or type: states of another fingerprint are of no use. Stable over restarts.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The rules' names in order, each with whether it remembers anything from record to record.
    pub fn rules(&self) -> impl Iterator<Item = (&str, bool)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), rule.is_keyed()))
    }

    /// Runs the rules over the next records of a partition and adds what they find to `out`, in the order of records,
    /// then of rules. The state must be of this program and of that partition.
    pub fn run(&self, state: &mut State, block: &Block, out: &mut Vec<Anomaly>) {
        state.rules.resize_with(self.rules.len(), Keys::default);
        let mut records = block.records().peekable();
        let Some(first) = records.peek() else {
            return;
        };
        let mut row = Row::new(*first, &self.paths);
        for record in records {
            row.turn_to(record);
            let mut hash = None;
            for (rule, keys) in self.rules.iter().zip(&mut state.rules) {
                if !rule.condition.holds(&mut row) {
                    continue;
                }
                let hash = || *hash.get_or_insert_with(|| self.hash(owner_of(&record)));
                if let Some(count) = self.fires(rule, keys, &record, hash) {
                    row.count = count;
                    row.within = &rule.within;
                    out.push(self.anomaly(rule, &mut row, block.partition));
                }
            }
        }
    }

    /// Seeded with the configuration, which outsiders do not know: keys come from them. A tenant has a seed of its own.
    pub(crate) fn hash(&self, owner: Owner<'_>) -> u64 {
        let seed = match owner.tenant {
            [] => self.fingerprint,
            tenant => xxh3_64_with_seed(tenant, self.fingerprint),
        };
        xxh3_64_with_seed(owner.key, seed)
    }

    fn fires(&self, rule: &Rule, keys: &mut Keys, record: &Record<'_>, hash: impl FnOnce() -> u64) -> Option<u64> {
        match rule.kind {
            RuleKind::Predicate if rule.cooldown_ms == 0 => Some(1),
            RuleKind::Predicate => keys
                .update(self.bounds, hash(), owner_of(record), |track| track.hit(record.time, rule.cooldown_ms))
                .then_some(1),
            // The stream has keys and this record has none: it belongs to nobody, so nobody's count grows.
            RuleKind::Count { .. } if self.keyed && record.key.is_empty() => None,
            RuleKind::Count { more_than, within_ms } => keys.update(self.bounds, hash(), owner_of(record), |track| {
                track.count(record.time, more_than, within_ms, rule.cooldown_ms)
            }),
        }
    }

    fn anomaly<'a>(&'a self, rule: &'a Rule, row: &mut Row<'a>, partition: u32) -> Anomaly {
        let record = row.record;
        let key = String::from_utf8_lossy(record.key).into_owned();
        let who = if key.is_empty() { format!("{partition}-{}", record.offset) } else { key.clone() };
        Anomaly {
            tenant: String::from_utf8_lossy(record.tenant()).into_owned(),
            id: format!("{who}_{}_{}", record.time, rule.name),
            rule: rule.name.clone(),
            severity: rule.severity,
            stream: self.stream.clone(),
            partition,
            offset: record.offset,
            key,
            time: record.time,
            received_at: record.received_at,
            description: rule.description.render(row),
            metadata: rule.metadata(row),
            event: record.data.to_vec(),
        }
    }
}

/// Whose memory a record goes into.
fn owner_of<'a>(record: &Record<'a>) -> Owner<'a> {
    Owner { tenant: record.tenant(), key: record.key }
}

impl Rule {
    fn is_keyed(&self) -> bool {
        self.cooldown_ms > 0 || self.kind != RuleKind::Predicate
    }

    fn metadata<'a>(&'a self, row: &mut Row<'a>) -> String {
        let mut out = String::from("{");
        for (i, (name, expr)) in self.metadata.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            write_json_text(name, &mut out);
            out.push(':');
            expr.eval(row).write_json(&mut out);
        }
        out.push('}');
        out
    }
}
