//! Who is remembered.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A tenant's key: equal keys of two tenants are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner<'a> {
    /// Empty for the default tenant; at most 65 535 bytes, as a header's value.
    pub(crate) tenant: &'a [u8],
    pub(crate) key: &'a [u8],
}

impl Owner<'_> {
    /// Its hash; a tenant has a seed of its own.
    #[inline]
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        let seed = if self.tenant.is_empty() { seed } else { xxh3_64_with_seed(self.tenant, seed) };
        xxh3_64_with_seed(self.key, seed)
    }
}

/// Bytes of tenant and key together that take no memory of their own: most keys are numbers or short names.
const SHORT_MAX: usize = 21;

/// An [`Owner`] with its bytes.
#[derive(Clone, Debug)]
pub(crate) enum OwnerBytes {
    Short {
        tenant_len: u8,
        len: u8,
        bytes: [u8; SHORT_MAX],
    },
    /// The tenant and the key in one piece.
    Long {
        tenant_len: u16,
        bytes: Box<[u8]>,
    },
}

const _: () =
    assert!(size_of::<OwnerBytes>() == 24, "a key in memory costs what a String does, and less for short ones");

impl OwnerBytes {
    pub(crate) fn new(owner: Owner<'_>) -> Self {
        let (tenant, len) = (owner.tenant.len(), owner.tenant.len() + owner.key.len());
        if len > SHORT_MAX {
            return Self::Long { tenant_len: tenant as u16, bytes: [owner.tenant, owner.key].concat().into() };
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..tenant].copy_from_slice(owner.tenant);
        bytes[tenant..len].copy_from_slice(owner.key);
        Self::Short { tenant_len: tenant as u8, len: len as u8, bytes }
    }

    #[inline]
    pub(crate) fn get(&self) -> Owner<'_> {
        let (tenant_len, bytes) = match self {
            Self::Short { tenant_len, len, bytes } => (usize::from(*tenant_len), &bytes[..usize::from(*len)]),
            Self::Long { tenant_len, bytes } => (usize::from(*tenant_len), &**bytes),
        };
        let (tenant, key) = bytes.split_at(tenant_len);
        Owner { tenant, key }
    }
}

impl Default for OwnerBytes {
    fn default() -> Self {
        Self::Short { tenant_len: 0, len: 0, bytes: [0; SHORT_MAX] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_at_any_length() {
        for tenant in [0, 1, 20, 21, 22, 63] {
            for key in [0, 1, 20, 21, 22, 256] {
                let (tenant, key) = (vec![b't'; tenant], vec![b'k'; key]);
                let owner = Owner { tenant: &tenant, key: &key };
                assert_eq!(OwnerBytes::new(owner).get(), owner);
            }
        }
    }
}
