//! `cargo xtask lint` and `cargo xtask ci`: everything that has to be green before a merge.

use crate::command::{cargo, stream};
use crate::workspace::Workspace;

/// Formatting, clippy, dependencies. All of them run, so that one visit shows everything there is to mend.
pub(crate) fn lint(workspace: &Workspace) -> anyhow::Result<bool> {
    let format = step(workspace, &["fmt", "--all", "--check"])?;
    let clippy = step(workspace, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let deny = deny(workspace)?;
    Ok(format && clippy && deny)
}

/// Lint, then test; the tests come last because their last line is the count.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let lint = lint(workspace)?;
    let test = crate::test::run(workspace)?;
    Ok(lint && test)
}

/// cargo-deny is not installed from here: building it takes longer than everything else together.
fn deny(workspace: &Workspace) -> anyhow::Result<bool> {
    let can = |arguments: &[&str]| cargo(&workspace.root, arguments).output().is_ok_and(|o| o.status.success());
    if !can(&["deny", "--version"]) {
        eprintln!("cargo deny: NOT RUN, it is not installed (cargo install cargo-deny --locked)");
        return Ok(true);
    }
    let rest = step(workspace, &["deny", "check", "bans", "licenses", "sources"])?;
    // Advisories live in a repository of their own; without a network the rest is still worth checking.
    if !can(&["deny", "fetch", "db"]) {
        eprintln!("cargo deny check advisories: NOT RUN, the advisory database cannot be fetched");
        return Ok(rest);
    }
    Ok(step(workspace, &["deny", "check", "advisories"])? && rest)
}

fn step(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<bool> {
    let ok = stream(&mut cargo(&workspace.root, arguments), &workspace.root, |_| ())?;
    eprintln!("cargo {}: {}", arguments.join(" "), if ok { "ok" } else { "FAILED" });
    Ok(ok)
}
