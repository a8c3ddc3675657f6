//! What every back end must do, run over memory and over Redis.

use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, LiveKey, PROCESSES, field};
use parking_lot::Mutex;

use crate::rig::{Hand, REDIS, fresh, in_redis, until};

const LONG: Duration = Duration::from_secs(100);

/// A back end, and how to let time pass for it.
struct Case {
    cache: Arc<dyn Cache>,
    pass: Box<dyn Fn(Duration)>,
}

fn memory() -> Case {
    let hand = Hand::default();
    let cache = cache::open_memory(hand.now());
    Case { cache, pass: Box::new(move |by| hand.turn(by)) }
}

/// Redis has its own clock: what passes is the time that a key had left.
fn redis() -> Case {
    let cache = in_redis(&REDIS.url());
    let watched = cache.clone();
    let key = fresh("clock");
    let pass = move |by: Duration| {
        watched.put(&key, &[("a", String::new())], by);
        until("time passes", || watched.get(&key).is_none());
    };
    Case { cache, pass: Box::new(pass) }
}

fn keeps_fields_for_a_while(case: &Case) {
    let (cache, key) = (&case.cache, fresh("key"));
    assert_eq!(cache.get(&key), None);
    let short = Duration::from_millis(400);
    cache.put(&key, &[("a", "1".to_owned()), ("b", "2".to_owned())], short);
    cache.put(&key, &[("b", "3".to_owned())], short);
    let fields = cache.get(&key).unwrap();
    assert_eq!(fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
    cache.add(&key, &[("n", 2), ("m", -1)], short);
    cache.add(&key, &[("n", 40)], short);
    let fields = cache.get(&key).unwrap();
    assert_eq!((fields["n"].as_str(), fields["m"].as_str()), ("42", "-1"));
    (case.pass)(Duration::from_millis(450));
    assert_eq!(cache.get(&key), None);
}

fn keeps_lists_for_a_while(case: &Case) {
    let (cache, list) = (&case.cache, fresh("list"));
    cache.enlist(&list, "b", Duration::from_millis(300));
    cache.enlist(&list, "a", LONG);
    assert_eq!(cache.listed(&list), ["a", "b"]);
    (case.pass)(Duration::from_millis(350));
    assert_eq!(cache.listed(&list), ["a"]);
}

fn tells_listeners_once(case: &Case) {
    let (cache, topic) = (&case.cache, fresh("topic"));
    let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let ear = heard.clone();
    let subscription = cache.subscribe(&topic, Box::new(move |news| ear.lock().push(news.to_vec())));
    cache.publish(&topic, b"one\0\xff");
    cache.publish("another topic", b"not for us");
    assert_eq!(*heard.lock(), [b"one\0\xff".to_vec()]);
    // What comes back from the server must not be told again: it is there once this is answered.
    cache.put(&topic, &[("a", "1".to_owned())], LONG);
    assert!(cache.get(&topic).is_some());
    drop(subscription);
    cache.publish(&topic, b"two");
    assert_eq!(heard.lock().len(), 1);
}

fn keeps_live_values_as_documented(case: &Case) {
    let (cache, id) = (&*case.cache, fresh("id"));
    let user = LiveKey::User(&id);
    user.put(cache, "", &[(field::LAST_ACTIVITY, "1700000000000".to_owned())]);
    let fields = user.get(cache, "").unwrap();
    assert_eq!((fields["lastActivity"].as_str(), fields["lastEngagement"].as_str()), ("1700000000000", "0.5"));
    assert_eq!(user.get(cache, "acme"), None, "another tenant's user of that name is another");
    let concept = LiveKey::Concept(&id);
    concept.add(cache, "", &[(field::TOTAL_ATTEMPTS, 1), (field::CORRECT_ATTEMPTS, 1)]);
    concept.add(cache, "", &[(field::TOTAL_ATTEMPTS, 1), (field::CORRECT_ATTEMPTS, 0)]);
    let fields = concept.get(cache, "").unwrap();
    assert_eq!((fields["totalAttempts"].as_str(), fields["correctAttempts"].as_str()), ("2", "1"));
    LiveKey::Process(&id).put(cache, "", &[("rate", "5".to_owned())]);
    assert_eq!(LiveKey::Process(&id).get(cache, "").unwrap()["rate"], "5");
    assert!(cache.listed(PROCESSES).contains(&id));
}

#[test]
fn memory_passes_the_suite() {
    let case = memory();
    keeps_fields_for_a_while(&case);
    keeps_lists_for_a_while(&case);
    tells_listeners_once(&case);
    keeps_live_values_as_documented(&case);
    assert_eq!(case.cache.status().backend, "memory");
}

#[test]
fn redis_passes_the_suite() {
    let case = redis();
    assert_eq!(case.cache.status().away, None);
    keeps_fields_for_a_while(&case);
    keeps_lists_for_a_while(&case);
    tells_listeners_once(&case);
    keeps_live_values_as_documented(&case);
    assert_eq!((case.cache.status().backend, case.cache.status().dropped), ("redis", 0));
}

#[test]
fn live_values_lie_in_redis_under_the_documented_names_and_times() {
    let cache = in_redis(&REDIS.url());
    let mut connection = redis::Client::open(REDIS.url()).unwrap().get_connection().unwrap();
    let id = fresh("id");
    for (key, name) in [
        (LiveKey::User(&id), format!("user:{id}:realtime")),
        (LiveKey::Concept(&id), format!("concept:{id}:realtime")),
        (LiveKey::Profile(&id), format!("profile:{id}")),
        (LiveKey::Content(&id), format!("content:{id}:analytics")),
        (LiveKey::Engagement(&id), format!("engagement:{id}:analytics")),
        (LiveKey::Process(&id), format!("millstream:live:{id}")),
    ] {
        let first = key.fields().first().copied().unwrap_or("any");
        key.put(&*cache, "", &[(first, "1".to_owned())]);
        assert!(key.get(&*cache, "").is_some());
        let ttl: u64 = redis::cmd("PTTL").arg(&name).query(&mut connection).unwrap();
        let value: String = redis::cmd("HGET").arg(&name).arg(first).query(&mut connection).unwrap();
        let full = key.ttl().as_millis() as u64;
        assert!(value == "1" && ttl <= full && ttl + 5_000 > full, "{name}: {ttl} of {full}");
    }
}
