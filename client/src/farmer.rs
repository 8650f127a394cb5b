// SPDX-License-Identifier: Apache-2.0
//! Farms and nodes as their farmers see them.

use crate::{
    BootTicket, Error, GridAt,
    api::{
        self,
        runtime_types::{
            pallet_grid_farming::types::{Enrolment, RewardInfo},
            pallet_grid_farms::types::Certification,
            pallet_grid_nodes::{
                liveness::LiveState,
                public_config::PublicConfig,
                types::{Location, Node},
            },
        },
    },
    client::in_time,
};
use std::collections::BTreeMap;
use tfgrid_primitives::{FarmId, Isolation, NodeId, PublicKey, TwinId};

/// A farm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farm {
    /// Its id.
    pub id: FarmId,
    /// Twin of the farmer.
    pub twin: TwinId,
    /// Name as its farmer spells it.
    pub name: String,
    /// Whether its nodes are only rented as a whole.
    pub dedicated: bool,
    /// Whether governance has found that it meets the requirements for a data centre.
    pub gold: bool,
}

/// A node as its farmer sees it.
#[derive(Debug)]
pub struct FarmedNode {
    /// What the chain keeps of the node itself.
    pub record: Node,
    /// Where it stands, if its farmer has said so.
    pub location: Option<Location>,
    /// How the internet reaches it, if its farmer has said so.
    pub public_config: Option<PublicConfig>,
    /// Whether it is online, offline or asleep.
    pub liveness: Option<LiveState>,
    /// How it is enrolled for farming.
    pub enrolment: Option<Enrolment>,
}

impl GridAt {
    /// A farm; `None` for an unknown id.
    pub async fn farm(&self, farm: FarmId) -> Result<Option<Farm>, Error> {
        let record = self.fetch("a farm", api::storage().farms().farms(), (farm,)).await?;
        Ok(record.map(|record| described(farm, record)))
    }

    /// All farms, in the order of their ids.
    pub async fn farms(&self) -> Result<Vec<Farm>, Error> {
        let found = self.entries("the farms", api::storage().farms().farms(), ()).await?;
        let mut farms: Vec<Farm> = found.into_iter().map(|((id,), record)| described(id, record)).collect();
        farms.sort_unstable_by_key(|farm| farm.id);
        Ok(farms)
    }

    /// The boot tickets of a farm with their public halves, in no particular order.
    pub async fn tickets_of_farm(&self, farm: FarmId) -> Result<Vec<(PublicKey, BootTicket)>, Error> {
        let found = self.entries("the boot tickets", api::storage().farms().tickets(), ()).await?;
        let tickets = found.into_iter().filter(|(_, record)| record.farm == farm).map(|((key,), record)| {
            let (nodes_left, expires, closed) = (record.nodes_left, record.expires, record.closed);
            (key, BootTicket { farm, nodes_left, expires, closed })
        });
        Ok(tickets.collect())
    }

    /// A node as its farmer sees it; `None` for an unknown id.
    pub async fn farmed_node(&self, node: NodeId) -> Result<Option<FarmedNode>, Error> {
        let what = "a node";
        let nodes = || api::storage().nodes();
        let Some(record) = self.fetch(what, nodes().nodes(), (node,)).await? else { return Ok(None) };
        let call = api::runtime_apis().grid_api().node_enrolment(node);
        Ok(Some(FarmedNode {
            record,
            location: self.fetch(what, nodes().locations(), (node,)).await?,
            public_config: self.fetch(what, nodes().public_configs(), (node,)).await?,
            liveness: self.fetch(what, nodes().liveness_of(), (node,)).await?.map(|liveness| liveness.state),
            enrolment: in_time("a node's enrolment", self.0.runtime_apis().call(call)).await?,
        }))
    }

    /// How a node keeps its tenants apart; `None` for an unknown id.
    pub async fn isolation(&self, node: NodeId) -> Result<Option<Isolation>, Error> {
        let record = self.fetch("a node", api::storage().nodes().nodes(), (node,)).await?;
        Ok(record.map(|record| record.isolation.0))
    }

    /// The domains under which nodes serve gateway names.
    pub async fn domains(&self) -> Result<BTreeMap<NodeId, String>, Error> {
        let gateways = self.gateways().await?.into_iter();
        Ok(gateways.filter_map(|(node, domain)| Some((node, domain?))).collect())
    }

    /// The nodes with public addresses, which publish sites, with their domains for names.
    pub async fn gateways(&self) -> Result<BTreeMap<NodeId, Option<String>>, Error> {
        let found = self.entries("the gateways", api::storage().nodes().public_configs(), ()).await?;
        let with_address =
            found.into_iter().filter(|(_, config)| config.ipv4.is_some() || config.ipv6.is_some());
        let gateways = with_address.map(|((node,), config)| {
            (node, config.domain.map(|domain| String::from_utf8_lossy(&domain.0).into_owned()))
        });
        Ok(gateways.collect())
    }

    /// For how many milliseconds of a farming period a node was heard from.
    pub async fn node_uptime_ms(&self, node: NodeId, period: u32) -> Result<u64, Error> {
        let call = api::runtime_apis().grid_api().node_uptime(node, period);
        in_time("a node's uptime", self.0.runtime_apis().call(call)).await
    }

    /// What a node has farmed in the last 13 periods, oldest first.
    pub async fn node_rewards(&self, node: NodeId) -> Result<Vec<RewardInfo>, Error> {
        let call = api::runtime_apis().grid_api().node_rewards(node);
        in_time("a node's rewards", self.0.runtime_apis().call(call)).await
    }
}

fn described(id: FarmId, record: api::runtime_types::pallet_grid_farms::types::Farm) -> Farm {
    Farm {
        id,
        twin: record.twin,
        name: String::from_utf8_lossy(&record.name.0).into_owned(),
        dedicated: record.dedicated,
        gold: matches!(record.certification, Certification::Gold),
    }
}
