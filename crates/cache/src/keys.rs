//! The keys of live values, how long each lives, and the names of their fields.

use std::time::Duration;

use crate::{Cache, Fields};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// The list of processes that live; each has its [`LiveKey::Process`].
pub const PROCESSES: &str = "millstream:live";

/// The names of fields.
pub mod field {
    /// When a user was last active.
    pub const LAST_ACTIVITY: &str = "lastActivity";
    /// Whether the last answer was right, 1 or 0.
    pub const LAST_ACCURACY: &str = "lastAccuracy";
    /// How long the last answer took, in milliseconds.
    pub const LAST_RESPONSE_TIME: &str = "lastResponseTime";
    /// The last engagement score; 0.5 until there is one.
    pub const LAST_ENGAGEMENT: &str = "lastEngagement";
    /// How often a concept was tried.
    pub const TOTAL_ATTEMPTS: &str = "totalAttempts";
    /// How often it was tried and got right.
    pub const CORRECT_ATTEMPTS: &str = "correctAttempts";
    /// When the last event was.
    pub const LAST_EVENT_TIME: &str = "lastEventTime";
    /// Of what type it was.
    pub const LAST_EVENT_TYPE: &str = "lastEventType";
    /// Which concept it was about.
    pub const LAST_CONCEPT_KEY: &str = "lastConceptKey";
    /// How often content was viewed.
    pub const VIEW_COUNT: &str = "viewCount";
    /// How long the last view took, in milliseconds.
    pub const LAST_VIEW_DURATION: &str = "lastViewDuration";
    /// The last rating.
    pub const LAST_RATING: &str = "lastRating";
    /// The type of the last engagement event.
    pub const LAST_ENGAGEMENT_EVENT: &str = "lastEngagementEvent";
    /// When it was.
    pub const LAST_ENGAGEMENT_TIME: &str = "lastEngagementTime";
    /// Its score.
    pub const LAST_ENGAGEMENT_SCORE: &str = "lastEngagementScore";
}

/// Whose live values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKey<'a> {
    /// What a user did last; an hour.
    User(&'a str),
    /// How a concept is mastered; an hour.
    Concept(&'a str),
    /// A user's profile; 30 days.
    Profile(&'a str),
    /// How content is used; 7 days.
    Content(&'a str),
    /// A user's engagement; 30 days.
    Engagement(&'a str),
    /// A process's own figures; 10 seconds.
    Process(&'a str),
}

impl LiveKey<'_> {
    /// Its name in the cache. A tenant's begin with the tenant's name; the default tenant's name is empty. Processes belong
    /// to none.
    pub fn name(&self, tenant: &str) -> String {
        let name = match self {
            Self::User(id) => format!("user:{id}:realtime"),
            Self::Concept(key) => format!("concept:{key}:realtime"),
            Self::Profile(id) => format!("profile:{id}"),
            Self::Content(id) => format!("content:{id}:analytics"),
            Self::Engagement(id) => format!("engagement:{id}:analytics"),
            Self::Process(name) => return format!("millstream:live:{name}"),
        };
        if tenant.is_empty() { name } else { format!("{tenant}/{name}") }
    }

    /// How long it lives after its last change.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(match self {
            Self::User(_) | Self::Concept(_) => HOUR,
            Self::Profile(_) | Self::Engagement(_) => 30 * DAY,
            Self::Content(_) => 7 * DAY,
            Self::Process(_) => 10,
        })
    }

    /// Its fields; empty for those of a process, which has what it likes.
    pub fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::User(_) => {
                &[field::LAST_ACTIVITY, field::LAST_ACCURACY, field::LAST_RESPONSE_TIME, field::LAST_ENGAGEMENT]
            }
            Self::Concept(_) => &[field::TOTAL_ATTEMPTS, field::CORRECT_ATTEMPTS],
            Self::Profile(_) => &[field::LAST_EVENT_TIME, field::LAST_EVENT_TYPE, field::LAST_CONCEPT_KEY],
            Self::Content(_) => &[field::VIEW_COUNT, field::LAST_VIEW_DURATION, field::LAST_RATING],
            Self::Engagement(_) => {
                &[field::LAST_ENGAGEMENT_EVENT, field::LAST_ENGAGEMENT_TIME, field::LAST_ENGAGEMENT_SCORE]
            }
            Self::Process(_) => &[],
        }
    }

    /// Sets fields. A process is put on the list [`PROCESSES`] too.
    pub fn put(&self, cache: &dyn Cache, tenant: &str, fields: &[(&str, String)]) {
        debug_assert!(self.fields().is_empty() || fields.iter().all(|(name, _)| self.fields().contains(name)));
        cache.put(&self.name(tenant), fields, self.ttl());
        if let Self::Process(name) = self {
            cache.enlist(PROCESSES, name, self.ttl());
        }
    }

    /// Adds to fields that are numbers.
    pub fn add(&self, cache: &dyn Cache, tenant: &str, fields: &[(&str, i64)]) {
        debug_assert!(self.fields().is_empty() || fields.iter().all(|(name, _)| self.fields().contains(name)));
        cache.add(&self.name(tenant), fields, self.ttl());
    }

    /// The fields that are known.
    pub fn get(&self, cache: &dyn Cache, tenant: &str) -> Option<Fields> {
        let mut fields = cache.get(&self.name(tenant))?;
        if matches!(self, Self::User(_)) {
            fields.entry(field::LAST_ENGAGEMENT.to_owned()).or_insert_with(|| "0.5".to_owned());
        }
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_and_live_as_documented() {
        let cases = [
            (LiveKey::User("7"), "user:7:realtime", 3_600, 4),
            (LiveKey::Concept("algebra"), "concept:algebra:realtime", 3_600, 2),
            (LiveKey::Profile("7"), "profile:7", 2_592_000, 3),
            (LiveKey::Content("c"), "content:c:analytics", 604_800, 3),
            (LiveKey::Engagement("7"), "engagement:7:analytics", 2_592_000, 3),
            (LiveKey::Process("p"), "millstream:live:p", 10, 0),
        ];
        for (key, name, ttl, fields) in cases {
            assert_eq!((key.name("").as_str(), key.ttl().as_secs(), key.fields().len()), (name, ttl, fields));
        }
        assert_eq!(LiveKey::User("7").name("acme"), "acme/user:7:realtime");
        assert_eq!(LiveKey::Process("p").name("acme"), "millstream:live:p");
    }
}
