//! Who may come in, and how much they may send: the sections `keys`, `limits`, `tenants`, `tls` and `cors`.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use api::keys::{Key, KeyHash, Role};
use collect::gate::Limit;
use serde_json::{Map, Value, json};

use super::section::{Item, Section};
use crate::server::cors;

const ROLES: [(&str, Role); 3] = [("write", Role::Write), ("read", Role::Read), ("admin", Role::Admin)];
/// Keys of one process: each costs some hundred bytes.
const KEYS_MAX: usize = 10_000;

/// All of it, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Access {
    /// The keys; none means that nobody is asked for one.
    pub(crate) keys: Vec<Key>,
    /// What a tenant may send that has no limits of its own.
    pub(crate) limit: Limit,
    /// What these tenants may send.
    pub(crate) tenants: Vec<(String, Limit)>,
    /// The certificate chain and its key, as PEM files.
    pub(crate) tls: Option<TlsFiles>,
    /// The origins of browser pages that may ask.
    pub(crate) cors: Vec<String>,
}

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Access {
    /// Reads the sections of a document.
    pub(crate) fn read(root: &mut Section<'_>) -> Self {
        let keys = root.get("keys").map(|item| keys(&item)).unwrap_or_default();
        let tls = root.get("tls").and_then(|item| tls(&item));
        let mut section = |name| root.get(name).and_then(|item| item.section());
        let limit = section("limits").map(limit).unwrap_or_default();
        let tenants = section("tenants").map(tenants).unwrap_or_default();
        let cors = section("cors").map(origins).unwrap_or_default();
        Self { keys, limit, tenants, tls, cors }
    }

    /// What every tenant that has a key may send.
    pub(crate) fn limits(&self) -> Vec<(String, Limit)> {
        let named = self.keys.iter().map(|key| key.tenant.as_deref().unwrap_or_default());
        let all: BTreeSet<&str> = named.chain(self.tenants.iter().map(|(name, _)| name.as_str())).chain([""]).collect();
        let of =
            |tenant: &str| self.tenants.iter().find(|(name, _)| name == tenant).map_or(self.limit, |(_, own)| *own);
        all.into_iter().map(|tenant| (tenant.to_owned(), of(tenant))).collect()
    }

    /// As a document again.
    pub(crate) fn show(&self, out: &mut Map<String, Value>) {
        let key = |key: &Key| {
            let mut shown = json!({ "name": key.name, "role": key.role.as_str(), "sha256": hex(&key.hash) });
            if let Some(tenant) = &key.tenant {
                shown["tenant"] = json!(tenant.as_ref());
            }
            shown
        };
        out.insert("keys".to_owned(), self.keys.iter().map(key).collect());
        out.insert("limits".to_owned(), show_limit(&self.limit));
        let tenants: Map<_, _> = self.tenants.iter().map(|(name, own)| (name.clone(), show_limit(own))).collect();
        out.insert("tenants".to_owned(), Value::Object(tenants));
        if let Some(TlsFiles { cert, key }) = &self.tls {
            let tls = json!({ "cert": cert.display().to_string(), "key": key.display().to_string() });
            out.insert("tls".to_owned(), tls);
        }
        out.insert("cors".to_owned(), json!({ "origins": self.cors }));
    }
}

fn keys(item: &Item<'_>) -> Vec<Key> {
    let items = item.list();
    if items.len() > KEYS_MAX {
        item.bad(format!("expected at most {KEYS_MAX} keys, found {}", items.len()), None);
        return Vec::new();
    }
    let mut known: BTreeSet<(String, KeyHash)> = BTreeSet::new();
    let (mut names, mut keys) = (BTreeSet::new(), Vec::new());
    for item in items {
        let Some(key) = key(&item) else { continue };
        if !names.insert(key.name.clone()) {
            item.bad(format!("the key `{}` is there twice", key.name), None);
        }
        if known.iter().any(|(_, hash)| *hash == key.hash) {
            item.bad(
                format!("`{}` has the same sha256 as another key", key.name),
                Some("make one with `millstream key`".to_owned()),
            );
        }
        known.insert((key.name.clone(), key.hash));
        keys.push(key);
    }
    keys
}

fn key(item: &Item<'_>) -> Option<Key> {
    let mut section = item.section()?;
    let mut must = |name: &'static str| {
        let found = section.get(name);
        if found.is_none() {
            item.bad(format!("a key needs `{name}`"), Some("`millstream key` writes one".to_owned()));
        }
        found
    };
    let (name, role, hash) = (must("name"), must("role"), must("sha256"));
    let tenant = section.get("tenant");
    section.close();
    let tenant = match tenant {
        None => None,
        Some(item) => Some(Arc::from(tenant_name(&item, &item.text()?)?)),
    };
    Some(Key { name: name?.text()?, tenant, role: role?.choice(&ROLES)?, hash: hash_of(&hash?)? })
}

/// A tenant's name: it stands in headers, rows and metrics.
pub(crate) fn is_tenant_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=event::limits::TENANT_BYTES_MAX).contains(&name.len())
        && word(name.as_bytes()[0])
        && name.bytes().all(|byte| word(byte) || byte == b'-' || byte == b'_')
}

fn tenant_name<'n>(item: &Item<'_>, name: &'n str) -> Option<&'n str> {
    if is_tenant_name(name) {
        return Some(name);
    }
    item.bad(format!("`{name}` is no tenant's name: 1 to 63 of a-z, 0-9, `_`, `-`, first a letter or a digit"), None);
    None
}

fn hash_of(item: &Item<'_>) -> Option<KeyHash> {
    let text = item.text()?;
    let hash = unhex(&text);
    if hash.is_none() {
        // Not what was found: it may be the key itself.
        item.bad(
            "expected the SHA-256 of the key as 64 hex digits, not the key",
            Some("`millstream key` writes it".to_owned()),
        );
    }
    hash
}

fn tenants(section: Section<'_>) -> Vec<(String, Limit)> {
    let read = |(name, item): (&str, Item<'_>)| {
        let name = tenant_name(&item, name)?.to_owned();
        Some((name, limit(item.section()?)))
    };
    section.all().filter_map(read).collect()
}

fn limit(mut section: Section<'_>) -> Limit {
    let mut events = |name| {
        let item = section.get(name)?;
        if item.node.scalar().as_deref() == Some("none") {
            return None;
        }
        item.whole(1..=u64::from(u32::MAX)).and_then(|n| NonZeroU32::new(n as u32))
    };
    let (events_per_second, burst, events_per_day) =
        (events("events_per_second"), events("burst"), events("events_per_day"));
    if let (Some(item), None) = (section.get("burst").filter(|_| burst.is_some()), events_per_second) {
        item.bad("a burst is on top of `events_per_second`, which is not there", None);
    }
    section.close();
    Limit { events_per_second, burst, events_per_day }
}

fn show_limit(limit: &Limit) -> Value {
    let number = |n: Option<NonZeroU32>| n.map_or_else(|| json!("none"), |n| json!(n.get()));
    let mut shown = json!({
        "events_per_second": number(limit.events_per_second), "events_per_day": number(limit.events_per_day),
    });
    if let Some(burst) = limit.burst {
        shown["burst"] = json!(burst.get());
    }
    shown
}

fn tls(item: &Item<'_>) -> Option<TlsFiles> {
    let mut section = item.section()?;
    let mut file = |name| section.get(name).and_then(|item| item.text()).map(PathBuf::from);
    let (cert, key) = (file("cert"), file("key"));
    section.close();
    if cert.is_none() || key.is_none() {
        item.bad("expected `cert` and `key`, the paths of two PEM files", None);
    }
    Some(TlsFiles { cert: cert?, key: key? })
}

fn origins(mut section: Section<'_>) -> Vec<String> {
    let items = section.get("origins").map(|item| item.list()).unwrap_or_default();
    section.close();
    let read = |item: &Item<'_>| {
        let text = item.text()?;
        let known = cors::origin(&text);
        if let Err(error) = &known {
            item.bad(error.to_string(), None);
        }
        known.is_ok().then_some(text)
    };
    items.iter().filter_map(read).collect()
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<KeyHash> {
    let mut hash = KeyHash::default();
    if text.len() != 2 * hash.len() || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
