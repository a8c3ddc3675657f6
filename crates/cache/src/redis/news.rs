//! News from other processes: a thread with a connection of its own hears all topics. What this process has told itself was
//! heard at once and is passed over.

use std::sync::Arc;
use std::time::Duration;

use redis::{Connection, Msg, RedisResult};

use super::Shared;
use crate::Cache;

/// Until the next try.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a silence lasts before the server is asked whether it is there.
const SILENCE: Duration = Duration::from_millis(250);
const CHANNELS: &str = "millstream:news:";

/// The channel of a topic.
pub(super) fn channel(topic: &str) -> String {
    format!("{CHANNELS}{topic}")
}

/// Hears until the cache closes.
pub(super) fn hear(shared: &Arc<Shared>) {
    while !shared.is_closed() {
        let heard = shared.connect().and_then(|mut connection| listen(shared, &mut connection));
        if let Err(error) = heard {
            tracing::debug!(%error, "news of other processes are not heard");
            shared.pause(AGAIN);
        }
    }
}

fn listen(shared: &Shared, connection: &mut Connection) -> RedisResult<()> {
    let mut news = connection.as_pubsub();
    news.psubscribe(format!("{CHANNELS}*"))?;
    news.set_read_timeout(Some(SILENCE))?;
    while !shared.is_closed() {
        match news.get_message() {
            Ok(message) => tell(shared, &message),
            Err(error) if error.is_timeout() => {
                news.ping::<redis::Value>()?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn tell(shared: &Shared, message: &Msg) {
    let Some(topic) = message.get_channel_name().strip_prefix(CHANNELS) else { return };
    match message.get_payload_bytes().split_first_chunk::<16>() {
        Some((token, news)) if *token != shared.token => shared.memory.publish(topic, news),
        _ => {}
    }
}
