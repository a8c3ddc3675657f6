//! One rule from its specification: checked and compiled, part by part.

use event::{Millis, Stream, limits};

use crate::compile::{Compiler, Place};
use crate::expr::{Comparison, Expr, Row};
use crate::kinds::Kind;
use crate::kinds::absence::{self, Absence};
use crate::kinds::count::{self, Count};
use crate::kinds::deviation::{self, Deviation};
use crate::kinds::hours::{self, Hours};
use crate::kinds::novel::{self, Novel};
use crate::kinds::sequence::{self, Sequence};
use crate::kinds::streak::{self, Streak};
use crate::rules::Rule;
use crate::template::Template;
use crate::value::Value;
use crate::{RuleError, RuleKind, RuleSpec};

/// Collects what is wrong with one rule.
pub(crate) struct Problems<'p> {
    pub(crate) rule: &'p str,
    pub(crate) errors: &'p mut Vec<RuleError>,
}

const DAY_MINUTES: u16 = 24 * 60;

impl Problems<'_> {
    pub(crate) fn add(&mut self, field: &str, message: String) {
        self.errors.push(RuleError { rule: self.rule.to_owned(), field: field.to_owned(), message });
    }

    fn keep<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    fn demand(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.add(field, message.to_owned());
        }
    }

    /// Looks at the numbers, and at whether the stream is fit for this kind.
    pub(crate) fn check_kind(&mut self, spec: &RuleSpec, stream: &Stream) {
        self.demand(spec.cooldown_ms >= 0, "cooldown", "must not be negative");
        let name = match &spec.kind {
            RuleKind::Predicate => return,
            RuleKind::Hours { from_minute, to_minute, .. } => {
                self.demand(*from_minute < DAY_MINUTES, "hours.from", "must be before 24:00");
                let sound = (1..=DAY_MINUTES).contains(to_minute);
                self.demand(sound, "hours.to", "must be after 00:00, and 24:00 at the latest");
                self.demand(from_minute != to_minute, "hours.to", "must not be the same as `from`");
                return;
            }
            RuleKind::Count { at_least, within_ms, .. } => {
                let sound = (1..=limits::RULE_COUNT_MAX as u64).contains(at_least);
                self.demand(sound, "count.at_least", &format!("must be from 1 to {}", limits::RULE_COUNT_MAX));
                self.demand(*within_ms > 0, "count.within", "must be above 0");
                "count"
            }
            RuleKind::Streak { length, unless } => {
                self.demand(*length >= 1, "streak.length", "must be at least 1");
                let message = "must not be empty: something must end a row, such as a success";
                self.demand(!unless.trim().is_empty(), "streak.unless", message);
                "streak"
            }
            RuleKind::Novel { warm_up, .. } => {
                self.demand(*warm_up >= 1, "novel.warm_up", "must be at least 1: the first value is never news");
                "novel"
            }
            RuleKind::Deviation { z, span, warm_up, .. } => {
                self.demand(z.is_finite() && *z > 0.0, "deviation.z", "must be a number above 0");
                self.demand(*span >= 2, "deviation.span", "must be at least 2");
                self.demand(*warm_up >= 2, "deviation.warm_up", "must be at least 2: one value has no deviation");
                "deviation"
            }
            RuleKind::Absence { after_ms } => {
                self.demand(*after_ms > 0, "absence.after", "must be above 0");
                "absence"
            }
            RuleKind::Sequence { then, within_ms } => {
                self.demand(*within_ms > 0, "sequence.within", "must be above 0");
                self.demand(!then.trim().is_empty(), "sequence.then", "must not be empty");
                "sequence"
            }
        };
        let message = "the stream has no key and more than one partition: records that belong together would be judged \
                       apart; give it a key or one partition";
        self.demand(stream.key.is_some() || stream.partitions == 1, name, message);
    }

    /// Compiles the rule, and names the slots that every record of its types is asked for.
    pub(crate) fn compile(&mut self, spec: &RuleSpec, compiler: &mut Compiler<'_>) -> Option<Rule> {
        compiler.take_touched();
        let condition = self.condition("when", &spec.when, compiler);
        let kind = self.kind(&spec.kind, compiler);
        let asks = compiler.take_touched();
        let place = place(&spec.kind);
        let description = self.keep("description", Template::compile(&spec.description, compiler, place));
        let mut metadata = Vec::new();
        for (name, text) in &spec.metadata {
            let expr = self.keep(&format!("metadata.{name}"), compiler.compile(text, 0, place));
            metadata.extend(expr.map(|expr| (name.clone(), expr)));
        }
        Some(Rule {
            name: spec.name.clone(),
            severity: spec.severity,
            kind: kind?,
            cooldown_ms: spec.cooldown_ms,
            condition: condition?,
            description: description?,
            metadata,
            asks,
        })
    }

    /// Compiles a condition; one without text always holds.
    pub(crate) fn condition(&mut self, field: &str, text: &str, compiler: &mut Compiler<'_>) -> Option<Condition> {
        if text.trim().is_empty() {
            return Some(Condition { kinds: None, rest: Vec::new() });
        }
        let whole = self.keep(field, compiler.compile(text, 0, Place::Condition))?;
        if !whole.can_be_true() {
            self.add(field, "gives a value that is never true or false; compare it with something".to_owned());
            return None;
        }
        Some(Condition::new(whole))
    }

    /// Compiles what gives a value of every record.
    fn value(&mut self, field: &str, text: &str, compiler: &mut Compiler<'_>) -> Option<Expr> {
        if text.trim().is_empty() {
            self.add(field, "must not be empty".to_owned());
            return None;
        }
        self.keep(field, compiler.compile(text, 0, Place::Condition))
    }

    fn kind(&mut self, kind: &RuleKind, compiler: &mut Compiler<'_>) -> Option<Kind> {
        Some(match kind {
            RuleKind::Predicate => Kind::Predicate,
            RuleKind::Count { at_least, within_ms, sum } => {
                let sum = match sum.trim() {
                    "" => None,
                    text => Some(self.value("count.sum", text, compiler)?),
                };
                Kind::Count(Count { at_least: *at_least, within_ms: *within_ms, sum, within: duration(*within_ms) })
            }
            RuleKind::Streak { length, unless } => {
                Kind::Streak(Streak { length: *length, unless: self.condition("streak.unless", unless, compiler)? })
            }
            RuleKind::Novel { value, warm_up } => {
                Kind::Novel(Novel { value: self.value("novel.value", value, compiler)?, warm_up: *warm_up })
            }
            RuleKind::Hours { from_minute, to_minute, zone } => {
                let zone = self.keep("hours.zone", hours::zone(zone))?;
                Kind::Hours(Hours { from_minute: *from_minute, to_minute: *to_minute, zone })
            }
            RuleKind::Deviation { of, z, span, warm_up } => {
                let of = self.value("deviation.of", of, compiler)?;
                Kind::Deviation(Deviation { of, z: *z, alpha: 2.0 / (*span as f64 + 1.0), warm_up: *warm_up })
            }
            RuleKind::Absence { after_ms } => {
                Kind::Absence(Absence { after_ms: *after_ms, after: duration(*after_ms) })
            }
            RuleKind::Sequence { then, within_ms } => {
                let then = self.condition("sequence.then", then, compiler)?;
                Kind::Sequence(Sequence { then, within_ms: *within_ms })
            }
        })
    }
}

/// What names mean in what a rule of this kind says.
fn place(kind: &RuleKind) -> Place {
    match kind {
        RuleKind::Predicate => Place::Finding(&[]),
        RuleKind::Count { sum, .. } if sum.trim().is_empty() => Place::Finding(count::NAMES_WITHOUT_SUM),
        RuleKind::Count { .. } => Place::Finding(count::NAMES),
        RuleKind::Streak { .. } => Place::Finding(streak::NAMES),
        RuleKind::Novel { .. } => Place::Finding(novel::NAMES),
        RuleKind::Hours { .. } => Place::Finding(hours::NAMES),
        RuleKind::Deviation { .. } => Place::Finding(deviation::NAMES),
        RuleKind::Absence { .. } => Place::Absent(absence::NAMES),
        RuleKind::Sequence { .. } => Place::Finding(sequence::NAMES),
    }
}

/// A condition, cut at its `&&`.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The types that it demands, compared as bytes before anything else; `None` takes all.
    kinds: Option<Vec<Box<[u8]>>>,
    /// The rest: all must be true, those that do not touch the JSON first.
    rest: Vec<Expr>,
}

impl Condition {
    /// The order of `&&` is ours to choose: conditions have no effects and cannot fail.
    pub(crate) fn new(whole: Expr) -> Self {
        let mut rest = Vec::new();
        split(whole, &mut rest);
        let gate = rest.iter().position(|part| demanded_kinds(part).is_some());
        let kinds = gate.and_then(|at| demanded_kinds(&rest.swap_remove(at)));
        rest.sort_by_key(Expr::reads_json);
        Self { kinds, rest }
    }

    #[inline]
    pub(crate) fn holds<'a>(&'a self, row: &mut Row<'a>) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| **kind == *row.record.kind))
            && self.rest.iter().all(|condition| condition.test(row))
    }

    /// The types of the records that it can hold for; `None` for any.
    pub(crate) fn kinds(&self) -> Option<&[Box<[u8]>]> {
        self.kinds.as_deref()
    }
}

fn split(expr: Expr, parts: &mut Vec<Expr>) {
    match expr {
        Expr::And(both) => both.into_iter().for_each(|part| split(part, parts)),
        other => parts.push(other),
    }
}

/// The types that a condition demands: `type == "login"`, `type in ["login", "logout"]`. (A record without a type is of
/// none, so the empty text demands nothing that could be compared.)
fn demanded_kinds(expr: &Expr) -> Option<Vec<Box<[u8]>>> {
    let kind = |expr: &Expr| match expr {
        Expr::Literal(Value::Str(kind)) if !kind.is_empty() => Some(kind.as_bytes().into()),
        _ => None,
    };
    match expr {
        Expr::Compare(Comparison::Equal, both) => match &**both {
            [Expr::Kind, other] | [other, Expr::Kind] => kind(other).map(|kind| vec![kind]),
            _ => None,
        },
        Expr::In(needle, list) if matches!(**needle, Expr::Kind) => list.iter().map(kind).collect(),
        _ => None,
    }
}

/// A length of time as configuration writes it: `1m`, `90s`.
fn duration(ms: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms % unit == 0);
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
