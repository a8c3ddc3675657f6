//! `demo`: the whole product under its own load.

use crate::product::{folder, run_json};

#[test]
fn a_demo_stores_what_it_accepts_and_finds_anomalies() {
    let dir = folder();
    let args = ["demo", "--for", "4s", "--rate", "1000", "--duplicates", "2", "--invalid", "1", "--seed", "5"];
    let (code, summary) = run_json(dir.path(), &args);
    assert_eq!(code, 0, "{summary}");
    let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key} in {summary}"));
    assert_eq!(count("events_in"), 4_000, "the rate is kept");
    assert_eq!(count("accepted") + count("duplicates") + count("rejected"), count("events_in"));
    assert_eq!(count("stored"), count("accepted"));
    assert_eq!(count("dead_letters"), count("rejected"));
    assert!(count("duplicates") > 20 && count("rejected") > 10, "{summary}");
    for rule in ["high_value_purchase", "high_frequency_login", "high_api_failure_rate"] {
        assert!(summary["anomalies"][rule].as_u64().unwrap() > 0, "{rule} in {summary}");
    }
    for figure in ["ack_ms", "end_to_end_ms"] {
        let (p50, p99) = (summary[figure]["p50"].as_f64().unwrap(), summary[figure]["p99"].as_f64().unwrap());
        assert!(p50 >= 0.0 && p99 >= p50 && p99 > 0.0, "{figure} in {summary}");
    }
    assert!(summary["duration_s"].as_f64().unwrap() >= 4.0);
    assert!(count("windows_closed") > 0, "{summary}");
}

#[test]
fn a_demo_keeps_the_folder_it_is_given() {
    let dir = folder();
    let (code, summary) = run_json(dir.path(), &["demo", "--for", "500ms", "--data-dir", "kept", "--burst"]);
    assert_eq!(code, 0, "{summary}");
    let (code, verified) = run_json(dir.path(), &["verify", "--data-dir", "kept"]);
    assert_eq!((code, &verified["differences"]), (0, &0.into()), "{verified}");
    let looked_at = verified["events"].as_u64().unwrap();
    assert!(looked_at >= summary["stored"].as_u64().unwrap(), "{verified}");
}
