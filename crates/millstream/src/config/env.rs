//! The environment over the file: `MILLSTREAM__SECTION__KEY`, and the names that systems of this kind have always had.

use super::node::{Node, Origin, Value};

const PREFIX: &str = "MILLSTREAM__";

/// Names without our prefix, the keys they set, and the unit that their bare numbers have. Ours win over them.
const ALIASES: [(&str, &str, &str); 22] = [
    ("SIGNALS_PER_SECOND", "emit.rate", ""),
    ("BURST_MODE", "emit.burst", ""),
    ("EMITTER_WORKERS", "emit.workers", ""),
    ("EMITTER_QUEUE_MAXSIZE", "emit.queue_max", ""),
    ("EMITTER_FLUSH_EVERY", "emit.flush_every", ""),
    ("BATCH_SIZE", "emit.batch", ""),
    // Of these two the second wins where both are there.
    ("KAFKA_BOOTSTRAP_SERVERS", "log.kafka.brokers", ""),
    ("KAFKA_BROKERS", "log.kafka.brokers", ""),
    ("KAFKA_CLIENT_ID", "log.kafka.client_id", ""),
    ("ANALYTICS_GROUP_ID", "log.kafka.group", ""),
    ("KAFKA_COMPRESSION_TYPE", "log.kafka.compression", ""),
    ("KAFKA_ACKS", "log.kafka.acks", ""),
    ("KAFKA_MAX_IN_FLIGHT", "log.kafka.max_in_flight", ""),
    ("KAFKA_MAX_RETRIES", "log.kafka.retries", ""),
    ("KAFKA_REQUEST_TIMEOUT_MS", "log.kafka.request_timeout", "ms"),
    ("KAFKA_TOPIC", "streams.events.topic", ""),
    ("DLQ_TOPIC", "log.kafka.dlq_topic", ""),
    ("BUFFER_DIR", "spool.dir", ""),
    ("MAX_BUFFER_SIZE_MB", "spool.max_size", "MiB"),
    ("MAX_QUEUE_SIZE", "log.redis.max_len", ""),
    ("DATABASE_URL", "store.postgres.url", ""),
    ("REDIS_URL", "cache.redis.url", ""),
];

/// Puts the variables that concern us over a document, in the order of their names.
pub(crate) fn overlay(root: &mut Node, variables: impl Iterator<Item = (String, String)>) {
    let mut found: Vec<(String, String, String)> = variables
        .filter_map(|(name, value)| {
            let alias = ALIASES.iter().find(|(known, ..)| *known == name);
            let (path, unit) = match alias {
                Some((_, path, unit)) => ((*path).to_owned(), *unit),
                None => (name.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."), ""),
            };
            let bare = value.trim().parse::<u64>().is_ok();
            let value = if bare { format!("{}{unit}", value.trim()) } else { value };
            (!value.is_empty()).then_some((name, path, value))
        })
        .collect();
    // Aliases first, so that our own names come over them.
    found.sort_by_key(|(name, ..)| (name.starts_with(PREFIX), name.clone()));
    for (name, path, value) in found {
        let steps: Vec<&str> = path.split('.').collect();
        set(root, &steps, scalar(&value, &name));
    }
}

/// The value as YAML would read it, each part with the variable as its origin; text when it is no YAML.
fn scalar(value: &str, name: &str) -> Node {
    let node = Node::parse(value).map_or_else(|_| Value::Text(value.to_owned()), |node| node.value);
    from_variable(node, name)
}

fn from_variable(value: Value, name: &str) -> Node {
    let value = match value {
        Value::List(items) => Value::List(items.into_iter().map(|n| from_variable(n.value, name)).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(k, n)| (k, from_variable(n.value, name))).collect())
        }
        other => other,
    };
    Node { value, origin: Origin::Variable(name.to_owned()) }
}

fn set(node: &mut Node, steps: &[&str], new: Node) {
    let Some((step, rest)) = steps.split_first() else {
        *node = new;
        return;
    };
    if !matches!(node.value, Value::Map(_)) {
        *node = Node { value: Value::Map(Vec::new()), origin: new.origin.clone() };
    }
    let Value::Map(entries) = &mut node.value else { return };
    let at = entries.iter().position(|(name, _)| name == step).unwrap_or_else(|| {
        entries.push(((*step).to_owned(), Node { value: Value::Null, origin: new.origin.clone() }));
        entries.len() - 1
    });
    set(&mut entries[at].1, rest, new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, variables: &[(&str, &str)], expected: &str) {
        let mut root = Node::parse(file).unwrap();
        overlay(&mut root, variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        assert_eq!(root, Node::parse(expected).unwrap(), "{file:?} with {variables:?}");
    }

    #[test]
    fn a_variable_replaces_or_adds_one_key() {
        check("log: { backend: disk }", &[("MILLSTREAM__LOG__BACKEND", "kafka")], "log: { backend: kafka }");
        check("", &[("MILLSTREAM__STREAMS__SIGNALS__PARTITIONS", "12")], "streams: { signals: { partitions: 12 } }");
        check("data_dir: a", &[("MILLSTREAM__ROLES", "[collect, query]")], "{data_dir: a, roles: [collect, query]}");
        check("listen: a", &[("MILLSTREAM_LOG", "debug"), ("PATH", "/bin"), ("BURST_MODE", "")], "listen: a");
    }

    #[test]
    fn a_name_that_counts_in_a_unit_of_its_own_sets_the_same() {
        let variables = [("MAX_BUFFER_SIZE_MB", "100"), ("KAFKA_REQUEST_TIMEOUT_MS", "30000"), ("BUFFER_DIR", "b")];
        let expected = "{ spool: { dir: b, max_size: 100MiB }, log: { kafka: { request_timeout: 30000ms } } }";
        check("", &variables, expected);
    }

    #[test]
    fn our_name_wins_over_an_alias() {
        let both = [("MILLSTREAM__EMIT__RATE", "5"), ("SIGNALS_PER_SECOND", "9"), ("BURST_MODE", "true")];
        check("", &both, "emit: { burst: true, rate: 5 }");
    }
}
