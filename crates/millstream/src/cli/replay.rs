//! `millstream replay`: the log of a running server run afresh, the difference shown, and exchanged when asked for.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use event::Millis;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::Verdict;
use super::remote::{Remote, Server, time};
use crate::output::{Output, note, progress, table, thousands};
use crate::shutdown::Signals;
use crate::{telemetry, wiring};

/// How often a replay that runs is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Differences that are printed as text; JSON has all that the server tells.
const DETAILS: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The stream.
    #[arg(long)]
    stream: String,
    /// Results from here on: RFC 3339, milliseconds since the epoch, or how long ago as -1h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time)]
    from: Millis,
    /// Results before this; without an end when absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time)]
    to: Option<Millis>,
    /// Where the results go: beside the live ones, or in their place.
    #[arg(long, value_enum, default_value_t)]
    into: Into,
    /// Put the results in place of the live ones when they are there and were compared.
    #[arg(long)]
    swap: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Into {
    /// Beside: nothing changes.
    #[default]
    Shadow,
    /// In their place.
    Live,
}

pub(super) fn run(args: &Args, output: Output) -> Verdict {
    telemetry::log_lines(telemetry::LogFormat::Text, "warn");
    let (from, to) = (args.from, args.to);
    let into = if args.into == Into::Live { "live" } else { "shadow" };
    let body = json!({ "stream": args.stream, "from": from, "to": to, "into": into });
    let replay = wiring::runtime()?.block_on(async {
        let mut remote = args.server.connect()?;
        let mut signals = Signals::new()?;
        let begun = remote.post("/v1/replays", &body).await?;
        let path = format!("/v1/replays/{}", begun["id"].as_str().unwrap_or_default());
        tokio::select! {
            replay = follow(&mut remote, &path, args.swap) => return replay,
            () = ended(&mut signals) => {}
        }
        note("cancelling the replay; once more ends this at once");
        signals.ended();
        // A connection of its own: the other one waits for an answer.
        let mut remote = args.server.connect()?;
        remote.ask(Method::DELETE, &path, Bytes::new()).await?;
        watch(&mut remote, &path).await
    })?;
    output.print(&replay, || text(&replay));
    let swapped = args.swap || args.into == Into::Live;
    Ok(replay["status"] == "done" && (!swapped || replay["swapped"] == true))
}

async fn ended(signals: &mut Signals) {
    while signals.reload_or_end().await {}
}

/// Waits for the end of a replay, and of its swap when there is to be one.
async fn follow(remote: &mut Remote, path: &str, swap: bool) -> anyhow::Result<Value> {
    let replay = watch(remote, path).await?;
    if !swap || replay["status"] != "done" || replay["swapped"] == true {
        return Ok(replay);
    }
    remote.ask(Method::POST, &format!("{path}/swap"), Bytes::new()).await?;
    watch(remote, path).await
}

/// Looks at a replay until it runs no more.
async fn watch(remote: &mut Remote, path: &str) -> anyhow::Result<Value> {
    let bar = progress(1, "{bar:30} {pos}/{len} records {msg}");
    let mut looks = interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let replay = remote.get(path).await?;
        show(&bar, &replay);
        if replay["status"] != "running" {
            bar.finish_and_clear();
            return Ok(replay);
        }
    }
}

fn show(bar: &ProgressBar, replay: &Value) {
    bar.set_length(replay["progress"]["total"].as_u64().unwrap_or(0).max(1));
    bar.set_position(replay["progress"]["done"].as_u64().unwrap_or(0));
    bar.set_message(replay["phase"].as_str().unwrap_or_default().to_owned());
}

fn text(replay: &Value) -> String {
    let word = |name: &str| replay[name].as_str().unwrap_or_default();
    let records = thousands(replay["progress"]["done"].as_u64().unwrap_or(0));
    let mut out = format!("replay {}: {} after {records} records", word("id"), word("status"));
    if replay["status"] != "done" {
        return if word("error").is_empty() { out } else { format!("{out}: {}", word("error")) };
    }
    let difference = &replay["difference"];
    let row = |name: &str| {
        let count = |what: &str| thousands(difference[name][what].as_u64().unwrap_or(0));
        [name.to_owned()].into_iter().chain(["same", "added", "removed", "changed"].map(count)).collect()
    };
    out += "\n\n";
    out += &table(&["", "same", "added", "removed", "changed"], &[row("anomalies"), row("windows")]);
    for (name, about) in [("open", "windows are still open"), ("unsettled", "windows changed meanwhile")] {
        let n = difference[name].as_u64().unwrap_or(0);
        if n > 0 {
            out += &format!("{} {about}, and were not compared\n", thousands(n));
        }
    }
    let details = difference["details"].as_array().map_or(&[][..], Vec::as_slice);
    for detail in details.iter().take(DETAILS) {
        let side = |name: &str| detail[name].as_str().unwrap_or("nothing");
        let (subject, id) = (detail["subject"].as_str().unwrap_or_default(), detail["id"].as_str().unwrap_or_default());
        out += &format!("\n{subject} {id}\n  live    {}\n  replay  {}\n", side("live"), side("replay"));
    }
    let total = difference["total"].as_u64().unwrap_or(0);
    let told = details.len().min(DETAILS) as u64;
    if total > told {
        out += &format!("\nand {} more\n", thousands(total - told));
    }
    for line in difference["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out += &format!("\nnote: {line}");
    }
    out += match (replay["swapped"] == true, total) {
        (true, _) => "\nthese rows are in place of the live ones now",
        (false, 0) => "\nno difference",
        (false, _) => "\nnothing was changed; --swap puts the replay's rows in place of the live ones",
    };
    out
}
