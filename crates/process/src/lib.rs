//! Pure decisions over records: rules as data. No clock, no disk, no async, no chance: the same state and the same
//! records give the same output, whatever the split into blocks.
//!
//! A rule is a condition in CEL and a kind. It is compiled once, at start, into a small tree that reads only the fields
//! it names from the sender's bytes ([`Program`]); what it must remember per key lives in a [`State`], one for each
//! partition, which can be written down and read back at any record.

mod build;
mod compile;
mod expr;
mod keys;
mod kinds;
mod output;
mod owner;
mod program;
mod row;
mod rule;
mod rules;
mod run;
mod scan;
mod snapshot;
mod source;
mod template;
mod value;
mod windows;
mod wire;

pub use output::Output;
pub use program::{Program, Restored, State};
pub use rule::{RuleError, RuleKind, RuleSpec, WindowKind, WindowSpec};
