//! `cargo xtask test`: tidy first, because it is quick, then everything that cargo can run.

use crate::command::{cargo, stream};
use crate::needs::{self, Need};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Runs all tests; the last line printed is `N passed, N failed, N skipped`.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let mut tally = Tally::default();
    let tidy = crate::tidy::run(workspace)?;
    let needs = needs::gather(workspace)?;
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");

    // The documentation's tests are a run of their own: cargo leaves them out of --all-targets.
    cargo_test(workspace, &["--all-targets"], &needs, &mut tally)?;
    cargo_test(workspace, &["--doc"], &[], &mut tally)?;
    if !tally.is_green() && tally.failed == 0 {
        eprintln!("no test ran");
    }

    for need in &needs {
        let Err(reason) = &need.value else { continue };
        eprintln!("not tested, because {} could not be had: {reason}", need.what);
        if in_ci {
            tally.failed += 1;
        } else if tally.skipped == 0 {
            tally.skipped = 1;
        }
    }
    if !tidy {
        eprintln!("tidy has findings, see above; they count as one failed test");
        tally.failed += 1;
    }
    println!("{tally}");
    Ok(tally.is_green())
}

/// One run of `cargo test`. Tests that need what is missing are left out by name, so that none passes untested.
fn cargo_test(workspace: &Workspace, which: &[&str], needs: &[Need], tally: &mut Tally) -> anyhow::Result<()> {
    let mut command = cargo(&workspace.root, &["test", "--workspace", "--no-fail-fast"]);
    command.args(which).arg("--");
    for need in needs {
        match &need.value {
            Ok(value) => command.env(need.variable, value),
            Err(_) => command.args(["--skip", need.tests]),
        };
    }
    let failed_before = tally.failed;
    let ok = stream(&mut command, &workspace.root, |line| tally.read(line))?;
    // A program that does not build or dies prints no result line: it must not vanish from the count.
    if !ok && tally.failed == failed_before {
        eprintln!("cargo test failed without a failed test: a test program did not build or did not live to its end");
        tally.failed += 1;
    }
    Ok(())
}
