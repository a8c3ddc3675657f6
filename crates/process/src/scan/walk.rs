//! JSON, byte by byte: whatever is escaped and wherever white space stands.

use super::{Child, Plan};

/// Where a walk is.
pub(super) struct Walk<'w, 'a> {
    plan: &'w Plan,
    data: &'a [u8],
    at: usize,
    marks: &'w mut [u64],
    number: u64,
}

impl<'w, 'a> Walk<'w, 'a> {
    pub(super) fn new(plan: &'w Plan, data: &'a [u8], marks: &'w mut [u64], number: u64) -> Self {
        Self { plan, data, at: 0, marks, number }
    }

    pub(super) fn find(mut self, found: &mut impl FnMut(usize, &'a [u8])) {
        if self.token() == Some(b'{') {
            self.object(0, true, found);
        }
    }

    /// Walks an object from its brace to behind its end; `last` says that nothing behind it is wanted. `None` ends the
    /// whole walk: all is found, or the bytes are no JSON.
    fn object(&mut self, node: usize, last: bool, found: &mut impl FnMut(usize, &'a [u8])) -> Option<()> {
        let plan = self.plan;
        let mut pending = plan.nodes[node].children.len();
        self.at += 1;
        if self.token()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.name()?;
            let fresh = |child: &&Child| self.marks[child.node] != self.number;
            let child = plan.nodes[node].children.iter().filter(fresh).find(|child| name.is(&child.name));
            match child.map(|child| child.node) {
                Some(child) => {
                    pending -= 1;
                    self.marks[child] = self.number;
                    self.member(child, last && pending == 0, found)?;
                    if pending == 0 {
                        return if last { None } else { self.container() };
                    }
                }
                None => self.value()?,
            }
            match self.token()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            self.token()?;
        }
    }

    /// The value of a member that is wanted, or that holds one that is.
    fn member(&mut self, child: usize, last: bool, found: &mut impl FnMut(usize, &'a [u8])) -> Option<()> {
        let (start, node) = (self.at, &self.plan.nodes[child]);
        if node.children.is_empty() || self.data.get(start) != Some(&b'{') {
            self.value()?;
        } else {
            self.object(child, last && node.slot.is_none(), found)?;
        }
        if let Some(slot) = node.slot {
            found(slot, &self.data[start..self.at]);
        }
        Some(())
    }

    /// A member's name; stands on its value then.
    fn name(&mut self) -> Option<Name<'a>> {
        if self.data.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let (end, escaped) = string_end(self.data, start)?;
        self.at = end + 1;
        if self.token()? != b':' {
            return None;
        }
        self.at += 1;
        self.token()?;
        Some(Name { bytes: &self.data[start..end], escaped })
    }

    /// The next byte that is no white space; stands on it.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.data.get(self.at)?;
            if byte > b' ' {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<()> {
        self.at = value_end(self.data, self.at)?;
        Some(())
    }

    fn container(&mut self) -> Option<()> {
        self.at = container_end(self.data, self.at)?;
        Some(())
    }
}

/// Where the value ends that begins at `at`.
#[inline]
pub(super) fn value_end(data: &[u8], at: usize) -> Option<usize> {
    match *data.get(at)? {
        b'"' => Some(string_end(data, at + 1)?.0 + 1),
        b'{' | b'[' => container_end(data, at + 1),
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || *byte <= b' ';
            Some(data[at..].iter().position(ends).map_or(data.len(), |len| at + len))
        }
        _ => None,
    }
}

/// Where the object or array ends in which `at` stands.
fn container_end(data: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 1_usize;
    loop {
        match *data.get(at)? {
            b'"' => at = string_end(data, at + 1)?.0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

struct Name<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl Name<'_> {
    #[inline]
    fn is(&self, name: &str) -> bool {
        if self.escaped { self.unescaped().is_some_and(|own| own == name) } else { self.bytes == name.as_bytes() }
    }

    /// Nobody writes such names; so this may be slow.
    fn unescaped(&self) -> Option<String> {
        sonic_rs::from_slice(&[b"\"", self.bytes, b"\""].concat()).ok()
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const SLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);

/// Marks the bytes of a word that are zero; exact up to and with the first.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Where the quote is that ends a string whose inside begins at `at`, and whether something in it is escaped. Eight
/// bytes at a step.
#[inline]
fn string_end(data: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        let stop = match data.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            Some(chunk) => {
                let word = u64::from_le_bytes(*chunk);
                let stops = zeros(word ^ QUOTES) | zeros(word ^ SLASHES);
                if stops == 0 {
                    at += 8;
                    continue;
                }
                at + stops.trailing_zeros() as usize / 8
            }
            None => at + data.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?,
        };
        if data[stop] == b'"' {
            return Some((stop, escaped));
        }
        escaped = true;
        at = stop + 2;
    }
}
