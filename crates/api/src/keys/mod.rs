//! Keys: who may do what, known by hash only. [`Guard`] asks for them in front of a router.

mod guard;
mod presented;

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Caller;
pub use guard::{Guard, Need};

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sending events, and nothing else: fit for a browser.
    Write,
    /// Reading.
    Read,
    /// Both, and what changes how events are handled.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Admin];

    /// Its name in configuration and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// The SHA-256 of a key. Keys are long and random, so a slow hash would add nothing but load.
pub type KeyHash = [u8; 32];

/// The hash under which a key is kept.
pub fn hash_key(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
}

/// One key, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, for people.
    pub name: String,
    /// Whose it is. Without a tenant it writes for the default tenant and sees all.
    pub tenant: Option<Arc<str>>,
    /// What it allows.
    pub role: Role,
    /// Its hash.
    pub hash: KeyHash,
}

impl Key {
    /// Who has it.
    pub(crate) fn caller(&self) -> Caller {
        self.tenant.clone().map_or_else(Caller::open, Caller::of)
    }
}

/// All keys of a process.
#[derive(Debug, Default)]
pub struct Keys {
    /// By the first bytes of the hash, so that the work does not grow with the number of keys. What a look-up tells by
    /// its time is the begin of a hash, from which no key follows.
    by_head: HashMap<[u8; 8], Vec<Key>>,
}

impl Keys {
    /// These keys.
    pub fn new(keys: Vec<Key>) -> Self {
        let mut by_head: HashMap<_, Vec<Key>> = HashMap::new();
        for key in keys {
            by_head.entry(head(&key.hash)).or_default().push(key);
        }
        Self { by_head }
    }

    /// Whether there are none: then nobody is asked for one.
    pub fn is_empty(&self) -> bool {
        self.by_head.is_empty()
    }

    /// The key that was presented, when it is one of these. Compares whole hashes in constant time.
    pub fn find(&self, presented: &[u8]) -> Option<&Key> {
        let hash = hash_key(presented);
        let like = self.by_head.get(&head(&hash)).map_or(&[][..], Vec::as_slice);
        like.iter().find(|key| bool::from(key.hash.ct_eq(&hash)))
    }
}

fn head(hash: &KeyHash) -> [u8; 8] {
    let mut head = [0; 8];
    head.copy_from_slice(&hash[..8]);
    head
}
