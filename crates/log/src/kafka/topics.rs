//! The topics of the streams: their names, and that they are there with the partitions that the streams have. What else a
//! topic has is left alone: nobody here writes it or reads it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use event::{Catalog, Millis, Stream};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::KafkaSettings;
use super::client::{MESSAGE_BYTES_MAX, Voice, base, overlay};
use crate::LogError;

/// How long one question to the cluster may take.
pub(super) const ASK: Duration = Duration::from_secs(2);
/// How long the cluster may take to make topics.
const MAKE: Duration = Duration::from_secs(10);
const DAY_MS: Millis = 24 * 3_600 * 1_000;

/// The topic of a stream.
pub(super) fn topic_of<'a>(settings: &'a KafkaSettings, stream: &'a str) -> &'a str {
    settings.topics.get(stream).map_or(stream, String::as_str)
}

/// How the topics stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All are there, every partition has a leader, and every leader answers.
    Sound,
    /// These are not there, by their streams' names.
    Missing(Vec<String>),
}

/// Looks whether every stream's topic is there as it should be and every leader of it answers.
///
/// # Errors
/// [`LogError::Partitions`] when one has fewer partitions than its stream; [`LogError::Away`] when the cluster, or the leader
/// of a partition, does not answer.
pub(super) fn look<C: ClientContext>(
    client: &Client<C>,
    catalog: &Catalog,
    settings: &KafkaSettings,
) -> Result<Standing, LogError> {
    // Asking for all topics makes none; asking for one that is not there would, with the broker's own partitions.
    let metadata = client.fetch_metadata(None, ASK).map_err(|error| LogError::Away(error.to_string()))?;
    let (mut missing, mut wider) = (Vec::new(), Vec::new());
    let mut leaders: Vec<(i32, &str, i32)> = Vec::new();
    for (_, stream) in catalog.iter() {
        let topic = topic_of(settings, &stream.name);
        let Some(found) = find(&metadata, topic) else {
            missing.push(stream.name.clone());
            continue;
        };
        let on_disk = found.partitions().len() as u32;
        if on_disk < stream.partitions {
            let (stream, configured) = (stream.name.clone(), stream.partitions);
            return Err(LogError::Partitions { stream, on_disk, configured });
        }
        if on_disk > stream.partitions {
            wider.push((topic, on_disk, stream.partitions));
        }
        for partition in found.partitions().iter().filter(|partition| (partition.id() as u32) < stream.partitions) {
            if partition.leader() < 0 {
                return Err(LogError::Away(format!("partition {} of topic `{topic}` has no leader", partition.id())));
            }
            if !leaders.iter().any(|(leader, ..)| *leader == partition.leader()) {
                leaders.push((partition.leader(), topic, partition.id()));
            }
        }
    }
    if !missing.is_empty() {
        return Ok(Standing::Missing(missing));
    }
    // What the cluster says of a leader may be old: a dead one leads for as long as its session lasts.
    for (leader, topic, partition) in leaders {
        client.fetch_watermarks(topic, partition, ASK).map_err(|error| {
            LogError::Away(format!("broker {leader}, which leads partition {partition} of `{topic}`: {error}"))
        })?;
    }
    for (topic, there, configured) in wider {
        tracing::warn!(
            topic,
            there,
            configured,
            "the topic has more partitions than its stream: what others produce into those is not read"
        );
    }
    Ok(Standing::Sound)
}

fn find<'a>(metadata: &'a Metadata, topic: &str) -> Option<&'a MetadataTopic> {
    metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none() && !t.partitions().is_empty())
}

/// Makes the topics of these streams.
///
/// # Errors
/// [`LogError::Refused`] when the cluster does not let us; [`LogError::Away`] when it cannot now.
pub(super) fn make(catalog: &Catalog, settings: &KafkaSettings, names: &[String]) -> Result<(), LogError> {
    let mut config = base(settings);
    overlay(&mut config, settings);
    let away = |error: rdkafka::error::KafkaError| LogError::Away(error.to_string());
    let admin: AdminClient<Voice> = config.create_with_context(Voice::default()).map_err(away)?;
    let wanted: Vec<&Stream> =
        catalog.iter().map(|(_, stream)| stream).filter(|stream| names.contains(&stream.name)).collect();
    let texts: Vec<_> = wanted.iter().map(|stream| texts(stream)).collect();
    let topics: Vec<NewTopic<'_>> =
        wanted.iter().zip(&texts).map(|(stream, texts)| described(stream, settings, texts)).collect();
    let options = AdminOptions::new().request_timeout(Some(MAKE)).operation_timeout(Some(MAKE));
    for result in wait_for(admin.create_topics(&topics, &options)).map_err(away)? {
        match result {
            Ok(topic) => tracing::info!(topic, "made a topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(refused(&topic, code)),
        }
    }
    Ok(())
}

fn refused(topic: &str, code: RDKafkaErrorCode) -> LogError {
    let said = format!("topic `{topic}` cannot be made: {code}");
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::InvalidConfig => LogError::Refused(said),
        // Too few brokers may be a cluster that is still starting.
        _ => LogError::Away(said),
    }
}

/// Retention by age and by bytes, and how long a segment is written to.
fn texts(stream: &Stream) -> [String; 3] {
    let bytes = |all: u64| (all / u64::from(stream.partitions)).to_string();
    let forever = || "-1".to_owned();
    let internal = stream.name.starts_with('_');
    [
        stream.retention.age_ms.map_or_else(forever, |age| age.to_string()),
        stream.retention.size_bytes.map_or_else(forever, bytes),
        (if internal { 7 * DAY_MS } else { DAY_MS }).to_string(),
    ]
}

fn described<'a>(stream: &'a Stream, settings: &'a KafkaSettings, texts: &'a [String; 3]) -> NewTopic<'a> {
    const MESSAGE_BYTES: &str = "2097152";
    const _: () = assert!(MESSAGE_BYTES_MAX == 2_097_152, "what is sent is what the topic takes");
    let replicas = settings.replication.map_or(-1, i32::from);
    let [age, size, segment] = texts;
    NewTopic::new(topic_of(settings, &stream.name), stream.partitions as i32, TopicReplication::Fixed(replicas))
        .set("retention.ms", age)
        .set("retention.bytes", size)
        .set("segment.ms", segment)
        .set("cleanup.policy", "delete")
        .set("compression.type", "producer")
        .set("message.timestamp.type", "CreateTime")
        // Others' clocks, or other units, would take the time of everything behind with them.
        .set("message.timestamp.after.max.ms", "3600000")
        .set("max.message.bytes", MESSAGE_BYTES)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until a future is done, whatever runtime may run around it.
fn wait_for<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
