//! Every problem of a configuration, collected, so that a person sees all of them at once.

use std::cell::RefCell;
use std::fmt;

use super::node::{Node, Origin};
use super::place::locate;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Problem {
    /// The key, as `streams.signals.partitions`; empty when it is the whole file.
    pub(crate) path: String,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    /// The column of that line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u64>,
    /// The environment variable that the value came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) variable: Option<String>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

/// A growing list of problems. Shared by the sections that are being read, hence the cell.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: RefCell<Vec<Problem>>,
    /// The file.
    text: String,
}

impl Problems {
    /// Of a file with this text.
    pub(crate) fn of(text: &str) -> Self {
        Self { found: RefCell::default(), text: text.to_owned() }
    }

    /// Adds one.
    pub(crate) fn add(&self, path: &str, origin: &Origin, message: impl Into<String>, suggestion: Option<String>) {
        let (at, variable) = match origin {
            Origin::At(line, column) => (Some((*line, *column)), None),
            Origin::Variable(name) => (None, Some(name.clone())),
            Origin::Absent => (None, None),
        };
        let (path, line, column) = (path.to_owned(), at.map(|(line, _)| line), at.map(|(_, column)| column));
        let problem = Problem { path, line, column, variable, message: message.into(), suggestion };
        self.found.borrow_mut().push(problem);
    }

    /// Adds one about a place inside of a text: line and column from 1, as whoever understands the text counts. In the
    /// file they are others; where those cannot be told, the text's own stay in the message.
    pub(crate) fn add_inside(&self, path: &str, node: &Node, (line, column): (usize, usize), message: &str) {
        let found = match (&node.origin, node.scalar()) {
            (Origin::At(..), Some(value)) => locate(&self.text, &node.origin, &value, (line, column)),
            _ => None,
        };
        match found {
            Some(origin) => self.add(path, &origin, message, None),
            None if line == 1 => self.add(path, &node.origin, format!("column {column}: {message}"), None),
            None => self.add(path, &node.origin, format!("line {line}, column {column}: {message}"), None),
        }
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// The problems as an error, or the value when there is none.
    ///
    /// # Errors
    /// When there is a problem.
    pub(crate) fn or<T>(self, source: &str, value: Option<T>) -> Result<T, BadConfig> {
        let mut problems = self.found.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                problems.sort_by_key(|p| (p.line.unwrap_or(u64::MAX), p.column));
                Err(BadConfig { source_name: source.to_owned(), problems })
            }
        }
    }
}

/// A configuration that cannot be used: exit code 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct BadConfig {
    /// The file, or what stands for it.
    pub(crate) source_name: String,
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

impl BadConfig {
    /// A configuration with one problem that no file holds.
    pub(crate) fn one(path: &str, message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self::of("command line", path, message, Some(suggestion.into()))
    }

    /// A source with one problem that is of no place in it.
    pub(crate) fn of(source: &str, path: &str, message: impl Into<String>, suggestion: Option<String>) -> Self {
        let (path, message) = (path.to_owned(), message.into());
        let problem = Problem { path, line: None, column: None, variable: None, message, suggestion };
        Self { source_name: source.to_owned(), problems: vec![problem] }
    }
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.problems.len();
        write!(f, "{}: {n} problem{}", self.source_name, if n == 1 { "" } else { "s" })?;
        for p in &self.problems {
            write!(f, "\n  ")?;
            if let Some(line) = p.line {
                write!(f, "line {line}")?;
                p.column.map_or(Ok(()), |column| write!(f, ", column {column}"))?;
                write!(f, ": ")?;
            }
            if let Some(variable) = &p.variable {
                write!(f, "{variable}: ")?;
            }
            if !p.path.is_empty() {
                write!(f, "{}: ", p.path)?;
            }
            write!(f, "{}", p.message)?;
            if let Some(suggestion) = &p.suggestion {
                write!(f, " ({suggestion})")?;
            }
        }
        Ok(())
    }
}
