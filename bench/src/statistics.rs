//! From rounds to figures.

use serde::{Deserialize, Serialize};

/// What one pair of processes measured, in nanoseconds per operation (one way, or one publish).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Half of the rounds were faster.
    pub median_ns: f64,
    /// 99 of 100 rounds were faster.
    pub p99_ns: f64,
    /// The fastest round.
    pub min_ns: f64,
    /// Median over the means of batches of [`BATCH`] rounds: contains what is done only now and then (reclaiming), but not a
    /// few rounds in which the process was not scheduled.
    pub batch_ns: f64,
    /// Mean of all rounds, with everything that happened.
    pub mean_ns: f64,
    /// Rounds that these figures are of.
    pub rounds: usize,
}

/// Rounds in a batch.
pub const BATCH: usize = 100;

impl Figures {
    /// Figures of `rounds` (nanoseconds each; any order within a batch, batches in order of time); `None` of no rounds.
    pub fn of(rounds: &[f64]) -> Option<Self> {
        if rounds.is_empty() {
            return None;
        }
        let mut batches: Vec<f64> = rounds.chunks(BATCH).map(mean).collect();
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median_ns: quantile(&sorted, 0.5),
            p99_ns: quantile(&sorted, 0.99),
            min_ns: sorted[0],
            batch_ns: median(&mut batches),
            mean_ns: mean(rounds),
            rounds: rounds.len(),
        })
    }

    /// The median of each figure over repetitions; `None` of no repetitions.
    pub fn median_of(repetitions: &[Self]) -> Option<Self> {
        let first = repetitions.first()?;
        let over = |figure: fn(&Self) -> f64| median(&mut repetitions.iter().map(figure).collect::<Vec<_>>());
        Some(Self {
            median_ns: over(|f| f.median_ns),
            p99_ns: over(|f| f.p99_ns),
            min_ns: over(|f| f.min_ns),
            batch_ns: over(|f| f.batch_ns),
            mean_ns: over(|f| f.mean_ns),
            rounds: first.rounds,
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median of `values`, which it sorts; the lower middle one of an even number. NaN of none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q) as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_rounds() {
        let rounds: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        let figures = Figures::of(&rounds).expect("rounds");
        assert_eq!(figures.median_ns, 500.0);
        assert_eq!(figures.p99_ns, 990.0);
        assert_eq!(figures.min_ns, 1.0);
        assert_eq!(figures.mean_ns, 500.5);
        assert_eq!(figures.batch_ns, 450.5);
        assert_eq!(Figures::of(&[]), None);
    }

    #[test]
    fn an_unscheduled_round_moves_the_mean_and_not_the_batches() {
        let mut rounds = vec![10.0; 1000];
        rounds[77] = 1e6;
        let figures = Figures::of(&rounds).expect("rounds");
        assert_eq!(figures.batch_ns, 10.0);
        assert!(figures.mean_ns > 1000.0);
    }

    #[test]
    fn work_done_every_tenth_round_shows_in_the_batches_and_not_in_the_median() {
        let rounds: Vec<f64> = (0..1000).map(|i| if i % 10 == 0 { 110.0 } else { 10.0 }).collect();
        let figures = Figures::of(&rounds).expect("rounds");
        assert_eq!(figures.median_ns, 10.0);
        assert_eq!(figures.batch_ns, 20.0);
    }
}
