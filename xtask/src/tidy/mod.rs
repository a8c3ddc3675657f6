//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy can hold. One file for each idea.

mod finding;
mod links;
mod markdown;
mod rooms;
mod rust;
mod text;
mod verbs;

use finding::Finding;

use crate::workspace::{Source, Workspace};

/// The page whose table says who may import whom.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// A median above this is worth a word, not a refusal.
const MEDIAN_LINES_WARN: usize = 160;

/// Checks the whole repository, prints the findings and a summary, and gives whether it is tidy.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let sources = workspace.sources()?;
    let mut findings = Vec::new();
    let shape = check(workspace, &sources, &mut findings);
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    print_summary(&shape, findings.len());
    Ok(findings.is_empty())
}

/// What the code looks like, in numbers.
#[derive(Debug, Default)]
struct Shape {
    rooms: usize,
    edges: usize,
    files: usize,
    functions: usize,
    median_lines: usize,
}

fn check(workspace: &Workspace, sources: &[Source], out: &mut Vec<Finding>) -> Shape {
    let architecture = sources.iter().find(|s| s.path == ARCHITECTURE).map_or("", |s| s.text.as_str());
    rooms::check(architecture, &workspace.members, out);
    links::check(sources, out);
    verbs::check(sources, out);
    sources.iter().for_each(|source| text::check(source, out));

    let rust: Vec<&Source> = sources.iter().filter(|s| s.path.ends_with(".rs")).collect();
    let functions = rust.iter().map(|source| rust::check(source, out)).sum();
    let mut lines: Vec<usize> = rust.iter().map(|source| source.text.lines().count()).collect();
    lines.sort_unstable();
    Shape {
        rooms: workspace.members.len(),
        edges: workspace.members.iter().map(|member| member.imports.len()).sum(),
        files: rust.len(),
        functions,
        median_lines: lines.get(lines.len() / 2).copied().unwrap_or_default(),
    }
}

fn print_summary(shape: &Shape, findings: usize) {
    if shape.median_lines > MEDIAN_LINES_WARN {
        println!("warning: half of the Rust files have over {} lines; aim near 120", shape.median_lines);
    }
    let rows = [
        ("crates", shape.rooms),
        ("edges", shape.edges),
        ("Rust files", shape.files),
        ("median lines", shape.median_lines),
        ("functions", shape.functions),
        ("findings", findings),
    ];
    println!("tidy");
    rows.iter().for_each(|(name, value)| println!("  {name:<14}{value:>6}"));
}
