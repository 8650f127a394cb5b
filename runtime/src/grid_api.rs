// SPDX-License-Identifier: Apache-2.0
//! `GridApi`: the reads that people and machines need, for clients without view functions.

use alloc::vec::Vec;
use pallet_grid_billing::{Allowance, Grace, Months};
use pallet_grid_clock::DayPrice;
use pallet_grid_farming::{Enrolment, PeriodTotals, RewardInfo};
use pallet_grid_farms::{IpId, IpInfo};
use tfgrid_primitives::{
    ContractId, FarmId, NodeId, Resources, TwinId, UnixSeconds, UsdRate,
    views::{ContractStatus, GridInfo, NodeContract, NodeFilter, NodeOffer, Page, PayerInfo, TwinContract},
};

sp_api::decl_runtime_apis! {
    /// Reads of the grid. Lists are paged: a call scans at most 500 records and says where to go on.
    pub trait GridApi {
        /// Clocks, price and intervals.
        fn grid_info() -> GridInfo;
        /// What a node contract would cost, in 1e-10 USD per hour; `None` for an unknown node.
        fn quote(node: NodeId, resources: Resources, public_ips: u8) -> Option<UsdRate>;
        /// What renting a node would cost with the farmer's extra fee, in 1e-10 USD per hour; `None` for an
        /// unknown node.
        fn quote_rent(node: NodeId) -> Option<UsdRate>;
        /// What a name on the gateways costs, in 1e-10 USD per hour.
        fn quote_name() -> Option<UsdRate>;
        /// The status of a contract; `None` for an id that was never given or whose tombstone is removed.
        fn contract_status(contract: ContractId) -> Option<ContractStatus>;
        /// A node's open node contracts, at most 500, in no particular order; go on with `next`.
        fn contracts_of_node(
            node: NodeId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<NodeContract, ContractId>;
        /// A twin's open contracts, at most 500, in no particular order; go on with `next`.
        fn contracts_of_twin(
            twin: TwinId,
            after: Option<ContractId>,
            limit: u32,
        ) -> Page<TwinContract, ContractId>;
        /// What a node could still reserve; `None` for an unknown node.
        fn node_free(node: NodeId) -> Option<Resources>;
        /// The farm that has this name, or one that looks like it.
        fn farm_by_name(name: Vec<u8>) -> Option<FarmId>;
        /// A farm's public IPs, at most 500, in no particular order; go on with `next`.
        fn ips_of_farm(farm: FarmId, after: Option<IpId>, limit: u32) -> Page<IpInfo, IpId>;
        /// Whether a node counts as online.
        fn node_online(node: NodeId) -> bool;
        /// A node as people look for it; `None` for an unknown node.
        fn node_offer(node: NodeId) -> Option<NodeOffer>;
        /// Nodes that match, in ascending order of their ids, at most 500 and from 500 ids; go on with the
        /// page's cursor, also where a page is empty.
        fn find_nodes(filter: NodeFilter, after: Option<NodeId>, limit: u32) -> Page<NodeOffer, NodeId>;
        /// For how many milliseconds of a farming period (its first second ÷ 30 days) a node was heard from.
        fn node_uptime(node: NodeId, period: u32) -> u64;
        /// A twin's credit.
        fn payer(twin: TwinId) -> PayerInfo;
        /// Until when a twin's credit lasts at the present price, in seconds since 1970; `None` while nothing
        /// is charged.
        fn funded_until(twin: TwinId) -> Option<UnixSeconds>;
        /// The grace period of a payer whose credit is used up.
        fn grace(twin: TwinId) -> Option<Grace>;
        /// What of the list price a payer pays, in thousandths.
        fn price_factor_permille(twin: TwinId) -> u16;
        /// The public traffic that a contract has bought and not used.
        fn allowance(contract: ContractId) -> Option<Allowance>;
        /// What a contract was charged in its last 13 months, oldest first.
        fn bill(contract: ContractId) -> Months;
        /// The price of TFT on the last 400 days, oldest first.
        fn daily_prices() -> Vec<DayPrice>;
        /// How a node is enrolled for farming; `None` for one that isn't.
        fn node_enrolment(node: NodeId) -> Option<Enrolment>;
        /// What a node has farmed in the last 13 periods, oldest first.
        fn node_rewards(node: NodeId) -> Vec<RewardInfo>;
        /// What all nodes together have farmed in the last 13 periods, oldest first.
        fn period_totals() -> PeriodTotals;
    }
}
