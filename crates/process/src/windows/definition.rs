//! One definition of windows from its specification: checked and compiled.

use std::sync::Arc;

use event::measure::{Measure, Step};
use event::{FieldPath, Millis, Stream, limits};
use xxhash_rust::xxh3::xxh3_64;

use super::identity;
use super::meter::Meter;
use crate::build::{Condition, Problems};
use crate::compile::Compiler;
use crate::expr::{Expr, Row};
use crate::{RuleError, WindowKind, WindowSpec};

/// A definition, compiled.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    /// A number for what is measured and how.
    pub(super) number: u64,
    condition: Condition,
    by: Vec<(String, Expr)>,
    pub(super) lateness_ms: Millis,
    pub(super) correct: bool,
    pub(super) publish: Option<Arc<str>>,
    pub(super) names: Arc<[String]>,
    meters: Vec<Meter>,
    /// The measures before the first value.
    pub(super) empty: Vec<Measure>,
    pub(super) cut: Cut,
}

/// How event time is cut.
#[derive(Debug)]
pub(super) enum Cut {
    Tumbling(Sizes),
    Hopping { size_ms: Millis, every_ms: Millis },
    Session { gap_ms: Millis },
}

/// The lengths of tumbling windows, ascending. A window whose length is a multiple of a shorter one's is made of windows
/// of that length: an event goes into the shorter one, which goes into the longer one when it is closed. Measures merge
/// exactly, so the result is the same, at the cost of one length.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) all: Vec<Size>,
    /// Those that are made of no others, as bits.
    pub(super) roots: u32,
}

#[derive(Debug)]
pub(super) struct Size {
    pub(super) ms: Millis,
    /// Those that are made of this, as bits.
    pub(super) feeds: u32,
}

impl Sizes {
    fn new(lengths: &[Millis]) -> Self {
        let mut sizes = Self { all: Vec::new(), roots: 0 };
        for &ms in lengths {
            let at = sizes.all.len();
            match sizes.all.iter_mut().rev().find(|shorter| ms % shorter.ms == 0) {
                Some(shorter) => shorter.feeds |= 1 << at,
                None => sizes.roots |= 1 << at,
            }
            sizes.all.push(Size { ms, feeds: 0 });
        }
        sizes
    }
}

const _: () = assert!(limits::WINDOW_SIZES_MAX <= 32, "a set of lengths is a u32");

impl Definition {
    /// Compiles one and says all that is wrong with it.
    pub(super) fn compile(spec: &WindowSpec, compiler: &mut Compiler<'_>, errors: &mut Vec<RuleError>) -> Option<Self> {
        let before = errors.len();
        let mut problems = Problems { rule: &spec.name, errors };
        if spec.lateness_ms < 0 {
            problems.add("lateness", "must not be negative".to_owned());
        }
        let cut = problems.cut(&spec.kind);
        let condition = problems.condition("when", &spec.when, compiler);
        let by = problems.by(spec, compiler);
        let meters = problems.meters(spec, compiler);
        let stream = compiler.stream();
        if matches!(spec.kind, WindowKind::Session { .. }) {
            problems.check_session(&by, stream);
        }
        if problems.errors.len() > before {
            return None;
        }
        let names: Vec<_> = spec.measures.iter().map(|(name, _)| name.clone()).collect();
        Some(Self {
            name: spec.name.clone(),
            number: number(spec, stream),
            condition: condition?,
            by,
            lateness_ms: spec.lateness_ms,
            correct: spec.correct && !matches!(spec.kind, WindowKind::Session { .. }),
            publish: (!spec.publish.is_empty()).then(|| spec.publish.as_str().into()),
            names: names.into(),
            empty: meters.iter().map(|meter| meter.shape.empty()).collect(),
            meters,
            cut: cut?,
        })
    }

    /// Whether the record counts.
    pub(super) fn counts<'a>(&'a self, row: &mut Row<'a>) -> bool {
        self.condition.holds(row)
    }

    /// The record's group, and what it adds to each measure.
    pub(super) fn read<'a>(&'a self, row: &mut Row<'a>, group: &mut Vec<u8>, steps: &mut Vec<Step>) {
        group.clear();
        self.by.iter().for_each(|(_, field)| identity::put(&field.eval(row), group));
        steps.clear();
        steps.extend(self.meters.iter().map(|meter| meter.step(row)));
    }

    /// The group as people see it.
    pub(super) fn key(&self, group: &[u8]) -> String {
        identity::key(group, self.by.iter().map(|(name, _)| name.as_str()))
    }
}

/// Everything that a result depends on, but for how late events may be.
fn number(spec: &WindowSpec, stream: &Stream) -> u64 {
    let path = |field: &Option<event::Field>| field.as_ref().map(|field| field.path.pointer());
    let kind = match &spec.kind {
        WindowKind::Tumbling(sizes) => {
            let mut sizes = sizes.clone();
            sizes.sort_unstable();
            format!("tumbling {sizes:?}")
        }
        WindowKind::Hopping { size_ms, every_ms } => format!("hopping {size_ms} {every_ms}"),
        WindowKind::Session { gap_ms } => format!("session {gap_ms}"),
    };
    let of = (&stream.name, path(&stream.key), path(&stream.kind));
    let how = (1, &spec.name, &spec.when, kind, &spec.by, &spec.measures);
    xxh3_64(format!("{:?}", (of, how)).as_bytes())
}

/// What is particular to windows.
impl Problems<'_> {
    fn cut(&mut self, kind: &WindowKind) -> Option<Cut> {
        let errors = self.errors.len();
        let cut = match kind {
            WindowKind::Tumbling(sizes) => {
                let mut sizes = sizes.clone();
                sizes.sort_unstable();
                if sizes.is_empty() || sizes.len() > limits::WINDOW_SIZES_MAX {
                    self.add("sizes", format!("must be 1 to {}", limits::WINDOW_SIZES_MAX));
                }
                if sizes.first().is_some_and(|shortest| *shortest <= 0) {
                    self.add("sizes", "must be above 0".to_owned());
                } else if sizes.windows(2).any(|two| two[0] == two[1]) {
                    self.add("sizes", "one stands there twice".to_owned());
                } else if sizes.len() <= limits::WINDOW_SIZES_MAX {
                    return (errors == self.errors.len()).then(|| Cut::Tumbling(Sizes::new(&sizes)));
                }
                return None;
            }
            WindowKind::Hopping { size_ms, every_ms } => {
                if *every_ms <= 0 {
                    self.add("every", "must be above 0".to_owned());
                } else if *size_ms < *every_ms || size_ms % every_ms != 0 {
                    self.add("size", "must be a multiple of `every`".to_owned());
                } else if size_ms / every_ms > limits::WINDOW_HOPS_MAX {
                    self.add("every", format!("must fit into `size` at most {} times", limits::WINDOW_HOPS_MAX));
                }
                Cut::Hopping { size_ms: *size_ms, every_ms: *every_ms }
            }
            WindowKind::Session { gap_ms } => {
                if *gap_ms <= 0 {
                    self.add("gap", "must be above 0".to_owned());
                }
                Cut::Session { gap_ms: *gap_ms }
            }
        };
        (errors == self.errors.len()).then_some(cut)
    }

    fn by(&mut self, spec: &WindowSpec, compiler: &mut Compiler<'_>) -> Vec<(String, Expr)> {
        if spec.by.len() > limits::WINDOW_FIELDS_MAX {
            self.add("by", format!("has {} fields; at most {} make a group", spec.by.len(), limits::WINDOW_FIELDS_MAX));
            return Vec::new();
        }
        let mut fields: Vec<(String, Expr)> = Vec::new();
        for text in &spec.by {
            let path = FieldPath::parse(text).map(|path| (path.steps().join("."), path));
            match path {
                Some((name, _)) if fields.iter().any(|(known, _)| *known == name) => {
                    self.add("by", format!("`{text}` stands there twice"));
                }
                Some((name, path)) => fields.push((name, compiler.field(path))),
                None => {
                    let steps = limits::FIELD_DEPTH_MAX;
                    self.add("by", format!("`{text}` is no field: expected a.b.c or /a/b/c, at most {steps} steps"));
                }
            }
        }
        fields
    }

    fn meters(&mut self, spec: &WindowSpec, compiler: &mut Compiler<'_>) -> Vec<Meter> {
        let measures = &spec.measures;
        if measures.is_empty() || measures.len() > limits::WINDOW_MEASURES_MAX {
            let most = limits::WINDOW_MEASURES_MAX;
            self.add("measures", format!("{} are named; 1 to {most} are supported, as n: count()", measures.len()));
            return Vec::new();
        }
        let mut meters = Vec::new();
        for (i, (name, text)) in measures.iter().enumerate() {
            if name.is_empty() || measures[..i].iter().any(|(other, _)| other == name) {
                self.add("measures", format!("the name `{name}` must be there, and unique"));
            }
            match Meter::compile(text, compiler) {
                Ok(meter) => meters.push(meter),
                Err(message) => self.add(&format!("measures.{name}"), message),
            }
        }
        meters
    }

    /// A session goes on over the gap between two pieces of it, so one partition must see all of it.
    fn check_session(&mut self, by: &[(String, Expr)], stream: &Stream) {
        if stream.partitions > 1 && !by.iter().any(|(_, field)| matches!(field, Expr::Key)) {
            let key = stream.key.as_ref().map(|field| field.path.steps().join("."));
            self.add("by", match key {
                Some(key) => format!("a session must be within one partition: name the stream's key `{key}` here"),
                None => "a session must be within one partition: give the stream a key and name it here, or give it one \
                         partition"
                    .to_owned(),
            });
        }
    }
}
