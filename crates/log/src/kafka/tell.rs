//! Sends positions to the cluster so that it is heard what became of them.

use std::ptr::NonNull;

use rdkafka::TopicPartitionList;
use rdkafka::bindings::{
    rd_kafka_commit_queue, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_resp_err_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::lag::Ear;

/// A context with an ear.
pub(super) trait Hears {
    fn ear(&self) -> &Ear;
}

/// Sends positions; what becomes of them is heard later, by the context's `commit_callback`, when the client is polled.
pub(super) fn tell<C: ConsumerContext + Hears>(client: &BaseConsumer<C>, list: &TopicPartitionList) {
    let ear = client.client().context().ear();
    ear.sent();
    if let Err(error) = send(client, list) {
        ear.heard(Err(error), list);
    }
}

/// The binding's own asynchronous commit (0.39) asks for no answer, so a refusal by a group that is just changing would be
/// heard by nobody.
#[expect(unsafe_code, reason = "the binding has no safe way to have the answer to an asynchronous commit")]
fn send<C: ConsumerContext>(client: &BaseConsumer<C>, list: &TopicPartitionList) -> KafkaResult<()> {
    let native = client.client().native_ptr();
    // SAFETY: the client lives as long as `client`.
    let Some(queue) = NonNull::new(unsafe { rd_kafka_queue_get_consumer(native) }) else {
        return Err(KafkaError::ConsumerCommit(rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__UNKNOWN_GROUP.into()));
    };
    // SAFETY: client, list and queue live through the call; the library copies the list. Without a function to call it puts
    // the answer into the queue as an event, which the client's `poll` takes.
    let code = unsafe { rd_kafka_commit_queue(native, list.ptr(), queue.as_ptr(), None, std::ptr::null_mut()) };
    // SAFETY: it was got once and is given back once; the library keeps its own hold of it for the answer.
    unsafe { rd_kafka_queue_destroy(queue.as_ptr()) };
    match code {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::ConsumerCommit(code.into())),
    }
}
