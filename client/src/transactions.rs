// SPDX-License-Identifier: Apache-2.0
//! Looks for transactions in finalized blocks, newest first, as far back as the node keeps them.

use crate::{
    AccountId32, Call, Error, GridAt, GridClient,
    api::{
        multisig::events::MultisigExecuted, runtime_types::sp_runtime,
        transaction_payment::events::TransactionFeePaid,
    },
    client::in_time,
    submit::failure,
    team,
};
use sp_core::{Blake2Hasher, H256, Hasher};
use std::future::Future;
use subxt::{
    error::DispatchError, events::Phase, rpcs::methods::legacy::NumberOrHex, utils::H256 as BlockHash,
};
use tfgrid_primitives::Balance;

const WHAT: &str = "a finalized block";
/// How many blocks are read at the same time.
const BLOCKS_AT_ONCE: usize = 32;

/// A transaction in a finalized block.
#[derive(Debug)]
pub struct Transaction {
    /// As its sender knows it: the blake2b-256 hash of the whole extrinsic.
    pub hash: H256,
    /// Number of the block.
    pub block: u64,
    /// Hash of the block.
    pub block_hash: H256,
    /// What is known of it; `None` where the node no longer keeps the state after the block.
    pub known: Option<Known>,
}

/// What a block's state tells of a transaction.
#[derive(Debug)]
pub struct Known {
    /// The block's timestamp, in milliseconds since 1970.
    pub at_ms: u64,
    /// The call, such as `Billing.deposit`.
    pub call: String,
    /// The call with its arguments; `None` where it can't be decoded.
    pub decoded: Option<Call>,
    /// Who signed it; `None` for a report of a machine.
    pub signer: Option<AccountId32>,
    /// What its signer paid for it, in 1e-7 TFT.
    pub fee: Balance,
    /// Why the call failed, or the one that it made for a team.
    pub outcome: Result<(), Error>,
    /// Names of its events, such as `Billing.Deposited`, in their order.
    pub events: Vec<String>,
}

/// What a search found.
#[derive(Debug)]
pub struct Searched<T> {
    /// Newest first.
    pub found: Vec<T>,
    /// Number of the newest block that was read.
    pub newest: u64,
    /// Number of the oldest one.
    pub oldest: u64,
}

impl GridClient {
    /// What became of a transaction, from the last `blocks` finalized blocks.
    pub async fn transaction(&self, hash: H256, blocks: u64) -> Result<Searched<Transaction>, Error> {
        let searched = self.search(blocks, true, move |grid, number| look_for(grid, hash, number)).await?;
        let Searched { found, newest, oldest } = searched;
        let mut transactions = Vec::new();
        for Place { block, block_hash, index } in found {
            let known = match self.block_at(block).await? {
                Some(at) => known(&at, |i, _| i == index).await?.pop().map(|(_, known)| known),
                None => None,
            };
            transactions.push(Transaction { hash, block, block_hash, known });
        }
        Ok(Searched { found: transactions, newest, oldest })
    }

    /// The transactions that an account signed, or that were signed for it if it is a team's, from the last `blocks`
    /// finalized blocks whose state the node keeps.
    pub async fn history(&self, account: AccountId32, blocks: u64) -> Result<Searched<Transaction>, Error> {
        self.search(blocks, false, move |grid, number| signed_by(grid, account, number)).await
    }

    /// Reads blocks, newest first, until one isn't there any more or, with `first_only`, something is found.
    async fn search<T, R>(
        &self,
        blocks: u64,
        first_only: bool,
        read: impl Fn(Self, u64) -> R,
    ) -> Result<Searched<T>, Error>
    where
        T: Send + 'static,
        R: Future<Output = Result<Option<Vec<T>>, Error>> + Send + 'static,
    {
        let newest = self.finalized().await?.number();
        let last = (newest + 1).saturating_sub(blocks);
        let mut numbers = (last..=newest).rev();
        let mut searched = Searched { found: Vec::new(), newest, oldest: newest };
        loop {
            let reading: Vec<_> = numbers
                .by_ref()
                .take(BLOCKS_AT_ONCE)
                .map(|number| (number, tokio::spawn(read(self.clone(), number))))
                .collect();
            if reading.is_empty() {
                return Ok(searched);
            }
            for (number, task) in reading {
                let interrupted =
                    |_| Error::Inconsistent { what: WHAT.into(), why: "reading was interrupted" };
                let Some(found) = task.await.map_err(interrupted)?? else { return Ok(searched) };
                searched.oldest = number;
                searched.found.extend(found);
            }
            if first_only && !searched.found.is_empty() {
                return Ok(searched);
            }
        }
    }

    /// The grid at a finalized block; `None` if the node doesn't keep its state.
    async fn block_at(&self, number: u64) -> Result<Option<GridAt>, Error> {
        match in_time(WHAT, self.api.at_block(number)).await {
            Ok(at) => Ok(Some(GridAt(at))),
            // A node that is slow may keep it.
            Err(error @ Error::TimedOut { .. }) => Err(error),
            // A connection that is gone, or a state? The newest one is always there.
            Err(_) => self.finalized().await.map(|_| None),
        }
    }
}

/// Where a transaction stands.
struct Place {
    block: u64,
    block_hash: H256,
    index: usize,
}

/// Bodies of blocks are kept longer than states.
async fn look_for(grid: GridClient, hash: H256, block: u64) -> Result<Option<Vec<Place>>, Error> {
    let number = Some(NumberOrHex::Number(block));
    let Some(block_hash) = in_time(WHAT, grid.legacy.chain_get_block_hash(number)).await? else {
        return Ok(None);
    };
    let Some(details) = in_time(WHAT, grid.legacy.chain_get_block(Some(block_hash))).await? else {
        return Ok(None);
    };
    let index = details.block.extrinsics.iter().position(|bytes| Blake2Hasher::hash(&bytes.0) == hash);
    let place = index.map(|index| Place { block, block_hash: from_subxt(block_hash), index });
    Ok(Some(place.into_iter().collect()))
}

async fn signed_by(
    grid: GridClient,
    account: AccountId32,
    block: u64,
) -> Result<Option<Vec<Transaction>>, Error> {
    let Some(at) = grid.block_at(block).await? else { return Ok(None) };
    let signed = known(&at, |_, accounts| accounts.contains(&Some(account))).await?;
    let transaction = |(hash, known)| Transaction { hash, block, block_hash: at.hash(), known: Some(known) };
    Ok(Some(signed.into_iter().map(transaction).rev().collect()))
}

/// What a block tells of those of its transactions that are wanted, by index, signer and the team that it signs for.
async fn known(
    at: &GridAt,
    wanted: impl Fn(usize, [Option<AccountId32>; 2]) -> bool,
) -> Result<Vec<(H256, Known)>, Error> {
    let mut found = Vec::new();
    let extrinsics = in_time(WHAT, at.raw().extrinsics().fetch()).await?;
    for extrinsic in extrinsics.iter() {
        let extrinsic = extrinsic.map_err(Error::read(WHAT))?;
        let signer = signer_of(extrinsic.address_bytes());
        let decoded = || at.call(extrinsic.call_data_bytes()).ok();
        let signer_of_team = signer.filter(|_| extrinsic.pallet_name() == team::PALLET);
        let team = signer_of_team.and_then(|signer| team::signed_for(&decoded()?, signer));
        if wanted(extrinsic.index(), [signer, team]) {
            let call = format!("{}.{}", extrinsic.pallet_name(), extrinsic.call_name());
            let decoded = decoded();
            found.push((extrinsic.index(), from_subxt(extrinsic.hash()), call, decoded, [signer, team]));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let at_ms = at.timestamp_ms().await?;
    let events = in_time("a block's events", at.raw().events().fetch()).await?;
    let mut known = Vec::new();
    for (index, hash, call, decoded, [signer, team]) in found {
        let mut of_it = Known { at_ms, call, decoded, signer, fee: 0, outcome: Ok(()), events: Vec::new() };
        for event in events.iter() {
            let event = event.map_err(Error::read("a block's events"))?;
            if event.phase() != Phase::ApplyExtrinsic(u32::try_from(index).unwrap_or(u32::MAX)) {
                continue;
            }
            of_it.events.push(format!("{}.{}", event.pallet_name(), event.event_name()));
            if let Some(paid) = event.decode_fields_as::<TransactionFeePaid>() {
                of_it.fee = paid.map_err(Error::read("a fee"))?.actual_fee;
            } else if let Some(made) = event.decode_fields_as::<MultisigExecuted>() {
                let made = made.map_err(Error::read("what became of a team's call"))?;
                if let Some(error) = failed_for(team, made) {
                    of_it.outcome = Err(team::failure(&of_it.call, &error, at.raw().metadata_ref()));
                }
            } else if (event.pallet_name(), event.event_name()) == ("System", "ExtrinsicFailed") {
                let error = DispatchError::decode_from(event.field_bytes(), at.raw().metadata());
                of_it.outcome = Err(failure(&of_it.call, &error.map_err(Error::read("an error"))?));
            }
        }
        known.push((hash, of_it));
    }
    Ok(known)
}

/// Why the call failed that a transaction made for the team that it signs for. What it made for others, by calls in
/// that one or in a batch, isn't its outcome.
fn failed_for(team: Option<AccountId32>, made: MultisigExecuted) -> Option<sp_runtime::DispatchError> {
    made.result.err().filter(|_| team == Some(made.multisig))
}

/// The account of a signer's address.
fn signer_of(address: Option<&[u8]>) -> Option<AccountId32> {
    const ID: u8 = 0;
    match address? {
        [ID, account @ ..] => <[u8; 32]>::try_from(account).ok().map(AccountId32),
        _ => None,
    }
}

fn from_subxt(hash: BlockHash) -> H256 {
    H256(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::runtime_types::pallet_multisig::Timepoint;

    #[test]
    fn a_call_that_fails_for_another_team_fails_nothing() {
        let [signer, team, other] = [1, 2, 3].map(|number| AccountId32([number; 32]));
        let failed = |team, result| {
            let (timepoint, call_hash) = (Timepoint { height: 1, index: 2 }, [0; 32]);
            let made = MultisigExecuted { approving: signer, timepoint, multisig: other, call_hash, result };
            failed_for(team, made).is_some()
        };
        let refused = || Err(sp_runtime::DispatchError::BadOrigin);
        assert!(failed(Some(other), refused()) && !failed(Some(other), Ok(())));
        // A batch signs for no team.
        assert!(!failed(Some(team), refused()) && !failed(None, refused()));
    }

    #[test]
    fn a_signer_is_an_account() {
        let address = [&[0][..], &[7; 32]].concat();
        assert_eq!(signer_of(Some(&address)), Some(AccountId32([7; 32])));
        for address in [&address[..32], &[1, 7]] {
            assert_eq!(signer_of(Some(address)), None);
        }
        assert_eq!(signer_of(None), None);
    }
}
