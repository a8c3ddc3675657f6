//! Dead letters sent again: judged once more, appended once a try, with what they had.

use collect::{Rejection, Replayed};
use event::{Classification, DeadLetter, LetterStatus, Stage, headers};

use crate::house::House;

const GOOD: &[u8] = br#"{"user_id":7,"type":"click","timestamp":1,"payload":{},"event_id":"e-1"}"#;

fn letter(stream: &str, data: &[u8]) -> DeadLetter {
    DeadLetter {
        tenant: String::new(),
        id: "letter-1".to_owned(),
        stream: stream.to_owned(),
        partition: 0,
        offset: 0,
        stage: Stage::Collect,
        code: "missing_field".to_owned(),
        pointer: String::new(),
        message: String::new(),
        data: data.to_vec(),
        edited: None,
        key: String::new(),
        headers: Vec::new(),
        request_id: "r-1".to_owned(),
        correlation_id: "c-1".to_owned(),
        received_at: 0,
        first_failed_at: 0,
        last_failed_at: 0,
        attempts: 1,
        classification: Classification::Permanent,
        status: LetterStatus::Open,
        retry_at: None,
    }
}

fn with_headers(list: &[(&str, &str)]) -> Vec<u8> {
    let mut encoded = Vec::new();
    list.iter().for_each(|(name, value)| headers::put(&mut encoded, name, value.as_bytes()));
    encoded
}

fn told(list: &[u8]) -> Vec<(String, String)> {
    headers::iter(list).map(|(n, v)| (n.to_owned(), String::from_utf8(v.to_vec()).unwrap())).collect()
}

async fn send(house: &House, letter: &DeadLetter) -> Replayed {
    house.intake.replay(letter).unwrap().append().await.unwrap()
}

#[tokio::test]
async fn a_letter_goes_to_its_stream_once_a_try_and_names_itself() {
    let house = House::new();
    let mut letter = letter("signals", b"{}");
    letter.edited = Some([b" ", GOOD].concat());
    assert!(matches!(send(&house, &letter).await, Replayed::Appended(Some(_))));
    assert_eq!(send(&house, &letter).await, Replayed::Known, "the same try is one record");
    letter.attempts = 2;
    assert!(matches!(send(&house, &letter).await, Replayed::Appended(Some(_))), "the next try is another");
    let rows = house.records("signals", |_, r| (r.data.to_vec(), r.key.to_vec(), r.id.to_vec(), told(r.headers)));
    assert_eq!(rows.len(), 2);
    let list = [("correlation-id", "c-1"), ("dlq-id", "letter-1"), ("dlq-attempt", "1")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(rows[0], (GOOD.to_vec(), b"7".to_vec(), b"e-1".to_vec(), list.to_vec()));
    assert_eq!((house.intake.stats().accepted(), house.count("_refused")), (2, 0));
}

#[tokio::test]
async fn another_tenants_letter_of_the_same_id_is_another() {
    let house = House::new();
    let mut letter = letter("signals", GOOD);
    send(&house, &letter).await;
    letter.tenant = "acme".to_owned();
    letter.headers = with_headers(&[("tenant", "somebody"), ("dlq-id", "old"), ("x-trace", "t")]);
    assert!(matches!(send(&house, &letter).await, Replayed::Appended(Some(_))));
    let rows = house.records("signals", |_, r| (r.tenant().to_vec(), told(r.headers)));
    let (tenant, list) = rows.into_iter().find(|(tenant, _)| !tenant.is_empty()).unwrap();
    let names: Vec<_> = list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(tenant, b"acme");
    assert_eq!(names[..3], [("tenant", "acme"), ("x-trace", "t"), ("correlation-id", "c-1")]);
    assert_eq!(names[3..], [("dlq-id", "letter-1"), ("dlq-attempt", "1")]);
}

#[tokio::test]
async fn what_is_still_bad_is_refused_and_makes_no_other_letter() {
    let house = House::new();
    let check = |stream: &str, data: &str, code: &str, pointer: &str, part: &str| {
        let Rejection { code: c, pointer: p, message } =
            house.intake.replay(&letter(stream, data.as_bytes())).unwrap_err();
        assert_eq!((c, p.as_str()), (code, pointer), "{data}: {message}");
        assert!(message.contains(part), "{data}: {message}");
    };
    check("signals", r#"{"user_id":7}"#, "missing_field", "/type", "/type");
    check(
        "signals",
        r#"{"user_id":"x","type":"click","timestamp":1,"payload":{}}"#,
        "wrong_type",
        "/user_id",
        "integer",
    );
    check("signals", r#"{"user_id":7"#, "invalid_json", "", "line 1");
    check("signals", r#"{} {}"#, "invalid_json", "", "end of the body");
    check("signals", "[{}]", "not_an_object", "", "a JSON object");
    check("signals", " ", "not_an_object", "", "nothing");
    check("nowhere", "{}", "unknown_stream", "", "`nowhere`");
    check("_refused", "{}", "unknown_stream", "", "`_refused`");
    let mut long = letter("events", b"{}");
    long.headers = with_headers(&[("x-long", &"x".repeat(20_000))]);
    assert_eq!(house.intake.replay(&long).unwrap_err().code, "too_large");
    assert_eq!((house.count("signals"), house.count("_refused")), (0, 0));
}

#[tokio::test]
async fn a_cloud_event_stays_one() {
    let house = House::new();
    // In its JSON form: refused, kept with its content type, and judged by its attributes again.
    let structured = [("content-type", "application/cloudevents+json")];
    let bad = r#"{"specversion":"1.0","id":"1","source":"/s","type":""}"#;
    house.post_with("events", &structured, bad).await;
    let kept = house.records("_refused", |_, r| headers::get(r.headers, "content-type").unwrap_or_default().to_vec());
    assert_eq!(kept, [b"application/cloudevents+json"]);
    let mut again = letter("events", bad.as_bytes());
    again.headers = with_headers(&structured);
    assert_eq!(house.intake.replay(&again).unwrap_err().pointer, "/type");
    again.edited = Some(br#"{"specversion":"1.0","id":"1","source":"/s","type":"placed","subject":"k"}"#.to_vec());
    send(&house, &again).await;
    // In binary mode: the attributes are headers, and the body is whatever it is.
    let mut binary = letter("events", b"no JSON");
    binary.id = "letter-2".to_owned();
    let list = [
        ("content-type", "text/plain"),
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/s"),
        ("ce-type", "note"),
        ("ce-subject", "50 % \"off\" \u{20ac}"),
    ];
    binary.headers = with_headers(&list);
    send(&house, &binary).await;
    let mut rows = house.records("events", |_, r| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(r.kind), text(r.key), text(r.data), told(r.headers))
    });
    rows.sort();
    let (kind, key, data, headers) = &rows[0];
    assert_eq!((kind.as_str(), key.as_str(), data.as_str()), ("note", list[5].1, "no JSON"));
    let names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(names[..6], list);
    let (kind, key, _, headers) = &rows[1];
    assert_eq!((kind.as_str(), key.as_str()), ("placed", "k"));
    assert_eq!(headers[0].1, "application/cloudevents+json");
}
