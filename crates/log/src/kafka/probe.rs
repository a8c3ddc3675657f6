//! A look at the cluster, for whoever checks a configuration.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaSettings;
use super::client::{self, Voice};
use crate::LogError;

/// How long the cluster has for its answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks the cluster who it is, and says it in a sentence: its brokers and how many topics we may see. Makes nothing.
///
/// # Errors
/// [`LogError::Refused`] when the settings are none, [`LogError::Away`] when nobody answers within five seconds.
pub fn probe(settings: &KafkaSettings) -> Result<String, LogError> {
    let mut config = client::base(settings);
    client::overlay(&mut config, settings);
    let refused = |error: rdkafka::error::KafkaError| LogError::Refused(error.to_string());
    let consumer: BaseConsumer<Voice> = config.create_with_context(Voice::default()).map_err(refused)?;
    let metadata = consumer.fetch_metadata(None, ANSWER).map_err(|error| {
        // What went wrong waits in the client until somebody takes it.
        let _ = consumer.poll(Duration::from_millis(10));
        let said = consumer.context().said().map_or_else(String::new, |said| format!("; {said}"));
        LogError::Away(format!("{error}{said}"))
    })?;
    let brokers: Vec<String> = metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect();
    let (count, topics) = (brokers.len(), metadata.topics().len());
    let many = |count: usize| if count == 1 { "" } else { "s" };
    Ok(format!("{count} broker{} ({}), {topics} topic{}", many(count), brokers.join(", "), many(topics)))
}
