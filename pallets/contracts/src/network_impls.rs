// SPDX-License-Identifier: Apache-2.0
//! Which contracts take part in a twin's networks, and with which addresses.
//!
//! A contract claims the ranges of its active and its pending version, so that an update never fails for a range when
//! its node has deployed it. Claimed ranges of a network don't overlap and the trie has them in the order of their last
//! addresses: whether one is free takes a look at a single other one, however many contracts are in the network.

use crate::*;
use frame_support::{defensive, pallet_prelude::*};
use tfgrid_primitives::{ContractId, TwinId};

/// The networks of a contract's active and pending version; the same ones where it has one version only.
pub(crate) type Versions<'a> = [&'a Networks; 2];

impl<T: Config> Pallet<T> {
    pub(crate) fn ensure_networks(networks: &Networks) -> Result<(), Error<T>> {
        for (i, network) in networks.iter().enumerate() {
            ensure!(network.has_valid_name(), Error::<T>::NetworkNameInvalid);
            ensure!(network.subnet.is_valid(), Error::<T>::SubnetInvalid);
            let earlier = &networks[..i];
            ensure!(earlier.iter().all(|n| n.name != network.name), Error::<T>::DuplicateNetwork);
        }
        Ok(())
    }

    /// A contract that took part in the networks of `from` takes part in those of `to`.
    pub(crate) fn change_networks(twin: TwinId, contract: ContractId, from: &Networks, to: &Networks) {
        from.iter().for_each(|network| NetworkMembers::<T>::remove((twin, &network.name, contract)));
        for Network { name, subnet } in to {
            NetworkMembers::<T>::insert((twin, name, contract), subnet);
        }
    }

    /// A contract that claims the ranges of `from` claims those of `to` instead. Call it in a transaction: where it
    /// fails, a part is done.
    pub(crate) fn claim_ranges(twin: TwinId, from: Versions, to: Versions) -> Result<(), Error<T>> {
        for Network { name, subnet } in claims(from) {
            NetworkRanges::<T>::remove((twin, name), last_of(subnet));
        }
        claims(to).try_for_each(|network| Self::claim_range(twin, network))
    }

    pub(crate) fn claim_range(twin: TwinId, network: &Network) -> Result<(), Error<T>> {
        let Network { name, subnet } = network;
        ensure!(!Self::is_claimed(twin, network), Error::<T>::RangeTaken);
        NetworkRanges::<T>::insert((twin, name), last_of(subnet), subnet);
        Ok(())
    }

    /// The same where all ranges of `kept` lie in claimed ones.
    pub(crate) fn keep_ranges(twin: TwinId, versions: Versions, kept: &Networks) {
        if Self::claim_ranges(twin, versions, [kept; 2]).is_err() {
            defensive!("a contract's own range is taken", twin);
        }
    }

    /// Whether a claimed range of a network has addresses of this one: if any has, then the first of those that end
    /// behind its first address.
    fn is_claimed(twin: TwinId, Network { name, subnet }: &Network) -> bool {
        let (first, last) = subnet.bounds();
        let before = first.saturating_sub(1).to_be_bytes();
        let from = NetworkRanges::<T>::hashed_key_for((twin, name), before);
        let next = NetworkRanges::<T>::iter_prefix_from((twin, name), from).next();
        next.is_some_and(|(_, next)| next.bounds().0 <= last)
    }
}

/// The ranges that a contract claims: where of both versions' ranges of a network one lies in the other, the larger.
pub(crate) fn claims<'a>([active, pending]: Versions<'a>) -> impl Iterator<Item = &'a Network> {
    let replaced = active.iter().filter(move |network| !network.is_within(pending));
    replaced
        .chain(pending.iter().filter(move |network| active.contains(network) || !network.is_within(active)))
}

/// Its key in [`NetworkRanges`].
pub(crate) fn last_of(range: &Subnet) -> [u8; 4] {
    range.bounds().1.to_be_bytes()
}
