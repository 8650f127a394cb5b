// SPDX-License-Identifier: Apache-2.0
//! The wasm runtime with its benchmarks, on the genesis state of a development chain.

use crate::Outcome;
use codec::{Decode, Encode};
use frame_benchmarking::{BenchmarkBatch, BenchmarkList, benchmarking};
use sc_chain_spec::{DEV_RUNTIME_PRESET, GenesisConfigBuilderRuntimeCaller};
use sc_client_db::BenchmarkingState;
use sc_executor::WasmExecutor;
use sp_core::{
    H256,
    traits::{CallContext, RuntimeCode, WrappedRuntimeCode},
};
use sp_externalities::Extensions;
use sp_keystore::{KeystoreExt, testing::MemoryKeystore};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{OverlayedChanges, StateMachine};

#[allow(dead_code)]
mod wasm {
    include!(env!("RUNTIME"));
}

type HostFunctions = (sp_io::SubstrateHostFunctions, benchmarking::HostFunctions);
type State = BenchmarkingState<BlakeTwo256>;
/// What calls have changed.
pub type Changes = OverlayedChanges<BlakeTwo256>;

pub struct Runtime {
    code: &'static [u8],
    executor: WasmExecutor<HostFunctions>,
    /// State for measuring time.
    state: State,
    /// State that counts reads and writes, which makes it slower.
    counting_state: State,
}

impl Runtime {
    pub fn new() -> Outcome<Self> {
        let code = wasm::WASM_BINARY.ok_or("built without a runtime (SKIP_WASM_BUILD)")?;
        let genesis = GenesisConfigBuilderRuntimeCaller::<benchmarking::HostFunctions>::new(code)
            .get_storage_for_named_preset(Some(&DEV_RUNTIME_PRESET.into()))?;
        Ok(Self {
            code,
            executor: WasmExecutor::builder().build(),
            state: State::new(genesis.clone(), None, false, false)?,
            counting_state: State::new(genesis, None, true, true)?,
        })
    }

    /// All benchmarks of the runtime.
    pub fn benchmarks(&self) -> Outcome<Vec<BenchmarkList>> {
        let answer =
            self.call_on(&mut Changes::default(), "Benchmark_benchmark_metadata", &false.encode())?;
        Ok(Decode::decode(&mut &answer[..])?)
    }

    /// Runs a benchmark; `config` is an encoded `BenchmarkConfig`.
    pub fn run(&self, config: &[u8]) -> Outcome<Vec<BenchmarkBatch>> {
        self.dispatch(&self.state, config)
    }

    /// As [`Self::run`], and counts reads and writes.
    pub fn run_counting(&self, config: &[u8]) -> Outcome<Vec<BenchmarkBatch>> {
        self.dispatch(&self.counting_state, config)
    }

    fn dispatch(&self, state: &State, config: &[u8]) -> Outcome<Vec<BenchmarkBatch>> {
        let answer = self.call(state, &mut Changes::default(), "Benchmark_dispatch_benchmark", config)?;
        let batches: Result<Vec<BenchmarkBatch>, String> = Decode::decode(&mut &answer[..])?;
        Ok(batches?)
    }

    /// Calls the runtime on the state with these changes, and keeps those that it makes among them.
    pub fn call_on(&self, changes: &mut Changes, method: &str, arguments: &[u8]) -> Outcome<Vec<u8>> {
        self.call(&self.state, changes, method, arguments)
    }

    fn call(&self, state: &State, changes: &mut Changes, method: &str, arguments: &[u8]) -> Outcome<Vec<u8>> {
        let code = WrappedRuntimeCode(self.code.into());
        let hash = H256::zero().as_bytes().to_vec();
        let code = RuntimeCode { code_fetcher: &code, heap_pages: None, hash };
        // Benchmarks of reports sign them with keys of a keystore.
        let mut extensions = Extensions::default();
        extensions.register(KeystoreExt::new(MemoryKeystore::new()));
        let answer = StateMachine::new(
            state,
            changes,
            &self.executor,
            method,
            arguments,
            &mut extensions,
            &code,
            CallContext::Offchain,
        )
        .execute();
        Ok(answer.map_err(|error| error.to_string())?)
    }
}
