// SPDX-License-Identifier: Apache-2.0
//! Names of farms, and which of them look alike. Pure: no storage.
//!
//! Names are ASCII, so only ASCII characters can look alike. Each character has a skeleton; that of a name is
//! the skeletons of its characters joined. Two names look alike if and only if their skeletons are equal:
//!
//! | characters | skeleton |
//! |---|---|
//! | `A`–`Z` | as `a`–`z` |
//! | `-` `_` | nothing |
//! | `0` | `o` |
//! | `1` `i` | `l` |
//! | `2`, `5`, `8` | `z`, `s`, `b` |
//! | `m`, `w` | `rn`, `vv` |
//!
//! Digits stay distinct from each other, so farms may be numbered.

use alloc::vec::Vec;
use frame_support::{BoundedVec, traits::ConstU32};

/// Upper limit of characters in the name of a farm.
pub const MAX_NAME: u32 = 40;
/// Lower limit of characters in the name of a farm.
pub const MIN_NAME: usize = 3;

/// Upper limit of bytes in the argument of a call: more than [`MAX_NAME`], so that a name that is too long
/// fails with `NameInvalid` and not in the decoder.
pub const MAX_UNCHECKED_NAME: u32 = 256;

/// The argument of a call that is to be a name.
pub type UncheckedName = BoundedVec<u8, ConstU32<MAX_UNCHECKED_NAME>>;
/// The name of a farm: the result of `checked_name`.
pub type FarmName = BoundedVec<u8, ConstU32<MAX_NAME>>;
/// The skeleton of a name: up to two characters for each of the name.
pub type NameSkeleton = BoundedVec<u8, ConstU32<{ 2 * MAX_NAME }>>;

/// Checks length and characters of a name.
pub(crate) fn checked_name(name: Vec<u8>) -> Option<FarmName> {
    let valid =
        name.len() >= MIN_NAME && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_' || *c == b'-');
    valid.then(|| name.try_into().ok()).flatten()
}

/// The skeleton of a name. No two farms have the same.
pub(crate) fn skeleton(name: &FarmName) -> NameSkeleton {
    NameSkeleton::truncate_from(name.iter().flat_map(|c| skeleton_of(*c)).flatten().collect())
}

fn skeleton_of(character: u8) -> [Option<u8>; 2] {
    match character.to_ascii_lowercase() {
        b'-' | b'_' => [None, None],
        b'm' => [Some(b'r'), Some(b'n')],
        b'w' => [Some(b'v'), Some(b'v')],
        b'0' => [Some(b'o'), None],
        b'1' | b'i' => [Some(b'l'), None],
        b'2' => [Some(b'z'), None],
        b'5' => [Some(b's'), None],
        b'8' => [Some(b'b'), None],
        other => [Some(other), None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> NameSkeleton {
        skeleton(&checked_name(name.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let families = [
            &["Sunny-Farm", "sunny_farm", "SUNNYFARM", "5unny--Farm", "sunny-farrn", "-sunny-farm_"][..],
            &["Illinois", "lllinois", "1llin0is", "ILLINOIS", "i11ino1s"],
            &["www", "vvvvvv", "wvvw"],
            &["cool", "c00l", "CO0I", "c-o-o-l"],
            &["zebra", "2ebra", "2e8ra"],
        ];
        for family in families {
            assert!(family.iter().all(|name| of(name) == of(family[0])), "{family:?}");
        }
    }

    #[test]
    fn names_that_can_be_told_apart_have_their_own_skeletons() {
        let numbered = (0..10).map(|n| of(&format!("farm{n}"))).collect::<Vec<_>>();
        for (i, name) in numbered.iter().enumerate() {
            assert!(!numbered[..i].contains(name), "farm{i}");
        }
        assert_ne!(of("sunny"), of("funny"));
        assert_ne!(of("farm-12"), of("farm-21"));
    }

    #[test]
    fn the_longest_name_has_a_skeleton_with_all_its_characters() {
        assert_eq!(of(&"m".repeat(40)).len(), 80);
    }

    #[test]
    fn a_name_is_three_to_forty_plain_characters() {
        let valid = |name: &[u8]| checked_name(name.to_vec()).is_some();
        assert!(valid(b"abc") && valid(b"A_-9") && valid(&[b'a'; 40]));
        for name in [&b""[..], b"ab", &[b'a'; 41], b"with space", b"d\xc3\xbcne", b"dot.ted", b"nul\0"] {
            assert!(!valid(name), "{name:?}");
        }
    }
}
