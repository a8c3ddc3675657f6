//! JSON without escapes, 64 bytes at a time.
//!
//! A first pass looks for the names alone: most records of most types have none of the fields that are asked for, and are
//! done with it. When there is one, a second pass looks whether it stands where it should: at brackets, up to the last
//! name that was found.

use event::limits::FIELD_DEPTH_MAX;

use super::blocks::{BLOCK, inside, names, shape};
use super::walk::value_end;
use super::{Child, Marks, Plan, word_before};

/// Where the second pass is.
pub(super) struct Leap<'w, 'a> {
    plan: &'w Plan,
    data: &'a [u8],
    marks: &'w mut [u64],
    number: u64,
    /// The nodes whose objects are open, outermost first, each with how many of its children are still to come.
    open: [(usize, usize); FIELD_DEPTH_MAX],
    depth: usize,
    /// Brackets that are open inside of those, and of no interest.
    strange: usize,
    /// The node whose object begins at the next bracket.
    next: Option<usize>,
}

/// Nothing more can be found.
struct Done;

/// Gives the bytes of each field. `None` when these bytes are to be walked one by one.
pub(super) fn find<'a>(
    plan: &Plan,
    data: &'a [u8],
    marks: &mut Marks,
    number: u64,
    found: &mut impl FnMut(usize, &'a [u8]),
) -> Option<()> {
    if !candidates(plan, data, marks)? {
        return Some(());
    }
    let open = [(0, 0); FIELD_DEPTH_MAX];
    let leap = Leap { plan, data, marks: &mut marks.nodes, number, open, depth: 0, strange: 0, next: Some(0) };
    leap.find(&marks.candidates, found);
    Some(())
}

/// So many bytes from `start` on; at the end the last ones of all, from a place before, and of short data all with spaces
/// behind. Gives where they begin.
#[inline]
fn chunk<'b, const N: usize>(data: &'b [u8], start: usize, short: &'b mut [u8; N]) -> (usize, &'b [u8; N]) {
    if let Some(bytes) = data[start..].first_chunk() {
        return (start, bytes);
    }
    if let Some(bytes) = data.last_chunk() {
        return (data.len() - N, bytes);
    }
    short[..data.len()].copy_from_slice(data);
    (0, short)
}

/// All bits but so many of the first ones.
#[inline]
fn not_before(place: usize) -> u64 {
    u64::MAX.checked_shl(place as u32).unwrap_or(0)
}

/// Collects the colons behind what may be a name of the plan. Whether there is a field among them; `None` as above.
fn candidates(plan: &Plan, data: &[u8], marks: &mut Marks) -> Option<bool> {
    marks.candidates.clear();
    let (mut any, mut doubt) = (false, false);
    let mut short = [b' '; BLOCK + 1];
    // Of each block the bytes one place before are looked at too. The first byte of all is no colon.
    for start in (0..data.len()).step_by(BLOCK) {
        let (from, bytes) = chunk(data, start, &mut short);
        let (Some(before), Some(block)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return None; // of 65 bytes both are there
        };
        let looks = names(before, block);
        doubt |= looks.doubt;
        let mut ends = looks.ends & not_before(start - from);
        while ends != 0 {
            let colon = from + 1 + ends.trailing_zeros() as usize;
            ends &= ends - 1;
            let word = word_before(data, colon - 1);
            for name in &plan.names {
                if (word ^ name.tail) & name.mask == 0 {
                    any |= name.is_field;
                    marks.candidates.push(colon);
                    break;
                }
            }
        }
    }
    (!doubt).then_some(any)
}

impl<'a> Leap<'_, 'a> {
    fn find(mut self, candidates: &[usize], found: &mut impl FnMut(usize, &'a [u8])) {
        let mut candidates = candidates.iter().copied().peekable();
        // Whether the block before ended inside of a string.
        let mut within = 0_u64;
        let mut short = [b' '; BLOCK];
        for start in (0..self.data.len()).step_by(BLOCK) {
            let (from, block) = chunk(self.data, start, &mut short);
            let fresh = not_before(start - from);
            let shape = shape(block);
            let strings = inside(shape.quotes & fresh) ^ within;
            within = if strings >> 63 == 1 { u64::MAX } else { 0 };
            let mut colons = 0_u64;
            while let Some(colon) = candidates.next_if(|colon| *colon < start + BLOCK) {
                colons |= 1 << (colon - from);
            }
            let mut bits = (shape.brackets & fresh | colons) & !strings;
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                bits ^= bit;
                let at = from + bit.trailing_zeros() as usize;
                let step = match self.data[at] {
                    b':' => self.member(at, found),
                    b'{' | b'[' => self.begin(at),
                    b'}' | b']' => self.end(),
                    _ => Ok(()),
                };
                if step.is_err() {
                    return;
                }
            }
            if candidates.peek().is_none() {
                return;
            }
        }
    }

    /// A bracket begins an object or array.
    fn begin(&mut self, at: usize) -> Result<(), Done> {
        match self.next.take() {
            // The record itself must be an object.
            Some(0) if self.data[at] != b'{' => Err(Done),
            Some(node) => {
                self.open[self.depth] = (node, self.plan.nodes[node].children.len());
                self.depth += 1;
                Ok(())
            }
            None => {
                self.strange += 1;
                Ok(())
            }
        }
    }

    /// A bracket ends one.
    fn end(&mut self) -> Result<(), Done> {
        if self.strange > 0 {
            self.strange -= 1;
            return Ok(());
        }
        self.depth = self.depth.saturating_sub(1);
        self.wanted()
    }

    /// Whether anything is still to come.
    fn wanted(&self) -> Result<(), Done> {
        if self.open[..self.depth].iter().any(|(_, pending)| *pending > 0) { Ok(()) } else { Err(Done) }
    }

    /// The colon behind a member's name.
    fn member(&mut self, colon: usize, found: &mut impl FnMut(usize, &'a [u8])) -> Result<(), Done> {
        if self.strange > 0 || self.depth == 0 {
            return Ok(());
        }
        let (node, _) = self.open[self.depth - 1];
        let plan = self.plan;
        let word = word_before(self.data, colon - 1);
        let named = |child: &&Child| child.ends(self.data, colon - 1, word);
        let Some(&Child { node: child, .. }) = plan.nodes[node].children.iter().find(named) else {
            return Ok(());
        };
        if self.marks[child] == self.number {
            return Ok(());
        }
        self.marks[child] = self.number;
        self.open[self.depth - 1].1 -= 1;
        let rest = &self.data[colon + 1..];
        let Some(start) = rest.iter().position(|byte| *byte > b' ').map(|len| colon + 1 + len) else {
            return Err(Done);
        };
        let wanted = &plan.nodes[child];
        if let Some(slot) = wanted.slot {
            let end = value_end(self.data, start).ok_or(Done)?;
            found(slot, &self.data[start..end]);
        }
        if !wanted.children.is_empty() && self.data[start] == b'{' {
            self.next = Some(child);
            return Ok(());
        }
        self.wanted()
    }
}
