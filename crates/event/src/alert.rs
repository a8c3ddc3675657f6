//! What is told to others: notifications of anomalies, and results of windows.

use crate::Millis;

/// A notification to one target, kept until it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whose it is; empty for the default tenant.
    pub tenant: String,
    /// The target's name.
    pub target: String,
    /// What makes it unique, and what the receiver can tell a repetition by.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// The anomaly it tells of: it is kept when that anomaly is new, and not when it was known already.
    pub anomaly: String,
    /// The body, as JSON.
    pub body: String,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// It waits for its next try.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// All.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// Its name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What a try to deliver came to, by the number of its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryChange {
    /// The row.
    pub row: i64,
    /// When.
    pub at: Millis,
    /// What it is now.
    pub status: DeliveryStatus,
    /// Why it did not arrive; empty when it did.
    pub error: String,
    /// When it is tried again, while it is pending.
    pub next_at: Millis,
}
