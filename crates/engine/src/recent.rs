//! Which windows were closed lately, so that one which several partitions hand over counts once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use event::WindowId;

/// Windows of one generation; two are kept, so that the newest are never forgotten.
const GENERATION: usize = 1 << 16;

/// Hashes of the windows that were closed last.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Recent {
    /// Whether a window is new to the last 65 536 and more.
    pub(crate) fn is_new(&mut self, id: &WindowId) -> bool {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let hash = hasher.finish();
        if self.young.contains(&hash) || self.old.contains(&hash) {
            return false;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_once_until_many_others_came() {
        let window = |start| WindowId {
            tenant: String::new(),
            stream: "s".to_owned(),
            window: "w".to_owned(),
            size_ms: 1,
            start,
            key: "{}".to_owned(),
        };
        let mut recent = Recent::default();
        assert!(recent.is_new(&window(-1)) && !recent.is_new(&window(-1)));
        let others = 2 * GENERATION as i64;
        assert_eq!((0..others).filter(|start| recent.is_new(&window(*start))).count(), others as usize);
        assert!(!recent.is_new(&window(others - 1)) && recent.is_new(&window(-1)));
    }
}
