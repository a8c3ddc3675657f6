//! What no text file may hold: a folder of somebody's machine, or a secret.

use super::finding::Finding;
use crate::workspace::Source;

/// Folders that exist on one machine only, without their leading slash; a longer path must follow the last two.
const MACHINE_FOLDERS: [&str; 5] = ["work", "root", "tmp/bash", "home/", "Users/"];

/// Secrets by how they begin, and how many letters, digits, `_` or `-` must follow at least.
const SECRETS: [(&str, usize, &str); 9] = [
    ("AKIA", 16, "an AWS access key"),
    ("ghp_", 30, "a GitHub token"),
    ("gho_", 30, "a GitHub token"),
    ("github_pat_", 30, "a GitHub token"),
    ("glpat-", 18, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("sk_live_", 16, "a Stripe key"),
    ("AIza", 35, "a Google API key"),
];

/// How the first line of a private key in PEM form starts.
const KEY_OPENS: &str = "-----BEGIN ";
/// How it ends.
const KEY_CLOSES: &str = "PRIVATE KEY-----";

/// Checks every line of one file.
pub(crate) fn check(source: &Source, out: &mut Vec<Finding>) {
    for (at, line) in source.text.lines().enumerate() {
        let mut find = |what: String, mend: &str| out.push(Finding::new(&source.path, at + 1, what, mend));
        if let Some(folder) = MACHINE_FOLDERS.into_iter().find(|folder| names_folder(line, folder)) {
            find(format!("a path of one machine (/{folder})"), "make it relative to the repository");
        }
        for (prefix, follow, what) in SECRETS {
            if holds_secret(line, prefix, follow) {
                find(what.to_owned(), "take it out and revoke it");
            }
        }
        if line.contains(KEY_OPENS) && line.contains(KEY_CLOSES) {
            find("a private key".to_owned(), "take it out and revoke it");
        }
    }
}

/// Whether a line names the folder as an absolute path. What goes before the slash tells it from a part of a URL or of
/// a relative path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let (before, after) = (&line[..at], line[at + folder.len()..].chars().next());
        let Some(before) = before.strip_suffix('/') else { return false };
        let absolute = before.chars().next_back().is_none_or(|c| c.is_whitespace() || "\"'`(<[=:,".contains(c));
        // `/home/` must lead on, or it is a web page; `/workers` is another word than the folder.
        let whole = match folder.ends_with('/') {
            true => after.is_some_and(|c| c.is_ascii_alphanumeric()),
            false => folder.contains('/') || after.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-'),
        };
        absolute && whole
    })
}

/// Whether a line holds the prefix at the start of a word with that many word characters behind it.
fn holds_secret(line: &str, prefix: &str, follow: usize) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    line.match_indices(prefix).any(|(at, _)| {
        let starts = line[..at].chars().next_back().is_none_or(|c| !word(c));
        starts && line[at + prefix.len()..].chars().take_while(|&c| word(c)).count() >= follow
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::told;
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        check(&Source { path: "a.md".to_owned(), text: text.to_owned() }, &mut out);
        told(&out)
    }

    // The samples are put together here, so that this file passes its own check.
    fn path(rest: &str) -> String {
        format!("/{rest}")
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for rest in ["work/main", "work", "root/.cargo", "home/ann/x", "Users/ann", "tmp/bash_jobs.0/x"] {
            for line in [format!("see `{}`", path(rest)), format!("HOME={}", path(rest)), path(rest)] {
                let found = findings(&format!("first\n{line}"));
                assert!(found.len() == 1 && found[0].starts_with("2: a path of one machine"), "{line}: {found:?}");
            }
        }
    }

    #[test]
    fn pages_urls_and_relative_paths_are_not_paths_of_a_machine() {
        for line in [
            "\"/home\"",
            "https://example.org/work/x",
            "crates/work/src",
            "/workers",
            "/rooted",
            "/root-cause",
            "/tmp/x",
        ] {
            assert_eq!(findings(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn secrets_are_found_and_words_that_look_like_them_are_not() {
        for (prefix, follow, what) in SECRETS {
            let secret = format!("key: {prefix}{}", "A1".repeat(follow));
            assert_eq!(findings(&secret), [format!("1: {what}")]);
            assert_eq!(findings(&format!("key: {prefix}{}", "A".repeat(follow - 1))), [""; 0]);
            assert_eq!(findings(&format!("key: x{prefix}{}", "A".repeat(follow))), [""; 0]);
        }
        assert_eq!(findings(&[KEY_OPENS, KEY_CLOSES].join("RSA ")), ["1: a private key"]);
        assert_eq!(findings(&[KEY_OPENS, KEY_CLOSES].join("\n")), [""; 0]);
    }
}
