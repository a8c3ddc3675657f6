//! Running other programs: their output is passed on line by line, and never names a folder of this machine.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;

use crate::watch;

/// Cargo, in the workspace, with the colours that the caller's terminal can show.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// Runs a command to its end and gives whether it succeeded. Each line of its output goes to ours, and lines of its
/// standard output go to `each` too.
pub(crate) fn stream(command: &mut Command, root: &Path, each: impl FnMut(&str)) -> anyhow::Result<bool> {
    stream_or_end(command, root, watch::SILENCE, each)
}

/// The same, where what it started is killed when nothing is said for so long.
fn stream_or_end(
    command: &mut Command,
    root: &Path,
    silence: Duration,
    mut each: impl FnMut(&str),
) -> anyhow::Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let name = Path::new(&name).file_name().map_or(name.clone(), |n| n.to_string_lossy().into_owned());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let (out, err, id) = (child.stdout.take(), child.stderr.take(), child.id());
    let (word, words) = mpsc::channel();
    let words_too = word.clone();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        scope.spawn(move || watch::watch(id, &words, silence));
        // Who listens ends last.
        let heard = move |_: &str| words_too.send(()).unwrap_or_default();
        let errors = scope.spawn(move || err.map_or(Ok(()), |pipe| pass(pipe, root, std::io::stderr(), heard)));
        let heard = move |line: &str| {
            word.send(()).unwrap_or_default();
            each(line);
        };
        out.map_or(Ok(()), |pipe| pass(pipe, root, std::io::stdout(), heard))?;
        errors.join().unwrap_or(Ok(()))
    })?;
    Ok(child.wait().with_context(|| name)?.success())
}

fn pass(pipe: impl Read, root: &Path, mut to: impl Write, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut lines = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        let line = without_root(&String::from_utf8_lossy(&bytes), root);
        each(line.trim_end());
        to.write_all(line.as_bytes())?;
        bytes.clear();
    }
    Ok(to.flush()?)
}

/// The same text with the workspace's folder as `.`: what a machine prints can be compared with what another prints.
fn without_root(text: &str, root: &Path) -> String {
    text.replace(root.to_string_lossy().as_ref(), ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_folder_is_printed_as_a_dot() {
        let root = Path::new("/some/where");
        assert_eq!(
            without_root("Compiling event (/some/where/crates/event)", root),
            "Compiling event (./crates/event)"
        );
    }

    #[test]
    fn a_command_hands_over_its_lines_and_its_end() {
        let root = std::env::temp_dir();
        let mut lines = Vec::new();
        let script = "echo one; echo two; echo three >&2; exit 3";
        let ok = stream(Command::new("sh").args(["-c", script]), &root, |line| lines.push(line.to_owned())).unwrap();
        assert!(!ok);
        assert_eq!(lines, ["one", "two"]);
        assert!(stream(&mut Command::new("true"), &root, |_| ()).unwrap());
        assert!(stream(&mut Command::new("no-such-program-anywhere"), &root, |_| ()).is_err());
    }

    #[test]
    fn what_hangs_is_ended_and_the_rest_goes_on() {
        let mut lines = Vec::new();
        let script = "echo one; sleep 600; echo two";
        let silence = Duration::from_millis(300);
        let ok = stream_or_end(Command::new("sh").args(["-c", script]), &std::env::temp_dir(), silence, |line| {
            lines.push(line.to_owned());
        });
        assert!(ok.unwrap());
        assert_eq!(lines, ["one", "two"]);
    }
}
