//! Two processes over one Redis, and the same without it.

use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, CacheError};
use parking_lot::Mutex;
use services::Redis;

use crate::rig::{Hand, in_redis, time, until};

const LONG: Duration = Duration::from_secs(100);
/// What no call may exceed, and what a busy machine adds.
const BOUND: Duration = Duration::from_millis(200 + 300);

fn put(cache: &dyn Cache, key: &str, value: &str) {
    cache.put(key, &[("v", value.to_owned())], LONG);
}

fn value(cache: &dyn Cache, key: &str) -> Option<String> {
    cache.get(key).and_then(|fields| fields.get("v").cloned())
}

fn listen(cache: &dyn Cache) -> (Arc<Mutex<Vec<Vec<u8>>>>, cache::Subscription) {
    let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let ear = heard.clone();
    (heard, cache.subscribe("topic", Box::new(move |news| ear.lock().push(news.to_vec()))))
}

#[test]
fn two_processes_share_values_and_news_and_each_hears_once_over_redis() {
    let redis = Redis::start().unwrap();
    let (a, b) = (in_redis(&redis.url()), in_redis(&redis.url()));
    put(&*a, "key", "1");
    until("b sees it", || value(&*b, "key").as_deref() == Some("1"));
    for cache in [&a, &b] {
        for _ in 0..50 {
            cache.add("sum", &[("n", 1)], LONG);
        }
    }
    until("sums meet", || [&a, &b].iter().all(|c| c.get("sum").is_some_and(|fields| fields["n"] == "100")));
    let ((heard_a, _keep_a), (heard_b, _keep_b)) = (listen(&*a), listen(&*b));
    until("b hears", || {
        a.publish("topic", b"ping");
        !heard_b.lock().is_empty()
    });
    let told = heard_a.lock().len();
    a.publish("topic", b"last");
    until("b hears the last", || heard_b.lock().iter().any(|news| news == b"last"));
    b.publish("topic", b"answer");
    until("a hears b", || heard_a.lock().iter().any(|news| news == b"answer"));
    assert_eq!(heard_a.lock().len(), told + 2, "its own once, not again through Redis");
}

#[test]
fn without_redis_no_call_waits_and_memory_serves_until_it_is_back() {
    let mut redis = Redis::start().unwrap();
    let cache = in_redis(&redis.url());
    put(&*cache, "before", "1");
    assert_eq!(value(&*cache, "before").as_deref(), Some("1"));
    redis.kill();
    for turn in 0..20 {
        let key = format!("during {turn}");
        let ((), put_in) = time(|| put(&*cache, &key, "2"));
        let (found, got_in) = time(|| value(&*cache, &key));
        assert_eq!(found.as_deref(), Some("2"));
        assert!(put_in < BOUND && got_in < BOUND, "{put_in:?}, {got_in:?}");
    }
    assert_eq!(value(&*cache, "before").as_deref(), Some("1"), "what this process has put is in its memory");
    let (heard, _keep) = listen(&*cache);
    cache.publish("topic", b"alone");
    assert_eq!(heard.lock().len(), 1);
    until("it is noticed", || cache.status().away.is_some());
    redis.restart();
    until("it is back", || cache.status().away.is_none() && cache.status().waiting == 0);
    let other = in_redis(&redis.url());
    until("what was put meanwhile is there", || value(&*other, "during 19").as_deref() == Some("2"));
}

#[test]
fn a_change_that_redis_refuses_for_good_is_given_up_and_holds_up_no_other() {
    let redis = Redis::start().unwrap();
    let mut plain = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    redis::cmd("SET").arg("taken").arg("by another").exec(&mut plain).unwrap();
    let (cache, other) = (in_redis(&redis.url()), in_redis(&redis.url()));
    until("it is reached", || cache.status().away.is_none());
    put(&*cache, "taken", "1");
    put(&*cache, "free", "1");
    cache.add("sum", &[("n", 1)], LONG);
    until("all is sent or given up", || cache.status().waiting == 0 && cache.status().dropped > 0);
    assert_eq!((cache.status().dropped, cache.status().away), (1, None));
    assert_eq!(value(&*other, "free").as_deref(), Some("1"));
    assert_eq!(other.get("sum").unwrap()["n"], "1");
}

#[test]
fn a_cache_opens_without_redis_and_finds_it_later() {
    let mut redis = Redis::start().unwrap();
    redis.stop();
    let (cache, opened_in) = time(|| in_redis(&redis.url()));
    assert!(opened_in < BOUND, "{opened_in:?}");
    put(&*cache, "key", "1");
    assert_eq!(value(&*cache, "key").as_deref(), Some("1"));
    redis.restart();
    until("it is found", || cache.status().away.is_none() && cache.status().waiting == 0);
    assert_eq!(value(&*in_redis(&redis.url()), "key").as_deref(), Some("1"));
    let bad = cache::open_redis("nowhere", Hand::default().now());
    assert!(matches!(bad.err(), Some(CacheError::Address(_))));
}
