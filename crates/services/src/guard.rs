//! What outlives a test program by a moment: it ends the servers that the program left behind and removes their folder.
//!
//! A shell reads a pipe whose other end only we hold. When we end, in whatever way, the pipe ends, and the shell does what a
//! `Drop` would have done. The signal that Linux can send to the children of a dead process does not serve: it comes when
//! the *thread* that started the child ends, and each test is a thread.

use std::io::{Result, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// Reads lines `+ PID` and `- PID`; at the end it kills who is left. A server may still write while it dies, so removing
/// its folder can need some tries.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=
while read -r sign pid; do
  case $sign in
    +) pids="$pids $pid" ;;
    -) left=; for p in $pids; do [ "$p" = "$pid" ] || left="$left $p"; done; pids=$left ;;
  esac
done
for p in $pids; do kill -9 "$p"; done
try=0
while ! rm -rf "$1" && [ $try -lt 100 ]; do try=$((try + 1)); sleep 0.1; done
"#;

/// A folder for servers, and the shell that watches over both.
#[derive(Debug)]
pub(crate) struct Guard {
    folder: PathBuf,
    shell: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// A new folder with its watcher.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("millstream-test-").tempdir()?.keep();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in our group: an interrupt from the terminal is for us.
            .process_group(0)
            .spawn()?;
        let pipe = Mutex::new(shell.stdin.take());
        Ok(Self { folder, shell, pipe })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the process ends with us.
    pub(crate) fn watch(&self, pid: u32) -> Result<()> {
        self.say('+', pid)
    }

    /// The process has ended: its number may become somebody else's.
    pub(crate) fn forget(&self, pid: u32) -> Result<()> {
        self.say('-', pid)
    }

    fn say(&self, sign: char, pid: u32) -> Result<()> {
        let mut pipe = self.pipe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(format!("{sign} {pid}\n").as_bytes()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        drop(self.shell.wait());
    }
}
