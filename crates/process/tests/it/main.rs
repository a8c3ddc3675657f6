//! Rules through the crate's public surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its rules should say so and stop")]

mod absence;
mod conditions;
mod count;
mod deviation;
mod findings;
mod hours;
mod made;
mod novel;
mod refusals;
mod sequence;
mod splits;
mod streak;
mod tenants;
mod windows_edges;
mod windows_late;
mod windows_made;
mod windows_oracle;
mod windows_refusals;
