//! Another configuration put in force while everything runs: the whole of it, or nothing.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use api::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use collect::Intake;
use event::Catalog;
use log::Clock;
use serde::Serialize;
use serde_json::{Value, json};
use store::Store;

use crate::config::{self, BadConfig, Settings};
use crate::in_force::InForce;
use crate::processing::{Processing, Specs};
use crate::quotas;
use crate::routes;
use crate::server::Swap;
use crate::server::tls::Tls;

/// What can change while everything runs, as the first step of a key's path; what else changes needs a new process.
const LIVE: [&str; 8] = ["keys", "limits", "tenants", "cors", "collect", "rules", "windows", "zone"];
/// The sections that an engine is made with.
const PROGRAMS: [&str; 3] = ["rules", "windows", "zone"];
/// The sections that decide what a tenant may send.
const LIMITS: [&str; 3] = ["keys", "limits", "tenants"];

/// One key whose value is another now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// The key, as `streams.signals.partitions`.
    path: String,
    from: Value,
    to: Value,
}

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The new one is not sound.
    #[error("{0}")]
    Bad(#[from] BadConfig),
    /// It changes what a running process cannot change.
    #[error("these keys need a new process: {}", paths(.0))]
    NeedsRestart(Vec<Change>),
    /// A part cannot be made of it.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Makes settings of what stands in the file now, as at the start.
pub(crate) type Load = Box<dyn Fn() -> Result<Settings, BadConfig> + Send + Sync>;

/// Everything that a reload touches.
pub(crate) struct Reloader {
    pub(crate) load: Load,
    pub(crate) parts: routes::Parts,
    pub(crate) clients: Swap,
    pub(crate) admin: Swap,
    pub(crate) intake: Option<Arc<Intake>>,
    pub(crate) processing: Arc<Processing>,
    pub(crate) tls: Option<Arc<Tls>>,
    /// The rules and windows in force.
    pub(crate) in_force: Arc<InForce>,
    pub(crate) catalog: Arc<Catalog>,
    /// The store, where this process has one.
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub(crate) current: Mutex<Value>,
}

impl Reloader {
    /// Loads the configuration again and puts it in force; says what changed. Blocks while rules are exchanged.
    ///
    /// # Errors
    /// When it cannot be used; then everything is as it was.
    pub(crate) fn reload(&self) -> Result<Vec<Change>, ReloadError> {
        let outcome = self.exchange();
        match &outcome {
            Ok(changes) => tracing::info!(changed = paths(changes), "the configuration was loaded again"),
            Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        }
        outcome
    }

    fn exchange(&self) -> Result<Vec<Change>, ReloadError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = (self.load)()?;
        let document = config::show_marked(&settings);
        let mut changes = Vec::new();
        differences("", &current, &document, &mut changes);
        let fixed: Vec<Change> = changes.iter().filter(|change| !LIVE.contains(&change.section())).cloned().collect();
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        let touched = |sections: &[&str]| changes.iter().any(|change| sections.contains(&change.section()));
        // Everything that can fail comes before anything that is put in force.
        let routes = self.parts.build(&settings.access, settings.collect)?;
        let certificate = self.tls.as_ref().map(|tls| tls.read()).transpose().map_err(anyhow::Error::from)?;
        if touched(&PROGRAMS) {
            let specs = Specs { rules: settings.rules, windows: settings.windows };
            self.processing.exchange(specs.clone())?;
            self.in_force.put(&specs.rules, &specs.windows);
        }
        if let Some(intake) = self.intake.as_ref().filter(|_| touched(&LIMITS)) {
            quotas::put(intake, &settings.access, &self.catalog, self.store.as_deref(), self.clock.now());
        }
        self.clients.put(routes.clients);
        self.admin.put(routes.admin);
        if let (Some(tls), Some(Some(certificate))) = (&self.tls, certificate) {
            tls.put(certificate);
            let (from, to) = (json!("before"), json!("read again"));
            changes.push(Change { path: "tls.certificate".to_owned(), from, to });
        }
        *current = document;
        Ok(changes)
    }
}

/// What the route calls; set once everything stands.
pub(crate) type Handle = Arc<OnceLock<Weak<Reloader>>>;

/// `POST /v1/reload`, for the operator's port.
pub(crate) fn router(handle: Handle) -> Router {
    Router::new().route("/v1/reload", post(reload)).with_state(handle)
}

async fn reload(State(handle): State<Handle>) -> Response {
    let Some(reloader) = handle.get().and_then(Weak::upgrade) else {
        return ApiError::unavailable("not_ready", "the process is not ready yet, or about to end", 1).into_response();
    };
    match tokio::task::spawn_blocking(move || reloader.reload()).await {
        Ok(Ok(changes)) => Json(json!({ "changed": changes })).into_response(),
        Ok(Err(error)) => answer(&error).into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

fn answer(error: &ReloadError) -> ApiError {
    let message = error.to_string();
    match error {
        ReloadError::Bad(bad) => {
            let problems = json!({ "problems": bad.problems });
            ApiError::unprocessable("bad_configuration", message).with_details(problems)
        }
        ReloadError::NeedsRestart(changes) => {
            let details = json!({ "needs_restart": changes });
            ApiError::new(StatusCode::CONFLICT, "needs_restart", message).with_details(details)
        }
        ReloadError::Failed(_) => ApiError::unprocessable("reload_failed", message),
    }
}

impl Change {
    fn section(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }
}

fn paths(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing".to_owned();
    }
    changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>().join(", ")
}

/// Every leaf that is not the same in both. Lists whose items have names are told apart by them.
fn differences(path: &str, from: &Value, to: &Value, out: &mut Vec<Change>) {
    if from == to {
        return;
    }
    match (members(from), members(to)) {
        (Some(old), Some(new)) => {
            let names: std::collections::BTreeSet<&str> = old.iter().chain(&new).map(|(name, _)| *name).collect();
            for name in names {
                let of = |all: &[(&str, &Value)]| {
                    all.iter().find(|(n, _)| *n == name).map_or(Value::Null, |(_, v)| (*v).clone())
                };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                differences(&path, &of(&old), &of(&new), out);
            }
        }
        _ => out.push(Change { path: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

fn members(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(map) => Some(map.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        Value::Array(items) => items.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &Value, to: &Value, expected: &[&str]) {
        let mut changes = Vec::new();
        differences("", from, to, &mut changes);
        let found: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(found, expected, "{from} to {to}");
    }

    #[test]
    fn every_leaf_that_changed_is_named() {
        check(&json!({ "a": 1, "b": { "c": 2 } }), &json!({ "a": 1, "b": { "c": 2 } }), &[]);
        check(&json!({ "a": 1, "b": { "c": 2 } }), &json!({ "a": 3, "b": { "d": 2 } }), &["a", "b.c", "b.d"]);
        check(&json!({ "cors": { "origins": [] } }), &json!({ "cors": { "origins": ["x"] } }), &["cors.origins"]);
        let rule = |name: &str, when: &str| json!({ "name": name, "when": when });
        check(
            &json!({ "rules": [rule("a", "x"), rule("b", "x")] }),
            &json!({ "rules": [rule("b", "y"), rule("c", "x")] }),
            &["rules.a", "rules.b.when", "rules.c"],
        );
    }

    #[test]
    fn a_path_says_what_it_belongs_to() {
        let section =
            |path: &str| Change { path: path.to_owned(), from: Value::Null, to: Value::Null }.section().to_owned();
        assert_eq!(
            (section("rules.a.when"), section("keys"), section("listen")),
            ("rules".into(), "keys".into(), "listen".into())
        );
    }
}
