//! The fields that a stream reads, as a trie of member names.

use event::FieldPath;

use super::text::unescape;

/// A field, or an object on the way to one.
pub(crate) type Node = u32;

#[derive(Debug, Default)]
struct Entry {
    children: Vec<(Box<[u8]>, Node)>,
    /// Bit `min(length, 63)` for each child's name: most names of an event are told apart by their length alone.
    lengths: u64,
    pointer: String,
}

/// All fields of one stream.
#[derive(Debug)]
pub(crate) struct Fields(Vec<Entry>);

impl Fields {
    /// The event itself.
    pub(crate) const ROOT: Node = 0;
    /// A member that no field's path goes through.
    pub(crate) const NONE: Node = Node::MAX;

    pub(crate) fn new() -> Self {
        Self(vec![Entry::default()])
    }

    /// How many nodes there are; each is below this number.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The node of this path; the same one for the same path.
    pub(crate) fn add(&mut self, path: &FieldPath) -> Node {
        path.steps().iter().fold(Self::ROOT, |parent, step| self.step(parent, step))
    }

    /// The node of a member of the event itself.
    pub(crate) fn member(&mut self, name: &str) -> Node {
        self.step(Self::ROOT, name)
    }

    fn step(&mut self, parent: Node, name: &str) -> Node {
        let known = self.find(parent, name.as_bytes());
        if known != Self::NONE {
            return known;
        }
        let node = self.0.len() as Node;
        let pointer = format!("{}/{}", self.pointer(parent), name.replace('~', "~0").replace('/', "~1"));
        let entry = &mut self.0[parent as usize];
        entry.children.push((name.as_bytes().into(), node));
        entry.lengths |= length_bit(name.as_bytes());
        self.0.push(Entry { pointer, ..Entry::default() });
        node
    }

    /// The field's JSON pointer.
    pub(crate) fn pointer(&self, node: Node) -> &str {
        &self.0[node as usize].pointer
    }

    /// Whether fields lie inside of it.
    #[inline]
    pub(crate) fn leads_on(&self, node: Node) -> bool {
        !self.0[node as usize].children.is_empty()
    }

    /// The member of `parent` with this name, as it stands between the quotes.
    #[inline]
    pub(crate) fn child(&self, parent: Node, name: &[u8], escaped: bool) -> Node {
        if !escaped {
            return self.find(parent, name);
        }
        let mut plain = Vec::with_capacity(name.len());
        unescape(name, &mut plain);
        self.find(parent, &plain)
    }

    #[inline]
    fn find(&self, parent: Node, name: &[u8]) -> Node {
        let entry = &self.0[parent as usize];
        if entry.lengths & length_bit(name) == 0 {
            return Self::NONE;
        }
        entry.children.iter().find(|(n, _)| **n == *name).map_or(Self::NONE, |&(_, node)| node)
    }
}

#[inline]
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}
