//! The binary as a child process: started on free ports, asked, killed, drained.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::{Clock, SystemClock};
use serde_json::Value;

use crate::http;

/// For a server that must come back at the same address.
pub(crate) use services::free_port;

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");
/// How often something is looked at before a test gives up, and the pause between two looks.
const LOOKS: usize = 3_000;
const PAUSE: Duration = Duration::from_millis(20);
/// How long it may take to listen: on a busy machine it goes over its data first.
const LISTENS: Duration = Duration::from_secs(120);

/// The binary with a clean environment: neither this machine's variables nor its folder take part.
pub(crate) fn command(dir: &Path) -> Command {
    clean(BINARY, dir)
}

fn clean(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    let ours = |name: &str| ["MILLSTREAM_", "EMITTER_", "KAFKA_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    for name in ["BATCH_SIZE", "BURST_MODE", "SIGNALS_PER_SECOND", "DATABASE_URL", "REDIS_URL", "DLQ_TOPIC"]
        .into_iter()
        .chain(["BUFFER_DIR", "MAX_BUFFER_SIZE_MB", "MAX_QUEUE_SIZE", "ANALYTICS_GROUP_ID"])
    {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end in a folder.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir).args(args).output().expect("the binary runs")
}

/// Runs a verb with `--output json`; gives its exit code and its document.
pub(crate) fn run_json(dir: &Path, args: &[&str]) -> (i32, Value) {
    let output = command(dir).args(args).args(["--output", "json"]).output().expect("the binary runs");
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{args:?} printed no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("an exit code"), document)
}

/// Looks again and again until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::default();
    for _ in 0..LOOKS {
        if holds() {
            return;
        }
        clock.sleep(PAUSE);
    }
    panic!("waited in vain: {what}");
}

/// A serving child. Dropped, it is killed.
pub(crate) struct Product {
    child: Child,
    pub(crate) clients: String,
    pub(crate) admin: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Product {
    /// Starts `serve` on a data folder with more arguments, and waits for its doors.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        Self::start_at(dir, "127.0.0.1:0", more)
    }

    /// The same on a given address.
    pub(crate) fn start_at(dir: &Path, listen: &str, more: &[&str]) -> Self {
        Self::spawn(command(dir), listen, more)
    }

    /// The same with a variable of the environment.
    pub(crate) fn start_with_variable(dir: &Path, name: &str, value: &Path) -> Self {
        let mut command = command(dir);
        command.env(name, value);
        Self::spawn(command, "127.0.0.1:0", &[])
    }

    /// The same where a process may have only so many files open.
    pub(crate) fn start_with_files(dir: &Path, files: u32) -> Self {
        let mut shell = clean("sh", dir);
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), BINARY]);
        Self::spawn(shell, "127.0.0.1:0", &[])
    }

    fn spawn(mut command: Command, listen: &str, more: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--listen", listen, "--admin", "127.0.0.1:0", "--data-dir", "data"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let reader = BufReader::new(child.stderr.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sink, (found, addresses)) = (lines.clone(), std::sync::mpsc::channel());
        // It reads to the end, so that the product never waits for us.
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                match line.strip_prefix("listening on ").and_then(|l| l.split_once(" admin ")) {
                    Some((clients, admin)) => drop(found.send((clients.to_owned(), admin.trim().to_owned()))),
                    None => sink.lock().expect("no panic").push(line),
                }
            }
        });
        let Ok(addresses) = addresses.recv_timeout(LISTENS) else {
            drop(child.kill());
            panic!("it does not listen: {:?}\n{}", child.wait(), lines.lock().expect("no panic").join("\n"));
        };
        Self { child, clients: addresses.0, admin: addresses.1, lines }
    }

    /// What it said on its standard error so far.
    pub(crate) fn said(&self) -> String {
        self.lines.lock().expect("no panic").join("\n")
    }

    /// A URL on the clients' port.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.clients)
    }

    /// Posts NDJSON to a stream and waits until it is in the store.
    pub(crate) fn post_stored(&self, stream: &str, lines: &str) -> Value {
        let url = self.url(&format!("/v1/streams/{stream}/events?ack=stored"));
        let answer = http::post(&url, "application/x-ndjson", lines.as_bytes()).json();
        assert_eq!(answer["ack"], "stored", "{answer}");
        answer
    }

    /// Reads JSON from the clients' port.
    pub(crate) fn ask(&self, path: &str) -> Value {
        http::get(&self.url(path)).expect(200).json()
    }

    /// Waits until everything in the log that any engine reads is in the store. While nobody knows that, it waits on.
    pub(crate) fn caught_up(&self) {
        until("the store has what the log has", || {
            let figures = http::get(&format!("{}/debug", self.admin)).json();
            let streams = figures["streams"].as_array().expect("streams");
            // No engine reads the answers that doors remember.
            let mut read = streams.iter().filter(|stream| stream["stream"] != "_answers");
            read.all(|s| s["partitions"].as_array().expect("partitions").iter().all(|p| p["lag_events"] == 0))
        });
    }

    /// Its resident memory now, in KiB; 0 where the system does not tell.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end, once.
    pub(crate) fn terminate(&self) {
        signal(self.child.id(), "TERM");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Asks it to end, and fails unless it ends well.
    pub(crate) fn stop(self) {
        self.terminate();
        let lines = self.lines.clone();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", lines.lock().expect("no panic").join("\n"));
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // What it said is what helps when a test fails.
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a test that fails")]
            {
                eprintln!("--- {}\n{}", self.clients, self.said());
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal by its name.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

/// A folder for a test.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes a file of a test.
pub(crate) fn write(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, content).expect("a file");
    path
}

/// Reads a file of a test.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::read(path).expect("a file")
}
