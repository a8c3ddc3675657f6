//! `cargo xtask test` as continuous integration sees it: in a small workspace, by its last line and its exit code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod services;

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const TABLE: &str =
    "<!-- rooms -->\n| room | level | may import |\n|---|---|---|\n| `one` | L0 | nothing |\n<!-- /rooms -->\n";
const PASSES: &str = "#[test]\nfn passes() {}\n";
const NEEDS_PAYLOADS: &str =
    "#[test]\nfn octokit_payloads_are_there() { assert!(std::env::var(\"MILLSTREAM_TEST_OCTOKIT\").is_ok()); }\n";

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A workspace of one crate with these tests. Its payloads are there, so that nothing is fetched.
fn workspace(tests: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"one\"]\n");
    write(root, "one/Cargo.toml", "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    write(root, "one/src/lib.rs", &format!("//! One.\n{tests}"));
    write(root, "ARCHITECTURE.md", TABLE);
    write(root, ".gitignore", "/target\n");
    payloads(root, &format!("[{{\"examples\":[{}]}}]", ["{}"; 100].join(",")));
    assert!(Command::new("git").args(["init", "-q"]).current_dir(root).status().unwrap().success());
    folder
}

fn payloads(root: &Path, json: &str) {
    write(root, "target/test-data/octokit-webhooks-examples-7.6.1/package/api.github.com/index.json", json);
}

fn xtask_test(root: &Path, ci: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("test").current_dir(root).env("CARGO_TARGET_DIR", root.join("target")).env("CI", ci);
    command.env_remove("MILLSTREAM_TEST_OCTOKIT").output().unwrap()
}

/// Runs the tests of a workspace and compares the last line, and whether the run counts as a success.
fn check(folder: &TempDir, ci: &str, last_line: &str, success: bool) {
    let output = xtask_test(folder.path(), ci);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.lines().last(), Some(last_line), "{out}\n{err}");
    assert_eq!(output.status.success(), success, "{out}\n{err}");
    let root = folder.path().to_string_lossy();
    assert!(
        !out.contains(root.as_ref()) && !err.contains(root.as_ref()),
        "names a folder of this machine: {out}\n{err}"
    );
}

#[test]
fn tests_that_pass_are_counted_documentation_included() {
    let documented = "/// Says so.\n/// ```\n/// assert_eq!(one::one(), 1);\n/// ```\npub fn one() -> u8 { 1 }\n";
    check(&workspace(&format!("{documented}{PASSES}{NEEDS_PAYLOADS}")), "", "3 passed, 0 failed, 0 skipped", true);
}

#[test]
fn a_test_that_fails_and_a_program_that_dies_both_count_as_failed() {
    let folder = workspace(&format!("{PASSES}#[test]\nfn fails() {{ panic!() }}\n"));
    check(&folder, "", "1 passed, 1 failed, 0 skipped", false);
    write(folder.path(), "one/src/lib.rs", &format!("//! One.\n{PASSES}"));
    write(folder.path(), "one/tests/dies.rs", "//! Dies.\n#[test]\nfn dies() { std::process::abort() }\n");
    check(&folder, "", "1 passed, 1 failed, 0 skipped", false);
}

#[test]
fn no_test_at_all_and_an_untidy_workspace_are_failures() {
    let folder = workspace("");
    check(&folder, "", "0 passed, 0 failed, 0 skipped", false);
    write(folder.path(), "one/src/lib.rs", PASSES);
    check(&folder, "", "1 passed, 1 failed, 0 skipped", false);
}

#[test]
fn a_test_whose_data_cannot_be_had_is_skipped_and_is_a_failure_in_ci() {
    let folder = workspace(&format!("{PASSES}{NEEDS_PAYLOADS}"));
    payloads(folder.path(), "{}");
    check(&folder, "", "1 passed, 0 failed, 1 skipped", true);
    check(&folder, "true", "1 passed, 1 failed, 1 skipped", false);
}
