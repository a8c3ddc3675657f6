//! One target of alerts as it is written, key by key. Secrets are read here: whoever starts the process hears what is
//! wrong with them.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use axum::http::Uri;
use event::Severity;
use notify::{BadTarget, Secret, Target};
use serde_json::{Map, json};

use super::node::{Node, Value};
use super::section::{Item, Section};
use super::typed_rule;

const EXAMPLE: &str = "{ name: ops, url: https://example.com/hook, secret_file: hook.secret }";
/// Stands where something is hidden, and is refused where something is read.
const HIDDEN: &str = "***";

/// A target, with where its keys stand: which rules and streams there are is only known later.
#[derive(Clone, Debug)]
pub(crate) struct TypedAlert {
    pub(crate) path: String,
    pub(crate) node: Node,
    pub(crate) name: String,
    pub(crate) rules: Vec<String>,
    pub(crate) streams: Vec<String>,
    pub(crate) target: Target,
    /// The target as a document, without what is secret.
    pub(crate) shown: serde_json::Value,
    /// A number for what is hidden, another one when that is another; of this process alone.
    pub(crate) mark: u64,
}

/// Seeded by chance, so that a mark tells nobody what is hidden.
static MARKS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl TypedAlert {
    pub(crate) fn read(item: &Item<'_>) -> Option<Self> {
        let mut section = item.section()?;
        let (name, url) = (section.must("name", EXAMPLE), section.must("url", EXAMPLE));
        let secrets = Secrets::read(&mut section);
        let mut names = |key| section.get(key).map(|i| i.list().iter().filter_map(Item::text).collect::<Vec<_>>());
        let (rules, streams) = (names("rules").unwrap_or_default(), names("streams").unwrap_or_default());
        let severity = section.get("severity").map_or(Some(Severity::Low), |i| typed_rule::severity(&i));
        section.close();
        let (name, url, secrets, severity) = (name?, url?, secrets?, severity?);
        let (name_text, url_text) = (name.text()?, url.text()?);
        if url_text.contains(HIDDEN) {
            url.bad("the rest of this URL is hidden", Some("write it as it is".to_owned()));
            return None;
        }
        let target = match Target::new(&name_text, &url_text, secrets.all.clone()) {
            Ok(target) => target.of_rules(rules.clone()).at_least(severity).of_streams(streams.clone()),
            Err(error) => {
                let culprit = match error {
                    BadTarget::Name(_) => &name,
                    BadTarget::Url => &url,
                    BadTarget::Secrets(_) => &secrets.item,
                };
                culprit.bad(error.to_string(), None);
                return None;
            }
        };
        let mut shown = Map::new();
        shown.insert("name".to_owned(), json!(name_text));
        shown.insert("url".to_owned(), json!(hidden_url(&url_text)));
        shown.insert(secrets.key.to_owned(), secrets.shown);
        shown.insert("severity".to_owned(), json!(severity.as_str()));
        for (key, names) in [("rules", &rules), ("streams", &streams)] {
            if !names.is_empty() {
                shown.insert(key.to_owned(), json!(names));
            }
        }
        let (path, node) = (item.path.clone(), item.node.clone());
        let mark = MARKS.hash_one((&url_text, &secrets.texts));
        Some(Self { path, node, name: name_text, rules, streams, target, shown: shown.into(), mark })
    }
}

/// Without its path: many a service has its token there.
fn hidden_url(url: &str) -> String {
    let uri = url.parse::<Uri>().unwrap_or_default();
    let hidden = if uri.path_and_query().is_none_or(|rest| rest == "/") { "" } else { HIDDEN };
    format!("{}://{}/{hidden}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()))
}

/// The secrets of a target: given, in files, or in variables of the environment; one, or a list with the newest first.
struct Secrets<'a> {
    key: &'static str,
    item: Item<'a>,
    all: Vec<Secret>,
    texts: Vec<String>,
    /// Where they are; what is given itself is hidden.
    shown: serde_json::Value,
}

impl<'a> Secrets<'a> {
    fn read(target: &mut Section<'a>) -> Option<Self> {
        type Source = fn(&str) -> Result<String, String>;
        let sources: [(&'static str, Source); 3] =
            [("secret", |text| Ok(text.to_owned())), ("secret_file", of_file), ("secret_env", of_variable)];
        let found = sources.into_iter().filter_map(|(key, source)| Some((key, target.get(key)?, source)));
        let mut found: Vec<_> = found.collect();
        let (Some((key, item, source)), None) = (found.pop(), found.pop()) else {
            let message = "expected exactly one of `secret`, `secret_file` and `secret_env`";
            target.bad(message, Some(format!("as `{EXAMPLE}`")));
            return None;
        };
        let items = if let Value::List(_) = item.node.value { item.list() } else { vec![item.clone()] };
        let written: Vec<String> = items.iter().filter_map(Item::text).collect();
        let secret = |(item, text): (&Item<'_>, &String)| {
            let text = source(text).map(|text| text.trim().to_owned());
            let secret = text.and_then(|text| Ok((Secret::parse(&text).map_err(|error| error.to_string())?, text)));
            let suggestion = || "such as `whsec_` and what `head -c 32 /dev/urandom | base64` prints".to_owned();
            secret.map_err(|message| item.bad(message, Some(suggestion()))).ok()
        };
        let (all, texts): (Vec<Secret>, Vec<String>) = items.iter().zip(&written).filter_map(secret).unzip();
        if all.len() != items.len() {
            return None;
        }
        let shown = written.iter().map(|text| if key == "secret" { HIDDEN.to_owned() } else { text.clone() }).collect();
        Some(Self { key, item, all, texts, shown })
    }
}

fn of_file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read the file `{path}`: {error}"))
}

fn of_variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("there is no variable `{name}` in the environment"))
}
