//! Descriptions: text with CEL in braces.

use crate::compile::{Compiler, Place};
use crate::expr::{Expr, Row};

/// A compiled description.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Expr),
}

impl Template {
    /// Reads `{user_id} logged in {count} times`; the error is a sentence with its column.
    pub(crate) fn compile(text: &str, compiler: &mut Compiler<'_>, place: Place) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let column = text.chars().count() - rest[at..].chars().count() + 1;
            let end = if brace == "{" { end_of(after) } else { None };
            let Some(end) = end else {
                return Err(format!(
                    "column {column}: this `{brace}` has no partner; write `{brace}{brace}` for the brace itself"
                ));
            };
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Value(compiler.compile(&after[..end], column, place)?));
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// Fills it in.
    pub(crate) fn render<'a>(&'a self, row: &mut Row<'a>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(expr) => expr.eval(row).write_text(&mut out),
            }
        }
        out
    }
}

/// The closing brace of an expression, which may hold braces in its strings.
fn end_of(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Some(at),
            (None, _) => {}
        }
    }
    None
}
