//! Every relative link of a Markdown page leads to a file or folder of the repository.

use std::collections::HashSet;

use super::finding::Finding;
use super::markdown;
use crate::workspace::Source;

/// Checks all pages.
pub(crate) fn check(sources: &[Source], out: &mut Vec<Finding>) {
    let files = sources.iter().map(|source| source.path.as_str());
    let folders = files.clone().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]));
    let known: HashSet<&str> = files.clone().chain(folders).collect();
    for page in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for line in markdown::lines(&page.text).filter(|line| !line.fenced) {
            for target in targets(line.text) {
                let path = target.split(['#', '?']).next().unwrap_or_default();
                let elsewhere = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
                if !elsewhere && resolve(&page.path, path).is_none_or(|p| !known.contains(p.as_str())) {
                    let what = format!("the link `{target}` leads nowhere");
                    out.push(Finding::new(&page.path, line.number, what, "mend its path, relative to this page"));
                }
            }
        }
    }
}

/// Where the links of a line lead: `[text](target)`, `[text](target "title")` and `[name]: target`. Code is no link, but
/// a link's text may hold code.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.match_indices("](").filter(|(at, _)| line[..*at].matches('`').count().is_multiple_of(2));
    let inline = inline.filter_map(|(at, open)| line[at + open.len()..].split(')').next());
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    inline.chain(reference).filter_map(|text| text.split_whitespace().next()).collect()
}

/// A link's path from the root of the repository on; `None` when it leads out of it or starts at a disk's root.
fn resolve(page: &str, link: &str) -> Option<String> {
    if link.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::told;
    use super::*;

    fn findings(page: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let mut out = Vec::new();
        check(&[file(page, text), file("docs/format.md", ""), file("crates/log/src/lib.rs", "")], &mut out);
        told(&out)
    }

    #[test]
    fn links_to_files_folders_anchors_and_the_web_pass() {
        let page = "[a](docs/format.md) [b](docs/format.md#frame \"Title\") [`c`](crates/log) [d](#here)\n\
            [e](https://example.org/x) [f](./crates/log/src/lib.rs)\n[g]: docs/format.md\n`[h](nowhere)`\n```\n[i](nowhere)\n```";
        assert_eq!(findings("README.md", page), [""; 0]);
        assert_eq!(findings("docs/adr/1.md", "[up](../format.md) [root](../../crates/)"), [""; 0]);
    }

    #[test]
    fn links_to_nowhere_and_out_of_the_repository_are_found() {
        let nowhere = |target: &str| [format!("2: the link `{target}` leads nowhere")];
        for target in ["nothing.md", "docs/format", "../elsewhere.md", "/docs/format.md", "docs/none.md#x"] {
            assert_eq!(findings("README.md", &format!("first\n[a]({target})")), nowhere(target));
        }
        assert_eq!(findings("README.md", "first\n[a]: nothing.md"), nowhere("nothing.md"));
        assert_eq!(findings("docs/adr/1.md", "first\n[a](docs/format.md)"), nowhere("docs/format.md"));
    }
}
