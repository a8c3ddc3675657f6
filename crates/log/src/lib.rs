//! The durable log: the port `Log` and the back ends that keep it on disk, on Apache Kafka and on Redis; a spool in front
//! of those that are elsewhere; the disk and the clock as ports, each with a faulty or steerable twin for tests.

pub mod clock;
mod dedup;
pub mod disk;
pub mod disk_port;
mod error;
pub mod faulty;
pub mod gated;
mod id;
pub mod kafka;
mod port;
mod queue;
pub mod redis;
pub mod spool;

pub use clock::{Clock, SystemClock};
pub use disk_port::{Disk, RealDisk};
pub use error::{Damage, DamageKind, LogError};
pub use id::IdHasher;
pub use port::{Append, Cursor, Extent, Log, LogStatus, Membership, Owner, Pending, Placed, PlacedRange, SpoolStatus};
