// SPDX-License-Identifier: Apache-2.0
//! Counts in storage, of which those of zero aren't stored: what has nothing leaves nothing behind.

/// Subtracts one; zero, stored or not, becomes `None`.
pub fn count_down(count: &mut Option<u32>) {
    *count = count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_zero_is_not_stored() {
        let mut count = Some(2);
        count_down(&mut count);
        assert_eq!(count, Some(1));
        for _ in 0..2 {
            count_down(&mut count);
            assert_eq!(count, None);
        }
    }
}
