//! A Redis server that writes every change to its disk before it answers.

use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;

use crate::guard::Guard;
use crate::missing::Missing;
use crate::server::{Recipe, Server, try_again};
use crate::{ports, wire};

const NAME: &str = "Redis";

/// A private Redis server. Dropped, it ends and its folder is removed.
pub struct Redis {
    server: Server,
    port: u16,
}

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Missing`] without `MILLSTREAM_TEST_REDIS` (the path of `redis-server`), or when it does not start.
    pub fn start() -> Result<Self, Missing> {
        let program = Missing::unless_told("MILLSTREAM_TEST_REDIS")?;
        try_again(|| {
            let guard = Arc::new(Guard::new().map_err(|error| Missing::failed(NAME, &error))?);
            let (port, program, folder) = (ports::free(), program.clone(), guard.folder().to_owned());
            let said = folder.join("said");
            let command = move || {
                let mut command = Command::new(&program);
                command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&folder);
                command.args(["--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
                command
            };
            let answers = Box::new(move || wire::redis_serves(port));
            let recipe = Recipe { name: NAME, command: Box::new(command), answers, stop: Signal::TERM, said };
            let mut server = Server::new(recipe, guard);
            server.launch()?;
            server.answers()?;
            Ok(Self { server, port })
        })
    }

    /// Where it is: `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it in order and waits for its end.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again at the same address with what it kept; returns when it answers.
    pub fn restart(&mut self) {
        self.server.restart();
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }
}
