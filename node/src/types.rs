// SPDX-License-Identifier: Apache-2.0

//! The concrete types of this chain's client, backend and pool.

use sc_consensus::LongestChain;
use sc_executor::WasmExecutor;
use sc_service::{TFullBackend, TFullClient};
use sc_transaction_pool::TransactionPoolHandle;
use sp_runtime::traits::Block as BlockT;
use tfgrid_runtime::RuntimeApi;

pub use tfgrid_runtime::opaque::Block;

pub type Hash = <Block as BlockT>::Hash;
pub type FullClient = TFullClient<Block, RuntimeApi, WasmExecutor<sp_io::SubstrateHostFunctions>>;
pub type FullBackend = TFullBackend<Block>;
pub type FullPool = TransactionPoolHandle<Block, FullClient>;
pub type FullSelectChain = LongestChain<FullBackend, Block>;
pub type ProposerFactory = sc_basic_authorship::ProposerFactory<FullPool, FullClient>;
