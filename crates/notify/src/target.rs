//! Who is told of what.

use event::{Alert, Anomaly, Severity};
use hyper::Uri;

use crate::Secret;
use crate::body;

/// Targets of one process: each has a connection of its own while it is told something.
pub const TARGETS_MAX: usize = 64;
/// Bytes of a target's name: it is a label of metrics.
const NAME_BYTES_MAX: usize = 63;
/// Secrets of one target: the one in use, and those before and after it.
const SECRETS_MAX: usize = 4;
/// What has a breaker besides, under these names in the metrics.
const RESERVED: [&str; 2] = ["store", "log"];

/// A webhook, and what it wants to hear of. Its address may hold a token, so neither it nor the secrets are shown.
#[derive(Clone)]
pub struct Target {
    name: String,
    url: Uri,
    secrets: Vec<Secret>,
    rules: Vec<String>,
    severity_at_least: Severity,
    streams: Vec<String>,
}

/// Why something is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Its name cannot be.
    #[error(
        "a name has 1 to {NAME_BYTES_MAX} small letters, digits, `-` and `_`, and is none of `store` and `log`, found `{0}`"
    )]
    Name(String),
    /// Its address cannot be. What was found is not told: it may hold a token.
    #[error("a URL begins with `https://` or `http://`, names a host, and has no user or password in it")]
    Url,
    /// None, or too many.
    #[error("a target has 1 to {SECRETS_MAX} secrets, found {0}")]
    Secrets(usize),
}

impl Target {
    /// A target that hears of every anomaly.
    ///
    /// # Errors
    /// Whatever of it cannot be.
    pub fn new(name: &str, url: &str, secrets: Vec<Secret>) -> Result<Self, BadTarget> {
        let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !letters || !(1..=NAME_BYTES_MAX).contains(&name.len()) || RESERVED.contains(&name) {
            return Err(BadTarget::Name(name.chars().take(NAME_BYTES_MAX).collect()));
        }
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            return Err(BadTarget::Secrets(secrets.len()));
        }
        let (name, url) = (name.to_owned(), parse(url).ok_or(BadTarget::Url)?);
        Ok(Self { name, url, secrets, rules: Vec::new(), severity_at_least: Severity::Low, streams: Vec::new() })
    }

    /// Only anomalies of these rules; of all when there are none.
    #[must_use]
    pub fn of_rules(self, rules: Vec<String>) -> Self {
        Self { rules, ..self }
    }

    /// Only anomalies of this severity or worse.
    #[must_use]
    pub fn at_least(self, severity_at_least: Severity) -> Self {
        Self { severity_at_least, ..self }
    }

    /// Only anomalies of these streams; of all when there are none.
    #[must_use]
    pub fn of_streams(self, streams: Vec<String>) -> Self {
        Self { streams, ..self }
    }

    /// Its name: the label of its metrics, and what its alerts are filtered by.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Whether it wants to hear of this one.
    fn wants(&self, anomaly: &Anomaly) -> bool {
        let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        anomaly.severity >= self.severity_at_least
            && among(&self.rules, &anomaly.rule)
            && among(&self.streams, &anomaly.stream)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.url.host().unwrap_or_default();
        f.debug_struct("Target").field("name", &self.name).field("host", &host).finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && !authority.host().is_empty() && !authority.as_str().contains('@')).then_some(uri)
}

/// All targets of a process.
#[derive(Clone, Debug, Default)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// These, each with a name of its own.
    pub fn new(targets: Vec<Target>) -> Self {
        Self(targets)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn all(&self) -> &[Target] {
        &self.0
    }

    /// What is to be told of these anomalies. The same anomalies give the same notifications, ids included:
    /// `<target>/<stream>/<anomaly's id>`, with `<tenant>/` before the last part when it is not the default one's. What
    /// cannot stand in a header is percent-encoded.
    pub fn alerts_for(&self, anomalies: &[Anomaly]) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for anomaly in anomalies {
            // Made once, and only when somebody wants it.
            let mut text = None;
            for target in self.0.iter().filter(|target| target.wants(anomaly)) {
                alerts.push(Alert {
                    tenant: anomaly.tenant.clone(),
                    target: target.name.clone(),
                    id: id_of(&target.name, anomaly),
                    stream: anomaly.stream.clone(),
                    anomaly: anomaly.id.clone(),
                    body: text.get_or_insert_with(|| body::of_anomaly(anomaly)).clone(),
                });
            }
        }
        alerts
    }
}

fn id_of(target: &str, anomaly: &Anomaly) -> String {
    let mut id = format!("{target}/");
    let parts = [&anomaly.stream, &anomaly.tenant, &anomaly.id];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !id.ends_with('/') {
            id.push('/');
        }
        encode(part, &mut id);
    }
    id
}

/// Percent-encodes whatever could end a part of an id, or a header.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:@+=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::anomaly;

    fn secret() -> Secret {
        Secret::parse("a secret of the tests").unwrap()
    }

    fn target(name: &str) -> Target {
        Target::new(name, "https://example.com/hook", vec![secret()]).unwrap()
    }

    #[test]
    fn a_target_is_checked_part_by_part() {
        for name in ["", "Pager", "a b", "store", "log", &"x".repeat(64)] {
            assert!(matches!(Target::new(name, "https://e.com", vec![secret()]), Err(BadTarget::Name(_))), "{name}");
        }
        for url in ["", "example.com", "ftp://example.com", "https://", "https://user:word@example.com/", "/hook"] {
            assert!(matches!(Target::new("pager", url, vec![secret()]), Err(BadTarget::Url)), "{url}");
        }
        assert!(matches!(Target::new("pager", "http://e.com", Vec::new()), Err(BadTarget::Secrets(0))));
        assert!(matches!(Target::new("pager", "http://e.com", vec![secret(); 5]), Err(BadTarget::Secrets(5))));
    }

    #[test]
    fn neither_the_path_of_an_address_nor_a_secret_is_shown() {
        let shown = format!("{:?}", Target::new("pager", "https://e.com/T0KEN?k=T0KEN", vec![secret()]).unwrap());
        assert!(shown.contains("pager") && shown.contains("e.com"), "{shown}");
        assert!(!shown.contains("T0KEN") && !shown.contains("secret of"), "{shown}");
    }

    #[test]
    fn a_target_hears_of_what_it_wants_alone() {
        let found = Anomaly { severity: Severity::Medium, ..anomaly() };
        let table = [
            (target("a"), true),
            (target("a").at_least(Severity::Medium), true),
            (target("a").at_least(Severity::High), false),
            (target("a").of_rules(vec!["other".to_owned(), found.rule.clone()]), true),
            (target("a").of_rules(vec!["other".to_owned()]), false),
            (target("a").of_streams(vec![found.stream.clone()]), true),
            (target("a").of_streams(vec!["other".to_owned()]), false),
        ];
        for (target, wants) in table {
            let alerts = Targets::new(vec![target]).alerts_for(std::slice::from_ref(&found));
            assert_eq!(alerts.len(), usize::from(wants), "{alerts:?}");
        }
    }

    #[test]
    fn ids_are_the_same_each_time_differ_by_all_they_are_made_of_and_fit_in_a_header() {
        let targets = Targets::new(vec![target("a"), target("b")]);
        let odd = Anomaly { id: "ä/\n%_1_rule".to_owned(), ..anomaly() };
        let whose = Anomaly { tenant: "acme".to_owned(), ..anomaly() };
        let found = [anomaly(), odd, whose];
        let alerts = targets.alerts_for(&found);
        assert_eq!(alerts, targets.alerts_for(&found));
        let ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "a/signals/7_1764000000000_high_value_purchase",
                "b/signals/7_1764000000000_high_value_purchase",
                "a/signals/%C3%A4%2F%0A%25_1_rule",
                "b/signals/%C3%A4%2F%0A%25_1_rule",
                "a/signals/acme/7_1764000000000_high_value_purchase",
                "b/signals/acme/7_1764000000000_high_value_purchase",
            ]
        );
        assert_eq!(alerts[2].anomaly, "ä/\n%_1_rule", "the anomaly itself is named as it is");
        assert!(alerts.iter().all(|alert| alert.id.parse::<hyper::header::HeaderValue>().is_ok()));
    }
}
