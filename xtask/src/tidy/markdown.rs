//! Markdown as tidy needs it: lines, with what is code told from what is prose.

/// A line of a page.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    /// Whether it stands in a fenced block. The fences themselves do too.
    pub(crate) fenced: bool,
}

/// The lines of a page.
pub(crate) fn lines(page: &str) -> impl Iterator<Item = Line<'_>> {
    let mut inside = false;
    page.lines().enumerate().map(move |(at, text)| {
        let fence = text.trim_start().starts_with("```");
        let fenced = inside || fence;
        inside ^= fence;
        Line { number: at + 1, text, fenced }
    })
}

impl<'a> Line<'a> {
    /// The parts of the line that are code: all of it in a block, else what stands between backticks.
    pub(crate) fn code(&self) -> Vec<&'a str> {
        if self.fenced { vec![self.text] } else { self.text.split('`').skip(1).step_by(2).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_prose() {
        let page = "say `a` and `b c`\n```sh\nrun it\n```\nend";
        let code: Vec<_> = lines(page).flat_map(|l| l.code()).collect();
        assert_eq!(code, ["a", "b c", "```sh", "run it", "```"]);
        let fenced: Vec<_> = lines(page).map(|l| l.fenced).collect();
        assert_eq!(fenced, [false, true, true, true, false]);
        assert_eq!(lines(page).map(|l| l.number).last(), Some(5));
    }
}
