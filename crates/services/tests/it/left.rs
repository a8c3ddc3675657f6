//! What a server leaves behind: nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Looks again and again until something holds.
#[expect(clippy::disallowed_methods, reason = "processes outside are waited for; the condition is polled with an end")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited in vain: {what}");
}

/// A server's process and the folder it was given.
pub(crate) struct Traces {
    pub(crate) pid: u32,
    pub(crate) folder: PathBuf,
}

impl Traces {
    /// Of a server that runs: its folder is where it works, or stands in its command line.
    pub(crate) fn of(pid: u32) -> Self {
        let place = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_string_lossy().into_owned();
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().replace('\0', " ");
        let said = format!("{place} {line}");
        let name = said.split(['/', ' ']).find(|part| part.starts_with("millstream-test-"));
        let folder = std::env::temp_dir().join(name.unwrap_or_else(|| panic!("no folder in {said}")));
        assert!(folder.is_dir(), "{folder:?}");
        Self { pid, folder }
    }

    /// Whether the process runs; one that has ended and that nobody has waited for has no working folder any more.
    pub(crate) fn runs(&self) -> bool {
        Path::new(&format!("/proc/{}/cwd", self.pid)).read_link().is_ok()
    }

    /// Fails unless both are gone.
    pub(crate) fn are_gone(&self) {
        assert!(!self.runs(), "process {} still runs", self.pid);
        assert!(!self.folder.exists(), "{:?} is still there", self.folder);
    }
}
