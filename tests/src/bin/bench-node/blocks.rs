// SPDX-License-Identifier: Apache-2.0

//! Blocks with transactions of one kind, and what they say together.

use std::{fmt, time::Duration};

/// A block with transactions.
pub struct Block {
    pub number: u64,
    pub transactions: usize,
    /// Part of its time that is declared.
    pub fill: f64,
    /// Milliseconds that this took, if they are known.
    pub authored: Option<f64>,
    pub imported: Option<f64>,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, transactions, fill, authored, imported } = self;
        let ms = |time: &Option<f64>| time.map_or("an unknown time".into(), |time| format!("{time:.0} ms"));
        write!(
            f,
            "block {number}: {transactions}, {:.0} % of its time declared, authored in {}, imported in {}",
            100.0 * fill,
            ms(authored),
            ms(imported)
        )
    }
}

/// What the blocks between the first and the last one say: those two have less than there was room for.
pub fn summary(blocks: &[Block], slot: Duration) -> String {
    let whole = blocks.get(1..blocks.len().saturating_sub(1)).unwrap_or_default();
    let (Some(first), Some(last)) = (whole.first(), whole.last()) else {
        return "no block between others, so no rate".into();
    };
    let slots = last.number - first.number + 1;
    let count: usize = whole.iter().map(|block| block.transactions).sum();
    format!(
        "{:.0} per second in {} blocks between others; in each {}, {} % of its time declared; authored in {}, \
         imported in {}",
        count as f64 / (slots as f64 * slot.as_secs_f64()),
        whole.len(),
        span(whole.iter().map(|block| block.transactions as f64)),
        span(whole.iter().map(|block| 100.0 * block.fill)),
        mean_and_most(whole.iter().filter_map(|block| block.authored)),
        mean_and_most(whole.iter().filter_map(|block| block.imported)),
    )
}

/// Least and most of some values.
fn span(values: impl Iterator<Item = f64> + Clone) -> String {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(0.0, f64::max);
    let [least, most] = [least, most].map(|value| format!("{value:.0}"));
    if least == most { most } else { format!("{least} to {most}") }
}

fn mean_and_most(times: impl Iterator<Item = f64> + Clone) -> String {
    match times.clone().count() {
        0 => "unknown times".into(),
        known => {
            let (sum, most) = (times.clone().sum::<f64>(), times.fold(0.0, f64::max));
            format!("{:.0} ms on average of {known}, {most:.0} ms at most", sum / known as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_secs(3);

    fn block(number: u64, transactions: usize, times: Option<f64>) -> Block {
        let fill = transactions as f64 / 1_000.0;
        Block { number, transactions, fill, authored: times, imported: times.map(|time| time / 2.0) }
    }

    #[test]
    fn the_first_and_the_last_block_count_for_nothing() {
        let blocks = [
            block(7, 100, Some(2_000.0)),
            block(8, 900, Some(400.0)),
            block(9, 900, Some(500.0)),
            block(10, 10, Some(9_000.0)),
        ];
        assert_eq!(
            summary(&blocks, SLOT),
            "300 per second in 2 blocks between others; in each 900, 90 % of its time declared; authored in \
             450 ms on average of 2, 500 ms at most, imported in 225 ms on average of 2, 250 ms at most"
        );
    }

    #[test]
    fn two_blocks_have_no_rate() {
        let blocks = [block(7, 900, None), block(8, 900, None)];
        assert_eq!(summary(&blocks, SLOT), "no block between others, so no rate");
        assert_eq!(summary(&blocks[..1], SLOT), "no block between others, so no rate");
        assert_eq!(summary(&[], SLOT), "no block between others, so no rate");
    }

    #[test]
    fn slots_without_transactions_count_for_the_rate() {
        let blocks = [block(7, 1, None), block(8, 900, None), block(10, 600, None), block(11, 1, None)];
        let summary = summary(&blocks, SLOT);
        assert!(
            summary.starts_with("167 per second in 2 blocks between others; in each 600 to 900,"),
            "{summary}"
        );
    }

    #[test]
    fn unknown_times_are_left_out_of_the_mean() {
        let blocks = [block(7, 1, None), block(8, 9, Some(400.0)), block(9, 9, None), block(10, 1, None)];
        let summary = summary(&blocks, SLOT);
        assert!(summary.contains("authored in 400 ms on average of 1, 400 ms at most"), "{summary}");
        assert_eq!(
            blocks[0].to_string(),
            "block 7: 1, 0 % of its time declared, authored in an unknown time, imported in an unknown time"
        );
    }
}
