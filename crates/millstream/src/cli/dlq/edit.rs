//! `millstream dlq edit`: the event as it should have been, from a file, the command line or an editor.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use axum::http::Method;
use bytes::Bytes;
use serde_json::Value;

use super::print_letter;
use crate::cli::Verdict;
use crate::cli::folder::Folder;
use crate::cli::remote::{Remote, encoded};
use crate::output::Output;

/// Where the bytes of an edit come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) data: Option<&'a str>,
    /// Whether it goes back to the sender's.
    pub(super) restore: bool,
}

/// Puts other bytes in place of the sender's.
pub(super) async fn edit(remote: &mut Remote, id: &str, source: Source<'_>, output: Output) -> Verdict {
    let path = format!("/v1/dlq/{}", encoded(id));
    if source.restore {
        let letter = remote.ask(Method::DELETE, &format!("{path}/edited"), Bytes::new()).await?;
        print_letter(&letter, output);
        return Ok(true);
    }
    let bytes = match (source.file, source.data) {
        (Some(file), _) => read(file)?,
        (None, Some(data)) => match data.strip_prefix('@') {
            Some(file) => read(Path::new(file))?,
            None => data.as_bytes().to_vec(),
        },
        (None, None) => in_editor(&remote.get(&path).await?)?,
    };
    let letter = remote.ask(Method::PATCH, &path, bytes.into()).await?;
    print_letter(&letter, output);
    Ok(true)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        return Ok(std::io::read_to_string(std::io::stdin()).context("cannot read the standard input")?.into_bytes());
    }
    #[expect(clippy::disallowed_methods, reason = "a file of a person, not data of the product")]
    let bytes = std::fs::read(path);
    bytes.with_context(|| format!("cannot read {}", path.display()))
}

/// The event as a person left it in an editor.
fn in_editor(letter: &Value) -> anyhow::Result<Vec<u8>> {
    let hint = "give the event with --file FILE or --data JSON, or set EDITOR and use a terminal";
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).ok();
    let editor = editor.filter(|_| std::io::stdin().is_terminal() && std::io::stdout().is_terminal()).context(hint)?;
    let event = letter.get("edited").filter(|edited| !edited.is_null()).or_else(|| letter.get("data"));
    let event = event.context("the event is not JSON: give it with --file FILE")?;
    let before = serde_json::to_string_pretty(event)? + "\n";
    let folder = Folder::new(None, "edit")?;
    let path = folder.path.join("event.json");
    write(&path, before.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    let ended = Command::new("sh").args(["-c", &format!("{editor} \"$0\"")]).arg(&path).status();
    anyhow::ensure!(
        ended.with_context(|| format!("cannot run {editor}"))?.success(),
        "{editor} failed; nothing was changed"
    );
    let after = read(&path)?;
    anyhow::ensure!(after != before.as_bytes(), "nothing was changed");
    Ok(after)
}

/// A new file that nobody else may read.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    #[expect(clippy::disallowed_methods, reason = "a file for a person, not data of the product")]
    let file = options.open(path);
    file?.write_all(bytes)
}
