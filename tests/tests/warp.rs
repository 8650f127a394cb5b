// SPDX-License-Identifier: Apache-2.0

//! Warp sync on a chain whose GRANDPA was restarted.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};
use tfgrid_tests::{Chain, Run, binary, free_port, on_a_run, repository};

/// The block that tells of the restart, and that after which GRANDPA has the new set.
const RESTART: u32 = 3;
const DELAY: u32 = 1;
/// A block on which all validators agree before.
const AGREED: u32 = 1;
/// A block that only the new set can make final.
const AFTER: u64 = (RESTART + DELAY + 1) as u64;
const NEW_SET: u64 = 1;
/// Blocks that become final while the test looks on.
const FOLLOWED: u64 = 2;

/// Keys of GRANDPA's items in the chain's state: `twox_128` of the pallet's name, and of the item's.
const PALLET: &str = "0x5f9cc45b7a00c5899361e1c6099678dc";
const AUTHORITIES: &str = "5e0621c4869aa60c02be9adcc98a0d1d";
const PENDING_CHANGE: &str = "2ff65991b1c915dd6cc8d4825eacfcb4";
const CURRENT_SET_ID: &str = "8a2d09463effcc78a22d75b9cb87dffc";

/// What the SDK logs of a proof that the set of genesis hasn't signed.
const REFUSAL: &str = "Bad warp proof response: bad justification";

#[test]
fn a_checkpoint_leads_warp_sync_past_a_restart_of_grandpa() -> Result<()> {
    on_a_run("warp", |run| {
        let spec = spec_with_a_restart(&run)?;
        let start = |name, options: &[String]| start(&run, &spec, name, options);
        let mut validator =
            start("validator", &["--alice", "--unsafe-force-node-key-generation"].map(String::from))?;
        let mut peers = vec![bootnode(&mut validator)?];
        // A warp sync begins with three peers.
        let mut followers = [start("follower", &peers)?, start("other-follower", &peers)?];
        for follower in &mut followers {
            peers.push(bootnode(follower)?);
            waits_for_final(follower, AFTER)?;
        }

        // A development chain keeps all states, and a warp sync begins without the old ones.
        peers.extend(["--sync=warp", "--state-pruning=256", "--log=sync=debug"].map(String::from));
        let checkpoint = format!("--checkpoint={}", checkpoint(&validator)?);
        let mut newcomer = start("newcomer", &[&peers[..], &[checkpoint]].concat())?;
        let mut lost = start("newcomer-without-checkpoint", &peers)?;

        let reached = waits_for_final(&mut newcomer, AFTER)?;
        has_blocks_of(&mut newcomer, &validator, 1..=reached)?;
        let followed = newcomer.finalized()? + FOLLOWED;
        waits_for_final(&mut newcomer, followed)?;
        has_blocks_of(&mut newcomer, &validator, reached + 1..=followed)?;

        lost.waits_for("the refusal of a proof from genesis", |node| {
            node.log().contains(REFUSAL).then_some(())
        })?;
        ensure!(lost.finalized()? == 0, "a proof from genesis has passed the restart");
        Ok(())
    })
}

/// The spec of a development chain whose state is as it is after `noteStalled` and a turn of the session, which would
/// take 200 blocks: block [`RESTART`] forces a change of the set, to the same validator.
fn spec_with_a_restart(run: &Run) -> Result<PathBuf> {
    let mut export = Command::new(binary("tfgrid-node")?);
    let output = export.args(["export-chain-spec", "--chain", "dev", "--raw"]).output()?;
    let mut spec: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let state = spec.pointer_mut("/genesis/raw/top").and_then(Value::as_object_mut);
    let state = state.context("the spec has no state")?;
    let key = |item: &str| format!("{PALLET}{item}");
    let validators = state.get(&key(AUTHORITIES)).and_then(Value::as_str);
    let validators =
        validators.and_then(|list| list.strip_prefix("0x")).context("the spec has no validators")?;
    let [begun, delay, agreed] = [RESTART, DELAY, AGREED].map(|number| hex::encode(number.to_le_bytes()));
    let change = format!("0x{begun}{delay}{validators}01{agreed}");
    state.insert(key(PENDING_CHANGE), change.into());
    state.insert(key(CURRENT_SET_ID), format!("0x{}", hex::encode(NEW_SET.to_le_bytes())).into());
    let file = run.folder().join("spec.json");
    fs::write(&file, spec.to_string())?;
    Ok(file)
}

fn start(run: &Run, spec: &Path, name: &str, options: &[String]) -> Result<Chain> {
    let chain = format!("--chain={}", spec.display());
    Chain::begin(run, name, free_port()?, [&[chain][..], options].concat())
}

/// The option by which other nodes find this one.
fn bootnode(node: &mut Chain) -> Result<String> {
    node.waits_for("an address", |node| {
        let addresses = node.call("system_localListenAddresses", json!([])).ok()?;
        Some(format!("--bootnodes={}", addresses[0].as_str()?))
    })
}

/// Waits until this block is final; returns the last one that is.
fn waits_for_final(node: &mut Chain, number: u64) -> Result<u64> {
    node.waits_for(&format!("block {number} to be final"), |node| {
        node.finalized().ok().filter(|finalized| *finalized >= number)
    })
}

/// What the package's script says.
fn checkpoint(node: &Chain) -> Result<String> {
    let script = repository().join("packaging/tfgrid-node/checkpoint");
    let mut command = Command::new(script);
    let output = command.arg(format!("http://{}", node.rpc())).env("no_proxy", "*").output()?;
    ensure!(output.status.success(), "no checkpoint: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// Waits until a node has these blocks, and fails if they aren't those of the validator.
fn has_blocks_of(node: &mut Chain, validator: &Chain, numbers: RangeInclusive<u64>) -> Result<()> {
    for number in numbers {
        let has = node.waits_for(&format!("block {number}"), |node| block(node, number).ok().flatten())?;
        let made = block(validator, number)?.context("a final block is gone")?;
        ensure!(has == made, "block {number} is {has} instead of {made}");
    }
    Ok(())
}

/// A block with its body, if the node has it.
fn block(node: &Chain, number: u64) -> Result<Option<Value>> {
    let hash = node.call("chain_getBlockHash", json!([number]))?;
    if hash.is_null() {
        return Ok(None);
    }
    let block = node.call("chain_getBlock", json!([hash]))?["block"].take();
    Ok((!block.is_null()).then_some(block))
}
