//! The product as several processes over Kafka, PostgreSQL and Redis, each with a folder of its own; and what is stored.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use services::{Kafka, Missing, Postgres, Redis};

use crate::http;
use crate::product::{Product, folder, free_port, run_json, write};

/// The servers.
pub(crate) struct Stack {
    pub(crate) kafka: Kafka,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    configuration: String,
}

/// A server, or what to do to have it.
pub(crate) fn there<S>(server: Result<S, Missing>) -> S {
    server.unwrap_or_else(|missing| panic!("{missing}"))
}

impl Stack {
    /// All three, with a fresh database.
    pub(crate) fn start() -> Self {
        let (kafka, postgres, redis) = (there(Kafka::start()), there(Postgres::start()), there(Redis::start()));
        let configuration = format!(
            "log: {{ kafka: {{ brokers: \"{}\", replication: 1 }} }}\nstore: {{ postgres: {{ url: \"{}\" }} }}\n\
             cache: {{ redis: {{ url: \"{}\" }} }}\n",
            kafka.brokers(),
            postgres.database(),
            redis.url()
        );
        Self { kafka, postgres, redis, configuration }
    }

    /// A process with these roles, in a folder of its own.
    pub(crate) fn process(&self, roles: &'static str) -> Process {
        let (dir, listen) = (folder(), format!("127.0.0.1:{}", free_port()));
        write(dir.path(), "millstream.yaml", self.configuration.as_bytes());
        let product = start(dir.path(), &listen, roles);
        Process { dir, listen, roles, product: Some(product) }
    }

    /// The log run afresh against the store, while nothing runs.
    pub(crate) fn verify(&self) {
        let dir = folder();
        write(dir.path(), "millstream.yaml", self.configuration.as_bytes());
        let (code, verified) = run_json(dir.path(), &["verify"]);
        assert_eq!((code, &verified["differences"], &verified["pending"]), (0, &0.into(), &0.into()), "{verified}");
    }
}

fn start(dir: &Path, listen: &str, roles: &str) -> Product {
    Product::start_at(dir, listen, &["--roles", roles])
}

/// A process that may be killed and started again where it was.
pub(crate) struct Process {
    dir: tempfile::TempDir,
    listen: String,
    roles: &'static str,
    product: Option<Product>,
}

impl std::ops::Deref for Process {
    type Target = Product;

    fn deref(&self) -> &Product {
        self.product.as_ref().expect("it runs")
    }
}

impl Process {
    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.product.take().expect("it runs").kill();
    }

    /// Starts it again, on the same folder and port.
    pub(crate) fn again(&mut self) {
        self.product = Some(start(self.dir.path(), &self.listen, self.roles));
    }

    /// Asks it to end, and fails unless it ends well.
    pub(crate) fn stop(mut self) {
        self.product.take().expect("it runs").stop();
    }

    /// Where a sender sends, also while it does not run.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listen)
    }
}

/// A metric of a process; the sum where it has labels.
pub(crate) fn metric(product: &Product, name: &str) -> f64 {
    let body = http::get(&format!("{}/metrics", product.admin)).body;
    let text = String::from_utf8(body).expect("text");
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum()
}

/// A stored event.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) partition: u64,
    pub(crate) offset: u64,
    pub(crate) key: String,
    pub(crate) data: Value,
}

/// All stored events of a stream, by their ids.
pub(crate) fn stored(query: &Product, stream: &str) -> HashMap<String, Vec<Row>> {
    let mut found: HashMap<String, Vec<Row>> = HashMap::new();
    let mut cursor = String::new();
    loop {
        let page = query.ask(&format!("/v1/events?stream={stream}&order=asc&limit=1000{cursor}"));
        for event in page["events"].as_array().expect("events") {
            let number = |name: &str| event[name].as_u64().expect("a number");
            let text = |name: &str| event[name].as_str().expect("text").to_owned();
            let row = Row {
                partition: number("partition"),
                offset: number("offset"),
                key: text("key"),
                data: event["data"].clone(),
            };
            found.entry(text("event_id")).or_default().push(row);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// How many ids an emitter in this folder has written down.
pub(crate) fn acknowledged(dir: &Path) -> usize {
    std::fs::metadata(dir.join("acks")).map_or(0, |file| file.len() as usize / 37)
}

/// Each of these events is stored, and none is twice.
#[track_caller]
pub(crate) fn stored_once<'a>(stored: &HashMap<String, Vec<Row>>, acknowledged: impl Iterator<Item = &'a str>) {
    let lost: Vec<&str> = acknowledged.filter(|id| !stored.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} acknowledged events are lost, as {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let twice: Vec<_> = stored.iter().filter(|(_, rows)| rows.len() > 1).collect();
    assert!(
        twice.is_empty(),
        "{} events are stored more than once, as {:?}",
        twice.len(),
        &twice[..twice.len().min(3)]
    );
}

/// A number from the environment, for runs that are longer than those of every day.
pub(crate) fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
