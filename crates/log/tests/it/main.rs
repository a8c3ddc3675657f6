//! The disk log from outside: order and answers, named damage, a model under power cuts, real kills, retention.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "tests damage files by hand")]

mod answers;
mod conformance;
mod crash;
mod damage;
mod doctor;
mod faults;
mod kafka_group;
mod kafka_produce;
mod kafka_produce_away;
mod kafka_publish;
mod kafka_read;
mod kafka_read_edges;
mod kafka_rig;
mod lanes;
mod model;
mod readers;
mod recovery;
mod redis_group;
mod redis_log;
mod redis_outage;
mod redis_rig;
mod reserve;
mod retention;
mod rig;
mod roll;
mod spool;
mod spool_faults;
mod spool_kafka;
mod spool_model;
mod spool_mortal;
mod spool_rig;
