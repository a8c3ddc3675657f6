//! `cargo xtask services`: the four servers of the tests, for a developer's own use, until Ctrl-C.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use services::{Kafka, Missing, Postgres, Redis, Timescale};

use crate::needs::{self, Need};
use crate::workspace::Workspace;

/// Set for the process that has all variables: it does not look for anything any more.
const GATHERED: &str = "MILLSTREAM_TEST_GATHERED";

/// Starts them, says where they are, and waits to be ended: the guards of the servers see to the rest.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    if std::env::var_os(GATHERED).is_some() {
        return serve();
    }
    let needs = needs::servers(workspace);
    let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
    command.arg("services").env(GATHERED, "1");
    for Need { what, variable, value, .. } in &needs {
        match value {
            Ok(value) => drop(command.env(variable, value).get_program()),
            Err(reason) => eprintln!("{what} could not be had: {reason}"),
        }
    }
    if std::env::var("CI").is_ok_and(|ci| ci == "true") && needs.iter().any(|need| need.value.is_err()) {
        bail!("with CI=true all four have to be there");
    }
    // The servers learn where their programs lie from the environment, which a process cannot safely change for itself.
    Err(command.exec()).context("cannot start this program again")
}

fn serve() -> anyhow::Result<bool> {
    let kafka = started(Kafka::start())?;
    let postgres = started(Postgres::start())?;
    let timescale = started(Timescale::start())?;
    let redis = started(Redis::start())?;
    let addresses = [
        ("Apache Kafka", "KAFKA_BOOTSTRAP_SERVERS", kafka.as_ref().map(Kafka::brokers)),
        ("PostgreSQL", "DATABASE_URL", postgres.as_ref().map(Postgres::database)),
        ("TimescaleDB", "", timescale.as_ref().map(Timescale::url)),
        ("Redis", "REDIS_URL", redis.as_ref().map(Redis::url)),
    ];
    print(&addresses);
    loop {
        std::thread::park();
    }
}

/// What is missing has been told; what is there and does not start is an error.
fn started<S>(server: Result<S, Missing>) -> anyhow::Result<Option<S>> {
    match server {
        Ok(server) => Ok(Some(server)),
        Err(Missing::Untold(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn print(addresses: &[(&str, &str, Option<String>)]) {
    for (name, _, address) in addresses {
        println!("{name:<14}{}", address.as_deref().unwrap_or("missing"));
    }
    println!("\nTimescaleDB serves one connection at a time: a pool over it has size 1.\n");
    let lines = addresses.iter().filter(|(_, variable, _)| !variable.is_empty());
    lines.for_each(|(_, variable, address)| {
        if let Some(address) = address {
            println!("export {variable}={address}");
        }
    });
    println!("\nCtrl-C stops them and removes their data.");
}
