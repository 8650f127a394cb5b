// SPDX-License-Identifier: Apache-2.0
//! The grid's state at one block.

use crate::{api, client::in_time, AccountId32, Config, Error};
use codec::Decode;
use sp_core::H256;
use subxt::{client::ClientAtBlock, client::OnlineClientAtBlockImpl, storage::Address, utils::Static};
use tfgrid_primitives::{
    views::{ClosedContract, ContractStatus, GridInfo, NodeContract, PayerInfo},
    Body, ContractId, FarmId, NodeId, PublicKey, Resources, TwinId, UsageTotals, UsdRate,
};

/// subxt's handle of a block.
pub type AtBlock = ClientAtBlock<Config, OnlineClientAtBlockImpl<Config>>;

/// How many records are asked for at a time: what the chain reads at most.
const PAGE: u32 = 500;

/// The grid's state at one block.
#[derive(Clone)]
pub struct At(pub(crate) AtBlock);

impl At {
    /// The block's number.
    pub fn number(&self) -> u64 {
        self.0.block_number()
    }

    /// The block's hash.
    pub fn hash(&self) -> H256 {
        H256(self.0.block_hash().0)
    }

    /// subxt's handle, for what has no function here.
    pub fn raw(&self) -> &AtBlock {
        &self.0
    }

    /// The block's timestamp in milliseconds since 1970.
    pub async fn timestamp_ms(&self) -> Result<u64, Error> {
        let now = self.fetch("the block's timestamp", api::storage().timestamp().now(), ()).await?;
        Ok(now.unwrap_or(0))
    }

    /// Clocks, price and intervals.
    pub async fn grid_info(&self) -> Result<GridInfo, Error> {
        let call = api::runtime_apis().grid_api().grid_info();
        Ok(in_time("the grid's clocks", self.0.runtime_apis().call(call)).await?.0)
    }

    /// What a node contract would cost, in 1e-10 USD per hour; `None` for an unknown node.
    pub async fn quote(&self, node: NodeId, resources: Resources, ips: u8) -> Result<Option<UsdRate>, Error> {
        let call = api::runtime_apis().grid_api().quote(node, Static(resources), ips);
        in_time("a quote", self.0.runtime_apis().call(call)).await
    }

    /// How a contract stands; `None` for an id that was never given or is forgotten.
    pub async fn contract_status(&self, contract: ContractId) -> Result<Option<ContractStatus>, Error> {
        let call = api::runtime_apis().grid_api().contract_status(contract);
        Ok(in_time("a contract's status", self.0.runtime_apis().call(call)).await?.map(|s| s.0))
    }

    /// All open contracts on a node.
    pub async fn contracts_of_node(&self, node: NodeId) -> Result<Vec<NodeContract>, Error> {
        let mut contracts = Vec::new();
        loop {
            let after = contracts.last().map(|c: &NodeContract| c.contract);
            let call = api::runtime_apis().grid_api().contracts_of_node(node, after, PAGE);
            let page = in_time("a node's contracts", self.0.runtime_apis().call(call)).await?;
            let full = page.len() == PAGE as usize;
            contracts.extend(page.into_iter().map(|c| c.0));
            if !full {
                return Ok(contracts);
            }
        }
    }

    /// What a node could still reserve; `None` for an unknown node.
    pub async fn node_free(&self, node: NodeId) -> Result<Option<Resources>, Error> {
        let call = api::runtime_apis().grid_api().node_free(node);
        Ok(in_time("a node's free capacity", self.0.runtime_apis().call(call)).await?.map(|r| r.0))
    }

    /// Whether a node has been heard from lately.
    pub async fn node_online(&self, node: NodeId) -> Result<bool, Error> {
        let call = api::runtime_apis().grid_api().node_online(node);
        in_time("whether a node is online", self.0.runtime_apis().call(call)).await
    }

    /// A twin's credit.
    pub async fn payer(&self, twin: TwinId) -> Result<PayerInfo, Error> {
        let call = api::runtime_apis().grid_api().payer(twin);
        Ok(in_time("a twin's credit", self.0.runtime_apis().call(call)).await?.0)
    }

    /// The twin of an account.
    pub async fn twin_of(&self, account: &AccountId32) -> Result<Option<TwinId>, Error> {
        self.fetch("an account's twin", api::storage().twins().twin_by_account(), (*account,)).await
    }

    /// The farm that has this name, or one that looks like it.
    pub async fn farm_by_name(&self, name: &str) -> Result<Option<FarmId>, Error> {
        let call = api::runtime_apis().grid_api().farm_by_name(name.as_bytes().to_vec());
        in_time("a farm's name", self.0.runtime_apis().call(call)).await
    }

    /// The node of a report key.
    pub async fn node_by_key(&self, key: &PublicKey) -> Result<Option<NodeId>, Error> {
        self.fetch("a node's key", api::storage().nodes().node_by_key(), (*key,)).await
    }

    /// The farm of a node.
    pub async fn farm_of_node(&self, node: NodeId) -> Result<Option<FarmId>, Error> {
        let record = self.fetch("a node", api::storage().nodes().nodes(), (node,)).await?;
        Ok(record.map(|node| node.farm))
    }

    /// An open contract.
    pub async fn contract(
        &self,
        contract: ContractId,
    ) -> Result<Option<api::runtime_types::pallet_contracts::types::Contract>, Error> {
        self.fetch("a contract", api::storage().contracts().contracts(), (contract,)).await
    }

    /// The tombstone of a closed contract.
    pub async fn closed(&self, contract: ContractId) -> Result<Option<ClosedContract>, Error> {
        let closed = self.fetch("a tombstone", api::storage().contracts().closed(), (contract,)).await?;
        Ok(closed.map(|c| c.0))
    }

    /// The body of an open contract.
    pub async fn body(&self, contract: ContractId) -> Result<Option<Body<Vec<u8>>>, Error> {
        let what = "a contract's body";
        let entry =
            self.0.storage().entry(api::storage().contracts().bodies()).map_err(|e| Error::read(what)(&e))?;
        let value = in_time(what, entry.try_fetch((contract,))).await?;
        // Undecoded bytes: the same encoding whatever the bound is.
        value.map(|v| Body::decode(&mut v.bytes()).map_err(|e| Error::read(what)(&e))).transpose()
    }

    /// What the node wrote about how to reach a contract's deployment.
    pub async fn result(&self, contract: ContractId) -> Result<Option<Vec<u8>>, Error> {
        let result =
            self.fetch("a contract's result", api::storage().contracts().results(), (contract,)).await?;
        Ok(result.map(|r| r.0))
    }

    /// What a contract has used, as its node reported it.
    pub async fn usage(&self, contract: ContractId) -> Result<Option<UsageTotals>, Error> {
        let usage = self.fetch("a contract's usage", api::storage().contracts().usage(), (contract,)).await?;
        Ok(usage.map(|u| u.0))
    }

    /// The ids of a twin's open contracts, in order.
    pub async fn contracts_of_twin(&self, twin: TwinId) -> Result<Vec<ContractId>, Error> {
        let what = "a twin's contracts";
        let storage = self.0.storage();
        let entries = storage.iter(api::storage().contracts().twin_contracts(), (twin,));
        let mut entries = in_time(what, entries).await?;
        let mut ids = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = entry.map_err(|e| Error::read(what)(&e))?;
            let key = entry.key().and_then(|key| key.decode()).map_err(|e| Error::read(what)(&e))?;
            ids.push(key.1);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// An account's free balance in 1e-7 TFT.
    pub async fn free_balance(&self, account: &AccountId32) -> Result<u128, Error> {
        let record = self.fetch("an account", api::storage().system().account(), (*account,)).await?;
        Ok(record.map_or(0, |account| account.data.free))
    }

    async fn fetch<A: Address>(
        &self,
        what: &str,
        address: A,
        keys: A::KeyParts,
    ) -> Result<Option<A::Value>, Error> {
        let entry = self.0.storage().entry(address).map_err(|e| Error::read(what)(&e))?;
        let value = in_time(what, entry.try_fetch(keys)).await?;
        value.map(|v| v.decode().map_err(|e| Error::read(what)(&e))).transpose()
    }
}
