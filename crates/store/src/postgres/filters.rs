//! Conditions of questions, with their parameters.

use postgres::types::ToSql;

use super::text;

/// A condition list: only filters that are given become SQL, so that each question finds its index.
#[derive(Default)]
pub(super) struct Filters {
    terms: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Filters {
    /// A parameter; gives how the SQL names it.
    pub(super) fn bind(&mut self, value: impl ToSql + Sync + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    /// A text as a parameter.
    pub(super) fn bind_text(&mut self, value: &str) -> String {
        self.bind(text::to_text(value.as_bytes()).into_owned())
    }

    /// A condition that stands for itself.
    pub(super) fn add(&mut self, term: impl Into<String>) {
        self.terms.push(term.into());
    }

    /// That a text is this one, as `column =`.
    pub(super) fn add_text(&mut self, compare: &str, value: Option<&str>) {
        if let Some(value) = value {
            let name = self.bind_text(value);
            self.add(format!("{compare} {name}"));
        }
    }

    /// The same for a number or a time.
    pub(super) fn add_number(&mut self, compare: &str, value: Option<i64>) {
        if let Some(value) = value {
            let name = self.bind(value);
            self.add(format!("{compare} {name}"));
        }
    }

    /// That a column has a word of a closed set: it stands in the SQL itself.
    pub(super) fn add_word(&mut self, column: &str, word: Option<&'static str>) {
        self.terms.extend(word.map(|word| format!("{column} = '{word}'")));
    }

    /// All conditions.
    pub(super) fn sql(&self) -> String {
        if self.terms.is_empty() { "true".to_owned() } else { self.terms.join(" AND ") }
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// How many rows a question may give, or skip, as PostgreSQL's number.
pub(super) fn bound(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
