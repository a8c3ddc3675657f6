//! The disk log from outside: order and answers, named damage, a model under power cuts, real kills, retention.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "tests damage files by hand")]

mod answers;
mod crash;
mod damage;
mod doctor;
mod faults;
mod lanes;
mod model;
mod readers;
mod recovery;
mod reserve;
mod retention;
mod rig;
mod roll;
