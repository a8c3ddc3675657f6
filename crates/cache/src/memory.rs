//! The cache in memory: a bounded table; what would be forgotten first goes first when it is full.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;

use crate::topics::Topics;
use crate::{Cache, CacheStatus, Fields, Listener, Now, Subscription};

/// Keys and places on lists at the most: some 100 MB of live values.
pub(crate) const KEYS_MAX: usize = 100_000;
/// Fields of one key at the most: it is a process's figures, not a table.
const FIELDS_MAX: usize = 256;

/// A key, or a member of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Key(String),
    Place(String, String),
}

#[derive(Debug)]
struct Held {
    fields: Fields,
    until: Duration,
}

#[derive(Default)]
struct Table {
    held: HashMap<Name, Held>,
    /// When each is forgotten, soonest first.
    ends: BTreeSet<(Duration, Name)>,
}

impl Table {
    /// The fields of a name, to be changed; it lives until then.
    fn renew(&mut self, name: Name, now: Duration, until: Duration) -> &mut Fields {
        self.forget(now);
        if let Some(held) = self.held.get(&name) {
            self.ends.remove(&(held.until, name.clone()));
        } else if self.held.len() >= KEYS_MAX
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.held.remove(&first);
        }
        self.ends.insert((until, name.clone()));
        let held = self.held.entry(name).or_insert_with(|| Held { fields: Fields::new(), until });
        held.until = until;
        &mut held.fields
    }

    /// What is past its time goes.
    fn forget(&mut self, now: Duration) {
        while let Some((_, name)) = self.ends.first().filter(|(until, _)| *until <= now).cloned() {
            self.ends.pop_first();
            self.held.remove(&name);
        }
    }
}

pub(crate) struct Memory {
    now: Now,
    table: Mutex<Table>,
    topics: Topics,
}

impl Memory {
    pub(crate) fn new(now: Now) -> Self {
        Self { now, table: Mutex::default(), topics: Topics::default() }
    }

    fn change(&self, name: Name, ttl: Duration, change: impl FnOnce(&mut Fields)) {
        let now = (self.now)();
        change(self.table.lock().renew(name, now, now.saturating_add(ttl)));
    }
}

impl Cache for Memory {
    fn put(&self, key: &str, fields: &[(&str, String)], ttl: Duration) {
        self.change(Name::Key(key.to_owned()), ttl, |held| {
            for (name, value) in fields {
                if held.len() < FIELDS_MAX || held.contains_key(*name) {
                    held.insert((*name).to_owned(), value.clone());
                }
            }
        });
    }

    fn add(&self, key: &str, fields: &[(&str, i64)], ttl: Duration) {
        self.change(Name::Key(key.to_owned()), ttl, |held| {
            for (name, by) in fields {
                let sum = held.get(*name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0).saturating_add(*by);
                if held.len() < FIELDS_MAX || held.contains_key(*name) {
                    held.insert((*name).to_owned(), sum.to_string());
                }
            }
        });
    }

    fn get(&self, key: &str) -> Option<Fields> {
        let mut table = self.table.lock();
        table.forget((self.now)());
        table.held.get(&Name::Key(key.to_owned())).map(|held| held.fields.clone())
    }

    fn enlist(&self, list: &str, member: &str, ttl: Duration) {
        self.change(Name::Place(list.to_owned(), member.to_owned()), ttl, |_| ());
    }

    fn listed(&self, list: &str) -> Vec<String> {
        let mut table = self.table.lock();
        table.forget((self.now)());
        let member = |name: &Name| match name {
            Name::Place(of, member) if of == list => Some(member.clone()),
            _ => None,
        };
        let mut members: Vec<_> = table.held.keys().filter_map(member).collect();
        members.sort_unstable();
        members
    }

    fn publish(&self, topic: &str, news: &[u8]) {
        self.topics.tell(topic, news);
    }

    fn subscribe(&self, topic: &str, listener: Listener) -> Subscription {
        self.topics.subscribe(topic, listener)
    }

    fn status(&self) -> CacheStatus {
        let keys = self.table.lock().held.len();
        CacheStatus { backend: "memory", keys, ..CacheStatus::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_would_be_forgotten_first_goes_first_when_it_is_full() {
        let clock = Arc::new(AtomicU64::new(0));
        let of = clock.clone();
        let memory = Memory::new(Arc::new(move || Duration::from_secs(of.load(Ordering::Relaxed))));
        let put = |key: &str, ttl| memory.put(key, &[("a", "1".to_owned())], Duration::from_secs(ttl));
        put("short", 10);
        put("long", 1_000);
        (2..KEYS_MAX).for_each(|i| put(&format!("k{i}"), 100));
        assert_eq!(memory.status().keys, KEYS_MAX);
        put("one more", 100);
        assert_eq!(memory.status().keys, KEYS_MAX);
        assert!(memory.get("short").is_none() && memory.get("long").is_some() && memory.get("k2").is_some());
        clock.store(500, Ordering::Relaxed);
        assert!(memory.get("long").is_some() && memory.get("k2").is_none());
        assert_eq!(memory.status().keys, 1);
    }
}
