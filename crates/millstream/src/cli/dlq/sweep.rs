//! `millstream dlq replay` and `discard`: letters by id, or by filter.

use axum::http::Method;
use bytes::Bytes;
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde_json::{Map, Value, json};

use super::Which;
use crate::cli::remote::{Refused, Remote, encoded};
use crate::cli::{Cli, Verdict};
use crate::output::{Output, progress, thousands};

impl Which {
    fn ids(&self) -> Vec<&str> {
        self.ids.iter().chain(&self.more).map(String::as_str).collect()
    }

    /// The filters as the server takes them. Everything at once must be said: without it, this is called wrongly.
    fn fields(&self) -> Map<String, Value> {
        let fields = self.filter.fields();
        if fields.is_empty() && !self.all && !self.dry_run {
            let message = "say which: ids, filters such as --stream or --code, or --all";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
        fields
    }
}

/// Sends letters to their streams again.
pub(super) async fn replay(which: &Which, rate: u32, limit: Option<u64>, output: Output) -> Verdict {
    let mut remote = which.server.connect()?;
    if !which.ids().is_empty() {
        let path = |id: &str| format!("/v1/dlq/{}/replay", encoded(id));
        return one_by_one(&mut remote, which, (Method::POST, "replayed"), path, output).await;
    }
    let mut body = which.fields();
    body.insert("dry_run".to_owned(), json!(which.dry_run));
    body.insert("rate_per_s".to_owned(), json!(rate));
    let mut total: Option<Value> = None;
    let bar = progress(0, "{spinner} {elapsed} {msg}");
    loop {
        let done = total.as_ref().map_or(0, |total| number(total, "replayed") + number(total, "refused"));
        // A server takes so many in one request; for the rest it is asked again.
        body.insert(
            "limit".to_owned(),
            json!(limit.map_or(10_000, |limit| limit.saturating_sub(done)).clamp(1, 10_000)),
        );
        let answer = remote.post("/v1/dlq/replay", &Value::Object(body.clone())).await?;
        body.insert("to".to_owned(), answer["until"].clone());
        let more = number(&answer, "remaining") > 0 && answer.get("stopped").is_none() && !which.dry_run;
        let taken = number(&answer, "replayed") + number(&answer, "refused");
        let sum = add(total.take(), answer);
        bar.set_message(format!("{} replayed, {} refused, {} left", sum["replayed"], sum["refused"], sum["remaining"]));
        let over = limit.is_some_and(|limit| number(&sum, "replayed") + number(&sum, "refused") >= limit);
        total = Some(sum);
        if !more || over || taken == 0 {
            break;
        }
    }
    bar.finish_and_clear();
    let total = total.unwrap_or_default();
    output.print(&total, || replayed_text(&total));
    Ok(number(&total, "refused") == 0 && total.get("stopped").is_none())
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// The counts of two answers to the same filter: what the first one found stands, what was done adds up.
fn add(before: Option<Value>, mut after: Value) -> Value {
    let Some(mut before) = before else { return after };
    for name in ["replayed", "refused"] {
        after[name] = json!(number(&before, name) + number(&after, name));
    }
    for name in ["matched", "eligible", "skipped", "until"] {
        after[name] = before[name].take();
    }
    let mut refusals = before["refusals"].as_array_mut().map(std::mem::take).unwrap_or_default();
    refusals.extend(after["refusals"].as_array_mut().map(std::mem::take).unwrap_or_default());
    after["refusals"] = Value::Array(refusals);
    after
}

fn replayed_text(total: &Value) -> String {
    let count = |name: &str| thousands(number(total, name));
    if total["dry_run"] == true {
        return format!("{} match, {} would be replayed", count("matched"), count("eligible"));
    }
    let mut text = format!(
        "{} match: {} replayed, {} refused again, {} not open, {} left",
        count("matched"),
        count("replayed"),
        count("refused"),
        count("skipped"),
        count("remaining")
    );
    for refusal in total["refusals"].as_array().into_iter().flatten() {
        let word = |name: &str| refusal[name].as_str().unwrap_or_default();
        text += &format!("\n  {}: {}", word("id"), word("message"));
    }
    if let Some(why) = total["stopped"].as_str() {
        text += &format!("\nstopped: {why}");
    }
    text
}

/// Gives letters up.
pub(super) async fn discard(which: &Which, output: Output) -> Verdict {
    let mut remote = which.server.connect()?;
    if !which.ids().is_empty() {
        let path = |id: &str| format!("/v1/dlq/{}", encoded(id));
        return one_by_one(&mut remote, which, (Method::DELETE, "discarded"), path, output).await;
    }
    let mut body = which.fields();
    body.insert("dry_run".to_owned(), json!(which.dry_run));
    let mut discarded = 0;
    let answer = loop {
        let mut answer = remote.post("/v1/dlq/discard", &Value::Object(body.clone())).await?;
        let taken = number(&answer, "discarded");
        discarded += taken;
        answer["discarded"] = json!(discarded);
        if which.dry_run || number(&answer, "remaining") == 0 || taken == 0 {
            break answer;
        }
    };
    output.print(&answer, || {
        let count = |name: &str| thousands(number(&answer, name));
        match which.dry_run {
            true => format!("{} match, {} would be discarded", count("matched"), count("eligible")),
            false => format!("{} discarded, {} left", count("discarded"), count("remaining")),
        }
    });
    Ok(true)
}

/// Asks for each of the letters that are named. One that is on its way or through already is no failure: what was asked
/// for holds.
async fn one_by_one(
    remote: &mut Remote,
    which: &Which,
    (method, what): (Method, &str),
    path: impl Fn(&str) -> String,
    output: Output,
) -> Verdict {
    let (mut done, mut skipped, mut failures) = (0_u64, Vec::new(), Vec::new());
    for id in which.ids() {
        let asked = match which.dry_run {
            true => remote.get(&format!("/v1/dlq/{}", encoded(id))).await,
            false => remote.ask(method.clone(), &path(id), Bytes::new()).await,
        };
        match asked {
            Ok(_) => done += 1,
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if matches!(&*refused.code, "letter_replaying" | "letter_resolved") => {
                    skipped.push(json!({ "id": id, "code": refused.code, "message": error.to_string() }));
                }
                Some(refused) => {
                    failures.push(json!({ "id": id, "code": refused.code, "message": error.to_string() }));
                }
                None => return Err(error),
            },
        }
    }
    let mut document = json!({ "dry_run": which.dry_run, "skipped": skipped, "failures": failures });
    document[what] = json!(if which.dry_run { 0 } else { done });
    output.print(&document, || {
        let would = if which.dry_run { "would be " } else { "" };
        let mut text = format!("{} {would}{what}", thousands(done));
        for one in skipped.iter().chain(&failures) {
            let word = |name: &str| one[name].as_str().unwrap_or_default();
            text += &format!("\n  {}: {}", word("id"), word("message"));
        }
        text
    });
    Ok(failures.is_empty())
}
