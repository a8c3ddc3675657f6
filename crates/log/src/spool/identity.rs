//! What makes a record the same one when it comes to the broker twice, and the header that says so where its id does not.
//!
//! An identity is the header [`ORIGIN`] where a record has it, else its tenant and id where its stream suppresses
//! duplicates. The header comes first, because an id is not always what duplicates are known by: a dead letter that is
//! replayed has the id of its first try and must not be dropped for it, two CloudEvents of different sources may have one
//! id, and an idempotency key makes ids of its own. Such records carry the hash that suppression goes by; those that
//! nothing tells apart carry a hash that no other record has. A hash it must be: where the broker's log suppresses
//! duplicates, it knows them by some of the bits.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use event::{Batch, Draft, Record, Stream, StreamId, headers};

use crate::{IdHasher, LogError};

/// The header with a record's identity, 16 bytes, big endian: the hash that duplicates are known by, or that of a number of
/// its own under its process's token.
pub const ORIGIN: &str = "millstream-origin";

/// What makes a record the same one. Good within one process: it is seeded by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// Of a record with these parts; `None` when nothing tells it from another. `dedup` is whether its stream suppresses
    /// duplicates; `origin` is the value of the header, as a number in big endian.
    pub fn of(dedup: bool, tenant: &[u8], id: &[u8], origin: Option<u128>) -> Option<Self> {
        static SEED: OnceLock<u64> = OnceLock::new();
        let hasher = IdHasher::new(*SEED.get_or_init(|| fastrand::Rng::new().u64(..)));
        match origin {
            // No tenant's name has a zero.
            Some(origin) => Some(Self(hasher.scoped(b"\0").hash(&origin.to_be_bytes()))),
            None if dedup && !id.is_empty() => Some(Self(hasher.scoped(tenant).hash(id))),
            None => None,
        }
    }

    /// Of a record that still has its headers as they were given to the broker's log.
    pub fn of_record(dedup: bool, record: &Record<'_>) -> Option<Self> {
        Self::of(dedup, record.tenant(), record.id, origin_of(record.headers))
    }
}

/// The newest records of a broker, looked at before records are sent that may have arrived already.
pub trait Tail: Send + Sync + 'static {
    /// Which of the wanted identities lie at `since` or later. Records are taken as they lie there, duplicates included; an
    /// implementation may stop when it has found all, and may pass over all but the newest four million offsets.
    ///
    /// # Errors
    /// [`LogError::Away`] when the broker cannot be reached; what was found until then does not count.
    fn arrived(
        &self,
        stream: StreamId,
        partition: u32,
        since: u64,
        wanted: &HashSet<Identity>,
    ) -> Result<HashSet<Identity>, LogError>;
}

/// Gives origins to the drafts of requests that go to a broker, before they are sent for the first time.
#[derive(Debug)]
pub struct Origins {
    hasher: IdHasher,
    numbers: IdHasher,
    next: AtomicU64,
}

impl Origins {
    /// Origins under a token of chance. `hasher` is the log's, by which senders make the hashes of their ids.
    pub fn new(hasher: IdHasher) -> Self {
        Self { hasher, numbers: IdHasher::new(fastrand::Rng::new().u64(..)), next: AtomicU64::new(0) }
    }

    /// Puts the header in front of those of every draft that needs one: nothing else says what it is.
    pub fn mark(&self, batch: &mut Batch, stream: &Stream) {
        let mut head = Vec::new();
        for i in 0..batch.drafts.len() {
            let draft = batch.drafts[i];
            if origin_of(batch.slice(draft.headers)).is_some() {
                continue;
            }
            let Some(origin) = self.fresh(batch, &draft, stream.dedup.is_some()) else { continue };
            head.clear();
            put(&mut head, origin);
            head.extend_from_slice(batch.slice(draft.headers));
            batch.drafts[i].headers = batch.put_side(&head);
        }
    }

    /// By what a record is told whose id does not tell it: what it was given, or a fresh one.
    pub(crate) fn origin(&self, batch: &Batch, draft: &Draft, dedup: bool) -> Option<u128> {
        origin_of(batch.slice(draft.headers)).or_else(|| self.fresh(batch, draft, dedup))
    }

    /// What duplicate suppression knows a record by that was given nothing, or a number that no other record of any process
    /// has. An id does not tell where it may come again: in a stream without suppression, in a replay, from another source.
    fn fresh(&self, batch: &Batch, draft: &Draft, dedup: bool) -> Option<u128> {
        if !dedup || draft.id_hash == 0 {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            return Some(self.numbers.hash(&number.to_be_bytes()));
        }
        let tenant = headers::get(batch.slice(draft.headers), headers::TENANT).unwrap_or_default();
        let told = !draft.id.is_empty() && id_hash(self.hasher, tenant, batch.slice(draft.id)) == draft.id_hash;
        (!told).then_some(draft.id_hash)
    }
}

/// Adds an origin to an encoded list of headers.
pub(super) fn put(head: &mut Vec<u8>, origin: u128) {
    headers::put(head, ORIGIN, &origin.to_be_bytes());
}

/// The hash by which the door knows an event with an id, as far as tenant and id tell it.
fn id_hash(hasher: IdHasher, tenant: &[u8], id: &[u8]) -> u128 {
    if tenant.is_empty() { hasher.hash(id) } else { hasher.scoped(tenant).hash(id) }
}

fn origin_of(list: &[u8]) -> Option<u128> {
    headers::get(list, ORIGIN)?.try_into().ok().map(u128::from_be_bytes)
}

/// The hash that duplicates of a record are known by, which is what its draft had; its own number when nothing else is.
pub(super) fn hash_of(hasher: IdHasher, record: &Record<'_>) -> u128 {
    match origin_of(record.headers) {
        Some(origin) => origin,
        None if record.id.is_empty() => 0,
        None => id_hash(hasher, record.tenant(), record.id),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event::{Dedup, NO_TIME, Retention, Span};

    use super::*;
    use crate::dedup::DedupTable;

    fn stream(dedup: bool) -> Stream {
        let dedup = dedup.then_some(Dedup { within_ms: 1_000, ids_max: 10 });
        let retention = Retention { age_ms: None, size_bytes: None };
        let name = "things".to_owned();
        Stream { name, partitions: 1, key: None, time: None, id: None, kind: None, require: vec![], dedup, retention }
    }

    /// The origin that a draft gets.
    fn marked(origins: &Origins, dedup: bool, tenant: &str, id: &str, id_hash: u128) -> Option<Vec<u8>> {
        let mut batch = Batch::new(StreamId(0), Bytes::from_static(b"{}"));
        let mut head = Vec::new();
        if !tenant.is_empty() {
            headers::put(&mut head, headers::TENANT, tenant.as_bytes());
        }
        let (id, was) = (batch.put_side(id.as_bytes()), batch.put_side(&head));
        let (data, none) = (Span::shared(0, 2), Span::EMPTY);
        batch.drafts.push(Draft {
            partition: 0,
            time: NO_TIME,
            id_hash,
            data,
            key: none,
            kind: none,
            id,
            headers: was,
        });
        origins.mark(&mut batch, &stream(dedup));
        let now = batch.slice(batch.drafts[0].headers);
        assert!(now.ends_with(&head), "what was there is there");
        headers::get(now, ORIGIN).map(<[u8]>::to_vec)
    }

    #[test]
    fn only_what_its_id_does_not_tell_gets_an_origin() {
        let hasher = IdHasher::new(5);
        let origins = Origins::new(hasher);
        assert_eq!(marked(&origins, true, "", "a", hasher.hash(b"a")), None);
        assert_eq!(marked(&origins, true, "acme", "a", hasher.scoped(b"acme").hash(b"a")), None);
        let sourced = hasher.scoped(b"source").hash(b"a");
        assert_eq!(marked(&origins, true, "acme", "a", sourced), Some(sourced.to_be_bytes().to_vec()));
        assert_eq!(marked(&origins, true, "", "", 7), Some(7_u128.to_be_bytes().to_vec()));
        let fresh: HashSet<_> = [
            marked(&origins, true, "", "a", 0),
            marked(&origins, true, "", "", 0),
            marked(&origins, false, "", "a", hasher.hash(b"a")),
        ]
        .into_iter()
        .map(Option::unwrap)
        .collect();
        assert_eq!(fresh.len(), 3, "each its own");
    }

    #[test]
    fn duplicate_suppression_tells_the_origins_of_one_process() {
        let origins = Origins::new(IdHasher::new(5));
        let mut table = DedupTable::new(Dedup { within_ms: 1_000, ids_max: 1_000 });
        for _ in 0..100 {
            let origin = marked(&origins, true, "", "", 0).unwrap();
            assert!(table.insert(u128::from_be_bytes(origin.try_into().unwrap())));
        }
    }

    #[test]
    fn what_has_an_origin_keeps_it() {
        let origins = Origins::new(IdHasher::new(5));
        let mut batch = Batch::new(StreamId(0), Bytes::from_static(b"{}"));
        let (mut head, data, none) = (Vec::new(), Span::shared(0, 2), Span::EMPTY);
        put(&mut head, 77);
        let list = batch.put_side(&head);
        let (key, kind, id) = (none, none, none);
        batch.drafts.push(Draft { partition: 0, time: NO_TIME, id_hash: 0, data, key, kind, id, headers: list });
        assert_eq!(origins.origin(&batch, &batch.drafts[0], true), Some(77));
        origins.mark(&mut batch, &stream(true));
        assert_eq!(batch.slice(batch.drafts[0].headers), head);
    }

    #[test]
    fn identities_go_by_origin_first_then_by_tenant_and_id() {
        let of =
            |tenant: &str, id: &str, origin: Option<u128>| Identity::of(true, tenant.as_bytes(), id.as_bytes(), origin);
        assert_eq!(of("", "a", None), of("", "a", None));
        assert_ne!(of("", "a", None), of("acme", "a", None));
        assert_eq!(of("", "a", Some(1)), of("acme", "b", Some(1)));
        assert_ne!(of("", "a", Some(1)), of("", "a", None));
        assert_eq!(of("", "", None), None);
        assert_eq!(Identity::of(false, b"", b"a", None), None);
    }
}
