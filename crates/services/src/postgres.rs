//! A PostgreSQL server as it runs elsewhere: commits reach the disk, text is sorted by language.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::account::Account;
use crate::guard::Guard;
use crate::missing::Missing;
use crate::server::{Recipe, Server, try_again};
use crate::{ports, wire};

const NAME: &str = "PostgreSQL";

/// `fsync` stays on: what is committed is there after a kill, and a measurement means something.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "jit=off",
];

/// A private PostgreSQL server. Dropped, it ends and its folder is removed.
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a new data folder, starts a server on it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Missing`] without `MILLSTREAM_TEST_POSTGRES` (the folder of `postgres`, `initdb` and `createdb`), or when it does
    /// not start.
    pub fn start() -> Result<Self, Missing> {
        let programs = Missing::unless_told("MILLSTREAM_TEST_POSTGRES")?;
        let account = Account::unprivileged();
        try_again(|| {
            let guard = Arc::new(Guard::new().map_err(|error| Missing::failed(NAME, &error))?);
            initialise(&programs, guard.folder(), account)?;
            let port = ports::free();
            let recipe = recipe(programs.clone(), guard.folder().to_owned(), port, account);
            let mut server = Server::new(recipe, guard);
            server.launch()?;
            server.answers()?;
            Ok(Self { server, programs: programs.clone(), port, databases: AtomicU32::new(0) })
        })
    }

    /// A new, empty database; its URL. The name is the server's own: `test_1`, `test_2`, …
    ///
    /// # Panics
    ///
    /// When the server does not run.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        let mut command = Command::new(self.programs.join("createdb"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-T", "template0", &name]);
        let made = run(&mut command);
        assert!(made.is_ok(), "{made:?}");
        self.url_of(&name)
    }

    /// The URL of the database `postgres`, which every server has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Stops it at once but in order: who is connected is sent away. Waits for its end.
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

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Text is sorted by the rules of a language here, as in most installations: who relies on the order of bytes has to say so.
fn initialise(programs: &Path, folder: &Path, account: Account) -> Result<(), Missing> {
    account.own(folder).map_err(|error| Missing::failed(NAME, &error))?;
    let mut command = Command::new(programs.join("initdb"));
    command.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C", "--locale-provider", "icu"]);
    command.args(["--icu-locale", "en", "--no-sync", "--no-instructions", "-D"]).arg(folder.join("data"));
    run(account.run(command.current_dir(folder)))
}

fn recipe(programs: PathBuf, folder: PathBuf, port: u16, account: Account) -> Recipe {
    let said = folder.join("said");
    let command = move || {
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]).current_dir(&folder);
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        account.run(&mut command);
        command
    };
    let answers = Box::new(move || wire::postgres_serves(port));
    // SIGTERM would wait until everybody has left by himself.
    Recipe { name: NAME, command: Box::new(command), answers, stop: Signal::INT, said }
}

fn run(command: &mut Command) -> Result<(), Missing> {
    let output = command.env("LC_ALL", "C").output().map_err(|error| Missing::failed(NAME, &error))?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(Missing::failed(NAME, &said())) }
}
