//! What lies in the log afterwards: the sender's bytes, unchanged, with key, id, type, partition and time; refused events
//! with theirs and the reason; each id once.

use event::{headers, partition_of};

use crate::house::{ACCEPTED, House, NOW};

#[tokio::test]
async fn events_come_back_byte_for_byte() {
    let house = House::new();
    let events = [
        r#"{"learner_id":"l1", "event_id" : "e1","event_type":"click",  "n": 1.0e+2, "é":"\u00e9\/"}"#,
        "{\n\t\"learner_id\": 17,\n\t\"event_id\": false, \"event_type\": 1.50\n}",
        r#"{"learner_id":"l\u00e9\n\"1\"","event_id":"\ud83d\ude00","event_type":"a\\b"}"#,
        r#"{"nested":{"learner_id":"not this"},"a":[{"event_id":"nor this"}]}"#,
    ];
    let answer = house.post("events", format!(" [{} , {},{}\n,{}] ", events[0], events[1], events[2], events[3])).await;
    assert_eq!(answer.status, ACCEPTED, "{}", answer.body);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut seen =
        house.records("events", |partition, r| (text(r.data), text(r.key), text(r.id), text(r.kind), partition));
    seen.sort_by_key(|record| events.iter().position(|event| *event == record.0));
    let expected = [("l1", "e1", "click"), ("17", "false", "1.50"), ("lé\n\"1\"", "😀", "a\\b"), ("", "", "")];
    assert_eq!(seen.len(), 4);
    for (((data, key, id, kind, partition), event), expected) in seen.iter().zip(events).zip(expected) {
        assert_eq!(data, event);
        assert_eq!((key.as_str(), id.as_str(), kind.as_str()), expected);
        assert!(key.is_empty() || *partition == partition_of(key.as_bytes(), 4), "{key} in {partition}");
    }
}

#[tokio::test]
async fn one_key_keeps_its_order_and_positions_tell_where_it_is() {
    let house = House::new();
    for n in 0..20 {
        let lines: String =
            (0..50).map(|i| format!("{{\"learner_id\":\"l{}\",\"n\":{}}}\n", i % 7, n * 50 + i)).collect();
        let answer = house.post_with("events", &[("content-type", "application/x-ndjson")], lines).await;
        let ranges = answer.body["positions"].as_array().unwrap();
        let places: u64 =
            ranges.iter().map(|r| r["last_offset"].as_u64().unwrap() - r["first_offset"].as_u64().unwrap() + 1).sum();
        assert_eq!(places, 50, "{}", answer.body);
    }
    let read = |data: &[u8]| -> serde_json::Value { serde_json::from_slice(data).unwrap() };
    let seen = house.records("events", |_, r| (r.key.to_vec(), read(r.data)["n"].as_u64().unwrap()));
    assert_eq!(seen.len(), 1_000);
    for key in 0..7 {
        let key = format!("l{key}").into_bytes();
        let order: Vec<u64> = seen.iter().filter(|(k, _)| *k == key).map(|(_, n)| *n).collect();
        assert!(order.is_sorted() && order.len() > 100, "{order:?}");
    }
}

#[tokio::test]
async fn events_without_a_key_share_a_partition_and_requests_take_turns() {
    let house = House::new();
    let mut partitions = Vec::new();
    for _ in 0..4 {
        let answer = house.post("events", "[{},{},{}]").await;
        let ranges = answer.body["positions"].as_array().unwrap();
        assert_eq!(ranges.len(), 1, "{}", answer.body);
        partitions.push(ranges[0]["partition"].as_u64().unwrap());
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_refused_event_keeps_its_bytes_and_the_reason() {
    let house = House::new();
    let body = "{\"user_id\":1}\nnot \"json\" \u{e9}\n";
    let headers = [("content-type", "application/x-ndjson"), ("x-request-id", "request-7")];
    let answer = house.post_with("signals", &headers, body).await;
    assert_eq!(answer.status, 422);
    let rejected = answer.body["rejected"].as_array().unwrap();
    let letters = house.records("_refused", |_, record| {
        let header = |name| String::from_utf8(headers::get(record.headers, name).unwrap_or_default().to_vec()).unwrap();
        let names = ["stream", "code", "pointer", "message", "dlq-id", "request-id", "index", "cut-from-bytes"];
        (record.data.to_vec(), names.map(header))
    });
    assert_eq!(letters.len(), 2);
    for (i, (data, [stream, code, pointer, message, id, request_id, index, cut])) in letters.into_iter().enumerate() {
        assert_eq!(data, body.lines().nth(i).unwrap().as_bytes());
        assert_eq!((stream.as_str(), request_id.as_str(), cut.as_str()), ("signals", "request-7", ""));
        assert_eq!(index, i.to_string());
        assert_eq!(rejected[i]["code"], code);
        assert_eq!(rejected[i]["pointer"], pointer);
        assert_eq!(rejected[i]["message"], message);
        assert_eq!(rejected[i]["dlq_id"], id);
        let id = uuid::Uuid::parse_str(&id).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix().0 as i64, NOW / 1_000);
    }
}

#[tokio::test]
async fn of_an_event_that_is_too_large_the_first_bytes_are_kept() {
    let house = House::new();
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(2 << 20));
    let answer = house.post("events", format!("[{{}},{large},{{}}]")).await;
    assert_eq!((answer.status, answer.count("accepted_count")), (207, 2));
    let letters = house.records("_refused", |_, record| {
        (record.data.to_vec(), headers::get(record.headers, "cut-from-bytes").unwrap().to_vec())
    });
    assert_eq!(letters.len(), 1);
    assert!(letters[0].0 == large.as_bytes()[..1 << 20]);
    assert_eq!(letters[0].1, large.len().to_string().as_bytes());
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let house = House::new();
    let lines = |ids: &[&str]| ids.iter().map(|id| format!("{{\"event_id\":\"{id}\"}}\n")).collect::<String>();
    let ndjson = [("content-type", "application/x-ndjson")];
    for (ids, accepted, duplicates) in
        [(&["a", "b", "a"][..], 2, 1), (&["a", "b"], 0, 2), (&["\\u0061", "c"], 1, 1), (&["a"], 0, 1)]
    {
        let answer = house.post_with("events", &ndjson, lines(ids)).await;
        assert_eq!(answer.status, ACCEPTED, "{ids:?}: {}", answer.body);
        assert_eq!(
            (answer.count("accepted_count"), answer.count("duplicate_count")),
            (accepted, duplicates),
            "{ids:?}"
        );
        assert_eq!(answer.body["positions"].as_array().unwrap().is_empty(), accepted == 0);
    }
    assert_eq!(house.count("events"), 3);
    assert_eq!(house.intake.stats().duplicates(), 5);
    let order =
        r#"{"customer":{"id":1},"meta":{"at":"2026-11-20T10:00:00Z","id":"o"},"lines":[],"total":1,"paid":true}"#;
    for _ in 0..2 {
        assert_eq!(
            house.post("orders", order).await.count("accepted_count"),
            1,
            "a stream without dedup takes it again"
        );
    }
    // Without an id there is nothing to tell events apart by.
    assert_eq!(house.post("events", "[{\"x\":1},{\"x\":1}]").await.count("accepted_count"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once_lose_nothing() {
    let house = std::sync::Arc::new(House::new());
    let clients: Vec<_> = (0..50)
        .map(|client| {
            let house = house.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let answer = house.post("events", format!(r#"{{"event_id":"{client}-{n}"}}"#)).await;
                    assert_eq!((answer.status, answer.count("accepted_count")), (ACCEPTED, 1));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let mut ids = house.records("events", |_, record| record.id.to_vec());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1_000);
}
