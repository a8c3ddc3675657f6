//! Every problem of a configuration, collected, so that a person sees all of them at once.

use std::cell::RefCell;
use std::fmt;

use super::node::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Problem {
    /// The key, as `streams.signals.partitions`; empty when it is the whole file.
    pub(crate) path: String,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
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
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one.
    pub(crate) fn add(&self, path: &str, origin: &Origin, message: impl Into<String>, suggestion: Option<String>) {
        let (line, variable) = match origin {
            Origin::Line(line) => (Some(*line), None),
            Origin::Variable(name) => (None, Some(name.clone())),
            Origin::Absent => (None, None),
        };
        let problem = Problem { path: path.to_owned(), line, variable, message: message.into(), suggestion };
        self.0.borrow_mut().push(problem);
    }

    /// The problems as an error, or the value when there is none.
    ///
    /// # Errors
    /// When there is a problem.
    pub(crate) fn or<T>(self, source: &str, value: Option<T>) -> Result<T, BadConfig> {
        let mut problems = self.0.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => {
                problems.sort_by_key(|p| p.line.unwrap_or(u64::MAX));
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
        let suggestion = Some(suggestion.into());
        let problem =
            Problem { path: path.to_owned(), line: None, variable: None, message: message.into(), suggestion };
        Self { source_name: "command line".to_owned(), problems: vec![problem] }
    }
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.problems.len();
        write!(f, "{}: {n} problem{}", self.source_name, if n == 1 { "" } else { "s" })?;
        for p in &self.problems {
            write!(f, "\n  ")?;
            if let Some(line) = p.line {
                write!(f, "line {line}: ")?;
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
