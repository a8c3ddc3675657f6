//! Who listens to what, in this process.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::Listener;

#[derive(Default)]
struct Listeners {
    /// By topic, each with its number.
    by_topic: HashMap<String, Vec<(u64, Arc<Listener>)>>,
    last: u64,
}

/// The listeners of all topics.
#[derive(Clone, Default)]
pub(crate) struct Topics(Arc<RwLock<Listeners>>);

impl Topics {
    pub(crate) fn subscribe(&self, topic: &str, listener: Listener) -> Subscription {
        let mut listeners = self.0.write();
        listeners.last += 1;
        let number = listeners.last;
        listeners.by_topic.entry(topic.to_owned()).or_default().push((number, Arc::new(listener)));
        Subscription { topics: Arc::downgrade(&self.0), topic: topic.to_owned(), number }
    }

    /// Tells all listeners of a topic.
    pub(crate) fn tell(&self, topic: &str, news: &[u8]) {
        let of: Vec<_> = {
            let listeners = self.0.read();
            let of = listeners.by_topic.get(topic).into_iter().flatten();
            of.map(|(_, listener)| listener.clone()).collect()
        };
        of.iter().for_each(|listener| listener(news));
    }
}

/// Hears of a topic for as long as it is held. News that are being told when it is dropped may still be heard.
pub struct Subscription {
    topics: Weak<RwLock<Listeners>>,
    topic: String,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(topics) = self.topics.upgrade() else { return };
        let mut listeners = topics.write();
        if let Some(of) = listeners.by_topic.get_mut(&self.topic) {
            of.retain(|(number, _)| *number != self.number);
            if of.is_empty() {
                listeners.by_topic.remove(&self.topic);
            }
        }
    }
}
