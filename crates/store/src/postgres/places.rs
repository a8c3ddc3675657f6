//! What must be there before rows are: a table for each stream and day (without TimescaleDB), and the note that a tenant
//! has rows in a stream. Both are made before the commit, each by itself, so that no commit holds another one up with it;
//! left behind without rows they do no harm. A process remembers what it has seen.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use event::{Block, Catalog};

use super::fault::Fault;
use super::migrate::Layout;
use super::pool::Tx;
use super::text::to_text;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The last day that there is.
const DAY_LAST: i64 = i64::MAX / DAY_MS;
/// Days made ahead: a commit just after midnight finds its table.
const AHEAD: i64 = 1;
/// Places remembered of each kind; with more, all are forgotten and looked up again.
const REMEMBERED: usize = 1 << 16;

type Leaf = (String, i64);
type Owner = (String, Vec<u8>);

/// What this process knows to be there.
#[derive(Default)]
pub(super) struct Places {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    leaves: HashSet<Leaf>,
    owners: HashSet<Owner>,
}

impl Places {
    /// Makes what is missing for the rows of these blocks.
    pub(super) fn prepare(
        &self,
        tx: &mut Tx<'_>,
        layout: Layout,
        catalog: &Catalog,
        blocks: &[Block],
    ) -> Result<(), Fault> {
        let (leaves, owners) = self.missing(layout, catalog, blocks);
        for (stream, day) in &leaves {
            for day in *day..=(*day + AHEAD).min(DAY_LAST) {
                tx.execute("SELECT millstream_leaf($1, $2)", &[stream, &day])?;
            }
        }
        for (stream, tenant) in &owners {
            let sql = "INSERT INTO owners VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.execute(sql, &[stream, &to_text(tenant)])?;
        }
        if !(leaves.is_empty() && owners.is_empty()) {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.leaves.len().max(seen.owners.len()) > REMEMBERED {
                *seen = Seen::default();
            }
            seen.leaves.extend(leaves);
            seen.owners.extend(owners);
        }
        Ok(())
    }

    /// Forgets all: somebody dropped what was there, or it is another database by now.
    pub(super) fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
    }

    /// In order, so that processes that make the same ones wait for each other at the first.
    fn missing(&self, layout: Layout, catalog: &Catalog, blocks: &[Block]) -> (BTreeSet<Leaf>, BTreeSet<Owner>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut leaves, mut owners) = (BTreeSet::new(), BTreeSet::new());
        for block in blocks.iter().filter(|block| !block.is_empty()) {
            let stream = &catalog.get(block.stream).name;
            let leaf = (stream.clone(), block.appended_at.div_euclid(DAY_MS));
            if layout == Layout::Native && !seen.leaves.contains(&leaf) {
                leaves.insert(leaf);
            }
            let mut last = None;
            for record in block.records() {
                // The rows of a request follow each other, so whose they are seldom changes.
                let tenant = record.tenant();
                if last.replace(tenant) != Some(tenant) {
                    let owner = (stream.clone(), tenant.to_vec());
                    if !seen.owners.contains(&owner) {
                        owners.insert(owner);
                    }
                }
            }
        }
        (leaves, owners)
    }
}
