// SPDX-License-Identifier: Apache-2.0
//! What nodes and light clients call.

use crate::{
    parameters::{AnswerTime, HeartbeatInterval, UsageInterval},
    *,
};
use alloc::vec::Vec;
use frame_support::{
    genesis_builder_helper::{build_state, get_preset},
    traits::Get,
    view_functions::{ViewFunctionDispatchError, ViewFunctionId},
    weights::Weight,
};
use pallet_grid_farms::{IpId, IpInfo};
use pallet_transaction_payment::{FeeDetails, RuntimeDispatchInfo};
use sp_api::impl_runtime_apis;
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_consensus_grandpa::{AuthorityId as GrandpaId, AuthorityList, OpaqueKeyOwnershipProof, SetId};
use sp_core::{OpaqueMetadata, crypto::KeyTypeId};
use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::{
    ApplyExtrinsicResult, ExtrinsicInclusionMode,
    traits::{Block as BlockT, NumberFor},
    transaction_validity::{TransactionSource, TransactionValidity},
};
use sp_session::OpaqueGeneratedSessionKeys;
use tfgrid_primitives::{
    ContractId, FarmId, NodeId, Resources, TwinId, UnixSeconds, UsdRate,
    traits::{Clock as _, LedgerClock},
    views::{ContractStatus, GridInfo, NodeContract, NodeFilter, NodeOffer, Page, PayerInfo, TwinContract},
};

impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            VERSION
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            Runtime::metadata_at_version(version)
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl frame_support::view_functions::runtime_api::RuntimeViewFunction<Block> for Runtime {
        fn execute_view_function(id: ViewFunctionId, input: Vec<u8>) -> Result<Vec<u8>, ViewFunctionDispatchError> {
            Runtime::execute_view_function(id, input)
        }
    }

    impl sp_block_builder::BlockBuilder<Block> for Runtime {
        fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
            Executive::apply_extrinsic(extrinsic)
        }

        fn finalize_block() -> <Block as BlockT>::Header {
            Executive::finalize_block()
        }

        fn inherent_extrinsics(data: InherentData) -> Vec<<Block as BlockT>::Extrinsic> {
            data.create_extrinsics()
        }

        fn check_inherents(block: <Block as BlockT>::LazyBlock, data: InherentData) -> CheckInherentsResult {
            data.check_extrinsics(&block)
        }
    }

    impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            tx: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, tx, block_hash)
        }
    }

    impl sp_offchain::OffchainWorkerApi<Block> for Runtime {
        fn offchain_worker(header: &<Block as BlockT>::Header) {
            Executive::offchain_worker(header)
        }
    }

    impl sp_consensus_aura::AuraApi<Block, AuraId> for Runtime {
        fn slot_duration() -> sp_consensus_aura::SlotDuration {
            sp_consensus_aura::SlotDuration::from_millis(Aura::slot_duration())
        }

        fn authorities() -> Vec<AuraId> {
            pallet_aura::Authorities::<Runtime>::get().into_inner()
        }
    }

    impl sp_session::SessionKeys<Block> for Runtime {
        fn generate_session_keys(owner: Vec<u8>, seed: Option<Vec<u8>>) -> OpaqueGeneratedSessionKeys {
            SessionKeys::generate(&owner, seed).into()
        }

        fn decode_session_keys(encoded: Vec<u8>) -> Option<Vec<(Vec<u8>, KeyTypeId)>> {
            SessionKeys::decode_into_raw_public_keys(&encoded)
        }
    }

    impl sp_consensus_grandpa::GrandpaApi<Block> for Runtime {
        fn grandpa_authorities() -> AuthorityList {
            Grandpa::grandpa_authorities()
        }

        fn current_set_id() -> SetId {
            Grandpa::current_set_id()
        }

        fn submit_report_equivocation_unsigned_extrinsic(
            _proof: sp_consensus_grandpa::EquivocationProof<<Block as BlockT>::Hash, NumberFor<Block>>,
            _key_owner_proof: OpaqueKeyOwnershipProof,
        ) -> Option<()> {
            None
        }

        fn generate_key_ownership_proof(_set_id: SetId, _authority: GrandpaId) -> Option<OpaqueKeyOwnershipProof> {
            None
        }
    }

    impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
        fn account_nonce(account: AccountId) -> Nonce {
            System::account_nonce(account)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentApi<Block, Balance> for Runtime {
        fn query_info(tx: <Block as BlockT>::Extrinsic, len: u32) -> RuntimeDispatchInfo<Balance> {
            TransactionPayment::query_info(tx, len)
        }

        fn query_fee_details(tx: <Block as BlockT>::Extrinsic, len: u32) -> FeeDetails<Balance> {
            TransactionPayment::query_fee_details(tx, len)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentCallApi<Block, Balance, RuntimeCall>
        for Runtime
    {
        fn query_call_info(call: RuntimeCall, len: u32) -> RuntimeDispatchInfo<Balance> {
            TransactionPayment::query_call_info(call, len)
        }

        fn query_call_fee_details(call: RuntimeCall, len: u32) -> FeeDetails<Balance> {
            TransactionPayment::query_call_fee_details(call, len)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl sp_genesis_builder::GenesisBuilder<Block> for Runtime {
        fn build_state(config: Vec<u8>) -> sp_genesis_builder::Result {
            genesis::ensure_complete(&config)?;
            build_state::<RuntimeGenesisConfig>(config)
        }

        fn get_preset(id: &Option<sp_genesis_builder::PresetId>) -> Option<Vec<u8>> {
            get_preset::<RuntimeGenesisConfig>(id, genesis::preset)
        }

        fn preset_names() -> Vec<sp_genesis_builder::PresetId> {
            genesis::preset_names()
        }
    }

    #[cfg(feature = "runtime-benchmarks")]
    impl frame_benchmarking::Benchmark<Block> for Runtime {
        fn benchmark_metadata(
            extra: bool,
        ) -> (Vec<frame_benchmarking::BenchmarkList>, Vec<frame_support::traits::StorageInfo>) {
            use frame_support::traits::StorageInfoTrait;

            let mut list = Vec::new();
            list_benchmarks!(list, extra);
            (list, AllPalletsWithSystem::storage_info())
        }

        fn dispatch_benchmark(
            config: frame_benchmarking::BenchmarkConfig,
        ) -> Result<Vec<frame_benchmarking::BenchmarkBatch>, alloc::string::String> {
            use frame_support::traits::WhitelistedStorageKeys;

            let whitelist = AllPalletsWithSystem::whitelisted_storage_keys();
            let (mut batches, params) = (Vec::new(), (&config, &whitelist));
            add_benchmarks!(params, batches);
            Ok(batches)
        }
    }

    impl crate::grid_api::GridApi<Block> for Runtime {
        fn grid_info() -> GridInfo {
            GridInfo {
                grid_now: Clock::grid_now(),
                tft_price: Clock::tft_price(),
                heartbeat_ms: HeartbeatInterval::get(),
                usage_ms: UsageInterval::get(),
                answer_ms: AnswerTime::get(),
            }
        }

        fn quote(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate> {
            Contracts::quote(node, resources, public_ips)
        }

        fn quote_rent(node: NodeId) -> Option<UsdRate> {
            Contracts::quote_rent(node)
        }

        fn quote_name() -> Option<UsdRate> {
            Contracts::quote_name()
        }

        fn contract_status(contract: ContractId) -> Option<ContractStatus> {
            Contracts::contract_status(contract)
        }

        fn contracts_of_node(
            node: NodeId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<NodeContract, ContractId> {
            Contracts::contracts_of_node(node, after, limit)
        }

        fn contracts_of_twin(
            twin: TwinId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<TwinContract, ContractId> {
            Contracts::contracts_of_twin(twin, after, limit)
        }

        fn node_free(node: NodeId) -> Option<Resources> {
            Nodes::free(node)
        }

        fn farm_by_name(name: Vec<u8>) -> Option<FarmId> {
            Farms::farm_by_name(name)
        }

        fn ips_of_farm(farm: FarmId, after: Option<IpId>, limit: u32) -> Page<IpInfo, IpId> {
            Farms::ips_of_farm(farm, after, limit)
        }

        fn node_online(node: NodeId) -> bool {
            Nodes::is_online(node)
        }

        fn node_offer(node: NodeId) -> Option<NodeOffer> {
            Nodes::node_offer(node)
        }

        fn find_nodes(filter: NodeFilter, after: Option<NodeId>, limit: u32) -> Page<NodeOffer, NodeId> {
            Nodes::find_nodes(filter, after, limit)
        }

        fn node_uptime(node: NodeId, period: u32) -> u64 {
            Nodes::node_uptime(node, period)
        }

        fn payer(twin: TwinId) -> PayerInfo {
            Billing::payer(twin)
        }

        fn funded_until(twin: TwinId) -> Option<UnixSeconds> {
            Billing::funded_until(twin)
        }

        fn grace(twin: TwinId) -> Option<pallet_grid_billing::Grace> {
            Billing::grace(twin)
        }

        fn price_factor_permille(twin: TwinId) -> u16 {
            Billing::price_factor_permille(twin)
        }

        fn allowance(contract: ContractId) -> Option<pallet_grid_billing::Allowance> {
            Billing::allowance(contract)
        }

        fn bill(contract: ContractId) -> pallet_grid_billing::Months {
            Billing::bill(contract)
        }

        fn daily_prices() -> Vec<pallet_grid_clock::DayPrice> {
            Clock::daily_prices()
        }

        fn node_enrolment(node: NodeId) -> Option<pallet_grid_farming::Enrolment> {
            Farming::node_enrolment(node)
        }

        fn node_rewards(node: NodeId) -> Vec<pallet_grid_farming::RewardInfo> {
            Farming::node_rewards(node)
        }

        fn period_totals() -> pallet_grid_farming::PeriodTotals {
            Farming::period_totals()
        }
    }
}
