//! Real payloads: the examples of `@octokit/webhooks-examples`, through a user-defined stream and back, byte for byte.
//!
//! `MILLSTREAM_TEST_OCTOKIT` names the unpacked npm package, or one `index.json` of it; `cargo xtask test` fetches it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http;
use crate::product::{Product, folder, read, write};

const CONFIG: &[u8] = b"
streams:
  github:
    key: repository.full_name?
    type: action?
    retention: { age: none }
";

/// Bytes of one request, below the limit of a body.
const REQUEST_BYTES: usize = 8 << 20;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    partition: u32,
    offset: u64,
    key: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Payloads by key, in order.
type ByKey = BTreeMap<Option<String>, Vec<String>>;

#[test]
fn real_payloads_come_back_byte_for_byte_in_order_per_key_and_after_a_restart() {
    let Some(folder_of_payloads) = std::env::var_os("MILLSTREAM_TEST_OCTOKIT") else {
        assert!(std::env::var_os("CI").is_none(), "MILLSTREAM_TEST_OCTOKIT is not set");
        println!("skipped: MILLSTREAM_TEST_OCTOKIT names no unpacked @octokit/webhooks-examples");
        return;
    };
    let payloads = payloads(Path::new(&folder_of_payloads));
    assert!(payloads.len() > 100, "{} payloads are too few to be the package", payloads.len());
    let dir = folder();
    write(dir.path(), "millstream.yaml", CONFIG);
    let product = Product::start(dir.path(), &[]);
    let mut accepted = 0;
    let mut body = String::new();
    for (i, payload) in payloads.iter().enumerate() {
        body += payload;
        body.push('\n');
        let last = i + 1 == payloads.len();
        if last || body.len() + payloads[i + 1].len() > REQUEST_BYTES {
            accepted += product.post_stored("github", &body)["accepted_count"].as_u64().unwrap();
            body.clear();
        }
    }
    assert_eq!(accepted, payloads.len() as u64);

    let sent = by_key(&payloads);
    assert!(sent.len() > 5, "several keys");
    assert_same(&stored(&product), &sent);
    product.stop();
    let product = Product::start(dir.path(), &[]);
    assert_same(&stored(&product), &sent);
    product.stop();
}

/// Every example of the package as one line of JSON, escapes and order of keys as its authors wrote them.
fn payloads(package: &Path) -> Vec<String> {
    let mut files = vec![package.to_owned()];
    if package.is_dir() {
        let entries = std::fs::read_dir(package).expect("the package").map_while(Result::ok);
        files = entries.map(|entry| entry.path().join("index.json")).collect();
        files.sort();
    }
    let mut out = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        #[derive(Deserialize)]
        struct Hook {
            examples: Vec<Box<RawValue>>,
        }
        let hooks: Vec<Hook> = serde_json::from_slice(&read(file)).expect("the package's index");
        out.extend(hooks.iter().flat_map(|hook| &hook.examples).map(|example| one_line(example.get())));
    }
    out
}

/// Line breaks between the tokens of JSON mean nothing, and NDJSON has no room for them. In strings they are escaped.
fn one_line(json: &str) -> String {
    json.chars().filter(|c| *c != '\n' && *c != '\r').collect()
}

fn by_key(payloads: &[String]) -> ByKey {
    let mut out = ByKey::new();
    for payload in payloads {
        let value: Value = serde_json::from_str(payload).expect("JSON");
        let key = value["repository"]["full_name"].as_str().map(str::to_owned);
        out.entry(key).or_default().push(payload.clone());
    }
    out
}

/// Everything of the stream, in the order of offsets within each partition.
fn stored(product: &Product) -> ByKey {
    let mut rows: Vec<(u32, u64, Option<String>, String)> = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = http::get(&product.url(&format!("/v1/events?stream=github&limit=200{cursor}"))).expect(200);
        let page: Page<'_> = serde_json::from_slice(&answer.body).expect("a page");
        rows.extend(page.events.into_iter().map(|e| (e.partition, e.offset, e.key, e.data.get().to_owned())));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    rows.sort_by_key(|(partition, offset, ..)| (*partition, *offset));
    let mut out = ByKey::new();
    for (_, _, key, data) in rows {
        out.entry(key).or_default().push(data);
    }
    out
}

fn assert_same(found: &ByKey, sent: &ByKey) {
    assert_eq!(found.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
    for (key, expected) in sent {
        let (mut found, mut expected) = (found[key].clone(), expected.clone());
        if key.is_none() {
            // Without a key no order is promised between requests.
            found.sort();
            expected.sort();
        }
        assert_eq!(found.len(), expected.len(), "{key:?}");
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(differs.is_none(), "{key:?}: payload {differs:?} is not as it was sent");
    }
}
