//! What programs are made of.

use event::{Catalog, StreamId};
use process::{Program, RuleSpec, WindowSpec};

/// Rules and windows, as written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Specs {
    pub(crate) rules: Vec<RuleSpec>,
    pub(crate) windows: Vec<WindowSpec>,
}

impl Specs {
    /// Compiles them for the streams that have any.
    ///
    /// # Errors
    /// When one is not sound; those of [`crate::config::Settings`] are.
    pub(crate) fn programs(&self, catalog: &Catalog) -> anyhow::Result<Vec<(StreamId, Program)>> {
        let watched = |stream: &str| {
            let mut streams = self.rules.iter().map(|rule| &rule.stream);
            streams.any(|s| s == stream) || self.windows.iter().any(|window| window.stream == stream)
        };
        let mut programs = Vec::new();
        for (id, stream) in catalog.iter().filter(|(_, stream)| watched(&stream.name)) {
            let program = Program::compile(stream, &self.rules, &self.windows);
            programs.push((id, program.map_err(|errors| anyhow::anyhow!("{errors:?}"))?));
        }
        Ok(programs)
    }
}
