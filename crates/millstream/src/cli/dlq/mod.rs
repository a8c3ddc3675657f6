//! `millstream dlq`: dead letters of a running server looked at, edited, replayed, given up.

mod edit;
mod sweep;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use event::Millis;
use serde_json::{Map, Value, json};

use super::Verdict;
use super::remote::{Remote, Server, encoded, time};
use crate::output::{Output, table, thousands};
use crate::{telemetry, wiring};

/// Rows of a page that is asked for.
const PAGE: usize = 1_000;
/// Characters of a message in a table.
const MESSAGE_CHARS: usize = 60;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List dead letters, newest first.
    Ls {
        #[command(flatten)]
        filter: Filter,
        /// How many at the most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        server: Server,
    },
    /// Show one with everything that is known of it.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Put other bytes in place of the sender's; from a file, or with $EDITOR at a terminal.
    Edit {
        /// Its id.
        id: String,
        /// The file with the event as it should have been; `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The event itself, or `@FILE`.
        #[arg(long, value_name = "JSON", conflicts_with = "file")]
        data: Option<String>,
        /// Go back to the sender's bytes.
        #[arg(long, conflicts_with_all = ["file", "data"])]
        restore: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Send them to their streams again: those named, or all open ones that the filters let through.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Letters a second at the most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// How many at the most; no bound when absent.
        #[arg(long)]
        limit: Option<u64>,
    },
    /// Give them up: those named, or all open and quarantined ones that the filters let through.
    Discard {
        #[command(flatten)]
        which: Which,
    },
}

/// Which letters. All that is given must hold.
#[derive(Clone, Debug, Args)]
pub(super) struct Filter {
    /// Meant for this stream.
    #[arg(long)]
    stream: Option<String>,
    /// Refused for this reason, as missing_field or rule_panic.
    #[arg(long)]
    code: Option<String>,
    /// Refused there: collect, process, store.
    #[arg(long)]
    stage: Option<String>,
    /// What became of them: open, replaying, resolved, discarded, quarantined.
    #[arg(long)]
    status: Option<String>,
    /// Failed for the last time at or after this: RFC 3339, milliseconds, or -1h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time)]
    from: Option<Millis>,
    /// Failed for the last time at or before this.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time)]
    to: Option<Millis>,
}

/// Letters by id or by filter.
#[derive(Clone, Debug, Args)]
pub(super) struct Which {
    /// These letters.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The same.
    #[arg(long = "id", value_name = "ID")]
    more: Vec<String>,
    /// All that can be taken, without any filter.
    #[arg(long)]
    all: bool,
    /// Only say how many there are.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(verb: &Verb, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    wiring::runtime()?.block_on(async {
        match verb {
            Verb::Ls { filter, limit, server } => list(&mut server.connect()?, filter, *limit, output).await,
            Verb::Show { id, server } => show(&mut server.connect()?, id, output).await,
            Verb::Edit { id, file, data, restore, server } => {
                let source = edit::Source { file: file.as_deref(), data: data.as_deref(), restore: *restore };
                edit::edit(&mut server.connect()?, id, source, output).await
            }
            Verb::Replay { which, rate, limit } => sweep::replay(which, *rate, *limit, output).await,
            Verb::Discard { which } => sweep::discard(which, output).await,
        }
    })
}

impl Filter {
    /// As the server takes it.
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let texts = [("stream", &self.stream), ("code", &self.code), ("stage", &self.stage), ("status", &self.status)];
        for (name, value) in texts {
            fields.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
        }
        for (name, value) in [("from", self.from), ("to", self.to)] {
            fields.extend(value.map(|ms| (name.to_owned(), json!(ms))));
        }
        fields
    }
}

async fn list(remote: &mut Remote, filter: &Filter, limit: usize, output: Output) -> Verdict {
    let mut query = String::new();
    for (name, value) in filter.fields() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        query += &format!("&{name}={}", encoded(&value));
    }
    let (mut letters, mut cursor) = (Vec::new(), String::new());
    let total = loop {
        let page = limit.saturating_sub(letters.len()).clamp(1, PAGE);
        let mut answer = remote.get(&format!("/v1/dlq?limit={page}{query}{cursor}")).await?;
        letters.extend(answer["dead_letters"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match answer["next_cursor"].as_str() {
            Some(next) if letters.len() < limit => cursor = format!("&cursor={next}"),
            _ => break answer["total"].take(),
        }
    };
    let document = json!({ "dead_letters": letters, "total": total });
    output.print(&document, || {
        let rows: Vec<_> = letters.iter().map(row).collect();
        let headings = ["id", "stream", "stage", "code", "status", "attempts", "last failed", "message"];
        format!(
            "{}{} of {}",
            table(&headings, &rows),
            thousands(rows.len() as u64),
            thousands(total.as_u64().unwrap_or(0))
        )
    });
    Ok(true)
}

fn row(letter: &Value) -> Vec<String> {
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let mut message = text("message").replace(char::is_control, " ");
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS) {
        message.truncate(end);
        message.push('…');
    }
    let attempts = letter["attempts"].to_string();
    [text("id"), text("stream"), text("stage"), text("code"), text("status"), attempts, text("last_failed_at"), message]
        .to_vec()
}

async fn show(remote: &mut Remote, id: &str, output: Output) -> Verdict {
    let letter = remote.get(&format!("/v1/dlq/{}", encoded(id))).await?;
    print_letter(&letter, output);
    Ok(true)
}

fn print_letter(letter: &Value, output: Output) {
    output.print(letter, || {
        let fields = letter.as_object().into_iter().flatten();
        let width = fields.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:width$}  {value}\n")
        };
        fields.map(line).collect()
    });
}
