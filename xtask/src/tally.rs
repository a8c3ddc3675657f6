//! Counting tests: libtest prints one result line for each test program, this adds them up.

use std::fmt;

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds the line `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`; passes over
    /// every other line. Ignored and filtered out both mean: not run.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result:") else { return };
        let words: Vec<&str> = result.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else { continue };
            match pair[1].trim_end_matches(';') {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" | "filtered" => self.skipped += count,
                _ => (),
            }
        }
    }

    /// Whether tests ran and none failed.
    pub(crate) fn is_green(&self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

/// The line that continuous integration reads.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn result_lines_add_up_and_others_do_not_count() {
        let sum = tally(&[
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test tests::named_test_result: 9 passed ... ok",
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 10 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1s",
        ]);
        assert_eq!(sum, Tally { passed: 13, failed: 2, skipped: 6 });
        assert_eq!(sum.to_string(), "13 passed, 2 failed, 6 skipped");
    }

    #[test]
    fn no_test_at_all_is_not_green() {
        assert!(!Tally::default().is_green());
        assert!(!Tally { failed: 1, ..tally(&["test result: ok. 1 passed;"]) }.is_green());
        assert!(tally(&["test result: ok. 1 passed; 0 failed;"]).is_green());
    }
}
