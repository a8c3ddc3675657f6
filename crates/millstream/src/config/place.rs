//! From a place in a value to its place in the file: YAML folds, quotes and indents what people write.

use super::node::Origin;

/// Where a character of a scalar stands in the file. `value` is the scalar as YAML understood it, `begins` where it
/// begins in the file, and the character is named by its line and column in the value, from 1; a column beyond its line
/// goes on in the next one. `None` when the file says it in a way that cannot be followed, with `\n` in quotes for example.
pub(super) fn locate(file: &str, begins: &Origin, value: &str, (line, column): (usize, usize)) -> Option<Origin> {
    let Origin::At(first_line, first_column) = *begins else { return None };
    let wanted =
        value.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum::<usize>() + column - 1;
    let (mut at_line, mut at_column) = (first_line, first_column);
    let lines = file.split_inclusive('\n').skip(first_line.checked_sub(1)? as usize);
    let mut raw = lines.flat_map(str::chars).skip(first_column.checked_sub(1)? as usize);
    let mut last = Origin::At(at_line, at_column);
    for (i, c) in value.chars().enumerate().filter(|(_, c)| !c.is_whitespace()) {
        // White space is YAML's to fold, and quotes and backslashes may be its own.
        let place = loop {
            let found = raw.next()?;
            let place = Origin::At(at_line, at_column);
            (at_line, at_column) = if found == '\n' { (at_line + 1, 1) } else { (at_line, at_column + 1) };
            match found {
                _ if found == c => break place,
                '"' | '\'' | '\\' => {}
                _ if found.is_whitespace() => {}
                _ => return None,
            }
        };
        if i >= wanted {
            return Some(place);
        }
        last = Origin::At(at_line, at_column);
    }
    // At the end, where something is missing.
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::super::node::{Node, Value};
    use super::*;

    /// Finds the `!` of a value, told by its place in the value as a compiler would.
    fn check(file: &str, expected: (u64, u64)) {
        let root = Node::parse(file).unwrap();
        let Value::Map(entries) = &root.value else { panic!("{root:?}") };
        let (node, value) = (&entries[0].1, entries[0].1.scalar().unwrap());
        let before = &value[..value.find('!').unwrap_or(value.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let found = locate(file, &node.origin, &value, (line, column));
        assert_eq!(found, Some(Origin::At(expected.0, expected.1)), "{file}");
    }

    #[test]
    fn a_place_in_a_value_is_found_in_the_file_however_it_is_written() {
        check("when: a > !b\n", (1, 11));
        check("when:   'a == ''x'' && !b'\n", (1, 24));
        check("when: \"a == \\\"x\\\" && !b\"\n", (1, 22));
        check("# first\nwhen: |\n  a > 1\n  && !b\n", (4, 6));
        check("when: |-\n\n      é == 'ü'\n      || !b\n", (4, 10));
        check("when: >\n  a > 1\n  && !b\n", (3, 6));
        check("when: a > 1\n  && c\n  && !b\n", (3, 6));
        check("when:\n  a >\n", (2, 6));
        check("when: \"!\"\n", (1, 8));
    }

    #[test]
    fn what_cannot_be_followed_is_not_guessed() {
        let file = "when: \"a\\nb\"\n";
        let root = Node::parse(file).unwrap();
        assert_eq!(locate(file, &root.part("when").origin, "a\nb", (2, 1)), None);
    }

    #[test]
    fn a_column_beyond_its_line_goes_on_in_the_next() {
        let begins = Origin::At(1, 1);
        assert_eq!(locate("ab\ncd\n", &begins, "ab\ncd\n", (1, 5)), Some(Origin::At(2, 2)));
    }
}
