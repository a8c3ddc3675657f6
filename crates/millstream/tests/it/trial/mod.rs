//! `test`: rules and windows tried out by files, as their authors do.

mod files;
mod kinds;
mod signals;
mod windows;

use serde_json::Value;

use crate::product::{folder, run_json, write};

/// Runs a test file; gives its exit code and its document.
fn trial(text: &str) -> (i32, Value) {
    let dir = folder();
    write(dir.path(), "orders.test.yaml", text.as_bytes());
    run_json(dir.path(), &["test", "orders.test.yaml"])
}

/// Checks that a test file is met.
fn met(text: &str) -> Value {
    let (code, document) = trial(text);
    assert_eq!((code, &document["ok"]), (0, &Value::Bool(true)), "{document:#}\n{text}");
    document
}
