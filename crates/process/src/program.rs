//! The rules and windows of one stream, compiled, and what they remember of a partition.

use event::{Millis, Stream};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::build::Problems;
use crate::compile::Compiler;
use crate::keys::Bounds;
use crate::kinds::Memory;
use crate::rules::{Groups, Rule};
use crate::windows::{Windows, WindowsState};
use crate::{RuleError, RuleSpec, WindowSpec};

/// The rules and windows of one stream, compiled. Shared by all its partitions.
#[derive(Debug)]
pub struct Program {
    pub(crate) stream: String,
    /// Whether the stream has a key.
    pub(crate) keyed: bool,
    pub(crate) rules: Vec<Rule>,
    /// For each rule, a number for what its memory depends on.
    pub(crate) fingerprints: Vec<u64>,
    pub(crate) groups: Groups,
    pub(crate) windows: Windows,
    fingerprint: u64,
    pub(crate) trip: Option<Vec<u8>>,
    pub(crate) bounds: Bounds,
}

/// What the rules and windows of one stream remember of one partition. A fresh one knows nothing.
#[derive(Debug, Default)]
pub struct State {
    /// For each rule; nothing before the first run.
    pub(crate) rules: Vec<Memory>,
    pub(crate) windows: WindowsState,
    /// The newest event time, none counted as later than its own receipt; `None` before the first record.
    pub(crate) clock: Option<Millis>,
    /// The offset of the record at hand.
    pub(crate) at: u64,
}

/// What a snapshot gave.
#[derive(Debug, Default)]
pub struct Restored {
    /// The state as of the snapshot's position.
    pub state: State,
    /// The rules and windows that the snapshot knows nothing of, by their place, windows after rules: they are new, or
    /// were changed. Give them the log from its beginning with [`Program::rebuild`], up to the snapshot's position.
    pub missing: Vec<usize>,
}

impl State {
    /// How many keys were forgotten because a rule had too many ([`event::limits::RULE_KEYS_MAX`],
    /// [`event::limits::RULE_TIMES_MAX`]), since the partition's first record.
    pub fn evicted(&self) -> u64 {
        self.rules.iter().map(Memory::evicted).sum()
    }

    /// How many groups of windows handed their pieces over early to make room
    /// ([`event::limits::WINDOW_GROUPS_MAX`]), since the partition's first record. Nothing is lost by that.
    pub fn spilled(&self) -> u64 {
        self.windows.spilled()
    }

    /// The partition's clock: the newest event time of its records, none counted as later than its own receipt. `None`
    /// before the first record.
    pub fn clock(&self) -> Option<Millis> {
        self.clock
    }

    /// The offset of the newest record, which is the one to blame when a run panicked. The state is of no use then.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// How many keys are held, over all rules.
    pub fn keys(&self) -> usize {
        self.rules.iter().map(Memory::keys).sum()
    }
}

impl Program {
    /// Compiles the rules and windows whose `stream` is this one; others are passed over, so that every stream may be
    /// given the whole lists.
    ///
    /// Conditions are CEL: literals, field paths (`a.b.c`), `== != < <= > >=`, `&& || !`, `in [list]`, `+ - * / %`,
    /// `has(a.b)`, `size()`, `startsWith`, `endsWith`, `contains`. A comparison with a field that is not there is
    /// false. The stream's own key and type are read as text that compares with strings and numbers alike.
    ///
    /// In description and metadata a rule's own names stand before fields of the same name:
    ///
    /// | kind | names |
    /// |---|---|
    /// | count | `count`: records in the window (it stops at [`event::limits::RULE_COUNT_MAX`]); `within`: its length as text (`1m`); `sum`, when something is summed |
    /// | streak | `count`: the row's length |
    /// | novel | `value`; `known`: the values before it, as a list |
    /// | hours | `hour` and `minute` of the zone's clock |
    /// | deviation | `value`; `mean` and `deviation` (the standard deviation) before it; `z`: how many of these it is away |
    /// | absence | `since`: the time of the key's last record; `after`: how long that may be ago, as text. There is no record: no field but the stream's key is known |
    /// | sequence | `first_time`: the time of the first record; `gap_ms`: how much later the second one is |
    ///
    /// # Errors
    /// All problems found, each with its rule or window, part and column.
    pub fn compile(stream: &Stream, rules: &[RuleSpec], windows: &[WindowSpec]) -> Result<Self, Vec<RuleError>> {
        let mut compiler = Compiler::new(stream);
        let mut errors = Vec::new();
        let (mut compiled, mut fingerprints): (Vec<Rule>, Vec<u64>) = (Vec::new(), Vec::new());
        let base = format!("{:?}", (&stream.name, &stream.key, &stream.kind));
        let mut names: Vec<&str> = Vec::new();
        for spec in rules.iter().filter(|spec| spec.stream == stream.name) {
            let mut problems = Problems { rule: &spec.name, errors: &mut errors };
            if spec.name.is_empty() || names.contains(&spec.name.as_str()) {
                problems.add("name", "must be there, and unique among the rules of a stream".to_owned());
            }
            names.push(&spec.name);
            problems.check_kind(spec, stream);
            compiled.extend(problems.compile(spec, &mut compiler));
            // Not the severity and the texts: what a memory holds does not depend on them.
            let own = format!("{base}{:?}", (&spec.name, &spec.when, &spec.kind, spec.cooldown_ms));
            fingerprints.push(xxh3_64(own.as_bytes()));
        }
        let windows: Vec<_> = windows.iter().filter(|spec| spec.stream == stream.name).collect();
        compiler.take_touched();
        let windows = Windows::compile(&windows, &mut compiler, &mut errors);
        let always = compiler.take_touched();
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut identity = Xxh3::new();
        identity.update(base.as_bytes());
        fingerprints.iter().for_each(|one| identity.update(&one.to_le_bytes()));
        (0..windows.definitions()).for_each(|at| identity.update(&windows.fingerprint(at).to_le_bytes()));
        Ok(Self {
            stream: stream.name.clone(),
            keyed: stream.key.is_some(),
            groups: Groups::new(&compiled, &compiler.paths, &always),
            rules: compiled,
            fingerprints,
            windows,
            trip: None,
            fingerprint: identity.digest(),
            bounds: Bounds::default(),
        })
    }

    /// A number that changes when a rule's name, condition, kind or cooldown does, or a window's definition, or their
    /// order, or the stream's key or type. Stable over restarts.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The rules' names in order, each with whether it remembers anything from record to record.
    pub fn rules(&self) -> impl Iterator<Item = (&str, bool)> {
        self.rules.iter().map(|rule| (rule.name.as_str(), rule.remembers()))
    }

    /// The windows' names in order, each with the number of its definition: pieces with another number are of another
    /// definition.
    pub fn windows(&self) -> impl Iterator<Item = (&str, u64)> {
        self.windows.names()
    }

    /// For tests of what happens then: panics at every record that contains these bytes.
    #[doc(hidden)]
    #[must_use]
    pub fn trip_on(self, needle: &[u8]) -> Self {
        Self { trip: Some(needle.to_owned()), ..self }
    }

    /// For tests: so few keys a rule.
    #[doc(hidden)]
    #[must_use]
    pub fn with_keys_max(self, keys_max: usize) -> Self {
        Self { bounds: Bounds { keys_max, ..self.bounds }, ..self }
    }
}
