//! The names of the log's keys in Redis, and its scripts.
//!
//! | key | type | what |
//! |---|---|---|
//! | `P:{S}:N` | stream | the records of partition N of stream S: `0-(offset+1)` |
//! | `P:{S}:N:chunks` | hash | for every 1024 offsets: latest event time, latest time of append, largest record, bytes |
//! | `P:{S}:meta` | hash | partitions; of each its end `nN`, begin `fN`, furthest position `dN`, oldest `oN`; depth; bytes |
//! | `P:{S}:positions` | hash | `consumer/partition` and the next offset |
//! | `P:{S}:ids`, `P:{S}:ids-old` | hash | the hash of an id, and its time, partition and offset |
//! | `P:consumers` | set | the consumers |
//! | `P:group:C`, `…:owners`, `…:heard` | sorted set, hash, text | members with the ends of their leases; whose a partition is |
//! | `P:writer:T` | hash | the last answers to one process |
//! | `P:seed` | text | the seed of id hashes |
//! | `P:news` | channel | what was appended and committed |

use redis::Script;

/// How many offsets a chunk covers.
pub(super) const CHUNK: u64 = 1024;

/// The names.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) prefix: String,
}

impl Keys {
    pub(super) fn partition(&self, stream: &str, partition: u32) -> String {
        format!("{}:{{{stream}}}:{partition}", self.prefix)
    }

    pub(super) fn chunks(&self, stream: &str, partition: u32) -> String {
        format!("{}:{{{stream}}}:{partition}:chunks", self.prefix)
    }

    pub(super) fn of_stream(&self, stream: &str, what: &str) -> String {
        format!("{}:{{{stream}}}:{what}", self.prefix)
    }

    pub(super) fn global(&self, what: &str) -> String {
        format!("{}:{what}", self.prefix)
    }
}

/// The scripts; each does one thing, and nothing comes between.
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) raise: Script,
    pub(super) commit: Script,
    pub(super) forget: Script,
    pub(super) trim: Script,
    pub(super) take: Script,
    pub(super) beat: Script,
    pub(super) release: Script,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("scripts/prelude.lua"), include_str!(concat!("scripts/", $name, ".lua"))))
    };
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            append: script!("append"),
            raise: script!("raise"),
            commit: script!("commit"),
            forget: script!("forget"),
            trim: script!("trim"),
            take: script!("take"),
            beat: script!("beat"),
            release: script!("release"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_stream_share_their_tag() {
        let keys = Keys { prefix: "millstream".to_owned() };
        assert_eq!(keys.partition("signals", 3), "millstream:{signals}:3");
        assert_eq!(keys.chunks("signals", 3), "millstream:{signals}:3:chunks");
        assert_eq!(keys.of_stream("signals", "meta"), "millstream:{signals}:meta");
        assert_eq!(keys.global("news"), "millstream:news");
    }
}
