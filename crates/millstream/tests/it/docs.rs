//! What the documents say, done: sample configurations pass `check`, the tour of the README runs as it stands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::product::{Product, folder, read, run_json, write};

pub(crate) fn document(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    String::from_utf8(read(&root.join(name))).expect("text")
}

/// The fenced blocks of a language.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn sample_configurations_pass_check() {
    for (name, blocks_min) in
        [("docs/configuration.md", 2), ("docs/rules.md", 1), ("docs/access.md", 4), ("README.md", 2)]
    {
        let samples = blocks(&document(name), "yaml");
        assert!(samples.len() >= blocks_min, "{name} has no sample");
        for sample in samples {
            let dir = folder();
            write(dir.path(), "millstream.yaml", sample.as_bytes());
            let (code, found) = run_json(dir.path(), &["check"]);
            assert_eq!(code, 0, "{name}: {found}\n{sample}");
        }
    }
}

#[test]
fn every_verb_is_in_the_document_of_the_command_line() {
    let text = document("docs/cli.md");
    for verb in [
        "serve",
        "demo",
        "emit",
        "init",
        "check",
        "config show",
        "key",
        "dlq ls",
        "replay",
        "log inspect",
        "log verify",
        "migrate",
        "test FILE",
        "verify",
        "bench",
        "completions",
        "version",
    ] {
        assert!(text.contains(&format!("`{verb}")), "{verb} is not in docs/cli.md");
    }
}

#[test]
fn the_tour_of_the_readme_runs_as_it_stands_there() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let dir = folder();
    let product = Product::start(dir.path(), &[]);
    let mut said = String::new();
    let readme = document("README.md");
    let blocks = blocks(&readme, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| line.contains("curl "));
    for line in lines {
        let here =
            line.replace("http://127.0.0.1:8000", &product.clients).replace("http://127.0.0.1:8001", &product.admin);
        let output = Command::new("sh").args(["-c", &here]).current_dir(dir.path()).output().expect("sh");
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!answer.trim().is_empty() && !answer.contains("error_code"), "{line}\n{answer}");
        said += &answer;
    }
    for part in
        ["\"accepted_count\":1", "\"accepted_count\":2", "high_value_purchase", "\"duplicate_count\":1", "wrong_type"]
    {
        assert!(said.contains(part), "{part} is in none of the answers\n{said}");
    }
    product.stop();
}

#[test]
fn documents_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for name in ["docs/cli.md", "docs/configuration.md", "docs/rules.md", "docs/failures.md"] {
        for target in document(name).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let path: PathBuf = root.join("docs").join(target.split('#').next().unwrap_or_default());
            assert!(path.exists(), "{name} points to {target}");
        }
    }
}
