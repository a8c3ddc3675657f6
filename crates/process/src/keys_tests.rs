//! Order of use, bounds and slots of keys.

use super::*;

/// Some times, each as heavy as its 8 bytes.
#[derive(Debug, Default, PartialEq)]
struct Times(Vec<u64>);

impl Track for Times {
    fn weight(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        wire::put(out, self.0.len() as u64);
        self.0.iter().for_each(|time| wire::put(out, *time));
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        (0..reader.number()?).map(|_| reader.number()).collect::<Option<_>>().map(Self)
    }
}

/// Few hash values, so that probing has something to do.
fn hash(key: u8) -> u64 {
    u64::from(key % 3)
}

fn of(key: &[u8]) -> Owner<'_> {
    Owner { tenant: b"", key }
}

fn order(keys: &Keys<Times>) -> Vec<(u8, usize)> {
    keys.iter().map(|(_, owner, track)| (owner.key[0], track.0.len())).collect()
}

#[test]
fn tenant_and_key_are_told_apart_however_they_join() {
    let mut keys = Keys::<Times>::default();
    let owners: [(&[u8], &[u8]); 4] = [(b"", b"ab"), (b"a", b"b"), (b"ab", b""), (b"b", b"a")];
    let owners = owners.map(|(tenant, key)| Owner { tenant, key });
    for turn in 1..=3 {
        for owner in owners {
            // One hash for all: only the comparison is left to tell them apart.
            let count = keys.update(Bounds::default(), 7, owner, |track| {
                track.0.push(1);
                track.0.len()
            });
            assert_eq!(count, turn, "{owner:?}");
        }
    }
    assert!(keys.iter().map(|(_, owner, _)| owner).eq(owners));
}

#[test]
fn the_least_recently_used_key_goes_first() {
    let bounds = Bounds { keys_max: 3, weight_max: usize::MAX };
    let mut keys = Keys::<Times>::default();
    for key in [1, 2, 3, 1, 4, 3, 5] {
        keys.update(bounds, hash(key), of(&[key]), |_| ());
    }
    assert_eq!((order(&keys), keys.evicted), (vec![(4, 0), (3, 0), (5, 0)], 2));
}

#[test]
fn memory_is_bounded_over_all_keys() {
    let bounds = Bounds { keys_max: 100, weight_max: 4 };
    let mut keys = Keys::<Times>::default();
    for (time, key) in [1, 1, 2, 2, 3, 3, 3, 3, 3].into_iter().enumerate() {
        keys.update(bounds, hash(key), of(&[key]), |track| track.0.push(time as u64));
    }
    assert_eq!((order(&keys), keys.evicted), (vec![(3, 5)], 2), "the key in hand is never the one to go");
    let at = keys.find(hash(3), of(&[3])).unwrap_or(NONE);
    keys.remove(at);
    keys.update(bounds, hash(4), of(&[4]), |_| ());
    assert_eq!((keys.weight, keys.len(), keys.slots.len()), (0, 1, 3), "slots are used again");
}

proptest::proptest! {
    #[test]
    fn the_order_of_use_equals_a_plain_list(
        touched in proptest::collection::vec((0_u8..20, proptest::bool::weighted(0.2)), 0..200),
        max in 1_usize..8,
    ) {
        let bounds = Bounds { keys_max: max, weight_max: usize::MAX };
        let (mut keys, mut model) = (Keys::<Times>::default(), Vec::<(u8, usize)>::new());
        for (key, gone) in touched {
            let before = model.iter().position(|(k, _)| *k == key).map(|at| model.remove(at));
            proptest::prop_assert_eq!(keys.find(hash(key), of(&[key])).is_some(), before.is_some());
            if gone {
                if let Some(at) = keys.find(hash(key), of(&[key])) {
                    keys.remove(at);
                }
            } else {
                keys.update(bounds, hash(key), of(&[key]), |track| track.0.push(7));
                if model.len() == max {
                    model.remove(0);
                }
                model.push((key, before.map_or(0, |(_, times)| times) + 1));
            }
            proptest::prop_assert_eq!(order(&keys), &*model);
            let mut bytes = Vec::new();
            keys.encode(&mut bytes);
            let mut reader = Reader(&bytes);
            let back = Keys::<Times>::decode(&mut reader, |owner| hash(owner.key[0])).unwrap_or_default();
            proptest::prop_assert_eq!((order(&back), back.weight, back.evicted), (order(&keys), keys.weight, keys.evicted));
        }
    }
}
