//! How long to wait before the next try.

/// `base × 2ⁿ`, plus 10 to 30 % of it by chance, so that those who failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The delay after the first failure, in milliseconds.
    pub base_ms: u64,
    /// No delay is longer than this, in milliseconds, chance aside.
    pub max_ms: u64,
    /// Tries in all, the first one included.
    pub attempts: u32,
}

impl Retry {
    /// The delay after so many failures (1 for the first), in milliseconds; `None` when there is no further try.
    /// `chance` is between 0 and 1.
    pub fn delay_ms(&self, failures: u32, chance: f64) -> Option<u64> {
        (failures < self.attempts).then(|| self.backoff_ms(failures, chance))
    }

    /// The same for those who never give up.
    pub fn backoff_ms(&self, failures: u32, chance: f64) -> u64 {
        let doublings = failures.saturating_sub(1).min(62);
        let plain = self.base_ms.saturating_mul(1 << doublings).min(self.max_ms);
        plain + (plain as f64 * (0.1 + 0.2 * chance.clamp(0.0, 1.0))) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_end() {
        let retry = Retry { base_ms: 1_000, max_ms: 3_000, attempts: 5 };
        let delays: Vec<_> = (1..=5).map(|failures| retry.delay_ms(failures, 0.0)).collect();
        assert_eq!(delays, [Some(1_100), Some(2_200), Some(3_300), Some(3_300), None]);
        assert_eq!(retry.delay_ms(1, 1.0), Some(1_300));
        assert_eq!(retry.backoff_ms(u32::MAX, 0.5), 3_600);
    }
}
