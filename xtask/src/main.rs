//! The workshop: `cargo xtask tidy | lint | test | services | ci`, the same commands on every machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

mod ci;
mod command;
mod needs;
mod servers;
mod tally;
mod test;
mod tidy;
mod watch;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask <verb>

  tidy      the rules of the house that the compiler cannot hold
  lint      formatting, clippy without a warning, and cargo-deny where it is installed
  test      tidy, then every test; the last line counts them
  services  the servers of the tests, on free ports, until Ctrl-C
  ci        lint, then test: what has to be green before a merge";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verb: fn(&Workspace) -> anyhow::Result<bool> = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        ["tidy"] => tidy::run,
        ["lint"] => ci::lint,
        ["test"] => test::run,
        ["services"] => servers::run,
        ["ci"] => ci::run,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match Workspace::load().and_then(|workspace| verb(&workspace)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
