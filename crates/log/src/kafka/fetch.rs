//! A consumer of some partitions of one topic: messages as librdkafka hands them over, many at a time.
//!
//! The safe interface of the binding hands over one message a call, each with an event of its own, and does not say at
//! which offset a partition ends; so the C interface is used here, and nowhere else.

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::time::Duration;

use event::Millis;
use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_headers, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_t,
    rd_kafka_resp_err_t,
};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedHeaders;
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSettings;
use super::client::{Voice, base, overlay};
use crate::LogError;

/// Messages taken from the library's queue at once.
const TAKE: usize = 512;
/// Kilobytes of messages that the library reads ahead.
const AHEAD_KILOBYTES: &str = "16384";

/// What all consumers share.
pub(super) fn consumer(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = base(settings);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

/// Messages of some partitions of a topic, and where the partitions end.
pub(super) struct Fetch {
    topic: String,
    queue: NonNull<rd_kafka_queue_t>,
    taken: VecDeque<NonNull<rd_kafka_message_t>>,
    consumer: BaseConsumer<Voice>,
}

// SAFETY: librdkafka's objects may be used from any thread, and a `Fetch` is used by one at a time.
#[expect(unsafe_code, reason = "raw pointers are not Send by themselves")]
unsafe impl Send for Fetch {}

/// Something taken from the library's queue.
pub(super) enum Fetched<'a> {
    /// A record.
    Message(Message<'a>),
    /// A partition has been read to this offset, and nothing is there (yet).
    End(u32, u64),
    /// The offset asked for in a partition is not there.
    OutOfRange(u32),
    /// Something is wrong for now; the library goes on by itself.
    Trouble(RDKafkaErrorCode),
}

impl Fetch {
    /// Begins to read. `awake` is called, by a thread of the library, when there is something after there was nothing.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the settings are not the library's.
    pub(super) fn open(
        settings: &KafkaSettings,
        topic: &str,
        from: &[(u32, u64)],
        awake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, LogError> {
        let mut config = consumer(settings, &settings.group);
        config
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", AHEAD_KILOBYTES)
            .set("fetch.message.max.bytes", "4194304")
            .set("fetch.max.bytes", "16777216")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.error.backoff.ms", "100")
            // With a full queue the library looks again after this; its second would be a pause in every queue length.
            .set("fetch.queue.backoff.ms", "2")
            // Whoever takes many messages at once is not handed the library's words, and they would go to stderr.
            .set_log_level(RDKafkaLogLevel::Emerg);
        overlay(&mut config, settings);
        let mut consumer: BaseConsumer<Voice> = config.create_with_context(Voice::default()).map_err(refused)?;
        consumer.set_nonempty_callback(awake);
        let queue = queue_of(&consumer).ok_or_else(|| LogError::Refused("the client has no queue".to_owned()))?;
        let mut fetch = Self { topic: topic.to_owned(), queue, taken: VecDeque::with_capacity(TAKE), consumer };
        fetch.assign(from)?;
        Ok(fetch)
    }

    /// Reads these partitions from these offsets on, and forgets what was read ahead. A partition whose offset was out of
    /// range is read on by this only.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the library does not take it.
    pub(super) fn assign(&mut self, from: &[(u32, u64)]) -> Result<(), LogError> {
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (partition, offset) in from {
            list.add_partition_offset(&self.topic, *partition as i32, Offset::Offset(*offset as i64))
                .map_err(refused)?;
        }
        self.consumer.assign(&list).map_err(refused)?;
        self.taken.drain(..).for_each(destroy);
        Ok(())
    }

    /// The first of what was taken and not passed, after taking what is there; waits at most `wait` for it.
    pub(super) fn first(&mut self, wait: Duration) -> Option<Fetched<'_>> {
        if self.taken.is_empty() {
            // The library waits for as many as are asked for: so it waits for one.
            self.take(if wait.is_zero() { TAKE } else { 1 }, wait);
            if !wait.is_zero() && !self.taken.is_empty() {
                self.take(TAKE, Duration::ZERO);
            }
        }
        let message = self.taken.front()?;
        // SAFETY: messages in `taken` are ours until `pass` or drop destroys them, which need `&mut self`.
        #[expect(unsafe_code, reason = "the library hands out pointers")]
        let message = unsafe { message.as_ref() };
        Some(Fetched::of(message))
    }

    /// Passes over the first of what was taken.
    pub(super) fn pass(&mut self) {
        if let Some(message) = self.taken.pop_front() {
            destroy(message);
        }
    }

    #[expect(unsafe_code, reason = "the binding has no safe way to take many messages at once")]
    fn take(&mut self, max: usize, wait: Duration) {
        let mut room = [ptr::null_mut::<rd_kafka_message_t>(); TAKE];
        let (millis, max) = (wait.as_millis().min(60_000) as i32, max.min(TAKE));
        // SAFETY: the queue is the consumer's, both live as long as `self`, and there is room for `max` pointers.
        let count = unsafe { rd_kafka_consume_batch_queue(self.queue.as_ptr(), millis, room.as_mut_ptr(), max) };
        let taken = &room[..usize::try_from(count).unwrap_or(0).min(TAKE)];
        self.taken.extend(taken.iter().filter_map(|message| NonNull::new(*message)));
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.taken.drain(..).for_each(destroy);
        // SAFETY: it was got once and is given back once; the consumer, which it belongs to, is dropped after this.
        #[expect(unsafe_code, reason = "the queue is the library's")]
        unsafe {
            rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// The queue that all of a consumer's messages go through.
#[expect(unsafe_code, reason = "the binding keeps its queue to itself")]
fn queue_of(consumer: &BaseConsumer<Voice>) -> Option<NonNull<rd_kafka_queue_t>> {
    // SAFETY: the client lives as long as the consumer.
    NonNull::new(unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) })
}

#[expect(unsafe_code, reason = "messages are the library's")]
fn destroy(message: NonNull<rd_kafka_message_t>) {
    // SAFETY: it came from the library's queue and left `taken`, so nobody else destroys it.
    unsafe { rd_kafka_message_destroy(message.as_ptr()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn refused(error: KafkaError) -> LogError {
    LogError::Refused(error.to_string())
}

impl<'a> Fetched<'a> {
    fn of(message: &'a rd_kafka_message_t) -> Self {
        let (partition, offset) = (message.partition.max(0) as u32, message.offset.max(0) as u64);
        match message.err {
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Self::Message(Message { message, partition, offset }),
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Self::End(partition, offset),
            rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET
            | rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => Self::OutOfRange(partition),
            other => Self::Trouble(other.into()),
        }
    }
}

/// A record as it lies in a topic.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    message: &'a rd_kafka_message_t,
    /// Its partition.
    pub(super) partition: u32,
    /// Its offset.
    pub(super) offset: u64,
}

#[expect(unsafe_code, reason = "the library hands out pointers")]
impl<'a> Message<'a> {
    /// The value; empty when there is none.
    pub(super) fn data(&self) -> &'a [u8] {
        // SAFETY: the library keeps `len` bytes there as long as the message.
        unsafe { bytes(self.message.payload.cast(), self.message.len) }
    }

    /// The key; empty when there is none.
    pub(super) fn key(&self) -> &'a [u8] {
        // SAFETY: as above.
        unsafe { bytes(self.message.key.cast(), self.message.key_len) }
    }

    /// When it was made, or appended, whatever the topic keeps; 0 when nobody said.
    pub(super) fn time(&self) -> Millis {
        // SAFETY: the message lives; the kind of its time may be left out.
        unsafe { rd_kafka_message_timestamp(self.message, ptr::null_mut()) }.max(0)
    }

    /// The headers, when there are any.
    pub(super) fn headers(&self) -> Option<&'a BorrowedHeaders> {
        let mut list = ptr::null_mut();
        // SAFETY: the message lives, and the list lives as long as it does.
        let code = unsafe { rd_kafka_message_headers(self.message, &raw mut list) };
        let found = code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !list.is_null();
        // SAFETY: a `BorrowedHeaders` is nothing but the address of the library's list.
        found.then(|| unsafe { &*list.cast_const().cast::<BorrowedHeaders>() })
    }
}

/// The bytes at an address, none when it is null.
///
/// # Safety
/// Unless it is null there must be `len` bytes for as long as `'a`.
#[expect(unsafe_code, reason = "the library hands out pointers")]
unsafe fn bytes<'a>(at: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the caller's word.
    if at.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(at, len) } }
}
