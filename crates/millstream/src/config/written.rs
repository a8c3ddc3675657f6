//! All rules and windows as they are written, the user's over the built-in ones, and their way to programs. What a compiler
//! says of one is told with its place in the file.

use event::{Catalog, StreamId};
use process::{Program, RuleError, RuleKind, RuleSpec, WindowSpec};

use super::node::Node;
use super::problems::Problems;
use super::section::{Item, nearest};
use super::typed_rule::TypedRule;
use super::typed_window::TypedWindow;

/// Rules and windows, in the order in which they are compiled.
pub(crate) struct Written {
    rules: Vec<TypedRule>,
    windows: Vec<TypedWindow>,
}

/// What problems are told of.
struct Part<'a> {
    /// `rule` or `window`.
    what: &'static str,
    name: &'a str,
    stream: &'a str,
    path: &'a str,
    node: &'a Node,
}

impl Written {
    /// The user's over the built-in ones, by name; `zone` is that of hours without one.
    pub(crate) fn over(
        mut rules: Vec<TypedRule>,
        user_rules: Vec<TypedRule>,
        mut windows: Vec<TypedWindow>,
        user_windows: Vec<TypedWindow>,
        zone: &str,
        problems: &Problems,
    ) -> Self {
        twice(user_rules.iter().map(Part::rule), problems);
        twice(user_windows.iter().map(Part::window), problems);
        rules.retain(|built_in| user_rules.iter().all(|rule| rule.spec.name != built_in.spec.name));
        rules.extend(user_rules);
        windows.retain(|built_in| user_windows.iter().all(|window| window.spec.name != built_in.spec.name));
        windows.extend(user_windows);
        for rule in &mut rules {
            if let RuleKind::Hours { zone: own, .. } = &mut rule.spec.kind
                && own.is_empty()
            {
                zone.clone_into(own);
            }
        }
        Self { rules, windows }
    }

    /// As the engine takes them.
    pub(crate) fn specs(self) -> (Vec<RuleSpec>, Vec<WindowSpec>) {
        let rules = self.rules.into_iter().map(|rule| rule.spec).collect();
        (rules, self.windows.into_iter().map(|window| window.spec).collect())
    }

    /// Compiles stream by stream; what watches an unknown stream, or writes to one, is a problem of its own.
    pub(crate) fn compile(&self, catalog: &Catalog, problems: &Problems) -> Vec<(StreamId, Program)> {
        self.check_streams(catalog, problems);
        let mut programs = Vec::new();
        for (id, stream) in catalog.iter() {
            let rules: Vec<&TypedRule> = self.rules.iter().filter(|r| r.spec.stream == stream.name).collect();
            let windows: Vec<&TypedWindow> = self.windows.iter().filter(|w| w.spec.stream == stream.name).collect();
            let rule_specs: Vec<RuleSpec> = rules.iter().map(|r| r.spec.clone()).collect();
            let window_specs: Vec<WindowSpec> = windows.iter().map(|w| w.spec.clone()).collect();
            if rules.is_empty() && windows.is_empty() {
                continue;
            }
            match Program::compile(stream, &rule_specs, &window_specs) {
                Ok(program) => programs.push((id, program)),
                Err(all) => {
                    // A rule and a window may have the same name: each half is asked alone whose the problems are.
                    let of_rules = Program::compile(stream, &rule_specs, &[]).err().unwrap_or_default();
                    let of_windows = Program::compile(stream, &[], &window_specs).err().unwrap_or_default();
                    let count = problems.count();
                    told(&of_rules, rules.iter().map(|rule| Part::rule(rule)), problems);
                    told(&of_windows, windows.iter().map(|window| Part::window(window)), problems);
                    if problems.count() == count {
                        let parts = rules.iter().map(|rule| Part::rule(rule));
                        told(&all, parts.chain(windows.iter().map(|window| Part::window(window))), problems);
                    }
                }
            }
        }
        programs
    }

    fn check_streams(&self, catalog: &Catalog, problems: &Problems) {
        let known: Vec<&str> = stream_names(catalog);
        let parts = self.rules.iter().map(Part::rule).chain(self.windows.iter().map(Part::window));
        for part in parts.filter(|part| !known.contains(&part.stream)) {
            part.unknown("stream", "stream", part.stream, &known, problems);
        }
        for window in self.windows.iter().filter(|window| !window.spec.publish.is_empty()) {
            let (part, to) = (Part::window(window), window.spec.publish.as_str());
            if !known.contains(&to) {
                part.unknown("publish", "stream", to, &known, problems);
            } else if self.leads_back(to, &window.spec.stream) {
                let message = format!("what is published to `{to}` would come back to `{}`", window.spec.stream);
                let suggestion = Some("publish to a stream that no window comes back from".to_owned());
                problems.add(&part.path("publish"), &part.node.part("publish").origin, message, suggestion);
            } else if catalog.find(to).is_some_and(|id| catalog.get(id).dedup.is_none()) {
                // After a kill a result may be appended a second time.
                let message = format!("results may come twice, and `{to}` has no duplicate suppression");
                let suggestion =
                    Some(format!("give `{to}` an `id` and a `dedup`, or publish to a stream that has them"));
                problems.add(&part.path("publish"), &part.node.part("publish").origin, message, suggestion);
            }
        }
    }

    /// Whether results that go to `from` reach `to`, by whatever windows there are.
    fn leads_back(&self, from: &str, to: &str) -> bool {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(here) = reached.get(next).copied() {
            next += 1;
            let out =
                self.windows.iter().filter(|window| window.spec.stream == here && !window.spec.publish.is_empty());
            for publish in out.map(|window| window.spec.publish.as_str()) {
                if !reached.contains(&publish) {
                    reached.push(publish);
                }
            }
        }
        reached.contains(&to)
    }
}

/// The names of the streams that people write and read.
pub(super) fn stream_names(catalog: &Catalog) -> Vec<&str> {
    catalog.iter().map(|(_, s)| s.name.as_str()).filter(|name| !name.starts_with('_')).collect()
}

/// What to say instead of a name that is not known.
pub(super) fn instead(name: &str, known: &[&str]) -> String {
    let near = nearest(name, known);
    near.map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"))
}

/// Tells that a name is none of those that are there.
pub(crate) fn unknown_name(item: &Item<'_>, what: &str, name: &str, known: &[&str]) {
    item.bad(format!("there is no {what} `{name}`"), Some(instead(name, known)));
}

/// Tells that a name is none of the streams that people write.
pub(crate) fn unknown_stream(item: &Item<'_>, name: &str, catalog: &Catalog) {
    unknown_name(item, "stream", name, &stream_names(catalog));
}

fn twice<'a>(parts: impl Iterator<Item = Part<'a>>, problems: &Problems) {
    let mut names = Vec::new();
    for part in parts {
        if names.contains(&part.name) {
            let message = format!("{} `{}` is defined twice", part.what, part.name);
            problems.add(part.path, &part.node.part("name").origin, message, None);
        }
        names.push(part.name);
    }
}

/// Tells what a compiler found, each at its place.
fn told<'a>(errors: &[RuleError], parts: impl Iterator<Item = Part<'a>>, problems: &Problems) {
    let parts: Vec<Part<'a>> = parts.collect();
    for error in errors {
        let Some(part) = parts.iter().find(|part| part.name == error.rule) else {
            problems.add(&error.rule, &super::node::Origin::Absent, error.message.clone(), None);
            continue;
        };
        let (path, node) = (part.path(&error.field), part.node.part(&error.field));
        let whose = format!("{} `{}`", part.what, part.name);
        match error.place() {
            Some((place, message)) => problems.add_inside(&path, node, place, &format!("{whose}: {message}")),
            None => problems.add(&path, &node.origin, format!("{whose}: {}", error.message), None),
        }
    }
}

impl<'a> Part<'a> {
    fn rule(rule: &'a TypedRule) -> Self {
        let (name, stream) = (&rule.spec.name, &rule.spec.stream);
        Self { what: "rule", name, stream, path: &rule.path, node: &rule.node }
    }

    fn window(window: &'a TypedWindow) -> Self {
        let (name, stream) = (&window.spec.name, &window.spec.stream);
        Self { what: "window", name, stream, path: &window.path, node: &window.node }
    }

    fn path(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn unknown(&self, field: &str, what: &str, name: &str, known: &[&str], problems: &Problems) {
        let message = format!("there is no {what} `{name}`");
        problems.add(&self.path(field), &self.node.part(field).origin, message, Some(instead(name, known)));
    }
}
