//! Fields of a record's JSON, found in one pass that stops when all fields that are asked for have been passed.
//!
//! Two ways lead to the same result. Nearly all JSON is without a backslash and without white space before a colon: it is
//! gone through in blocks of 64 bytes that are looked at as a whole ([`leap`]). The rest is walked byte by byte
//! ([`walk`]).
//!
//! What stands there twice counts once: the first member of a name wins, on every level. (The fields that a stream
//! itself reads stand there once; the door refuses the others.) Of bytes that are no JSON some fields are found; the
//! door refuses those too.

mod blocks;
mod leap;
mod walk;

use event::FieldPath;

use walk::Walk;

/// What to find: a tree of member names.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The first is the record itself; children come after their parents.
    nodes: Vec<Node>,
    /// The names of all nodes.
    names: Vec<Name>,
}

/// How a name of a plan ends, as in [`Child`].
#[derive(Debug)]
struct Name {
    tail: u64,
    mask: u64,
    /// Whether the value of such a member is wanted, and not only what is in it.
    is_field: bool,
}

#[derive(Debug, Default)]
struct Node {
    /// The slot that its value is wanted in.
    slot: Option<usize>,
    children: Vec<Child>,
}

/// A member by its name.
#[derive(Debug)]
struct Child {
    node: usize,
    name: Box<str>,
    /// The last bytes of the name and the quote before it, as a number whose highest byte is the last one.
    tail: u64,
    /// The bytes of `tail` that count.
    mask: u64,
}

impl Child {
    fn new(name: &str, node: usize) -> Self {
        let quoted = [b"\"", name.as_bytes()].concat();
        let spare = 8_usize.saturating_sub(quoted.len());
        let mask = u64::MAX << (8 * spare);
        Self { node, name: name.into(), tail: word_before(&quoted, quoted.len()), mask }
    }

    /// Whether the bytes before `end` are this name behind a quote; `word` is [`word_before`] it. Nothing is escaped
    /// there.
    #[inline]
    fn ends(&self, data: &[u8], end: usize, word: u64) -> bool {
        let name = self.name.as_bytes();
        (word ^ self.tail) & self.mask == 0
            && (name.len() < 8
                || (data[..end].ends_with(name) && data.get(end.wrapping_sub(name.len() + 1)) == Some(&b'"')))
    }
}

/// The eight bytes before `end` as a number, the highest byte is the last one; zeros where there are none.
#[inline]
fn word_before(data: &[u8], end: usize) -> u64 {
    match data[..end].last_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => data[..end].iter().fold(0, |word, byte| word >> 8 | u64::from(*byte) << 56),
    }
}

/// Which nodes of a plan the walk has passed, for as many walks as there are: a mark is the number of its walk.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    nodes: Vec<u64>,
    /// Where names may end; kept for its memory.
    candidates: Vec<usize>,
}

impl Marks {
    /// Room for a plan.
    pub(crate) fn fit(&mut self, plan: &Plan) {
        if self.nodes.len() < plan.nodes.len() {
            self.nodes.resize(plan.nodes.len(), 0);
        }
    }
}

impl Plan {
    /// A plan for some of the paths, each known by its place among all.
    pub(crate) fn new(paths: &[FieldPath], wanted: impl IntoIterator<Item = usize>) -> Self {
        let mut plan = Self { nodes: vec![Node::default()], names: Vec::new() };
        for slot in wanted {
            let at = paths[slot].steps().iter().fold(0, |at, step| plan.child(at, step));
            plan.nodes[at].slot = Some(slot);
        }
        for Child { node, tail, mask, .. } in plan.nodes.iter().flat_map(|node| &node.children) {
            let is_field = plan.nodes[*node].slot.is_some();
            match plan.names.iter_mut().find(|name| (name.tail, name.mask) == (*tail, *mask)) {
                Some(known) => known.is_field |= is_field,
                None => plan.names.push(Name { tail: *tail, mask: *mask, is_field }),
            }
        }
        plan
    }

    fn child(&mut self, parent: usize, name: &str) -> usize {
        if let Some(known) = self.nodes[parent].children.iter().find(|child| *child.name == *name) {
            return known.node;
        }
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.nodes[parent].children.push(Child::new(name, node));
        node
    }

    /// Goes through a record and gives the bytes of each field found. `number` is above that of every search with these
    /// marks before.
    pub(crate) fn find<'a>(
        &self,
        data: &'a [u8],
        marks: &mut Marks,
        number: u64,
        mut found: impl FnMut(usize, &'a [u8]),
    ) {
        if !self.names.is_empty() && leap::find(self, data, marks, number, &mut found).is_none() {
            Walk::new(self, data, &mut marks.nodes, number).find(&mut found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(texts: &[&str]) -> Vec<FieldPath> {
        texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect()
    }

    /// What a plan for these paths finds, by path.
    fn found<'a>(texts: &[&str], data: &'a str) -> Vec<Option<&'a str>> {
        let paths = paths(texts);
        let plan = Plan::new(&paths, 0..paths.len());
        let (mut marks, mut out) = (Marks::default(), vec![None; paths.len()]);
        marks.fit(&plan);
        let mut found = |slot: usize, bytes: &'a [u8]| out[slot] = Some(std::str::from_utf8(bytes).unwrap());
        plan.find(data.as_bytes(), &mut marks, 1, &mut found);
        out
    }

    /// The same, byte by byte in any case.
    fn walked<'a>(texts: &[&str], data: &'a str) -> Vec<Option<&'a str>> {
        let paths = paths(texts);
        let plan = Plan::new(&paths, 0..paths.len());
        let (mut marks, mut out) = (Marks::default(), vec![None; paths.len()]);
        marks.fit(&plan);
        Walk::new(&plan, data.as_bytes(), &mut marks.nodes, 1).find(&mut |slot: usize, bytes: &'a [u8]| {
            assert!(out[slot].replace(std::str::from_utf8(bytes).unwrap()).is_none(), "{texts:?} twice in {data}");
        });
        out
    }

    fn check(texts: &[&str], data: &str, expected: &[Option<&str>]) {
        assert_eq!(walked(texts, data), expected, "{texts:?} in {data}");
        assert_eq!(found(texts, data), expected, "{texts:?} in {data}");
        // At every place in a block of 64 bytes.
        for gap in 0..80 {
            let pushed = data.replacen('{', &format!("{{\"gap\":\"{}\",", "x".repeat(gap)), 1);
            let sound = sonic_rs::from_str::<sonic_rs::Value>(&pushed).is_ok();
            assert!(!sound || found(texts, &pushed) == expected || texts.contains(&"b"), "{texts:?} in {pushed}");
        }
    }

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let data = r#" { "a" : 1 , "b":{"c":"x,}\"","d":[1,{"c":2}]} ,"e":null,"é":true } "#;
        check(&["a", "b.c", "e", "é"], data, &[Some("1"), Some(r#""x,}\"""#), Some("null"), Some("true")]);
        check(
            &["b", "b.d", "b.x", "x"],
            data,
            &[Some(r#"{"c":"x,}\"","d":[1,{"c":2}]}"#), Some(r#"[1,{"c":2}]"#), None, None],
        );
        check(&["a.b", "b.c.d", "b.d.c"], data, &[None, None, None]);
        check(&["a"], "{}", &[None]);
        check(&["a"], "[{\"a\":1}]", &[None]);
        check(&["a"], "", &[None]);
    }

    #[test]
    fn the_first_of_two_members_counts() {
        check(&["a", "b.c"], r#"{"a":1,"a":2,"b":{"c":3,"c":4},"b":{"c":5}}"#, &[Some("1"), Some("3")]);
        check(&["b.c", "z"], r#"{"b":{"d":3},"b":{"c":5},"z":1}"#, &[None, Some("1")]);
        check(&["b.c", "z"], r#"{"b":7,"b":{"c":5},"z":1}"#, &[None, Some("1")]);
    }

    #[test]
    fn escapes_are_understood() {
        check(&["a\"b", "c"], r#"{"a\"b":1,"\u0063":2}"#, &[Some("1"), Some("2")]);
        check(&["c"], r#"{"a":"\\","b":"\\\"c\":","c":2}"#, &[Some("2")]);
    }

    #[test]
    fn of_bytes_that_are_no_json_a_walk_gives_what_comes_before_the_fault() {
        let check = |texts: &[&str], data: &str, expected: &[Option<&str>]| {
            assert_eq!(walked(texts, data), expected, "{texts:?} in {data}");
            found(texts, data); // finds what it finds
        };
        check(&["a", "b"], r#"{"a":1,"b""#, &[Some("1"), None]);
        check(&["a", "b"], r#"{"a":1 "b":2}"#, &[Some("1"), None]);
        check(&["a", "b"], r#"{"a":,"b":2}"#, &[None, None]);
        check(&["a", "b"], r#"{"a":"x\"#, &[None, None]);
        check(&["a.b", "c"], r#"{"a":{"b":1},"c":{"#, &[Some("1"), None]);
        check(&["a"], r#"{,"a":1}"#, &[None]);
    }

    /// JSON text with few names, so that some meet, and some names twice or escaped.
    fn json(plain: bool) -> impl Strategy<Value = String> {
        let scalars = ["1", "-2.5e3", "true", "null", r#""x""#, r#"":,{""#, r#""a\"b\\""#, r#""é\n{""#];
        let scalar = prop::sample::select(scalars[..if plain { 6 } else { 8 }].to_vec());
        let leaf = scalar.prop_map(str::to_owned);
        leaf.prop_recursive(4, 40, 5, move |inner| {
            let names = ["a", "b", "c", "longer_than_eight", "not_longer_than_eight", "é", r"\u0061"];
            let name = prop::sample::select(names[..if plain { 6 } else { 7 }].to_vec());
            let space = prop::sample::select(vec!["", " ", "\n\t"]);
            let colon = if plain { "" } else { " " };
            let member = (name, inner.clone(), space)
                .prop_map(move |(n, v, s): (&str, String, &str)| format!("{s}\"{n}\"{colon}:{s}{v}{s}"));
            prop_oneof![
                3 => prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
                1 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_walk_finds_what_looking_up_each_field_finds(
            data in prop_oneof![3 => json(true), 1 => json(false)],
            wanted in prop::collection::hash_set("(a|b|c|é|longer_than_eight)(\\.(a|b|c)){0,3}", 1..8),
        ) {
            let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
            let expected: Vec<_> = paths(&wanted)
                .iter()
                .map(|path| sonic_rs::get_from_str(&data, path.steps()).ok().map(|lazy| lazy.as_raw_str().to_owned()))
                .collect();
            let found: Vec<_> = found(&wanted, &data).into_iter().map(|f| f.map(str::to_owned)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_bytes_panic_the_walk(data in "[{}\\[\\]\":,a-c\\\\ 1]{0,40}") {
            found(&["a", "a.b", "b.c", "c"], &data);
        }
    }
}
