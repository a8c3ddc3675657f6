//! The rules of one stream, sorted by the types of records that they look at.

use event::{Anomaly, FieldPath, Millis, Record, Severity};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::build::Condition;
use crate::expr::Expr;
use crate::kinds::Kind;
use crate::kinds::absence::Absent;
use crate::owner::Owner;
use crate::row::{Fields, Row, TOLD_NOTHING, Together};
use crate::template::Template;
use crate::value::{Value, write_json_text};

/// A rule, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) severity: Severity,
    pub(crate) kind: Kind,
    pub(crate) cooldown_ms: Millis,
    pub(crate) condition: Condition,
    pub(crate) description: Template,
    pub(crate) metadata: Vec<(String, Expr)>,
    /// The slots that its condition and kind read.
    pub(crate) asks: Vec<usize>,
}

/// What is done with records of one type.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The rules that look at them, in order; not those of absences, which look at all.
    pub(crate) rules: Vec<usize>,
    pub(crate) together: Together,
}

/// Which rules look at a record, by its type: most types are of no matter to most rules.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_kind: HashTable<(Box<[u8]>, Group)>,
    /// Of the types that no rule names.
    others: Group,
    pub(crate) absences: Vec<usize>,
    pub(crate) fields: Fields,
}

impl Groups {
    /// Sorts the rules; `always` are the slots that all records are asked for besides.
    pub(crate) fn new(rules: &[Rule], paths: &[FieldPath], always: &[usize]) -> Self {
        let mut named: Vec<&[u8]> = rules.iter().filter_map(Rule::kinds).flatten().collect();
        named.sort_unstable();
        named.dedup();
        let group = |kind: Option<&[u8]>| {
            let looks = |rule: &Rule| rule.kinds().is_none_or(|mut own| own.any(|own| Some(own) == kind));
            let mine = || rules.iter().enumerate().filter(|(_, rule)| looks(rule));
            let slots: Vec<_> = mine().flat_map(|(_, rule)| &rule.asks).chain(always).copied().collect();
            let judged = mine().filter(|(_, rule)| !matches!(rule.kind, Kind::Absence(_)));
            Group { rules: judged.map(|(at, _)| at).collect(), together: Together::new(paths, &slots) }
        };
        let absences = rules.iter().enumerate().filter(|(_, rule)| matches!(rule.kind, Kind::Absence(_)));
        let mut by_kind: HashTable<(Box<[u8]>, Group)> = HashTable::with_capacity(named.len());
        for kind in named {
            by_kind.insert_unique(xxh3_64(kind), (kind.into(), group(Some(kind))), |(kind, _)| xxh3_64(kind));
        }
        Self {
            by_kind,
            others: group(None),
            absences: absences.map(|(at, _)| at).collect(),
            fields: Fields::new(paths),
        }
    }

    #[inline]
    pub(crate) fn of(&self, record: &Record<'_>) -> &Group {
        let known = self.by_kind.find(xxh3_64(record.kind), |(kind, _)| **kind == *record.kind);
        known.map_or(&self.others, |(_, group)| group)
    }

    /// The group of what is no record.
    pub(crate) fn none(&self) -> &Group {
        &self.others
    }
}

impl Rule {
    /// Whether it remembers anything from record to record.
    pub(crate) fn remembers(&self) -> bool {
        self.cooldown_ms > 0 || self.kind.is_keyed()
    }

    /// The types of the records that it looks at; `None` for all.
    fn kinds(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let second = match &self.kind {
            Kind::Streak(streak) => Some(&streak.unless),
            Kind::Sequence(sequence) => Some(&sequence.then),
            _ => None,
        };
        let second = second.map_or(Some(&[][..]), Condition::kinds)?;
        Some(self.condition.kinds()?.iter().chain(second).map(|kind| &**kind))
    }

    /// What it says of the record in hand, which is this owner's.
    pub(crate) fn anomaly<'a>(&'a self, row: &mut Row<'a>, owner: Owner<'_>, stream: &str, partition: u32) -> Anomaly {
        let record = row.record;
        let key = String::from_utf8_lossy(owner.key).into_owned();
        let who = if key.is_empty() { format!("{partition}-{}", record.offset) } else { key.clone() };
        Anomaly {
            tenant: String::from_utf8_lossy(owner.tenant).into_owned(),
            id: format!("{who}_{}_{}", record.time, self.name),
            rule: self.name.clone(),
            severity: self.severity,
            stream: stream.to_owned(),
            partition,
            offset: record.offset,
            key,
            time: record.time,
            received_at: record.received_at,
            description: self.description.render(row),
            metadata: self.metadata(row),
            event: record.data.to_vec(),
        }
    }

    /// What it says of somebody who is absent: there is no record, but for the place of the last one.
    pub(crate) fn absence(&self, absent: &Absent, groups: &Groups, stream: &str, partition: u32) -> Anomaly {
        let owner = absent.owner.get();
        let record = Record {
            offset: absent.offset,
            time: absent.at,
            received_at: absent.received_at,
            data: b"",
            key: owner.key,
            kind: b"",
            id: b"",
            headers: b"",
        };
        let mut row = Row::new(record, &groups.fields, &groups.none().together);
        row.told = TOLD_NOTHING;
        row.told[0] = Value::Int(absent.since.into());
        if let Kind::Absence(absence) = &self.kind {
            row.told[1] = Value::Str(absence.after.as_str().into());
        }
        self.anomaly(&mut row, owner, stream, partition)
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
