//! The groups that one definition holds open in one partition, and their cells: what a group has in one window so far.
//!
//! Groups and cells lie in two slabs and are linked by index, so that an event costs a probe and a few steps, and no
//! allocation once its cell is there. A cell is in the chain of its group, and in the list of the cells that are due at
//! the same time.

use std::collections::BTreeMap;

use event::Millis;
use event::measure::{Measure, Step};
use hashbrown::HashTable;

use crate::owner::{Owner, OwnerBytes};

/// No group, no cell.
pub(super) const NONE: u32 = u32::MAX;

/// A cache line of its own: finding it is one of the few things that an event waits for.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Group {
    owner: OwnerBytes,
    hash: u64,
    /// The offset of its newest event.
    pub(super) used: u64,
    /// The first of its cells, the newest.
    pub(super) cells: u32,
}

impl Group {
    /// The tenant, and the values of `by` as in [`super::identity`].
    #[inline]
    pub(super) fn owner(&self) -> Owner<'_> {
        self.owner.get()
    }

    /// How many bytes it takes, about: itself, its place in the index, and what its name takes when it is long.
    fn weight(&self) -> usize {
        let owner = self.owner();
        size_of::<Self>() + 8 + owner.tenant.len() + owner.key.len()
    }
}

/// What a cell takes besides its measures.
const CELL_BYTES: usize = size_of::<Cell>();

/// When a cell is due; then the place of its length, shorter ones first.
pub(super) type Due = (Millis, u32);

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Cell {
    pub(super) group: u32,
    /// The next of its group.
    pub(super) sibling: u32,
    pub(super) start: Millis,
    /// When it has to be looked at.
    pub(super) due: Due,
    /// Where its window ends. Only a session's goes on behind the time when it has to be looked at.
    pub(super) end: Millis,
    pub(super) events: u64,
    before: u32,
    after: u32,
}

/// All of one definition in one partition.
#[derive(Debug)]
pub(super) struct Table {
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    index: HashTable<u32>,
    cells: Vec<Cell>,
    free_cells: Vec<u32>,
    /// So many for each cell.
    measures: Vec<Measure>,
    stride: usize,
    /// The first cell of each list.
    due: BTreeMap<Due, u32>,
    weight: usize,
}

impl Table {
    pub(super) fn new(stride: usize) -> Self {
        Self {
            groups: Vec::new(),
            free_groups: Vec::new(),
            index: HashTable::new(),
            cells: Vec::new(),
            free_cells: Vec::new(),
            measures: Vec::new(),
            stride,
            due: BTreeMap::new(),
            weight: 0,
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.groups.len() - self.free_groups.len()
    }

    /// How many bytes all take, about. Follows from what is held, not from how it came to be.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The first time at which a cell has to be looked at.
    pub(super) fn due(&self) -> Option<Millis> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    #[inline]
    pub(super) fn find_group(&self, hash: u64, owner: Owner<'_>) -> Option<u32> {
        let is = |&at: &u32| {
            let group = &self.groups[at as usize];
            group.hash == hash && group.owner() == owner
        };
        self.index.find(hash, is).copied()
    }

    pub(super) fn add_group(&mut self, hash: u64, owner: Owner<'_>) -> u32 {
        let group = Group { owner: OwnerBytes::new(owner), hash, used: 0, cells: NONE };
        self.weight += group.weight();
        let at = put(&mut self.groups, &mut self.free_groups, group);
        self.index.insert_unique(hash, at, |&at| self.groups[at as usize].hash);
        at
    }

    pub(super) fn group(&self, at: u32) -> &Group {
        &self.groups[at as usize]
    }

    pub(super) fn touch(&mut self, group: u32, offset: u64) {
        self.groups[group as usize].used = offset;
    }

    /// Forgets a group that has no cell any more.
    pub(super) fn drop_group_if_empty(&mut self, at: u32) {
        let group = &mut self.groups[at as usize];
        if group.cells != NONE {
            return;
        }
        if let Ok(entry) = self.index.find_entry(group.hash, |&other| other == at) {
            entry.remove();
        }
        self.weight -= group.weight();
        group.owner = OwnerBytes::default();
        self.free_groups.push(at);
        if self.len() == 0 {
            // Nothing is open: what a burst took is given back.
            *self = Self::new(self.stride);
        }
    }

    /// All groups with cells, in no order.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u32, &Group)> {
        (0..).zip(&self.groups).filter(|(_, group)| group.cells != NONE)
    }

    pub(super) fn cell(&self, at: u32) -> &Cell {
        &self.cells[at as usize]
    }

    /// For a session's start and end.
    pub(super) fn cell_mut(&mut self, at: u32) -> &mut Cell {
        &mut self.cells[at as usize]
    }

    pub(super) fn measures(&self, cell: u32) -> &[Measure] {
        &self.measures[cell as usize * self.stride..][..self.stride]
    }

    /// The cells of a group, the newest first.
    pub(super) fn cells_of(&self, group: u32) -> impl Iterator<Item = u32> {
        let mut at = self.groups[group as usize].cells;
        std::iter::from_fn(move || {
            let cell = self.cells.get(at as usize)?;
            Some(std::mem::replace(&mut at, cell.sibling))
        })
    }

    /// The cell of a group with this start that is due then.
    #[inline]
    pub(super) fn find_cell(&self, group: u32, start: Millis, due: Due) -> Option<u32> {
        let mut at = self.groups[group as usize].cells;
        while let Some(cell) = self.cells.get(at as usize) {
            if cell.due == due && cell.start == start {
                return Some(at);
            }
            at = cell.sibling;
        }
        None
    }

    /// Adds a cell to a group and to a list, without any event.
    pub(super) fn add_cell(&mut self, group: u32, start: Millis, due: Due, empty: &[Measure]) -> u32 {
        let sibling = self.groups[group as usize].cells;
        let cell = Cell { group, sibling, start, due, end: due.0, events: 0, before: NONE, after: NONE };
        let at = put(&mut self.cells, &mut self.free_cells, cell);
        let first = at as usize * self.stride;
        match self.measures.get_mut(first..first + self.stride) {
            Some(measures) => measures.clone_from_slice(empty),
            None => self.measures.extend_from_slice(empty),
        }
        self.groups[group as usize].cells = at;
        self.weight += CELL_BYTES + self.stride * size_of::<Measure>();
        self.link(at, due);
        at
    }

    /// Adds an event.
    #[inline]
    pub(super) fn add(&mut self, cell: u32, steps: &[Step]) {
        self.cells[cell as usize].events += 1;
        let measures = &mut self.measures[cell as usize * self.stride..][..self.stride];
        for (measure, step) in measures.iter_mut().zip(steps) {
            let before = measure.weight();
            measure.add(*step);
            self.weight = self.weight + measure.weight() - before;
        }
    }

    /// Adds what another cell had.
    pub(super) fn merge(&mut self, cell: u32, others: &[Measure], events: u64) {
        self.cells[cell as usize].events += events;
        let measures = &mut self.measures[cell as usize * self.stride..][..self.stride];
        for (measure, other) in measures.iter_mut().zip(others) {
            let before = measure.weight();
            measure.merge(other);
            self.weight = self.weight + measure.weight() - before;
        }
    }

    /// Takes a cell out of its group and gives what it had. It must be in no list any more.
    pub(super) fn take_cell(&mut self, at: u32) -> (Cell, Vec<Measure>) {
        let cell = self.cells[at as usize];
        let newer = self.cells_of(cell.group).take_while(|other| *other != at).last();
        match newer {
            Some(newer) => self.cells[newer as usize].sibling = cell.sibling,
            None => self.groups[cell.group as usize].cells = cell.sibling,
        }
        let first = at as usize * self.stride;
        let nothing = || Measure::Count(0);
        let measures = self.measures[first..first + self.stride].iter_mut();
        let measures: Vec<_> = measures.map(|measure| std::mem::replace(measure, nothing())).collect();
        let weight: usize = measures.iter().map(Measure::weight).sum();
        self.weight -= weight + CELL_BYTES + self.stride * size_of::<Measure>();
        self.free_cells.push(at);
        (cell, measures)
    }

    /// Takes the first list, when it is due by then, and gives its first cell. Its cells are in no list then.
    pub(super) fn take_due(&mut self, until: Millis) -> Option<(Due, u32)> {
        let first = self.due.first_entry().filter(|list| list.key().0 <= until)?;
        Some(first.remove_entry())
    }

    /// The next cell of a list that was taken.
    pub(super) fn next_due(&self, cell: u32) -> u32 {
        self.cells[cell as usize].after
    }

    /// Puts a cell that is in no list into one.
    pub(super) fn link(&mut self, at: u32, due: Due) {
        let after = self.due.insert(due, at).unwrap_or(NONE);
        let cell = &mut self.cells[at as usize];
        (cell.due, cell.before, cell.after) = (due, NONE, after);
        if let Some(after) = self.cells.get_mut(after as usize) {
            after.before = at;
        }
    }

    /// Takes a cell out of its list.
    pub(super) fn unlink(&mut self, at: u32) {
        let Cell { due, before, after, .. } = self.cells[at as usize];
        match (self.cells.get_mut(before as usize), after) {
            (Some(before), _) => before.after = after,
            (None, NONE) => drop(self.due.remove(&due)),
            (None, _) => drop(self.due.insert(due, after)),
        }
        if let Some(after) = self.cells.get_mut(after as usize) {
            after.before = before;
        }
    }
}

/// Puts a thing into a slab and gives its place.
fn put<T>(slab: &mut Vec<T>, free: &mut Vec<u32>, thing: T) -> u32 {
    if let Some(at) = free.pop() {
        slab[at as usize] = thing;
        return at;
    }
    slab.push(thing);
    slab.len() as u32 - 1
}
