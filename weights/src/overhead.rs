// SPDX-License-Identifier: Apache-2.0
//! What a block costs before anybody's transaction, and a transaction beside its call: as the SDK's
//! `benchmark overhead` measures them.

use crate::{
    Options, Outcome, machine,
    runtime::{Changes, Runtime},
    times::Times,
    weights_file::digits,
};
use codec::{Decode, Encode};
use sp_core::H256;
use sp_keyring::Sr25519Keyring::Alice;
use sp_runtime::{
    ApplyExtrinsicResult,
    generic::{Block, Digest, DigestItem, SignedPayload},
    traits::Header as _,
};
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};
use tfgrid_runtime::{
    Header, Nonce, RuntimeCall, SLOT_DURATION, TxExtension, UncheckedExtrinsic, VERSION, extensions,
};

/// Rounds before the first that counts.
const WARM_UPS: usize = 10;
const REPEATS: usize = 100;
/// Transactions in the block from whose time theirs is taken.
const REMARKS: Nonce = 1_000;
/// Hash of the block that the measured ones follow.
const GENESIS: H256 = H256::repeat_byte(1);
/// Slot of the measured blocks.
const SLOT: u64 = 600_000_000;

/// Measures on the genesis of a development chain, and writes `runtime/src/weights/overhead.rs`.
pub fn measure(runtime: &Runtime, options: &Options) -> Outcome<()> {
    let empty = executions(runtime, &block(runtime, 0)?)?;
    let full = executions(runtime, &block(runtime, REMARKS)?)?;
    let each = full.shares(empty.mean(), REMARKS.into());
    eprintln!("block: {empty}\ntransaction: {each}");
    let path = options.workspace.join("runtime/src/weights/overhead.rs");
    fs::write(&path, code(&empty, &each)).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn code(block: &Times, transaction: &Times) -> String {
    format!(
        "// SPDX-License-Identifier: Apache-2.0\n\
         //! What a block costs before anybody's transaction, and a transaction beside its call, written by\n\
         //! `make weights PALLETS=overhead`.\n\
         //!\n\
         //! Measured with the wasm runtime: a block executed {REPEATS} times, with {REMARKS} remarks and without,\n\
         //! on {}.\n\n\
         use frame_support::{{parameter_types, weights::Weight}};\n\n\
         parameter_types! {{\n\
         \x20   /// A block with its inherents:\n\
         \x20   /// {block}.\n\
         \x20   pub const BlockExecutionWeight: Weight = Weight::from_parts({}, 0);\n\
         \x20   /// A signed remark, with its signature and all extensions:\n\
         \x20   /// {transaction}.\n\
         \x20   pub const ExtrinsicBaseWeight: Weight = Weight::from_parts({}, 0);\n\
         }}\n",
        machine::description(),
        picoseconds(block),
        picoseconds(transaction),
    )
}

/// The mean, as a weight has it.
fn picoseconds(times: &Times) -> String {
    digits(u128::from(times.mean()) * 1_000)
}

/// How long a block takes each time it is executed.
fn executions(runtime: &Runtime, block: &[u8]) -> Outcome<Times> {
    let mut times = vec![];
    for _ in 0..WARM_UPS + REPEATS {
        let mut changes = Changes::default();
        let start = Instant::now();
        runtime.call_on(&mut changes, "Core_execute_block", block)?;
        times.push(start.elapsed());
    }
    let counted: Vec<Duration> = times.split_off(WARM_UPS);
    Ok(Times::new(counted).ok_or("nothing was measured")?)
}

/// An encoded block with its inherents and so many remarks of Alice's.
fn block(runtime: &Runtime, remarks: Nonce) -> Outcome<Vec<u8>> {
    let changes = &mut Changes::default();
    let digest = Digest { logs: vec![DigestItem::PreRuntime(*b"aura", SLOT.encode())] };
    let header = Header::new(1, H256::zero(), H256::zero(), GENESIS, digest);
    runtime.call_on(changes, "Core_initialize_block", &header.encode())?;
    let mut extrinsics = inherents(runtime)?;
    extrinsics.extend((0..remarks).map(remark));
    for extrinsic in &extrinsics {
        let answer = runtime.call_on(changes, "BlockBuilder_apply_extrinsic", &extrinsic.encode())?;
        match ApplyExtrinsicResult::decode(&mut &answer[..])? {
            Ok(Ok(())) => {}
            refused => return Err(format!("a block doesn't take a transaction: {refused:?}").into()),
        }
    }
    let header = runtime.call_on(changes, "BlockBuilder_finalize_block", &[])?;
    let header = Header::decode(&mut &header[..])?;
    Ok(Block { header, extrinsics }.encode())
}

fn inherents(runtime: &Runtime) -> Outcome<Vec<UncheckedExtrinsic>> {
    let time = (SLOT * SLOT_DURATION).encode();
    // An `InherentData` is this map.
    let data = BTreeMap::from([(*b"timstap0", time)]);
    let answer =
        runtime.call_on(&mut Changes::default(), "BlockBuilder_inherent_extrinsics", &data.encode())?;
    Ok(Decode::decode(&mut &answer[..])?)
}

fn remark(nonce: Nonce) -> UncheckedExtrinsic {
    let call = RuntimeCall::System(frame_system::Call::remark { remark: vec![] });
    let (spec, version) = (VERSION.spec_version, VERSION.transaction_version);
    let implicit = ((), spec, version, GENESIS, GENESIS, (), (), (), None, ());
    let payload = SignedPayload::<RuntimeCall, TxExtension>::from_raw(call, extensions(nonce), implicit);
    let signature = payload.using_encoded(|bytes| Alice.sign(bytes));
    let (call, extensions, _) = payload.deconstruct();
    UncheckedExtrinsic::new_signed(call, Alice.to_account_id().into(), signature.into(), extensions)
}
