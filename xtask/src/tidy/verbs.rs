//! Every command that a page shows is a verb of the README's table. That the table equals what the program knows is a
//! test of the program.

use super::finding::Finding;
use super::markdown;
use crate::workspace::Source;

const OPEN: &str = "<!-- verbs -->";
const CLOSE: &str = "<!-- /verbs -->";
/// How a page calls the program.
const CALLS: [&str; 2] = ["millstream ", "cargo run --release -- "];

/// Checks all pages.
pub(crate) fn check(sources: &[Source], out: &mut Vec<Finding>) {
    let readme = sources.iter().find(|source| source.path == "README.md").map_or("", |source| source.text.as_str());
    let verbs = table(readme);
    for page in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for line in markdown::lines(&page.text) {
            for verb in line.code().into_iter().flat_map(called).filter(|verb| !verbs.contains(verb)) {
                let what = format!("`millstream {verb}` is not in the README's table of verbs");
                out.push(Finding::new(&page.path, line.number, what, "name a verb that exists, or add its row"));
            }
        }
    }
}

/// The verbs of the table: the first word in backticks of each row.
fn table(readme: &str) -> Vec<&str> {
    let lines = readme.lines().skip_while(|line| line.trim() != OPEN).take_while(|line| line.trim() != CLOSE);
    lines.filter_map(|row| row.strip_prefix("| `")?.split(['`', ' ']).next()).collect()
}

/// The verbs that a piece of code calls. A word that starts otherwise than a verb does (an option, a file, an operator
/// of the shell) is none.
fn called(code: &str) -> Vec<&str> {
    let after = |call: &'static str| code.match_indices(call).map(move |(at, _)| (at, at + call.len()));
    let starts = |at: usize| code[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || c == '/');
    let calls = CALLS.into_iter().flat_map(after).filter(|(at, _)| starts(*at));
    let words = calls.filter_map(|(_, end)| code[end..].split_whitespace().next());
    words.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::told;
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let table = "<!-- verbs -->\n| verb | does |\n|---|---|\n| `serve` | runs |\n| `log inspect`, `log verify` | looks |\n<!-- /verbs -->\n";
        let mut out = Vec::new();
        check(&[Source { path: "README.md".to_owned(), text: format!("{table}{text}") }], &mut out);
        told(&out)
    }

    #[test]
    fn verbs_of_the_table_pass_and_prose_is_free() {
        let text = "`millstream serve` `millstream log verify` `millstream --help` millstream is a word\n\
            ```sh\n./target/release/millstream serve\ncargo run --release -- serve\ncp millstream /usr/bin\ncat a-millstream thing\n```";
        assert_eq!(findings(text), [""; 0]);
    }

    #[test]
    fn a_verb_that_is_not_in_the_table_is_found() {
        let expected = ["7: `millstream fly` is not in the README's table of verbs"];
        assert_eq!(findings("`millstream fly --high`"), expected);
        assert_eq!(findings("so: `$ millstream fly`"), expected);
        let expected = ["8: `millstream fly` is not in the README's table of verbs"];
        assert_eq!(findings("```sh\ncargo run --release -- fly\n```"), expected);
        assert_eq!(findings("```sh\n./target/release/millstream fly\n```"), expected);
    }
}
