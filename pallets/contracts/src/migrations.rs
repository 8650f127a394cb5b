// SPDX-License-Identifier: Apache-2.0
//! Changes that a new runtime makes to the state of an older one.

use crate::{network_impls::claims, *};
use alloc::vec::Vec;
use core::marker::PhantomData;
use frame_support::{
    migrations::{MigrationId, SteppedMigration, SteppedMigrationError},
    pallet_prelude::*,
    weights::WeightMeter,
};
use tfgrid_primitives::ContractId;

/// The version in which contracts don't claim their ranges.
pub(crate) const WITHOUT_RANGES: u16 = 1;

/// Contracts claim their ranges in the order of their ids. A contract whose range overlaps a claimed one leaves that
/// network: nodes had sent packets for one address to different machines.
pub struct ClaimRanges<T>(PhantomData<T>);

impl<T: Config> SteppedMigration for ClaimRanges<T> {
    /// The last contract that has claimed; none while claims of a runtime without this migration are removed.
    type Cursor = Option<ContractId>;
    type Identifier = MigrationId<9>;

    fn id() -> Self::Identifier {
        MigrationId { pallet_id: *b"contracts", version_from: 1, version_to: 2 }
    }

    fn step(
        cursor: Option<Self::Cursor>,
        meter: &mut WeightMeter,
    ) -> Result<Option<Self::Cursor>, SteppedMigrationError> {
        if StorageVersion::get::<Pallet<T>>() != WITHOUT_RANGES {
            return Ok(None);
        }
        let required = T::WeightInfo::claim_ranges();
        if !meter.can_consume(required) {
            return Err(SteppedMigrationError::InsufficientWeight { required });
        }
        let mut last = cursor.flatten();
        // One for all: each new one would look at all keys anew that are removed in this block.
        let mut earlier = NetworkRanges::<T>::drain();
        while meter.try_consume(required).is_ok() {
            last = match last {
                None => earlier.next().is_none().then_some(0),
                Some(last) if last >= LastContractId::<T>::get() => {
                    StorageVersion::new(WITHOUT_RANGES + 1).put::<Pallet<T>>();
                    return Ok(None);
                }
                Some(last) => {
                    Self::claim_for(last.saturating_add(1));
                    Some(last.saturating_add(1))
                }
            };
        }
        Ok(Some(last))
    }
}

impl<T: Config> ClaimRanges<T> {
    /// A contract claims those ranges of its versions that are free, and loses the others.
    pub(crate) fn claim_for(id: ContractId) {
        let Some(mut record) = Contracts::<T>::get(id) else { return };
        let ContractKind::Node(deployment) = &mut record.kind else { return };
        let (twin, active) = (record.twin, deployment.networks.clone());
        let pending = deployment.pending.as_ref().map_or(&active, |pending| &pending.networks);
        let wanted: Vec<Network> = claims([&active, pending]).cloned().collect();
        let is_claimed = |network: &&Network| Pallet::<T>::claim_range(twin, network).is_ok();
        let claimed: Vec<Network> = wanted.iter().filter(is_claimed).cloned().collect();
        if claimed == wanted {
            return;
        }
        deployment.networks.retain(|network| network.is_within(&claimed));
        if let Some(pending) = &mut deployment.pending {
            pending.networks.retain(|network| network.is_within(&claimed));
        }
        Pallet::<T>::change_networks(twin, id, &active, &deployment.networks);
        Contracts::<T>::insert(id, record);
    }
}
