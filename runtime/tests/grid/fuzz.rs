// SPDX-License-Identifier: Apache-2.0
//! Whatever bytes are taken for a history of the chain: no call panics, and the invariants hold.
//!
//! `fuzz/` drives the same with libFuzzer; the seeds, in `fuzz/seeds`, are what the tests of this folder do.

use crate::history::{play, read};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{fs, path::Path};

/// The histories of the tests.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_seeds_are_histories_of_this_runtime() {
    let seeds = seeds();
    let whole = seeds.iter().filter(|seed| read(seed).1 == seed.len()).count();
    assert!(!seeds.is_empty() && whole * 10 >= seeds.len() * 9, "stale: run `make seeds` and commit them");
}

#[test]
fn the_histories_of_the_tests_can_be_played_again() {
    seeds().iter().step_by(8).for_each(|seed| play(seed));
}

/// `fuzz/` is a workspace of its own, which no other test builds.
#[test]
fn the_fuzzer_has_the_crates_of_what_it_plays() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(here.join("../fuzz/Cargo.toml")).unwrap();
    for file in ["chain.rs", "history.rs"] {
        let source = fs::read_to_string(here.join("tests/grid").join(file)).unwrap();
        let paths = source.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let crates = paths.filter_map(|path| Some(path.split_once("::")?.0)).filter(|name| {
            ["frame_", "pallet_", "sp_", "tfgrid_"].iter().any(|family| name.starts_with(family))
        });
        for name in crates {
            let dependency = format!("\n{} = ", name.replace('_', "-"));
            assert!(manifest.contains(&dependency), "{file} uses {name}, which fuzz/Cargo.toml lacks");
        }
    }
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    /// A piece of another seed comes in between.
    Splice(Index, Index, Index),
}

impl Change {
    fn apply(self, history: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = |index: Index| index.index(history.len() + 1);
        match self {
            Self::Set(index, byte) => {
                let at = at(index);
                if let Some(old) = history.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Insert(index, bytes) => {
                let at = at(index);
                history.splice(at..at, bytes);
            }
            Self::Remove(index, count) => {
                let from = at(index);
                let to = (from + usize::from(count)).min(history.len());
                history.drain(from..to);
            }
            Self::Splice(index, seed, from) => {
                let at = at(index);
                let other = &seeds[seed.index(seeds.len())];
                history.splice(at..at, other[from.index(other.len())..].iter().copied());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        6 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (index(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (index(), 1u8..9).prop_map(|(at, count)| Change::Remove(at, count)),
        3 => (index(), index(), index()).prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
    ]
}

/// As many cases as `PROPTEST_CASES` says, else few enough for every run of the tests.
fn cases(few: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(few), max_shrink_iters: 256, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn a_changed_history_keeps_the_invariants(seed in any::<Index>(), changes in vec(change(), 1..6)) {
        let seeds = seeds();
        let mut history = seeds[seed.index(seeds.len())].clone();
        changes.into_iter().for_each(|change| change.apply(&mut history, &seeds));
        play(&history);
    }

    #[test]
    fn any_bytes_are_a_harmless_history(history in vec(any::<u8>(), 0..512)) {
        play(&history);
    }
}
