//! CEL text to CEL's own tree, by the `cel` crate's parser, with every complaint pointing at its column.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;

/// A parsed expression that knows where its nodes stand in the text of the configuration.
pub(crate) struct Source {
    pub(crate) tree: IdedExpr,
    info: SourceInfo,
    /// Characters before the expression in the text that the author wrote: a template's text before the brace.
    indent: usize,
}

impl Source {
    /// Parses one expression; the error is a sentence with its place.
    pub(crate) fn parse(text: &str, indent: usize) -> Result<Self, String> {
        // `a.`user-agent`` is CEL's way to name a field that is no identifier.
        let parser = Parser::new().enable_ident_escape_syntax(true);
        match parser.parse_with_source_info(text) {
            Ok((tree, info)) => Ok(Self { tree, info, indent }),
            Err(errors) => {
                let Some(first) = errors.errors.first() else {
                    return Err("not an expression".to_owned());
                };
                let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(1) as usize);
                let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
                Err(format!("{}: not CEL: {message}", place(line, column, indent)))
            }
        }
    }

    /// A complaint about one node.
    pub(crate) fn complain(&self, node: &IdedExpr, message: &str) -> String {
        let start = self.info.offset_for(node.id).map_or(0, |(start, _)| start as usize); // in bytes
        let before = self.info.source.char_indices().take_while(|(at, _)| *at < start);
        let (line, column) = before.fold((1, 1), |(line, column), (_, c)| match c {
            '\n' => (line + 1, 1),
            _ => (line, column + 1),
        });
        format!("{}: {message}", place(line, column, self.indent))
    }
}

fn place(line: usize, column: usize, indent: usize) -> String {
    match line {
        1 => format!("column {}", column + indent),
        _ => format!("line {line}, column {column}"),
    }
}
