//! What a process does: any set of `collect`, `process`, `query` and `emit`.

use std::fmt;
use std::str::FromStr;

use super::section::{nearest, one_of};

/// The roles of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Takes events in.
    pub(crate) collect: bool,
    /// Runs the engine.
    pub(crate) process: bool,
    /// Answers questions.
    pub(crate) query: bool,
    /// Generates load against itself.
    pub(crate) emit: bool,
}

impl Default for Roles {
    fn default() -> Self {
        Self { collect: true, process: true, query: true, emit: false }
    }
}

const NAMES: [&str; 4] = ["collect", "process", "query", "emit"];

impl Roles {
    /// The names of the roles that are on.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let on = [self.collect, self.process, self.query, self.emit];
        NAMES.into_iter().zip(on).filter_map(|(name, on)| on.then_some(name)).collect()
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self { collect: false, process: false, query: false, emit: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "collect" => roles.collect = true,
                "process" => roles.process = true,
                "query" => roles.query = true,
                "emit" => roles.emit = true,
                _ => {
                    let hint = nearest(name, &NAMES).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    return Err(format!("expected roles of {}, found `{name}`{hint}", one_of(&NAMES)));
                }
            }
        }
        if roles.emit && !roles.collect {
            return Err("the role emit sends to the role collect of the same process: add collect".to_owned());
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_written() {
        for text in ["collect,process,query", "collect", "collect,emit", "query"] {
            assert_eq!(text.parse::<Roles>().unwrap().to_string(), text);
        }
        assert_eq!(Roles::default().to_string(), "collect,process,query");
        for (bad, part) in [("colect", "did you mean `collect`"), ("", "found ``"), ("emit", "add collect")] {
            assert!(bad.parse::<Roles>().unwrap_err().contains(part), "{bad}");
        }
    }
}
