//! Rules through the crate's public surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its rules should say so and stop")]

mod conditions;
mod count;
mod findings;
mod made;
mod refusals;
mod tenants;
