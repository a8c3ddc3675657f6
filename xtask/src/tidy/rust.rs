//! Shape of a Rust file: its first line, its length, its functions, names and macros that are not ours.
//!
//! Functions are found in the token stream rather than in a syntax tree: that sees into macros too (`proptest! { fn … }`).

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};

use super::finding::Finding;
use crate::workspace::Source;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing about what is inside, so that everything ends up there.
const EMPTY_NAMES: [&str; 4] = ["common", "utils", "misc", "helpers"];
/// Macros that compile now and fail at run time.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

/// Checks one file and gives how many functions it has.
pub(crate) fn check(source: &Source, out: &mut Vec<Finding>) -> usize {
    let Source { path, text } = source;
    if !text.starts_with("//!") {
        out.push(Finding::new(path, 1, "no module doc on the first line", "say in one `//!` sentence what lives here"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}");
        out.push(Finding::new(path, FILE_LINES_MAX + 1, what, "split it by idea, one file each"));
    }
    for part in path.trim_end_matches(".rs").split('/').filter(|part| EMPTY_NAMES.contains(part)) {
        out.push(empty_name(path, 1, part));
    }
    match text.parse::<TokenStream>() {
        Ok(tokens) => {
            let mut walk = Walk { path, functions: 0, out };
            walk.stream(tokens);
            walk.functions
        }
        Err(error) => {
            out.push(Finding::new(path, error.span().start().line, "not Rust", "see what the compiler says"));
            0
        }
    }
}

fn empty_name(path: &str, line: usize, name: &str) -> Finding {
    Finding::new(path, line, format!("`{name}` says nothing about what is inside"), "name it after its idea")
}

struct Walk<'a> {
    path: &'a str,
    functions: usize,
    out: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    /// Walks one level of tokens and gives how many lines the functions in it take, so that a function inside another
    /// is counted on its own.
    fn stream(&mut self, tokens: TokenStream) -> usize {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut lines) = (0, 0);
        while at < tokens.len() {
            if let Some((body_at, body)) = function(&tokens[at..]) {
                lines += self.function(&tokens[at], &tokens[at + 1], body);
                at += body_at + 1;
                continue;
            }
            self.other(&tokens[at..]);
            if let TokenTree::Group(group) = &tokens[at] {
                lines += self.stream(group.stream());
            }
            at += 1;
        }
        lines
    }

    fn function(&mut self, keyword: &TokenTree, name: &TokenTree, body: &Group) -> usize {
        self.functions += 1;
        let range: RangeInclusive<usize> = keyword.span().start().line..=body.span_close().end().line;
        let lines = range.count();
        let own = lines.saturating_sub(self.stream(body.stream()));
        if own > FUNCTION_LINES_MAX {
            let what = format!("function `{name}` has {own} lines, at most {FUNCTION_LINES_MAX}");
            self.find(keyword.span(), what, "take a step out of it and give it a name");
        }
        lines
    }

    /// Looks for what is not ours at the start of these tokens.
    fn other(&mut self, tokens: &[TokenTree]) {
        match tokens {
            [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
                if hash.as_char() == '#' && ignores(attribute) =>
            {
                self.find(attribute.span_open(), "an ignored test", "make it run, or remove it");
            }
            [TokenTree::Ident(name), TokenTree::Punct(bang), ..]
                if bang.as_char() == '!' && UNFINISHED.iter().any(|known| name == known) =>
            {
                self.find(name.span(), format!("`{name}!`"), "write it, or leave the whole feature out");
            }
            [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Group(_), ..]
                if keyword == "mod" && EMPTY_NAMES.iter().any(|known| name == known) =>
            {
                self.out.push(empty_name(self.path, name.span().start().line, &name.to_string()));
            }
            _ => (),
        }
    }

    fn find(&mut self, span: Span, what: impl Into<String>, mend: &str) {
        self.out.push(Finding::new(self.path, span.start().line, what, mend));
    }
}

/// When the tokens start with a function that has a body: the body, and where it stands among them.
fn function(tokens: &[TokenTree]) -> Option<(usize, &Group)> {
    let [TokenTree::Ident(keyword), TokenTree::Ident(_), rest @ ..] = tokens else { return None };
    if keyword != "fn" {
        return None;
    }
    for (at, token) in rest.iter().enumerate() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return Some((at + 2, group)),
            TokenTree::Punct(end) if end.as_char() == ';' => return None,
            _ => (),
        }
    }
    None
}

/// Whether an attribute is `[ignore…]` or `[cfg_attr(…, ignore…)]`.
fn ignores(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), _) if name == "ignore" => true,
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(inside))) if name == "cfg_attr" => {
            inside.stream().into_iter().any(|token| matches!(token, TokenTree::Ident(name) if name == "ignore"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::told;
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        check(&Source { path: path.to_owned(), text: text.to_owned() }, &mut out);
        told(&out)
    }

    fn in_file(text: &str) -> Vec<String> {
        findings("crates/log/src/lib.rs", &format!("//! Doc.\n{text}"))
    }

    /// A function of so many lines, with something in its middle.
    fn function_of(lines: usize, inside: &str) -> String {
        let filler = lines - 2 - inside.lines().count();
        format!("fn long() {{\n{inside}{}}}\n", "    step();\n".repeat(filler))
    }

    #[test]
    fn a_file_starts_with_its_doc_and_ends_in_time() {
        assert_eq!(in_file(""), [""; 0]);
        assert_eq!(findings("a.rs", "// Doc.\n"), ["1: no module doc on the first line"]);
        assert_eq!(findings("a.rs", &format!("//! Doc.\n{}", "\n".repeat(399))), [""; 0]);
        assert_eq!(findings("a.rs", &format!("//! Doc.\n{}", "\n".repeat(400))), ["401: 401 lines, at most 400"]);
    }

    #[test]
    fn a_function_over_the_limit_is_found_wherever_it_stands() {
        assert_eq!(in_file(&function_of(70, "")), [""; 0]);
        let long = function_of(71, "");
        let told = |line| [format!("{line}: function `long` has 71 lines, at most 70")];
        assert_eq!(in_file(&long), told(2));
        assert_eq!(in_file(&format!("impl T {{\n{long}}}")), told(3));
        assert_eq!(in_file(&format!("#[test]\n{long}")), told(3));
        assert_eq!(in_file(&format!("proptest! {{\n{}}}", long.replace("()", "(x in 0..9u8)"))), told(3));
    }

    #[test]
    fn a_function_inside_another_is_counted_on_its_own() {
        let inner = function_of(60, "");
        assert_eq!(in_file(&function_of(120, &inner)), [""; 0]);
        assert_eq!(in_file(&function_of(140, &inner)), ["2: function `long` has 80 lines, at most 70"]);
        let closure = "    let f = || {\n".to_owned() + &"        step();\n".repeat(68) + "    };\n";
        assert_eq!(in_file(&function_of(75, &closure)), ["2: function `long` has 75 lines, at most 70"]);
    }

    #[test]
    fn every_function_with_a_body_is_counted_once() {
        let text = "//! Doc.\ntrait T { fn a(&self) -> [u8; 3]; fn b() {} }\ntype F = fn(u8) -> u8;\nfn c<T>(t: T) where T: Fn() { fn d() {} }";
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        assert_eq!(check(&source, &mut Vec::new()), 3);
    }

    #[test]
    fn ignored_tests_and_unfinished_code_are_found_but_words_are_not() {
        assert_eq!(in_file("#[ignore]\nfn a() {}"), ["2: an ignored test"]);
        assert_eq!(in_file("#[ignore = \"slow\"]\nfn a() {}"), ["2: an ignored test"]);
        assert_eq!(in_file("#[cfg_attr(unix, ignore)]\nfn a() {}"), ["2: an ignored test"]);
        assert_eq!(in_file("fn a() {\n    todo!()\n}"), ["3: `todo!`"]);
        assert_eq!(in_file("fn a() { unimplemented!(\"x\") }"), ["2: `unimplemented!`"]);
        assert_eq!(in_file("/// todo!() and #[ignore]\nfn ignore(todo: &str) { let s = \"todo!()\"; }"), [""; 0]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let expected = |name: &str, line| [format!("{line}: `{name}` says nothing about what is inside")];
        assert_eq!(findings("crates/log/src/utils.rs", "//! Doc.\n"), expected("utils", 1));
        assert_eq!(findings("crates/common/src/lib.rs", "//! Doc.\n"), expected("common", 1));
        assert_eq!(in_file("mod helpers {\n}"), expected("helpers", 2));
        assert_eq!(findings("crates/log/src/common_prefix.rs", "//! Doc.\n"), [""; 0]);
    }
}
