// SPDX-License-Identifier: Apache-2.0
//! Collects the earnings of many contracts at once.

use crate::{
    Config, Error, GridClient, Keypair,
    api::{
        self,
        billing::events::Collected,
        runtime_types::{pallet_grid_billing::pallet::Call, tfgrid_runtime::RuntimeCall},
        utility::events::{ItemCompleted, ItemFailed},
    },
    client::in_time,
    submit::failure,
};
use std::mem;
use subxt::{
    ArcMetadata,
    error::{DispatchError, EventsError},
    events::Event,
    utils::H256,
};
use tfgrid_primitives::{Balance, ContractId};

/// The amount that a contract's earnings added to payable balances, in 1e-7 TFT, rounded down.
pub type Outcome = Result<Balance, Error>;

impl GridClient {
    /// Moves the contracts' earnings to payable balances, in one transaction; 50 contracts fit in well. A
    /// contract that fails doesn't keep the others from being collected. The outcomes have the contracts' order.
    pub async fn collect(&self, contracts: &[ContractId], signer: &Keypair) -> Result<Vec<Outcome>, Error> {
        const WHAT: &str = "the collection";
        let call = |contract: &ContractId| RuntimeCall::Billing(Call::collect { contract: *contract });
        let calls = contracts.iter().map(call).collect();
        let included = self.submit(WHAT, &api::transactions().utility().force_batch(calls), signer).await?;
        let at = in_time(WHAT, self.api.at_block(H256(included.block.0))).await?;
        outcomes(contracts, included.events.iter(), &at.metadata())
    }
}

/// Reads the outcomes of a batch from its events: an item's own events come before the one that ends it.
fn outcomes<'a>(
    contracts: &[ContractId],
    events: impl Iterator<Item = Result<Event<'a, Config>, EventsError>>,
    metadata: &ArcMetadata,
) -> Result<Vec<Outcome>, Error> {
    const WHAT: &str = "the events of the collection";
    let mut outcomes = Vec::new();
    let mut amount = 0;
    for event in events {
        let event = event.map_err(Error::read(WHAT))?;
        if let Some(collected) = event.decode_fields_as::<Collected>() {
            amount = collected.map_err(Error::read(WHAT))?.amount;
        } else if event.is::<ItemCompleted>() {
            outcomes.push(Ok(mem::take(&mut amount)));
        } else if event.is::<ItemFailed>() {
            let error = DispatchError::decode_from(event.field_bytes(), metadata.clone());
            let of =
                contracts.get(outcomes.len()).map_or_else(String::new, |id| format!(" of contract {id}"));
            outcomes.push(Err(failure(&format!("the collection{of}"), &error.map_err(Error::read(WHAT))?)));
        }
    }
    if outcomes.len() != contracts.len() {
        return Err(Error::Inconsistent { what: WHAT.into(), why: "not every contract has an outcome" });
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::{Compact, Decode, Encode};
    use std::sync::Arc;
    use subxt::{
        Metadata,
        client::OfflineClient,
        config::substrate::{SpecVersionForRange, SubstrateConfigBuilder},
    };

    fn metadata() -> ArcMetadata {
        let bytes = include_bytes!("../metadata.scale");
        Arc::new(Metadata::decode(&mut &bytes[..]).unwrap())
    }

    /// An event of the first transaction in a block, in the chain's encoding.
    fn event(metadata: &Metadata, pallet: &str, name: &str, fields: impl Encode) -> Vec<u8> {
        let pallet = metadata.pallet_by_name(pallet).unwrap();
        let variant = pallet.event_variants().unwrap().iter().find(|v| v.name == name).unwrap();
        let (phase, no_topics) = ((0u8, 0u32), Compact(0u32));
        (phase, pallet.event_index(), variant.index, fields, no_topics).encode()
    }

    fn module_error(metadata: &Metadata, pallet: &str, name: &str) -> impl Encode {
        const MODULE: u8 = 3;
        let pallet = metadata.pallet_by_name(pallet).unwrap();
        let variant = pallet.error_variants().unwrap().iter().find(|v| v.name == name).unwrap();
        (MODULE, pallet.error_index(), variant.index, [0u8; 3])
    }

    fn read(
        metadata: &ArcMetadata,
        contracts: &[ContractId],
        events: &[Vec<u8>],
    ) -> Result<Vec<Outcome>, Error> {
        let one = SpecVersionForRange { block_range: 0..1, spec_version: 1, transaction_version: 1 };
        let config = SubstrateConfigBuilder::new()
            .set_spec_version_for_block_ranges([one])
            .set_metadata_for_spec_versions([(1, metadata.clone())])
            .build();
        let at = OfflineClient::<Config>::new_with_config(config).at_block(0u32).unwrap();
        let bytes = [Compact(events.len() as u32).encode(), events.concat()].concat();
        let events = at.events().from_bytes(bytes);
        outcomes(contracts, events.iter(), metadata)
    }

    #[test]
    fn each_contract_of_a_batch_has_its_own_outcome() {
        let metadata = metadata();
        let claimed = |contract: ContractId, amount: Balance| {
            event(&metadata, "Billing", "Collected", (contract, amount))
        };
        let completed = event(&metadata, "Utility", "ItemCompleted", ());
        let failed =
            event(&metadata, "Utility", "ItemFailed", module_error(&metadata, "Billing", "SetAside"));
        let end = event(&metadata, "Utility", "BatchCompletedWithErrors", ());
        let events = [claimed(7, 120), completed.clone(), failed, claimed(9, 30), completed.clone(), end];
        let outcomes = read(&metadata, &[7, 8, 9], &events).unwrap();
        assert_eq!((outcomes[0].as_ref().ok(), outcomes[2].as_ref().ok()), (Some(&120), Some(&30)));
        let error = outcomes[1].as_ref().unwrap_err();
        assert!(matches!(error, Error::Failed { name, .. } if name == "SetAside"), "{error}");
        assert!(
            error.to_string().starts_with("the collection of contract 8 failed: Billing.SetAside: The"),
            "{error}"
        );

        let too_few = read(&metadata, &[7, 8], &[claimed(7, 120), completed]);
        assert!(too_few.unwrap_err().to_string().contains("not every contract has an outcome"));
    }
}
