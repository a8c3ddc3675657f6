//! An end to what hangs: a test program that says nothing for a long time is killed with all that it started, so that the
//! others still run and the count still comes.

use std::collections::HashSet;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Longer than any test takes, and any crate to compile.
pub(crate) const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Kills what `parent` started whenever no word of it came for so long; ends when nobody speaks any more.
pub(crate) fn watch(parent: u32, words: &Receiver<()>, silence: Duration) {
    loop {
        match words.recv_timeout(silence) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let found = descendants(parent, &processes());
                eprintln!("not a word for {} s: {} processes are killed", silence.as_secs(), found.len());
                let ids = found.iter().map(u32::to_string);
                // Some may have ended by now.
                drop(Command::new("kill").arg("-KILL").args(ids).status());
            }
        }
    }
}

/// Every process with its parent.
fn processes() -> Vec<(u32, u32)> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn descendants(parent: u32, processes: &[(u32, u32)]) -> HashSet<u32> {
    let mut found = HashSet::from([parent]);
    loop {
        let more: Vec<u32> =
            processes.iter().filter(|(id, of)| found.contains(of) && !found.contains(id)).map(|(id, _)| *id).collect();
        if more.is_empty() {
            found.remove(&parent);
            return found;
        }
        found.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_found_and_nobody_else() {
        let processes = [(2, 1), (3, 2), (9, 3), (4, 1), (5, 4)];
        assert_eq!(descendants(2, &processes), HashSet::from([3, 9]));
        assert!(processes_of_this_machine_have(std::process::id()));
    }

    fn processes_of_this_machine_have(id: u32) -> bool {
        processes().iter().any(|(one, _)| *one == id)
    }
}
