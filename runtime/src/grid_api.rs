// SPDX-License-Identifier: Apache-2.0
//! `GridApi`: the reads that people and machines need, for clients without view functions.

use alloc::vec::Vec;
use tfgrid_primitives::{
    views::{
        ContractStatus, GridInfo, NodeContract, NodeFilter, NodeOffer, Page, PayerInfo, TwinContract,
    },
    ContractId, NodeId, Resources, TwinId, UnixSeconds, UsdRate,
};

sp_api::decl_runtime_apis! {
    /// Reads of the grid. Lists are paged: a call scans at most 500 records and says where to go on.
    pub trait GridApi {
        /// Clocks, price and intervals.
        fn grid_info() -> GridInfo;
        /// What a node contract would cost, in 1e-10 USD per hour; `None` for an unknown node.
        fn quote(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate>;
        /// What renting a node would cost, in 1e-10 USD per hour, its farmer's extra fee included; `None` for an
        /// unknown node.
        fn quote_rent(node: NodeId) -> Option<UsdRate>;
        /// How a contract stands; `None` for an id that was never given or is forgotten.
        fn contract_status(contract: ContractId) -> Option<ContractStatus>;
        /// A node's open node contracts, at most 500, in no particular order; go on with the last id.
        fn contracts_of_node(node: NodeId, after: Option<ContractId>, limit: u32) -> Vec<NodeContract>;
        /// A twin's open contracts, in no particular order.
        fn contracts_of_twin(
            twin: TwinId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<TwinContract, ContractId>;
        /// The contract that has a name; `None` where nobody has it.
        fn contract_of_name(name: Vec<u8>) -> Option<ContractId>;
        /// What a node could still reserve; `None` for an unknown node.
        fn node_free(node: NodeId) -> Option<Resources>;
        /// Whether a node counts as online.
        fn node_online(node: NodeId) -> bool;
        /// The nodes that a filter lets through, by id.
        fn find_nodes(filter: NodeFilter, after: Option<NodeId>, limit: u32) -> Page<NodeOffer, NodeId>;
        /// A twin's credit.
        fn payer(twin: TwinId) -> PayerInfo;
        /// Until when a twin's credit lasts at the present price, in seconds since 1970; `None` while nothing
        /// is charged.
        fn funded_until(twin: TwinId) -> Option<UnixSeconds>;
    }
}
