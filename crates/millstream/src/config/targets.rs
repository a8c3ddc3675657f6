//! Targets of alerts, looked at together with what they name.

use event::Catalog;
use notify::{TARGETS_MAX, Target};
use process::RuleSpec;

use super::problems::Problems;
use super::typed_alert::TypedAlert;
use super::written::{instead, stream_names};

/// Checks that names are told apart, and that the rules and streams they name are there.
pub(super) fn check(alerts: &[TypedAlert], rules: &[RuleSpec], catalog: &Catalog, problems: &Problems) -> Vec<Target> {
    if let Some(alert) = alerts.get(TARGETS_MAX) {
        problems.add(&alert.path, &alert.node.origin, format!("expected at most {TARGETS_MAX} targets"), None);
    }
    let rules: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let streams = stream_names(catalog);
    for (i, alert) in alerts.iter().enumerate() {
        let TypedAlert { path, node, name, .. } = alert;
        if alerts[..i].iter().any(|other| other.name == *name) {
            let message = format!("target `{name}` is defined twice");
            problems.add(path, &node.part("name").origin, message, None);
        }
        for (what, key, names, known) in
            [("rule", "rules", &alert.rules, &rules), ("stream", "streams", &alert.streams, &streams)]
        {
            for (n, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
                let field = format!("{key}[{n}]");
                let message = format!("there is no {what} `{name}`");
                let origin = &node.part(&field).origin;
                problems.add(&format!("{path}.{field}"), origin, message, Some(instead(name, known)));
            }
        }
    }
    alerts.iter().map(|alert| alert.target.clone()).collect()
}
