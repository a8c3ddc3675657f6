//! A real TimescaleDB, compiled to WebAssembly and run by Node: Debian has no package of it.

use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;

use crate::guard::Guard;
use crate::missing::Missing;
use crate::server::{Recipe, Server, try_again};
use crate::{ports, wire};

const NAME: &str = "TimescaleDB";

/// The server. The data is in memory: it is there to show what the SQL does, not what survives.
const SCRIPT: &str = include_str!("timescale.js");

/// A private TimescaleDB with ONE connection: a pool over it has size 1. Dropped, it ends.
pub struct Timescale {
    server: Server,
    port: u16,
}

impl Timescale {
    /// Starts one with an empty database and the extension in it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Missing`] without `MILLSTREAM_TEST_TIMESCALE` (the folder `node_modules` with the two packages), or when it does
    /// not start.
    pub fn start() -> Result<Self, Missing> {
        let modules = Missing::unless_told("MILLSTREAM_TEST_TIMESCALE")?;
        try_again(|| {
            let guard = Arc::new(Guard::new().map_err(|error| Missing::failed(NAME, &error))?);
            let (port, modules, said) = (ports::free(), modules.clone(), guard.folder().join("said"));
            let folder = guard.folder().to_owned();
            let command = move || {
                let mut command = Command::new("node");
                command.args(["-e", SCRIPT, &port.to_string()]).env("NODE_PATH", &modules).current_dir(&folder);
                command
            };
            let answers = Box::new(move || wire::postgres_serves(port));
            let recipe = Recipe { name: NAME, command: Box::new(command), answers, stop: Signal::TERM, said };
            let mut server = Server::new(recipe, guard);
            server.launch()?;
            server.answers()?;
            Ok(Self { server, port })
        })
    }

    /// Where it is. It asks for a password and takes any.
    pub fn url(&self) -> String {
        format!("postgres://postgres:any@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}
