// SPDX-License-Identifier: Apache-2.0
//! The metadata that clients are generated from.

#[test]
fn the_metadata_of_clients_is_that_of_this_runtime() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/metadata.scale");
    let kept = std::fs::read(path).unwrap_or_default();
    let fresh = tfgrid_runtime::metadata_file().unwrap();
    assert!(kept == fresh, "client/metadata.scale is stale: run `make metadata` and commit it");
}
