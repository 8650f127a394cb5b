// SPDX-License-Identifier: Apache-2.0
//! What contracts cost at the present list.

use crate::*;
use frame_support::ensure;
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
        let ip_usd = rate_of::<T>(&Priced::Addresses { public_ips, certified })?;
        let usd = rate_of::<T>(&if Rents::<T>::contains_key(node) {
            Priced::OnRented { public_ips, certified }
        } else {
            Priced::Capacity { resources, public_ips, certified }
        })?;
        Ok(ContractPrice { rates: Rates { usd, extra: 0 }, public_ips, ip_usd, certified })
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

    /// What an open contract costs at the present list; its extra fee stays.
    pub(crate) fn listed_price(contract: ContractId, record: &Contract) -> Result<ContractPrice, Error<T>> {
        let present = T::Ledger::price_of(contract).ok_or(Error::<T>::UnknownContract)?;
        let facts_of = |node| T::Nodes::facts(node).ok_or(Error::<T>::UnknownNode);
        let mut price = match &record.kind {
            ContractKind::Node(Deployment { node, resources, .. }) => {
                Self::price_on(*node, &facts_of(*node)?, *resources, present.public_ips)?
            }
            ContractKind::Rent { node } => Self::price_of_rent(&facts_of(*node)?)?,
            ContractKind::Name { .. } => Self::price_of_name()?,
        };
        price.rates.extra = present.rates.extra;
        Ok(price)
    }
}

fn rate_of<T: Config>(priced: &Priced) -> Result<UsdRate, Error<T>> {
    T::Ledger::quote(priced).ok_or(Error::<T>::RateOutOfRange)
}
