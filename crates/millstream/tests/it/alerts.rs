//! Notifications: one for each incident, signed, from an outbox that survives a kill.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::product::{Product, folder, free_port, until, write};
use crate::receiver::Receiver;

const USERS: usize = 40;

/// A purchase above the limit for each of these users, and one below it for each that must not be told.
fn purchases(users: std::ops::Range<usize>) -> String {
    let purchase = |user: usize, amount: f64| {
        json!({
            "event_id": format!("{user}-{amount}"), "user_id": user, "type": "purchase", "timestamp": 1_709_553_600_000_i64,
            "payload": {"amount": amount},
        })
    };
    users.map(|user| format!("{}\n{}\n", purchase(user, 1_000.01), purchase(user, 999.99))).collect()
}

/// The users that a receiver was told of; fails when it was told of one twice, or of something else.
fn told(taken: &[(String, Value)]) -> BTreeSet<usize> {
    let mut users = BTreeSet::new();
    for (id, body) in taken {
        assert_eq!(body["type"], "anomaly.detected", "{body}");
        let data = &body["data"];
        assert_eq!((&data["rule"], &data["severity"]), (&"high_value_purchase".into(), &"high".into()), "{body}");
        assert!(id.contains(data["id"].as_str().expect("an id")), "{id}: {body}");
        assert!(users.insert(data["key"].as_str().expect("a key").parse().expect("a user")), "told twice: {body}");
    }
    users
}

#[test]
fn each_incident_is_told_once_and_signed() {
    let (dir, receiver) = (folder(), Receiver::start());
    write(dir.path(), "millstream.yaml", receiver.configuration(&["high_value_purchase"]).as_bytes());
    let product = Product::start(dir.path(), &[]);
    product.post_stored("signals", &purchases(0..USERS));
    // The same once more, as from a client that is not sure: nothing new, nothing told.
    product.post_stored("signals", &purchases(0..USERS));
    product.post_stored("signals", &purchases(USERS..USERS + 1));
    // In order: when the last one is told, so are all before.
    until("the last one is told", || told(&receiver.taken()).contains(&USERS));
    assert_eq!(told(&receiver.taken()), (0..=USERS).collect());
    let alerts = product.ask("/v1/alerts?limit=1000");
    let alerts = alerts["alerts"].as_array().expect("alerts");
    assert_eq!(alerts.len(), USERS + 1);
    assert!(alerts.iter().all(|alert| alert["status"] == "delivered" && alert["attempts"] == 1), "{alerts:?}");
    product.stop();
}

#[test]
fn what_could_not_be_told_is_told_after_a_kill() {
    let (dir, receiver) = (folder(), Receiver::start());
    write(dir.path(), "millstream.yaml", receiver.configuration(&["high_value_purchase"]).as_bytes());
    receiver.be_away(true);
    let listen = format!("127.0.0.1:{}", free_port());
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    product.post_stored("signals", &purchases(0..USERS));
    until("the receiver sent somebody away", || receiver.turned_away() > 0);
    product.kill();
    assert_eq!(receiver.taken(), []);

    receiver.be_away(false);
    product = Product::start_at(dir.path(), &listen, &[]);
    until("all are told", || receiver.taken().len() >= USERS);
    product.post_stored("signals", &purchases(USERS..USERS + 1));
    until("the last one is told", || told(&receiver.taken()).contains(&USERS));
    assert_eq!(told(&receiver.taken()), (0..=USERS).collect());
    product.stop();
}

#[test]
fn killed_while_it_tells_it_leaves_nothing_out_and_repeats_under_the_same_id_alone() {
    const EACH: usize = 60;
    let (dir, receiver) = (folder(), Receiver::start());
    write(dir.path(), "millstream.yaml", receiver.configuration(&["high_value_purchase"]).as_bytes());
    let listen = format!("127.0.0.1:{}", free_port());
    let mut product = Product::start_at(dir.path(), &listen, &[]);
    for round in 0..5 {
        product.post_stored("signals", &purchases(round * EACH..(round + 1) * EACH));
        // Not always at the same place.
        until("it tells", || receiver.taken().len() > round * (EACH + 7));
        product.kill();
        product = Product::start_at(dir.path(), &listen, &[]);
    }
    let once = |taken: Vec<(String, Value)>| -> Vec<(String, Value)> {
        let mut seen = BTreeSet::new();
        taken.into_iter().filter(|(id, _)| seen.insert(id.clone())).collect()
    };
    until("all are told", || once(receiver.taken()).len() >= 5 * EACH);
    assert_eq!(told(&once(receiver.taken())), (0..5 * EACH).collect());
    product.stop();
}
