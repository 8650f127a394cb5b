// SPDX-License-Identifier: Apache-2.0
//! What contracts cost at the present list.

use crate::*;
use frame_support::{ensure, traits::Get};
use tfgrid_primitives::{
    ContractId, NodeId, Rates, Resources, UsdRate,
    pricing::Priced,
    traits::{ContractPrice, Ledger, NodeDirectory, NodeFacts},
};

impl<T: Config> Pallet<T> {
    /// What capacity of a node costs its tenant, or anybody where it isn't rented. While contracts of an ended
    /// rent close, it has no price: theirs was the rent's.
    pub(crate) fn price_on(
        node: NodeId,
        facts: &NodeFacts,
        resources: Resources,
        public_ips: u8,
    ) -> Result<ContractPrice, Error<T>> {
        ensure!(!EndedRents::<T>::contains_key(node), Error::<T>::RentEnding);
        let certified = facts.certified;
        let ip_usd = match public_ips {
            0 => 0,
            _ => rate_of::<T>(&Priced::Addresses { public_ips, certified })?,
        };
        let usd = if Rents::<T>::contains_key(node) {
            rate_of::<T>(&Priced::OnRented { public_ips, certified })?
        } else {
            let capacity = Priced::Capacity { resources, public_ips, certified };
            rate_of::<T>(&capacity)?.max(Self::place_rate(facts))
        };
        Ok(ContractPrice { rates: Rates { usd, extra: 0 }, public_ips, ip_usd, certified })
    }

    /// The least rate of a contract: the price of the node's capacity, by as many contracts as it can have. So
    /// whoever takes all places for tiny contracts pays for the node. GPUs don't count, whose price may be unset.
    fn place_rate(facts: &NodeFacts) -> UsdRate {
        let resources = Resources { gpu: 0, ..facts.resources };
        let node = Priced::Capacity { resources, public_ips: 0, certified: facts.certified };
        let places = u64::from(T::MaxContractsPerNode::get().max(1));
        T::Ledger::quote(&node).map_or(0, |rate| rate.div_ceil(places))
    }

    /// What a whole node costs.
    pub(crate) fn price_of_rent(facts: &NodeFacts) -> Result<ContractPrice, Error<T>> {
        let NodeFacts { resources, certified, extra_fee: extra, .. } = *facts;
        let usd = rate_of::<T>(&Priced::Rent { resources, certified })?;
        Ok(ContractPrice { certified, ..ContractPrice::plain(Rates { usd, extra }) })
    }

    /// What a name on the gateways costs.
    pub(crate) fn price_of_name() -> Result<ContractPrice, Error<T>> {
        Ok(ContractPrice::plain(Rates { usd: rate_of::<T>(&Priced::Name)?, extra: 0 }))
    }

    /// What an open contract costs at the present list. Its extra fee stays, and a certificate that its node got since
    /// makes it no dearer.
    pub(crate) fn listed_price(contract: ContractId, record: &Contract) -> Result<ContractPrice, Error<T>> {
        let present = T::Ledger::price_of(contract).ok_or(Error::<T>::UnknownContract)?;
        let facts_of = |node| T::Nodes::facts(node).ok_or(Error::<T>::UnknownNode);
        let mut price = match &record.kind {
            ContractKind::Node(Deployment { node, resources, .. }) => {
                // The farmer can't raise the price of a place since, and nobody escapes it.
                let facts = facts_of(*node)?;
                let place = Self::place_rate(&facts).min(present.rates.usd);
                let certified = facts.certified && present.certified;
                let alone = NodeFacts { resources: *resources, certified, ..facts };
                let mut price = Self::price_on(*node, &alone, *resources, present.public_ips)?;
                if !Rents::<T>::contains_key(*node) {
                    price.rates.usd = price.rates.usd.max(place);
                }
                price
            }
            ContractKind::Rent { node } => {
                // What was rented is paid for, whatever the node says since that it offers.
                let facts = facts_of(*node)?;
                let resources = facts.rented.unwrap_or(facts.resources);
                let certified = facts.certified && present.certified;
                Self::price_of_rent(&NodeFacts { resources, certified, ..facts })?
            }
            ContractKind::Name { .. } => Self::price_of_name()?,
        };
        price.rates.extra = present.rates.extra;
        Ok(price)
    }
}

fn rate_of<T: Config>(priced: &Priced) -> Result<UsdRate, Error<T>> {
    T::Ledger::quote(priced).ok_or(Error::<T>::RateOutOfRange)
}
