// SPDX-License-Identifier: Apache-2.0
//! The grid's state at one block.

use crate::{
    AccountId32, Config, Error,
    api::{
        self,
        contracts::events::{ContractClosed, Deployed, NodeContractCreated},
        runtime_types::{
            bounded_collections,
            pallet_grid_billing::types as billing,
            pallet_grid_contracts::types::ContractKind,
            pallet_grid_farms::types::{HeldIp, IpInfo, IpState, PublicIp as ChainPublicIp},
            pallet_grid_nodes::{
                liveness::LiveState,
                types::{FarmerSettings, Node},
            },
            pallet_grid_twins::types::Twin,
            tfgrid_primitives::report::PowerState as ChainPowerState,
            tfgrid_runtime::configs::{
                parameters::{
                    RuntimeParametersKey, RuntimeParametersValue,
                    dynamic::intervals::{DrainNoticeMs, NotDeliveredMs, ParametersKey, ParametersValue},
                },
                proxies::ProxyType,
            },
        },
    },
    bill::{Bill, Booked, Charges, Total},
    client::in_time,
    peer::{NodeAddress, PeerAddresses},
    public_ip::{PublicAddress, PublicIp, PublicNetwork},
    sealing::{Recipient, SealKeyError},
};
use codec::Decode;
use ipnet::Ipv4Net;
use sp_core::H256;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use subxt::{
    client::{ClientAtBlock, OnlineClientAtBlockImpl},
    constants,
    storage::{Address, PrefixOf},
    utils::Static,
};
use tfgrid_primitives::{
    Balance, Body, Charge, ContractId, ExactTft, FarmId, GridMillis, NodeId, PriceList, PublicKey, RateSums,
    Rates, Resources, TftPrice, TwinId, UnixSeconds, UsageTotals, UsdAmount, UsdRate,
    clock::tft_of,
    ledger::FULL_PRICE,
    pricing::traffic_cost,
    report::{DetailsPayload, Failure, PowerState},
    traits::ContractPrice,
    units::{DAY_MS, HOUR_MS, MONTH_MS},
    views::{
        ClosedContract, ContractStatus, GridInfo, MAX_PAGE, NodeContract, NodeFilter, NodeOffer, Page,
        PayerInfo, TwinContract,
    },
};

/// How long after its deployment a contract can be cancelled as not delivered, unless governance has set another
/// time.
const NOT_DELIVERED_WINDOW_MS: u64 = HOUR_MS;
/// How long before its end a drain is announced, unless governance has set another time.
const DRAIN_NOTICE_MS: u64 = 7 * DAY_MS;

/// subxt's handle of a block.
pub type AtBlock = ClientAtBlock<Config, OnlineClientAtBlockImpl<Config>>;

/// Names of up to so many bytes need the larger deposit.
const SHORT_NAME: usize = 4;

/// A payer's settings, and the state that follows from them.
#[derive(Debug)]
pub struct PayerSettings {
    /// The price factor: thousandths of the list price that are paid.
    pub price_factor: u16,
    /// The grace period, once the credit is used up.
    pub grace: Option<billing::Grace>,
    /// The auto-refill that the owner has requested.
    pub refill: Option<billing::AutoRefill>,
    /// The sum of refills in the current window of 720 hours, in 1e-7 TFT.
    pub refilled: Balance,
    /// The owner's spending limits.
    pub limits: billing::Limits,
}

/// X25519 keys for which a deployment is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealKeys {
    /// The owner's twin, for whose contracts alone it is sealed.
    pub twin: TwinId,
    /// Of the node.
    pub node: PublicKey,
    /// Of the owner's twin, if it has one.
    pub owner: Option<PublicKey>,
    /// Of the twins of the owner's `Deploy` proxies, as far as they have one.
    pub bots: Vec<PublicKey>,
}

impl SealKeys {
    /// All of them, for [`sealing::seal`](crate::sealing::seal).
    ///
    /// # Errors
    /// If one is weak.
    pub fn recipients(&self) -> Result<Vec<Recipient>, SealKeyError> {
        let keys = [&self.node].into_iter().chain(&self.owner).chain(&self.bots);
        keys.map(|key| Recipient::new(key).map(|key| key.of(self.twin))).collect()
    }

    /// Adds a bot's key, unless it is weak: whoever has stolen the bot would keep its owner from sealing anything.
    pub fn add_bot(&mut self, key: PublicKey) {
        self.bots.extend(Recipient::new(&key).is_ok().then_some(key));
    }
}

/// What a twin was charged within an hour for contracts that ended early or unconfirmed: it starts and enlarges
/// nothing once this reaches its limit of the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyCharges {
    /// In 1e-10 USD.
    pub usd: UsdAmount,
    /// The time for which it still counts, in milliseconds.
    pub counts_for_ms: u64,
}

/// A price of one TFT from one feeder of the oracle.
#[derive(Clone, Debug)]
pub struct FedPrice {
    /// The feeder's account.
    pub feeder: AccountId32,
    /// In 1e-7 USD.
    pub price: TftPrice,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// Whether a node is to sleep, and whether it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePower {
    /// What its farmer wants.
    pub target: PowerState,
    /// What the chain knows.
    pub state: PowerState,
    /// Number of contracts on the node, a rent of it included.
    pub contracts: u32,
}

/// How the internet reaches a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicPlace {
    /// Its public addresses.
    pub addresses: Vec<IpAddr>,
    /// Domain under which it publishes names.
    pub domain: Option<String>,
}

/// What an account has, in 1e-7 TFT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountBalance {
    /// Free: for calls, deposits and transfers.
    pub free: Balance,
    /// On hold for deposits and bonds.
    pub held: Balance,
}

/// A boot ticket on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootTicket {
    /// Farm that machines join.
    pub farm: FarmId,
    /// How many may still join.
    pub nodes_left: u32,
    /// Last moment at which they may, in seconds since 1970.
    pub expires: UnixSeconds,
    /// Whether the farmer has closed it.
    pub closed: bool,
}

/// The grid's state at one block.
#[derive(Clone)]
pub struct GridAt(pub(crate) AtBlock);

impl GridAt {
    /// The block's number.
    pub fn number(&self) -> u64 {
        self.0.block_number()
    }

    /// The block's hash.
    pub fn hash(&self) -> H256 {
        H256(self.0.block_hash().0)
    }

    /// subxt's handle, for reads that have no function here.
    pub fn raw(&self) -> &AtBlock {
        &self.0
    }

    /// The block's timestamp in milliseconds since 1970.
    pub async fn timestamp_ms(&self) -> Result<u64, Error> {
        let now = self.fetch("the block's timestamp", api::storage().timestamp().now(), ()).await?;
        Ok(now.unwrap_or(0))
    }

    /// The multiplier of fees, in units of 1e-18: above one after blocks that were more than a quarter full.
    pub async fn fee_multiplier(&self) -> Result<u128, Error> {
        let address = api::storage().transaction_payment().next_fee_multiplier();
        let multiplier = self.fetch("the multiplier of fees", address, ()).await?;
        Ok(multiplier.map_or(0, |multiplier| multiplier.0))
    }

    /// Clocks, price and intervals.
    pub async fn grid_info(&self) -> Result<GridInfo, Error> {
        let call = api::runtime_apis().grid_api().grid_info();
        Ok(in_time("the grid's clocks", self.0.runtime_apis().call(call)).await?.0)
    }

    /// The rate of a node contract at list price, in 1e-10 USD per hour; `None` for an unknown node.
    pub async fn quote(&self, node: NodeId, resources: Resources, ips: u8) -> Result<Option<UsdRate>, Error> {
        let call = api::runtime_apis().grid_api().quote(node, Static(resources), ips);
        in_time("a quote", self.0.runtime_apis().call(call)).await
    }

    /// The rate of a rent contract at list price with the farmer's extra fee, in 1e-10 USD per hour; `None`
    /// for an unknown node.
    pub async fn quote_rent(&self, node: NodeId) -> Result<Option<UsdRate>, Error> {
        let call = api::runtime_apis().grid_api().quote_rent(node);
        in_time("a quote", self.0.runtime_apis().call(call)).await
    }

    /// The rate of a name contract, in 1e-10 USD per hour; `None` on a chain without a policy.
    pub async fn quote_name(&self) -> Result<Option<UsdRate>, Error> {
        let call = api::runtime_apis().grid_api().quote_name();
        in_time("a quote", self.0.runtime_apis().call(call)).await
    }

    /// A contract's status; `None` for an id that was never used or is forgotten.
    pub async fn contract_status(&self, contract: ContractId) -> Result<Option<ContractStatus>, Error> {
        let call = api::runtime_apis().grid_api().contract_status(contract);
        Ok(in_time("a contract's status", self.0.runtime_apis().call(call)).await?.map(|s| s.0))
    }

    /// All open contracts on a node.
    pub async fn contracts_of_node(&self, node: NodeId) -> Result<Vec<NodeContract>, Error> {
        let (mut contracts, mut after) = (Vec::new(), None);
        loop {
            let call = api::runtime_apis().grid_api().contracts_of_node(node, after, MAX_PAGE);
            let page = in_time("a node's contracts", self.0.runtime_apis().call(call)).await?;
            contracts.extend(page.items.into_iter().map(|c| c.0));
            after = page.next;
            if after.is_none() {
                return Ok(contracts);
            }
        }
    }

    /// The capacity that a node has left; `None` for an unknown node.
    pub async fn node_free(&self, node: NodeId) -> Result<Option<Resources>, Error> {
        let call = api::runtime_apis().grid_api().node_free(node);
        Ok(in_time("a node's free capacity", self.0.runtime_apis().call(call)).await?.map(|r| r.0))
    }

    /// Whether a node's heartbeats come.
    pub async fn node_online(&self, node: NodeId) -> Result<bool, Error> {
        let call = api::runtime_apis().grid_api().node_online(node);
        in_time("whether a node is online", self.0.runtime_apis().call(call)).await
    }

    /// A node with all that a search can filter by; `None` for an unknown node.
    pub async fn node_offer(&self, node: NodeId) -> Result<Option<NodeOffer>, Error> {
        let call = api::runtime_apis().grid_api().node_offer(node);
        Ok(in_time("a node's offer", self.0.runtime_apis().call(call)).await?.map(|offer| offer.0))
    }

    /// The next nodes that match `filter`, in the order of their ids. The chain scans 500 nodes at a time: a
    /// page may be short or empty and still have a `next`.
    pub async fn find_nodes(
        &self,
        filter: &NodeFilter,
        after: Option<NodeId>,
        limit: u32,
    ) -> Result<Page<NodeOffer, NodeId>, Error> {
        let call = api::runtime_apis().grid_api().find_nodes(Static(filter.clone()), after, limit);
        let page = in_time("nodes", self.0.runtime_apis().call(call)).await?;
        Ok(Page { items: page.items.into_iter().map(|offer| offer.0).collect(), next: page.next })
    }

    /// A twin's credit and the rates that it pays.
    pub async fn payer(&self, twin: TwinId) -> Result<PayerInfo, Error> {
        let call = api::runtime_apis().grid_api().payer(twin);
        Ok(in_time("a twin's credit", self.0.runtime_apis().call(call)).await?.0)
    }

    /// The time at which a twin's credit will be used up at the present price, in seconds since 1970; `None`
    /// while nothing is charged.
    pub async fn funded_until(&self, twin: TwinId) -> Result<Option<UnixSeconds>, Error> {
        let call = api::runtime_apis().grid_api().funded_until(twin);
        in_time("until when credit lasts", self.0.runtime_apis().call(call)).await
    }

    /// The twin of an account.
    pub async fn twin_of(&self, account: &AccountId32) -> Result<Option<TwinId>, Error> {
        self.fetch("an account's twin", api::storage().twins().twin_by_account(), (*account,)).await
    }

    /// The price list; `None` on a chain without a policy.
    pub async fn prices(&self) -> Result<Option<PriceList>, Error> {
        let policy = self.fetch("the price list", api::storage().billing().policy(), ()).await?;
        Ok(policy.map(|policy| policy.prices.0))
    }

    /// Who shares in what contracts earn, in thousandths; `None` on a chain without a policy.
    pub async fn shares(&self) -> Result<Option<billing::Shares>, Error> {
        let policy = self.fetch("the shares of earnings", api::storage().billing().policy(), ()).await?;
        Ok(policy.map(|policy| policy.shares))
    }

    /// The cost of public traffic on a node now, in 1e-7 TFT, rounded up; `None` for an unknown node and
    /// while TFT has no price.
    pub async fn traffic_cost(&self, node: NodeId, gb: u32) -> Result<Option<Balance>, Error> {
        let (Some(prices), Some(offer)) = (self.prices().await?, self.node_offer(node).await?) else {
            return Ok(None);
        };
        let price = self.grid_info().await?.tft_price;
        let usd = traffic_cost(&prices, gb, offer.certified);
        Ok((price > 0).then(|| tft_of(usd, price).ceil()))
    }

    /// A farm's payable balance, in 1e-7 TFT, rounded down.
    pub async fn farm_earnings(&self, farm: FarmId) -> Result<Balance, Error> {
        let payee = billing::Payee::Farm(farm);
        let payable = self.fetch("a farm's earnings", api::storage().billing().payable(), (payee,)).await?;
        Ok(payable.map_or(0, |payable| payable.0.whole()))
    }

    /// The nodes of a farm, in the order of their ids.
    pub async fn nodes_of_farm(&self, farm: FarmId) -> Result<Vec<NodeId>, Error> {
        let found = self.entries("a farm's nodes", api::storage().nodes().farm_nodes(), (farm,)).await?;
        let mut nodes: Vec<NodeId> = found.into_iter().map(|((_, node), _)| node).collect();
        nodes.sort_unstable();
        Ok(nodes)
    }

    /// A twin's record; `None` for an id that was never used.
    pub async fn twin(&self, twin: TwinId) -> Result<Option<Twin<AccountId32>>, Error> {
        self.fetch("a twin", api::storage().twins().twins(), (twin,)).await
    }

    /// Where bots of a twin are dialled under its peer keys, as its owner says; empty if it doesn't say.
    pub async fn twin_addresses(&self, twin: TwinId) -> Result<PeerAddresses, Error> {
        let what = "a twin's peer addresses";
        let text = self.fetch(what, api::storage().twins().peer_addresses(), (twin,)).await?;
        Ok(PeerAddresses::parse(&text.map(|text| text.0).unwrap_or_default()))
    }

    /// The account of a twin; `None` for an id that was never used.
    pub async fn twin_account(&self, twin: TwinId) -> Result<Option<AccountId32>, Error> {
        Ok(self.twin(twin).await?.map(|twin| twin.account))
    }

    /// An owner's spending limits: the chain's own before the owner has set any.
    pub async fn owner_limits(&self, twin: TwinId) -> Result<billing::Limits, Error> {
        let what = "a twin's limits";
        let limits = self.fetch(what, api::storage().billing().owner_limits(), (twin,)).await?;
        limits.ok_or_else(|| Error::Inconsistent { what: what.into(), why: "it has no default" })
    }

    /// What counts against a twin's limit of the rate beside what it runs.
    pub async fn early_charges(&self, twin: TwinId) -> Result<EarlyCharges, Error> {
        let what = "what ended early";
        let ends = self.fetch(what, api::storage().billing().early_ends(), (twin,)).await?;
        let now = self.grid_info().await?.grid_now;
        Ok(ends.map_or(EarlyCharges { usd: 0, counts_for_ms: 0 }, |ends| early_charges(ends, now)))
    }

    /// The sum of the rates of a twin's contracts at list price, charged and committed.
    pub async fn payer_rates(&self, twin: TwinId) -> Result<RateSums, Error> {
        let payer = self.fetch("a payer's rates", api::storage().billing().payers(), (twin,)).await?;
        Ok(payer.map_or_else(RateSums::default, |payer| RateSums {
            usd: payer.charged.usd.saturating_add(payer.committed.usd),
            extra: payer.charged.extra.saturating_add(payer.committed.extra),
        }))
    }

    /// A payer's settings, and the state that follows from them.
    pub async fn payer_settings(&self, twin: TwinId) -> Result<PayerSettings, Error> {
        let what = "a payer's settings";
        let payer = self.fetch(what, api::storage().billing().payers(), (twin,)).await?;
        let refills = self.fetch(what, api::storage().billing().refills_paid(), (twin,)).await?;
        let now = self.grid_info().await?.grid_now;
        let counts = |since: u64| now.saturating_sub(since) < MONTH_MS;
        Ok(PayerSettings {
            price_factor: payer.map_or(FULL_PRICE, |payer| payer.price_factor),
            grace: self.fetch(what, api::storage().billing().graces(), (twin,)).await?,
            refill: self.fetch(what, api::storage().billing().auto_refills(), (twin,)).await?,
            refilled: refills.filter(|refills| counts(refills.since)).map_or(0, |refills| refills.spent),
            limits: self.owner_limits(twin).await?,
        })
    }

    /// The twin of a farm's farmer; `None` for an unknown farm.
    pub async fn farmer(&self, farm: FarmId) -> Result<Option<TwinId>, Error> {
        let record = self.fetch("a farm", api::storage().farms().farms(), (farm,)).await?;
        Ok(record.map(|farm| farm.twin))
    }

    /// The farm with this name, or with one that looks like it.
    pub async fn farm_by_name(&self, name: &str) -> Result<Option<FarmId>, Error> {
        let call = api::runtime_apis().grid_api().farm_by_name(name.as_bytes().to_vec());
        in_time("a farm's name", self.0.runtime_apis().call(call)).await
    }

    /// The node of a report key.
    pub async fn node_by_key(&self, key: &PublicKey) -> Result<Option<NodeId>, Error> {
        self.fetch("a node's key", api::storage().nodes().node_by_key(), (*key,)).await
    }

    /// The name of a farm, as its farmer spells it.
    pub async fn farm_name(&self, farm: FarmId) -> Result<Option<String>, Error> {
        let record = self.fetch("a farm", api::storage().farms().farms(), (farm,)).await?;
        Ok(record.map(|farm| String::from_utf8_lossy(&farm.name.0).into_owned()))
    }

    /// A boot ticket; `None` if no farmer has opened it or it is forgotten.
    pub async fn ticket(&self, ticket: &PublicKey) -> Result<Option<BootTicket>, Error> {
        let record = self.fetch("a boot ticket", api::storage().farms().tickets(), (*ticket,)).await?;
        Ok(record.map(|record| BootTicket {
            farm: record.farm,
            nodes_left: record.nodes_left,
            expires: record.expires,
            closed: record.closed,
        }))
    }

    /// Whether a boot ticket has admitted the node with this key.
    pub async fn has_admitted(&self, ticket: &PublicKey, node_key: &PublicKey) -> Result<bool, Error> {
        let admitted = api::storage().farms().admitted();
        Ok(self.fetch("a boot ticket's nodes", admitted, (*ticket, *node_key)).await?.is_some())
    }

    /// How many nodes a boot ticket has admitted.
    pub async fn admitted_count(&self, ticket: &PublicKey) -> Result<usize, Error> {
        let admitted = api::storage().farms().admitted();
        Ok(self.entries("a boot ticket's nodes", admitted, (*ticket,)).await?.len())
    }

    /// Whether a node is enrolled for farming.
    pub async fn is_enrolled(&self, node: NodeId) -> Result<bool, Error> {
        Ok(self.fetch("a node's enrolment", api::storage().farming().enrolments(), (node,)).await?.is_some())
    }

    async fn node(&self, node: NodeId) -> Result<Option<Node>, Error> {
        self.fetch("a node", api::storage().nodes().nodes(), (node,)).await
    }

    /// The farm of a node.
    pub async fn farm_of_node(&self, node: NodeId) -> Result<Option<FarmId>, Error> {
        let record = self.node(node).await?;
        Ok(record.map(|node| node.farm))
    }

    /// What its farmer has set for a node; `None` for an unknown node.
    pub async fn farmer_settings(&self, node: NodeId) -> Result<Option<FarmerSettings>, Error> {
        let record = self.node(node).await?;
        Ok(record.map(|node| node.settings))
    }

    /// How the internet reaches a node; nothing where its farmer has set none.
    pub async fn public_place(&self, node: NodeId) -> Result<PublicPlace, Error> {
        let configs = api::storage().nodes().public_configs();
        let Some(config) = self.fetch("a node's public addresses", configs, (node,)).await? else {
            return Ok(PublicPlace::default());
        };
        let ipv4 = config.ipv4.map(|interface| IpAddr::from(interface.address));
        let ipv6 = config.ipv6.map(|interface| IpAddr::from(interface.address));
        let domain = config.domain.map(|domain| String::from_utf8_lossy(&domain.0).into_owned());
        Ok(PublicPlace { addresses: ipv4.into_iter().chain(ipv6).collect(), domain })
    }

    /// A node's peer endpoint; `None` for an unknown node.
    pub async fn peer(&self, node: NodeId) -> Result<Option<NodeAddress>, Error> {
        let Some(record) = self.node(node).await? else { return Ok(None) };
        let details = self.fetch("a node's details", api::storage().nodes().details(), (node,)).await?;
        let text = details.map(|details| details.peer_addresses.0).unwrap_or_default();
        Ok(Some(NodeAddress { key: record.peer_key, addresses: PeerAddresses::parse(&text) }))
    }

    /// The contracts that take part in a twin's private network, with their ranges.
    pub async fn network_members(
        &self,
        twin: TwinId,
        network: &str,
    ) -> Result<Vec<(ContractId, Ipv4Net)>, Error> {
        let name = bounded_collections::bounded_vec::BoundedVec(network.as_bytes().to_vec());
        let members = api::storage().contracts().network_members();
        let found = self.entries("the members of a network", members, (twin, name)).await?;
        let members = found.into_iter().filter_map(|((_, _, contract), subnet)| {
            Ipv4Net::new(subnet.address.into(), subnet.prefix).ok().map(|range| (contract, range))
        });
        Ok(members.collect())
    }

    /// The node of an open node contract.
    pub async fn node_of_contract(&self, contract: ContractId) -> Result<Option<NodeId>, Error> {
        Ok(self.contract(contract).await?.and_then(|contract| match contract.kind {
            ContractKind::Node(deployment) => Some(deployment.node),
            ContractKind::Rent { .. } | ContractKind::Name { .. } => None,
        }))
    }

    /// The keys for which a twin's deployment on a node is sealed; `None` for an unknown node.
    pub async fn seal_keys(&self, node: NodeId, twin: TwinId) -> Result<Option<SealKeys>, Error> {
        let Some(node) = self.node(node).await? else { return Ok(None) };
        let mut keys = SealKeys { twin, node: node.encryption_key, owner: None, bots: Vec::new() };
        let Some(owner) = self.twin(twin).await? else { return Ok(Some(keys)) };
        keys.owner = owner.encryption_key;
        for bot in self.bots_of(owner.account).await? {
            let Some(bot) = self.twin_of(&bot).await? else { continue };
            if let Some(key) = self.twin(bot).await?.and_then(|bot| bot.encryption_key) {
                keys.add_bot(key);
            }
        }
        Ok(Some(keys))
    }

    /// The accounts that manage an account's contracts.
    pub async fn bots_of(&self, owner: AccountId32) -> Result<Vec<AccountId32>, Error> {
        let proxies = self.fetch("an account's proxies", api::storage().proxy().proxies(), (owner,)).await?;
        let proxies = proxies.into_iter().flat_map(|(proxies, _)| proxies.0);
        let bots = proxies.filter(|proxy| matches!(proxy.proxy_type, ProxyType::Deploy));
        Ok(bots.map(|bot| bot.delegate).collect())
    }

    /// How many open contracts a twin has.
    pub async fn contract_count(&self, twin: TwinId) -> Result<u32, Error> {
        let count = api::storage().contracts().twin_contract_count();
        Ok(self.fetch("the number of a twin's contracts", count, (twin,)).await?.unwrap_or(0))
    }

    /// An open contract.
    pub async fn contract(
        &self,
        contract: ContractId,
    ) -> Result<Option<api::runtime_types::pallet_grid_contracts::types::Contract>, Error> {
        self.fetch("a contract", api::storage().contracts().contracts(), (contract,)).await
    }

    /// What a pending update of an open contract adds to its rates; nothing without one.
    pub async fn pending_rates(&self, contract: ContractId) -> Result<Rates, Error> {
        let what = "a contract's rates";
        let account = self.fetch(what, api::storage().billing().ledger_accounts(), (contract,)).await?;
        let more = account.and_then(|account| account.proposal).map(|proposal| proposal.more);
        Ok(more.map_or(Rates::ZERO, |more| Rates { usd: more.usd, extra: more.extra }))
    }

    /// What an open contract costs.
    pub async fn price_of(&self, contract: ContractId) -> Result<Option<ContractPrice>, Error> {
        let account =
            self.fetch("a contract's price", api::storage().billing().ledger_accounts(), (contract,)).await?;
        Ok(account.map(|account| account.price.0))
    }

    /// The record of a closed contract.
    pub async fn closed(&self, contract: ContractId) -> Result<Option<ClosedContract>, Error> {
        let closed = self
            .fetch("a closed contract", api::storage().contracts().closed_contracts(), (contract,))
            .await?;
        Ok(closed.map(|c| c.0))
    }

    /// The closed contracts of a twin that the chain remembers, in the order of their ids. No index has them: the
    /// records of all twins are read.
    pub async fn closed_contracts_of(
        &self,
        twin: TwinId,
    ) -> Result<Vec<(ContractId, ClosedContract)>, Error> {
        let records = api::storage().contracts().closed_contracts();
        let of_twin = |(contract,), Static(closed): Static<ClosedContract>| {
            (closed.twin == twin).then_some((contract, closed))
        };
        let mut own = self.entries_with("closed contracts", records, (), of_twin).await?;
        own.sort_unstable_by_key(|(contract, _)| *contract);
        Ok(own)
    }

    /// The body of an open contract.
    pub async fn body(&self, contract: ContractId) -> Result<Option<Body<Vec<u8>>>, Error> {
        self.fetch_body("a contract's body", api::storage().contracts().bodies(), contract).await
    }

    /// The result that the node wrote: how to reach a contract's deployment.
    pub async fn result(&self, contract: ContractId) -> Result<Option<Vec<u8>>, Error> {
        let result =
            self.fetch("a contract's result", api::storage().contracts().results(), (contract,)).await?;
        Ok(result.map(|r| r.0))
    }

    /// The contract that has a name on the gateways.
    pub async fn contract_of_name(&self, name: &str) -> Result<Option<ContractId>, Error> {
        let key = bounded_collections::bounded_vec::BoundedVec(name.as_bytes().to_vec());
        self.fetch("a name's contract", api::storage().contracts().names(), (key,)).await
    }

    /// The last version of a contract that its node rejected, and why; of a closed one, too.
    pub async fn failure(&self, contract: ContractId) -> Result<Option<Failure>, Error> {
        let failure =
            self.fetch("a contract's failure", api::storage().contracts().failures(), (contract,)).await?;
        Ok(failure.map(|failure| failure.0))
    }

    /// The rent contract of a node.
    pub async fn rent_of_node(&self, node: NodeId) -> Result<Option<ContractId>, Error> {
        self.fetch("a node's rent", api::storage().contracts().rents(), (node,)).await
    }

    /// The rented nodes, with their rent contracts.
    pub async fn rents(&self) -> Result<BTreeMap<NodeId, ContractId>, Error> {
        let found = self.entries("the rented nodes", api::storage().contracts().rents(), ()).await?;
        Ok(found.into_iter().map(|((node,), contract)| (node, contract)).collect())
    }

    /// All nodes that match `filter`, in the order of their ids.
    pub async fn all_nodes(&self, filter: &NodeFilter) -> Result<Vec<NodeOffer>, Error> {
        let (mut offers, mut after) = (Vec::new(), None);
        loop {
            let page = self.find_nodes(filter, after, MAX_PAGE).await?;
            offers.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(offers);
            }
        }
    }

    /// Whether a contract earns, or has earnings that nobody has collected.
    pub async fn earns(&self, contract: ContractId) -> Result<bool, Error> {
        let account = self
            .fetch("a contract's earnings", api::storage().billing().ledger_accounts(), (contract,))
            .await?;
        Ok(account.is_some_and(|account| {
            let (rates, earned) = (account.price.rates, account.uncollected);
            let earns_now = account.is_charged && (rates.usd > 0 || rates.extra > 0);
            earns_now || earned.shared.0 > ExactTft::ZERO || earned.extra.0 > ExactTft::ZERO
        }))
    }

    /// A contract's usage, as its node reported it.
    pub async fn usage(&self, contract: ContractId) -> Result<Option<UsageTotals>, Error> {
        let usage = self.fetch("a contract's usage", api::storage().contracts().usage(), (contract,)).await?;
        Ok(usage.map(|u| u.0))
    }

    /// The public traffic that a contract has bought and not used, in bytes.
    pub async fn traffic_left(&self, contract: ContractId) -> Result<u64, Error> {
        let call = api::runtime_apis().grid_api().allowance(contract);
        let allowance = in_time("a contract's traffic", self.0.runtime_apis().call(call)).await?;
        Ok(allowance.map_or(0, |allowance| allowance.bytes))
    }

    /// The next open contracts of a twin, in the chain's order, at most 500.
    pub async fn twin_contracts(
        &self,
        twin: TwinId,
        after: Option<ContractId>,
        limit: u32,
    ) -> Result<Page<TwinContract, ContractId>, Error> {
        let call = api::runtime_apis().grid_api().contracts_of_twin(twin, after, limit);
        let page = in_time("a twin's contracts", self.0.runtime_apis().call(call)).await?;
        Ok(Page { items: page.items.into_iter().map(|contract| contract.0).collect(), next: page.next })
    }

    /// All of a twin's open contracts, in the order of their ids.
    pub async fn contracts_of_twin(&self, twin: TwinId) -> Result<Vec<TwinContract>, Error> {
        let mut contracts = Vec::new();
        let mut after = None;
        loop {
            let page = self.twin_contracts(twin, after, MAX_PAGE).await?;
            contracts.extend(page.items);
            after = page.next;
            if after.is_none() {
                contracts.sort_unstable_by_key(|contract| contract.contract);
                return Ok(contracts);
            }
        }
    }

    /// The contracts that were created, deployed or closed in this block.
    pub async fn changed_contracts(&self) -> Result<BTreeSet<ContractId>, Error> {
        const WHAT: &str = "a block's events";
        let events = in_time(WHAT, self.0.events().fetch()).await?;
        let mut changed = BTreeSet::new();
        for event in events.iter() {
            let event = event.map_err(Error::read(WHAT))?;
            if let Some(created) = event.decode_fields_as::<NodeContractCreated>() {
                changed.insert(created.map_err(Error::read(WHAT))?.contract);
            } else if let Some(deployed) = event.decode_fields_as::<Deployed>() {
                changed.insert(deployed.map_err(Error::read(WHAT))?.contract);
            } else if let Some(closed) = event.decode_fields_as::<ContractClosed>() {
                changed.insert(closed.map_err(Error::read(WHAT))?.contract);
            }
        }
        Ok(changed)
    }

    /// The body of a pending version.
    pub async fn pending_body(&self, contract: ContractId) -> Result<Option<Body<Vec<u8>>>, Error> {
        self.fetch_body(
            "the body of a pending version",
            api::storage().contracts().pending_bodies(),
            contract,
        )
        .await
    }

    /// How many public addresses a contract has, those that cool down included.
    pub async fn ips_of_contract(&self, contract: ContractId) -> Result<usize, Error> {
        let held = self.held_ips(contract).await?;
        Ok(held.len())
    }

    /// The public IPs of a contract, in the order in which it got them.
    pub async fn public_ips(&self, contract: ContractId) -> Result<Vec<PublicIp>, Error> {
        let mut ips = Vec::new();
        for held in self.held_ips(contract).await?.into_iter().filter(|held| held.cools_until.is_none()) {
            let ip = self.fetch("a public IP", api::storage().farms().ips(), (held.ip,)).await?;
            ips.extend(ip.filter(|ip| !ip.removed).map(|ip| public_ip(&ip.address)));
        }
        Ok(ips)
    }

    /// The public IPs that contracts have of a farm, each contract's in the order in which it got them.
    pub async fn public_ips_by_contract(
        &self,
        farm: FarmId,
    ) -> Result<BTreeMap<ContractId, Vec<PublicIp>>, Error> {
        let mut taken: BTreeMap<ContractId, Vec<IpInfo>> = BTreeMap::new();
        for ip in self.addresses_of_farm(farm).await?.into_iter().filter(|ip| !ip.removed) {
            if let IpState::Taken(contract) = ip.state {
                taken.entry(contract).or_default().push(ip);
            }
        }
        for (contract, ips) in &mut taken {
            if ips.len() > 1 {
                let held = self.held_ips(*contract).await?;
                ips.sort_by_key(|ip| held.iter().position(|held| held.ip == ip.ip));
            }
        }
        let addresses =
            |ips: Vec<IpInfo>| -> Vec<PublicIp> { ips.iter().map(|ip| public_ip(&ip.address)).collect() };
        Ok(taken.into_iter().map(|(contract, ips)| (contract, addresses(ips))).collect())
    }

    /// The public IPv6 network that a node is in, as its farmer says.
    pub async fn public_network(&self, node: NodeId) -> Result<Option<PublicNetwork>, Error> {
        let config = api::storage().nodes().public_configs();
        let config = self.fetch("a node's public addresses", config, (node,)).await?;
        Ok(config.and_then(|config| config.ipv6).map(|ipv6| PublicNetwork {
            address: ipv6.address.into(),
            prefix: ipv6.prefix,
            gateway: ipv6.gateway.into(),
        }))
    }

    /// Whether public addresses of a contract cool down.
    pub async fn is_cooling_down(&self, contract: ContractId) -> Result<bool, Error> {
        let held = self.held_ips(contract).await?;
        Ok(held.iter().any(|held| held.cools_until.is_some()))
    }

    async fn held_ips(&self, contract: ContractId) -> Result<Vec<HeldIp>, Error> {
        let held =
            self.fetch("a contract's addresses", api::storage().farms().contract_ips(), (contract,)).await?;
        Ok(held.map(|held| held.0).unwrap_or_default())
    }

    /// Contracts of which public addresses of this farm still cool down.
    pub async fn cooling_down_in_farm(&self, farm: FarmId) -> Result<BTreeSet<ContractId>, Error> {
        let ips = self.addresses_of_farm(farm).await?.into_iter();
        Ok(ips
            .filter_map(|ip| match ip.state {
                IpState::CoolingDown(contract) => Some(contract),
                IpState::Free | IpState::Taken(_) => None,
            })
            .collect())
    }

    /// How many public addresses of a farm are free.
    pub async fn free_ips_of_farm(&self, farm: FarmId) -> Result<usize, Error> {
        let ips = self.addresses_of_farm(farm).await?.into_iter();
        Ok(ips.filter(|ip| matches!(ip.state, IpState::Free)).count())
    }

    /// The public addresses of a farm, in the order of their ids.
    pub async fn addresses_of_farm(&self, farm: FarmId) -> Result<Vec<IpInfo>, Error> {
        let (mut ips, mut after) = (Vec::new(), None);
        loop {
            let call = api::runtime_apis().grid_api().ips_of_farm(farm, after, MAX_PAGE);
            let page = in_time("a farm's public addresses", self.0.runtime_apis().call(call)).await?;
            ips.extend(page.items);
            after = page.next;
            if after.is_none() {
                ips.sort_unstable_by_key(|ip| ip.ip);
                return Ok(ips);
            }
        }
    }

    /// Whether a node is to sleep, and whether it does; `None` for an unknown node.
    pub async fn node_power(&self, node: NodeId) -> Result<Option<NodePower>, Error> {
        let what = "a node's power";
        let record = self.node(node).await?;
        let liveness = self.fetch(what, api::storage().nodes().liveness_of(), (node,)).await?;
        let reserved = self.fetch(what, api::storage().nodes().reserved(), (node,)).await?;
        let (Some(record), Some(liveness)) = (record, liveness) else { return Ok(None) };
        let of = |asleep| if asleep { PowerState::Standby } else { PowerState::Up };
        Ok(Some(NodePower {
            target: of(matches!(record.settings.power_target, ChainPowerState::Standby)),
            state: of(matches!(liveness.state, LiveState::Standby { .. })),
            contracts: reserved.map_or(0, |reserved| reserved.contracts),
        }))
    }

    /// Grid time since which a node is offline; `None` while it isn't.
    pub async fn offline_since(&self, node: NodeId) -> Result<Option<GridMillis>, Error> {
        let liveness = api::storage().nodes().liveness_of();
        let liveness = self.fetch("since when a node is offline", liveness, (node,)).await?;
        Ok(liveness.and_then(|liveness| match liveness.state {
            LiveState::Offline(outage) => Some(outage.since),
            LiveState::Online { .. } | LiveState::Standby { .. } => None,
        }))
    }

    /// Sequence number of the last heartbeat of a node, 0 before the first one; `None` for an unknown node.
    pub async fn last_heartbeat(&self, node: NodeId) -> Result<Option<u64>, Error> {
        let last = self.fetch("a node's heartbeat", api::storage().nodes().heartbeats(), (node,)).await?;
        Ok(last.map(|last| last.sequence))
    }

    /// A node's report of its hardware; `None` before the first one.
    pub async fn details(&self, node: NodeId) -> Result<Option<DetailsPayload>, Error> {
        let what = "a node's details";
        let record = self.node(node).await?;
        let details = self.fetch(what, api::storage().nodes().details(), (node,)).await?;
        let (Some(record), Some(details)) = (record, details) else { return Ok(None) };
        let too_long =
            || Error::Inconsistent { what: what.into(), why: "it is longer than the chain allows" };
        let gpus: Vec<_> = details.gpus.0.into_iter().map(|gpu| gpu.0).collect();
        Ok(Some(DetailsPayload {
            resources: record.resources.0,
            isolation: record.isolation.0,
            serial: details.serial.0.try_into().map_err(|_| too_long())?,
            virtualized: details.virtualized,
            secure_boot: details.secure_boot,
            gpus: gpus.try_into().map_err(|_| too_long())?,
            bytes_per_second: details.bytes_per_second,
            features: details.features.0,
            peer_addresses: details.peer_addresses.0.try_into().map_err(|_| too_long())?,
            version: details.version.0.try_into().map_err(|_| too_long())?,
        }))
    }

    /// A contract's charges by month; `None` for an id that was never used or is forgotten.
    pub async fn bill(&self, contract: ContractId) -> Result<Option<Bill>, Error> {
        let Some(charges) = self.charges(contract).await? else { return Ok(None) };
        Ok(Some(Bill::new(contract, &charges)?))
    }

    /// A contract's charges, as the chain keeps them.
    pub async fn charges(&self, contract: ContractId) -> Result<Option<Charges>, Error> {
        let what = "a contract's charges";
        let (total, open) = match self.contract_status(contract).await? {
            None => return Ok(None),
            Some(ContractStatus::Created) => (Total::default(), true),
            Some(
                ContractStatus::Deployed { tft, usd }
                | ContractStatus::Paused { tft, usd }
                | ContractStatus::NodeOffline { tft, usd },
            ) => (Total { usd, tft }, true),
            Some(ContractStatus::Closed { tft, usd, .. }) => (Total { usd, tft }, false),
        };
        let months = self.fetch(what, api::storage().billing().bills(), (contract,)).await?;
        let account = self.fetch(what, api::storage().billing().ledger_accounts(), (contract,)).await?;
        let settled = account.map(|account| charge(account.accrual.charged));
        Ok(Some(Charges {
            months: months
                .map(|months| months.0)
                .unwrap_or_default()
                .into_iter()
                .map(|m| Booked { month: m.month, charge: charge(m.charge) })
                .collect(),
            settled: if open { Some(settled.unwrap_or_default()) } else { None },
            total,
            now: self.timestamp_ms().await? / 1_000,
        }))
    }

    /// The prices of TFT that feeders of the oracle have submitted.
    pub async fn fed_prices(&self) -> Result<Vec<FedPrice>, Error> {
        let found = self.entries("the feeders' prices", api::storage().oracle().raw_values(), ()).await?;
        let prices = found.into_iter().map(|((feeder, _), said)| FedPrice {
            feeder,
            price: said.value,
            at_ms: said.timestamp,
        });
        Ok(prices.collect())
    }

    /// An account's free balance in 1e-7 TFT.
    pub async fn free_balance(&self, account: &AccountId32) -> Result<u128, Error> {
        Ok(self.balance(account).await?.free)
    }

    /// What an account has.
    pub async fn balance(&self, account: &AccountId32) -> Result<AccountBalance, Error> {
        let record = self.fetch("an account", api::storage().system().account(), (*account,)).await?;
        let data = record.map(|account| (account.data.free, account.data.reserved));
        let (free, held) = data.unwrap_or_default();
        Ok(AccountBalance { free, held })
    }

    /// The least free balance of an account, in 1e-7 TFT.
    pub fn existential_deposit(&self) -> Result<Balance, Error> {
        self.constant("the existential deposit", api::constants().balances().existential_deposit())
    }

    /// What a deposit leaves on an account beside that, for the fees of calls, in 1e-7 TFT.
    pub fn fee_reserve(&self) -> Result<Balance, Error> {
        self.constant("the reserve for fees", api::constants().billing().fee_reserve())
    }

    /// The deposit of a twin, in 1e-7 TFT.
    pub fn twin_deposit(&self) -> Result<Balance, Error> {
        self.constant("the deposit of a twin", api::constants().twins().twin_deposit())
    }

    /// The deposit of a farm, in 1e-7 TFT.
    pub fn farm_deposit(&self) -> Result<Balance, Error> {
        self.constant("the deposit of a farm", api::constants().farms().farm_deposit())
    }

    /// The deposit of a boot ticket for each node, in 1e-7 TFT.
    pub fn node_deposit(&self) -> Result<Balance, Error> {
        self.constant("the deposit of a node", api::constants().farms().node_deposit())
    }

    /// The deposit of a node contract with a body of this many bytes, in 1e-7 TFT.
    pub fn contract_deposit(&self, body_bytes: usize) -> Result<Balance, Error> {
        let least =
            self.constant("the deposit of a contract", api::constants().contracts().contract_deposit())?;
        Ok(least.saturating_add(self.body_deposit(body_bytes)?))
    }

    /// The part of a node contract's deposit that is for a body of this many bytes, in 1e-7 TFT.
    pub fn body_deposit(&self, bytes: usize) -> Result<Balance, Error> {
        let per_byte =
            self.constant("the deposit of a body", api::constants().contracts().deposit_per_byte())?;
        Ok(per_byte.saturating_mul(bytes as Balance))
    }

    /// The deposit of a name contract, in 1e-7 TFT.
    pub fn name_deposit(&self, name: &str) -> Result<Balance, Error> {
        let what = "the deposit of a name";
        if name.len() <= SHORT_NAME {
            self.constant(what, api::constants().contracts().short_name_deposit())
        } else {
            self.constant(what, api::constants().contracts().name_deposit())
        }
    }

    /// The most open contracts of a twin.
    pub fn max_contracts_of_twin(&self) -> Result<u32, Error> {
        self.constant("the most contracts of a twin", api::constants().contracts().max_contracts_per_twin())
    }

    /// The most open contracts on a node.
    pub fn max_contracts_of_node(&self) -> Result<u32, Error> {
        self.constant("the most contracts of a node", api::constants().nodes().max_contracts_per_node())
    }

    /// How long after its deployment a contract can be cancelled as not delivered, in milliseconds.
    pub async fn not_delivered_window_ms(&self) -> Result<u64, Error> {
        let key = ParametersKey::NotDeliveredMs(NotDeliveredMs);
        Ok(match self.interval("the time for complaints", key).await? {
            Some(ParametersValue::NotDeliveredMs(ms)) => ms,
            _ => NOT_DELIVERED_WINDOW_MS,
        })
    }

    /// How long before its end a drain is announced, in milliseconds.
    pub async fn drain_notice_ms(&self) -> Result<u64, Error> {
        let key = ParametersKey::DrainNoticeMs(DrainNoticeMs);
        Ok(match self.interval("the notice of a drain", key).await? {
            Some(ParametersValue::DrainNoticeMs(ms)) => ms,
            _ => DRAIN_NOTICE_MS,
        })
    }

    /// An interval that governance has set; `None` where the runtime's own counts.
    async fn interval(&self, what: &str, key: ParametersKey) -> Result<Option<ParametersValue>, Error> {
        let key = RuntimeParametersKey::Intervals(key);
        let value = self.fetch(what, api::storage().parameters().parameters(), (key,)).await?;
        Ok(match value {
            Some(RuntimeParametersValue::Intervals(value)) => Some(value),
            _ => None,
        })
    }

    /// The time that a cancelled contract pays for at least, in milliseconds.
    pub fn min_charge_ms(&self) -> Result<u64, Error> {
        self.constant("the minimum charge", api::constants().billing().min_charge_ms())
    }

    /// The time for which credit must pay all rates of a twin, in milliseconds.
    pub fn min_runway_ms(&self) -> Result<u64, Error> {
        self.constant("the minimum runway", api::constants().billing().min_runway_ms())
    }

    pub(crate) fn constant<A: constants::Address>(&self, what: &str, address: A) -> Result<A::Target, Error> {
        self.0.constants().entry(address).map_err(Error::read(what))
    }

    async fn fetch_body<A: Address<KeyParts = (ContractId,)>>(
        &self,
        what: &str,
        address: A,
        contract: ContractId,
    ) -> Result<Option<Body<Vec<u8>>>, Error> {
        let entry = self.0.storage().entry(address).map_err(Error::read(what))?;
        let value = in_time(what, entry.try_fetch((contract,))).await?;
        // Undecoded bytes: the same encoding whatever the bound is.
        value.map(|v| Body::decode(&mut v.bytes()).map_err(Error::read(what))).transpose()
    }

    /// All entries of a map that have this part of its key, in no particular order.
    pub(crate) async fn entries<A: Address, K: PrefixOf<A::KeyParts>>(
        &self,
        what: &str,
        address: A,
        part: K,
    ) -> Result<Vec<(A::KeyParts, A::Value)>, Error> {
        self.entries_with(what, address, part, |key, value| Some((key, value))).await
    }

    /// What is taken of each entry; the others aren't kept in memory.
    async fn entries_with<A: Address, K: PrefixOf<A::KeyParts>, T>(
        &self,
        what: &str,
        address: A,
        part: K,
        take: impl Fn(A::KeyParts, A::Value) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let storage = self.0.storage();
        let mut entries = in_time(what, storage.iter(address, part)).await?;
        let mut found = Vec::new();
        while let Some(entry) = in_time(what, async { entries.next().await.transpose() }).await? {
            let key = entry.key().and_then(|key| key.decode()).map_err(Error::read(what))?;
            found.extend(take(key, entry.value().decode().map_err(Error::read(what))?));
        }
        Ok(found)
    }

    pub(crate) async fn fetch<A: Address>(
        &self,
        what: &str,
        address: A,
        keys: A::KeyParts,
    ) -> Result<Option<A::Value>, Error> {
        let entry = self.0.storage().entry(address).map_err(Error::read(what))?;
        let value = in_time(what, entry.try_fetch(keys)).await?;
        value.map(|v| v.decode().map_err(Error::read(what))).transpose()
    }
}

fn public_ip(ip: &ChainPublicIp) -> PublicIp {
    let v6 = ip.v6.as_ref();
    PublicIp {
        v4: PublicAddress { ip: ip.v4.address.into(), gateway: ip.v4.gateway.into() },
        v6: v6.map(|v6| PublicAddress { ip: v6.address.into(), gateway: v6.gateway.into() }),
    }
}

/// A charge as the ledger's arithmetic has it.
fn charge(charge: api::runtime_types::tfgrid_primitives::ledger::Charge) -> Charge {
    Charge { tft: charge.tft.0, usd: charge.usd }
}

/// What still counts of early ends, at `now` in grid time.
fn early_charges(ends: billing::EarlyEnd, now: u64) -> EarlyCharges {
    let counts_for_ms = HOUR_MS.saturating_sub(now.saturating_sub(ends.since));
    EarlyCharges { usd: if counts_for_ms > 0 { ends.usd } else { 0 }, counts_for_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_early_counts_for_an_hour() {
        let at = |now| early_charges(billing::EarlyEnd { since: 1_000, usd: 7 }, now);
        assert_eq!(at(1_000), EarlyCharges { usd: 7, counts_for_ms: HOUR_MS });
        assert_eq!(at(1_000 + HOUR_MS - 1), EarlyCharges { usd: 7, counts_for_ms: 1 });
        assert_eq!(at(1_000 + HOUR_MS), EarlyCharges { usd: 0, counts_for_ms: 0 });
    }
}
