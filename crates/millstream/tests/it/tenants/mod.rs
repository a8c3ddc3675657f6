//! Keys and tenants of the product: who comes in, who sees what, and that nobody pays for another's flood.

mod apart;
mod fair;
mod keys;
mod limits;
mod reload;

use std::path::Path;

use serde_json::Value;

use crate::http::{self, Answer};
use crate::product::{Product, run_json, write};

/// A configuration with keys as `millstream key` makes them, and the keys themselves.
pub(crate) struct House {
    dir: tempfile::TempDir,
    entries: Vec<String>,
    rest: String,
}

impl House {
    /// Without keys; `rest` is the rest of the configuration.
    pub(crate) fn new(rest: &str) -> Self {
        Self { dir: crate::product::folder(), entries: Vec::new(), rest: rest.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Lets a new key in.
    pub(crate) fn key(&mut self, tenant: Option<&str>, role: &str) -> String {
        let mut args = vec!["key", "--role", role];
        args.extend(tenant.into_iter().flat_map(|tenant| ["--tenant", tenant]));
        let (code, key) = run_json(self.dir.path(), &args);
        assert_eq!(code, 0, "{key}");
        let tenant = tenant.map_or_else(String::new, |tenant| format!("tenant: {tenant}, "));
        let (name, hash) = (key["name"].as_str().unwrap(), key["sha256"].as_str().unwrap());
        self.entries.push(format!("  - {{ name: {name}, {tenant}role: {role}, sha256: \"{hash}\" }}\n"));
        self.write();
        key["key"].as_str().unwrap().to_owned()
    }

    /// Takes the key back that was let in last.
    pub(crate) fn forget_last(&mut self) {
        self.entries.pop();
        self.write();
    }

    /// Writes another configuration besides the keys.
    pub(crate) fn rewrite(&mut self, rest: &str) {
        rest.clone_into(&mut self.rest);
        self.write();
    }

    fn write(&self) {
        let keys = if self.entries.is_empty() { "keys: []\n" } else { "keys:\n" };
        write(self.dir(), "millstream.yaml", format!("{keys}{}{}", self.entries.concat(), self.rest).as_bytes());
    }

    pub(crate) fn start(&self) -> Product {
        Product::start(self.dir(), &[])
    }
}

/// Asks with a key.
pub(crate) fn get(product: &Product, path: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    http::exchange(&product.url(path), "GET", &[("authorization", &bearer)], b"").unwrap()
}

/// Posts JSON with a key.
pub(crate) fn post(product: &Product, path: &str, key: &str, body: &str) -> Answer {
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    http::exchange(&product.url(path), "POST", &headers, body.as_bytes()).unwrap()
}

/// Posts to a stream and waits until it is stored.
pub(crate) fn post_stored(product: &Product, stream: &str, key: &str, body: &str) -> Value {
    let answer = post(product, &format!("/v1/streams/{stream}/events?ack=stored"), key, body);
    assert!(matches!(answer.status, 200 | 207), "{answer:?}");
    answer.json()
}
