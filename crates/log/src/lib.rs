//! The durable log: the port `Log` and the back end that keeps it on disk; the disk and the clock as ports, each with
//! a faulty or steerable twin for tests.

pub mod clock;
pub mod disk;
pub mod disk_port;
mod error;
pub mod faulty;
pub mod gated;
mod id;
mod port;

pub use clock::{Clock, SystemClock};
pub use disk_port::{Disk, RealDisk};
pub use error::{Damage, DamageKind, LogError};
pub use id::IdHasher;
pub use port::{Append, Cursor, Extent, Log, LogStatus, Pending, Placed, PlacedRange};
