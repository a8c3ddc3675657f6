//! One rule from its specification: checked, compiled, its condition cut into a gate and the rest.

use event::{Millis, Stream, limits};

use crate::compile::{Compiler, Place};
use crate::expr::{Comparison, Expr, Row};
use crate::program::Rule;
use crate::template::Template;
use crate::value::Value;
use crate::{RuleError, RuleKind, RuleSpec};

/// Collects what is wrong with one rule.
pub(crate) struct Problems<'p> {
    pub(crate) rule: &'p str,
    pub(crate) errors: &'p mut Vec<RuleError>,
}

impl Problems<'_> {
    pub(crate) fn add(&mut self, field: &str, message: String) {
        self.errors.push(RuleError { rule: self.rule.to_owned(), field: field.to_owned(), message });
    }

    fn keep<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    pub(crate) fn check_kind(&mut self, spec: &RuleSpec, stream: &Stream) {
        if spec.cooldown_ms < 0 {
            self.add("cooldown", "must not be negative".to_owned());
        }
        let RuleKind::Count { more_than, within_ms } = spec.kind else {
            return;
        };
        if more_than >= limits::RULE_COUNT_MAX as u64 {
            self.add("count.more_than", format!("must be below {}", limits::RULE_COUNT_MAX));
        }
        if within_ms <= 0 {
            self.add("count.within", "must be above 0".to_owned());
        }
        if stream.key.is_none() && stream.partitions > 1 {
            let message = "stream has no key and more than one partition: records that belong together would be \
                           counted apart; give it a key or one partition";
            self.add("count", message.to_owned());
        }
    }

    pub(crate) fn compile(&mut self, spec: &RuleSpec, compiler: &mut Compiler<'_>) -> Option<Rule> {
        let (place, within) = match spec.kind {
            RuleKind::Predicate => (Place::Finding, String::new()),
            RuleKind::Count { within_ms, .. } => (Place::CountFinding, duration(within_ms)),
        };
        let condition = self.condition(&spec.when, compiler)?;
        let description = self.keep("description", Template::compile(&spec.description, compiler, place));
        let mut metadata = Vec::new();
        for (name, text) in &spec.metadata {
            let expr = self.keep(&format!("metadata.{name}"), compiler.compile(text, 0, place))?;
            metadata.push((name.clone(), expr));
        }
        Some(Rule {
            name: spec.name.clone(),
            severity: spec.severity,
            kind: spec.kind,
            cooldown_ms: spec.cooldown_ms,
            within,
            condition,
            description: description?,
            metadata,
        })
    }

    fn condition(&mut self, when: &str, compiler: &mut Compiler<'_>) -> Option<Condition> {
        if when.trim().is_empty() {
            return Some(Condition { gate: None, rest: Vec::new() });
        }
        let whole = self.keep("when", compiler.compile(when, 0, Place::Condition))?;
        if !whole.can_be_true() {
            self.add("when", "gives a value that is never true or false; compare it with something".to_owned());
            return None;
        }
        Some(Condition::new(whole))
    }
}

/// A condition, cut at its `&&`.
#[derive(Debug)]
pub(crate) struct Condition {
    /// A type that it demands, compared as bytes before anything else.
    gate: Option<Box<[u8]>>,
    /// The rest: all must be true, those that do not touch the JSON first.
    rest: Vec<Expr>,
}

impl Condition {
    /// The order of `&&` is ours to choose: conditions have no effects and cannot fail.
    fn new(whole: Expr) -> Self {
        let mut rest = Vec::new();
        split(whole, &mut rest);
        let gate = rest.iter().position(|part| demanded_kind(part).is_some()).map(|at| rest.swap_remove(at));
        rest.sort_by_key(Expr::reads_json);
        Self { gate: gate.as_ref().and_then(demanded_kind).map(|kind| kind.as_bytes().into()), rest }
    }

    pub(crate) fn holds<'a>(&'a self, row: &mut Row<'a>) -> bool {
        self.gate.as_ref().is_none_or(|gate| **gate == *row.record.kind)
            && self.rest.iter().all(|condition| condition.test(row))
    }
}

fn split(expr: Expr, parts: &mut Vec<Expr>) {
    match expr {
        Expr::And(both) => both.into_iter().for_each(|part| split(part, parts)),
        other => parts.push(other),
    }
}

/// The type that a condition demands: `type == "login"`.
fn demanded_kind(expr: &Expr) -> Option<&str> {
    let Expr::Compare(Comparison::Equal, both) = expr else {
        return None;
    };
    match &**both {
        [Expr::Kind, Expr::Literal(Value::Str(kind))] | [Expr::Literal(Value::Str(kind)), Expr::Kind] => Some(kind),
        _ => None,
    }
}

/// A length of time as configuration writes it: `1m`, `90s`.
fn duration(ms: Millis) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms % unit == 0);
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
