//! The command line: one file for each verb. Exit codes: 0 done, 1 failed, 2 called wrongly, 78 bad configuration.

mod bench;
mod check;
mod config_cmd;
mod demo;
mod dlq;
mod emit;
mod folder;
mod init;
mod key;
mod log_cmd;
mod migrate;
mod remote;
mod replay;
mod serve;
mod test_cmd;
mod verify_cmd;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::BadConfig;
use crate::output::{self, Output};

/// Bad configuration, as sysexits.h has it.
const EX_CONFIG: u8 = 78;

/// Durable event streams, rules and answers in one binary.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about, max_term_width = 110)]
struct Cli {
    /// How data is printed.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Global")]
    output: Output,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run; no configuration is needed.
    Serve(serve::Args),
    /// Run on a fresh folder with the built-in emitter, and print a summary at the end.
    Demo(demo::Args),
    /// Generate load at a rate that is kept.
    Emit(emit::Args),
    /// Write a commented millstream.yaml.
    Init(init::Args),
    /// Say everything that is wrong with a configuration.
    Check(check::Args),
    /// Look at the configuration in force.
    #[command(subcommand)]
    Config(config_cmd::Verb),
    /// Make a key for senders or readers.
    Key(key::Args),
    /// Look at dead letters of a running server; edit, replay or discard them.
    #[command(subcommand)]
    Dlq(dlq::Verb),
    /// Run the log of a running server afresh, and compare with what is there.
    Replay(replay::Args),
    /// Look at the log while nothing runs.
    #[command(subcommand)]
    Log(log_cmd::Verb),
    /// Make or upgrade the store's tables; move a SQLite store to PostgreSQL.
    Migrate(migrate::Args),
    /// Recompute the store from the log and report every difference.
    Verify(verify_cmd::Args),
    /// Try rules and windows: given events, expected findings.
    Test(test_cmd::Args),
    /// Measure this machine.
    Bench(bench::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

/// What a verb ends with: whether it found everything in order.
pub(crate) type Verdict = anyhow::Result<bool>;

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let verdict = match cli.verb {
        Verb::Serve(args) => serve::run(&args),
        Verb::Demo(args) => demo::run(&args, cli.output),
        Verb::Emit(args) => emit::run(&args, cli.output),
        Verb::Init(args) => init::run(&args),
        Verb::Check(args) => check::run(&args, cli.output),
        Verb::Config(verb) => config_cmd::run(&verb, cli.output),
        Verb::Key(args) => key::run(&args, cli.output),
        Verb::Dlq(verb) => dlq::run(&verb, cli.output),
        Verb::Replay(args) => replay::run(&args, cli.output),
        Verb::Log(verb) => log_cmd::run(&verb, cli.output),
        Verb::Migrate(args) => migrate::run(&args, cli.output),
        Verb::Verify(args) => verify_cmd::run(&args, cli.output),
        Verb::Test(args) => test_cmd::run(&args, cli.output),
        Verb::Bench(args) => bench::run(&args, cli.output),
        Verb::Completions { shell } => completions(shell),
        Verb::Version => version::run(cli.output),
    };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => match error.downcast_ref::<BadConfig>() {
            Some(bad) => {
                output::note(&bad.to_string());
                ExitCode::from(EX_CONFIG)
            }
            None => {
                output::note(&format!("error: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn completions(shell: clap_complete::Shell) -> Verdict {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "millstream", &mut script);
    output::line(&String::from_utf8(script)?);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
