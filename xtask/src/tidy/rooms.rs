//! The room table of ARCHITECTURE.md against the crates and edges that cargo sees.

use super::ARCHITECTURE;
use super::finding::Finding;
use crate::workspace::Member;

const OPEN: &str = "<!-- rooms -->";
const CLOSE: &str = "<!-- /rooms -->";

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    name: String,
    level: usize,
    may_import: Vec<String>,
    line: usize,
}

/// Levels, lowest first. Imports go to a lower level only.
const LEVELS: [&str; 5] = ["L0", "L1", "L2", "L3", "dev"];

/// Refuses a crate that is not in the table, a row without a crate, an edge that the table does not name, and a table
/// that allows an edge upward or between siblings.
pub(crate) fn check(architecture: &str, members: &[Member], out: &mut Vec<Finding>) {
    let rooms = parse(architecture, out);
    for room in &rooms {
        if !members.iter().any(|m| m.name == room.name) {
            let what = format!("room `{}` is in the table but not in the workspace", room.name);
            out.push(Finding::new(ARCHITECTURE, room.line, what, "remove the row"));
        }
        for target in &room.may_import {
            if let Some(what) = wrong_way(room, target, &rooms) {
                out.push(Finding::new(ARCHITECTURE, room.line, what, "imports go to a lower level only"));
            }
        }
    }
    members.iter().for_each(|member| check_member(member, &rooms, out));
}

fn check_member(member: &Member, rooms: &[Room], out: &mut Vec<Finding>) {
    let Some(room) = rooms.iter().find(|r| r.name == member.name) else {
        let what = format!("crate `{}` is not in the table of rooms", member.name);
        let mend = format!("add a row between `{OPEN}` and `{CLOSE}` of {ARCHITECTURE}, or move the code into a room");
        out.push(Finding::new(&member.manifest, 1, what, mend));
        return;
    };
    for target in member.imports.iter().filter(|target| !room.may_import.contains(target)) {
        let what = wrong_way(room, target, rooms)
            .unwrap_or_else(|| format!("`{}` imports `{target}`, which its row does not allow", room.name));
        let mend = format!("move what is needed down, or argue for the edge in {ARCHITECTURE}");
        out.push(Finding::new(&member.manifest, 1, what, mend));
    }
}

/// What is wrong with an edge whatever the table says: it goes upward, sideways, or nowhere.
fn wrong_way(from: &Room, target: &str, rooms: &[Room]) -> Option<String> {
    let Some(to) = rooms.iter().find(|r| r.name == target) else {
        return Some(format!("`{}` imports `{target}`, which is no room", from.name));
    };
    let levels = format!("({} to {})", LEVELS[from.level], LEVELS[to.level]);
    match to.level.cmp(&from.level) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(format!("`{}` imports its sibling `{target}` {levels}", from.name)),
        std::cmp::Ordering::Greater => Some(format!("`{}` imports `{target}` upward {levels}", from.name)),
    }
}

/// Reads `| room | level | may import | … |` rows between the two markers.
fn parse(architecture: &str, out: &mut Vec<Finding>) -> Vec<Room> {
    let numbered = architecture.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let inside = numbered.skip_while(|(_, line)| *line != OPEN).skip(1).take_while(|(_, line)| *line != CLOSE);
    let rows: Vec<(usize, &str)> = inside.filter(|(_, line)| line.starts_with('|')).skip(2).collect();
    if rows.is_empty() {
        let what = format!("there is no table between `{OPEN}` and `{CLOSE}`");
        out.push(Finding::new(ARCHITECTURE, 1, what, "write one: room, level, may import"));
    }
    let mut rooms: Vec<Room> = Vec::new();
    for (line, row) in rows {
        match parse_row(line, row) {
            Some(room) if rooms.iter().all(|r| r.name != room.name) => rooms.push(room),
            Some(room) => {
                let what = format!("room `{}` has two rows", room.name);
                out.push(Finding::new(ARCHITECTURE, line, what, "keep one"));
            }
            None => {
                let mend = format!("write `| room | {} | rooms or nothing |`", LEVELS.join(" or "));
                out.push(Finding::new(ARCHITECTURE, line, "the row cannot be read", mend));
            }
        }
    }
    rooms
}

fn parse_row(line: usize, row: &str) -> Option<Room> {
    let mut cells = row.trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned());
    let (name, level, imports) = (cells.next()?, cells.next()?, cells.next()?);
    let level = LEVELS.iter().position(|known| *known == level)?;
    let may_import = match imports.as_str() {
        "nothing" => Vec::new(),
        list => list.split(',').map(|target| target.trim().to_owned()).collect(),
    };
    let sound = !name.is_empty() && may_import.iter().all(|target| !target.is_empty());
    sound.then_some(Room { name, level, may_import, line })
}

#[cfg(test)]
mod tests {
    use super::super::finding::told;
    use super::*;

    const TABLE: &str = "# page\n<!-- rooms -->\n| room | level | may import | what |\n|---|---|---|---|\n\
        | `event` | L0 | nothing | words |\n| `log` | L1 | `event` | disk |\n| `store` | L1 | `event` | rows |\n\
        | `engine` | L2 | `event`, `log` | loop |\n<!-- /rooms -->\n| `other` | L9 | table |\n";

    fn findings(table: &str, edges: &[(&str, &[&str])]) -> Vec<String> {
        let member = |(name, imports): &(&str, &[&str])| Member {
            name: (*name).to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            imports: imports.iter().map(|&s| s.to_owned()).collect(),
        };
        let mut out = Vec::new();
        check(table, &edges.iter().map(member).collect::<Vec<_>>(), &mut out);
        told(&out)
    }

    const SOUND: [(&str, &[&str]); 4] =
        [("event", &[]), ("log", &["event"]), ("store", &["event"]), ("engine", &["event", "log"])];

    /// The sound workspace with the imports of one crate replaced.
    fn with<'a>(name: &'a str, imports: &'a [&'a str]) -> Vec<(&'a str, &'a [&'a str])> {
        SOUND.iter().map(|&(n, i)| if n == name { (n, imports) } else { (n, i) }).collect()
    }

    #[test]
    fn edges_of_the_table_pass_and_an_edge_left_unused_does_too() {
        assert_eq!(findings(TABLE, &SOUND), [""; 0]);
        assert_eq!(findings(TABLE, &with("engine", &["event"])), [""; 0]);
    }

    #[test]
    fn an_edge_that_the_table_does_not_name_is_refused() {
        let expected = ["1: `engine` imports `store`, which its row does not allow"];
        assert_eq!(findings(TABLE, &with("engine", &["event", "store"])), expected);
    }

    #[test]
    fn edges_upward_sideways_and_to_strangers_are_refused() {
        assert_eq!(findings(TABLE, &with("log", &["engine"])), ["1: `log` imports `engine` upward (L1 to L2)"]);
        assert_eq!(findings(TABLE, &with("log", &["store"])), ["1: `log` imports its sibling `store` (L1 to L1)"]);
        assert_eq!(findings(TABLE, &with("log", &["thing"])), ["1: `log` imports `thing`, which is no room"]);
    }

    #[test]
    fn a_table_that_allows_a_wrong_edge_is_refused_itself() {
        let table = TABLE.replace("| `log` | L1 | `event` |", "| `log` | L1 | `event`, `store` |");
        assert_eq!(findings(&table, &SOUND), ["6: `log` imports its sibling `store` (L1 to L1)"]);
    }

    #[test]
    fn crates_and_rows_must_match() {
        assert_eq!(findings(TABLE, &SOUND[..3]), ["8: room `engine` is in the table but not in the workspace"]);
        let more = [SOUND.as_slice(), &[("other", &[])]].concat();
        assert_eq!(findings(TABLE, &more), ["1: crate `other` is not in the table of rooms"]);
    }

    #[test]
    fn a_table_that_is_missing_or_cannot_be_read_is_a_finding() {
        assert_eq!(findings("# nothing", &[]), ["1: there is no table between `<!-- rooms -->` and `<!-- /rooms -->`"]);
        let twice = TABLE.replace("| `store` | L1 | `event` | rows |", "| `log` | L1 | `event` | disk |");
        assert_eq!(findings(&twice, &[SOUND[0], SOUND[1], SOUND[3]]), ["7: room `log` has two rows"]);
        let level = TABLE.replace("| `store` | L1 |", "| `store` | top |");
        assert!(findings(&level, &SOUND).contains(&"7: the row cannot be read".to_owned()));
    }
}
