//! What verbs print: JSON for scripts, aligned tables for people. The only place that writes to the standard output.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// How a verb prints its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For scripts: one JSON document on the standard output.
    Json,
}

impl Output {
    /// Prints a document, as JSON or as the text made of it.
    pub(crate) fn print(self, document: &Value, text: impl FnOnce() -> String) {
        match self {
            Self::Json => line(&document.to_string()),
            Self::Text => line(text().trim_end()),
        }
    }
}

/// Prints one text to the standard output. A reader that has gone away is no failure of ours.
pub(crate) fn line(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Prints one line to the standard error, for people who watch.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Rows under headings, each column as wide as its widest cell; columns of numbers stand to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |c: usize| {
        let cells = rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count());
        cells.chain([headings[c].chars().count()]).max().unwrap_or(0)
    };
    let numeric = |c: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(c)).filter(|cell| !cell.is_empty()).peekable();
        // Ids and times begin with a digit too, and have dashes.
        let number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit()) && !cell.contains('-');
        cells.peek().is_some() && cells.all(number)
    };
    let mut out = String::new();
    let mut put = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (c, cell) in cells.enumerate() {
            let width = width(c);
            let padded = if numeric(c) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    };
    put(&mut headings.iter().copied());
    for row in rows {
        put(&mut row.iter().map(String::as_str));
    }
    out
}

/// A number with its thousands apart: `1 234 567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A progress bar on the standard error, hidden unless that is a terminal. `len` 0 shows a spinner.
pub(crate) fn progress(len: u64, template: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = if len == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(len) };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_numbers_stand_to_the_right() {
        let rows = vec![vec!["a".to_owned(), "1 000".to_owned()], vec!["long name".to_owned(), "5".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name           n\na          1 000\nlong name      5\n");
        assert_eq!(table(&["name"], &[]), "name\n");
        let rows = vec![vec!["2026-11-20".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["day", "count"], &rows), "day         count\n2026-11-20      1\n");
    }

    #[test]
    fn thousands_are_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(thousands(n), text);
        }
    }
}
