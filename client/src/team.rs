// SPDX-License-Identifier: Apache-2.0
//! Teams: accounts that several people sign for (multisig accounts), and the calls that await their signatures.
//!
//! The chain keeps the hash of such a call alone. Its bytes are in the transaction that proposed it, in the block that
//! the proposal names: whoever signs reads them there, and knows by the hash that they are the ones.

use crate::{
    AccountId32, Error, GridAt, GridClient, Included, Keypair,
    api::{
        self,
        runtime_types::{
            pallet_multisig,
            sp_runtime::{DispatchError, ModuleError},
        },
    },
    call::{Argument, Call, call_hash, find},
    client::in_time,
};
use codec::{Compact, Decode, Encode};
use sp_core::{Blake2Hasher, H256, Hasher};
use subxt::{
    Metadata,
    ext::{
        scale_encode::{self, EncodeAsType},
        scale_type_resolver::TypeResolver,
    },
    rpcs::methods::legacy::NumberOrHex,
    transactions::{DynamicPayload, Payload},
};
use tfgrid_primitives::Balance;

/// The pallet of teams' accounts.
pub(crate) const PALLET: &str = "Multisig";
/// The most signatories of a team.
const MAX_SIGNATORIES: usize = 32;

/// Who signs for an account, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    threshold: u16,
    /// In order.
    signatories: Vec<AccountId32>,
}

/// Why accounts make no team.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TeamError {
    #[error("a team has 2 to {MAX_SIGNATORIES} signatories, and these are {0}")]
    Size(usize),
    #[error("a team of {0} can require 2 to {0} signatures, not {1}")]
    Threshold(usize, u16),
    #[error("the signatory {0} is named twice")]
    Twice(AccountId32),
}

impl Team {
    /// Of these accounts, of which so many must sign.
    pub fn new(mut signatories: Vec<AccountId32>, threshold: u16) -> Result<Self, TeamError> {
        let size = signatories.len();
        signatories.sort_unstable();
        if let Some(twice) = signatories.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TeamError::Twice(twice[0]));
        }
        if !(2..=MAX_SIGNATORIES).contains(&size) {
            return Err(TeamError::Size(size));
        }
        if !(2..=size).contains(&usize::from(threshold)) {
            return Err(TeamError::Threshold(size, threshold));
        }
        Ok(Self { threshold, signatories })
    }

    /// How many must sign.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// Those who can sign, in order.
    pub fn signatories(&self) -> &[AccountId32] {
        &self.signatories
    }

    /// The account that they sign for, as every wallet computes it.
    pub fn account(&self) -> AccountId32 {
        account_of(&self.signatories, self.threshold)
    }

    /// The signatories beside one of them.
    fn others(&self, signer: AccountId32) -> Vec<AccountId32> {
        self.signatories.iter().copied().filter(|account| *account != signer).collect()
    }
}

/// The account of these signatories, in order.
fn account_of(signatories: &[AccountId32], threshold: u16) -> AccountId32 {
    let bytes = (b"modlpy/utilisuba", signatories, threshold).encode();
    AccountId32(Blake2Hasher::hash(&bytes).0)
}

/// The account for which `signer` signs, or withdraws a proposal, with this call.
pub(crate) fn signed_for(call: &Call, signer: AccountId32) -> Option<AccountId32> {
    if call.pallet != PALLET {
        return None;
    }
    let argument = |wanted: &str| {
        let found = call.arguments.iter().find(|(name, _)| name == wanted);
        found.map(|(_, argument)| argument)
    };
    let Some(Argument::List(others)) = argument("other_signatories") else { return None };
    let others = others.iter().map(|other| match other {
        Argument::Account(account) => Some(*account),
        _ => None,
    });
    let mut signatories = others.chain([Some(signer)]).collect::<Option<Vec<_>>>()?;
    signatories.sort_unstable();
    let threshold = match argument("threshold") {
        Some(Argument::Number(threshold)) => u16::try_from(*threshold).ok()?,
        // Where one signature is enough, the call doesn't say so.
        _ => 1,
    };
    Some(account_of(&signatories, threshold))
}

/// Where a call was proposed: the number of the block, and the index of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EncodeAsType)]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
#[allow(missing_docs)]
pub struct Timepoint {
    pub height: u32,
    pub index: u32,
}

/// A call of a team that awaits signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Hash of the call.
    pub hash: H256,
    /// Where it was proposed.
    pub when: Timepoint,
    /// Who proposed it.
    pub proposer: AccountId32,
    /// What is on hold on the proposer's account meanwhile, in 1e-7 TFT.
    pub deposit: Balance,
    /// Who has signed, the proposer too.
    pub signed: Vec<AccountId32>,
}

/// Bytes that are encoded already.
struct Encoded(Vec<u8>);

impl EncodeAsType for Encoded {
    fn encode_as_type_to<R: TypeResolver>(
        &self,
        _: R::TypeId,
        _: &R,
        out: &mut Vec<u8>,
    ) -> Result<(), scale_encode::Error> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// Time and proof that a call needs at most.
#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
struct Weight {
    ref_time: u64,
    proof_size: u64,
}

/// The arguments of `multisig.as_multi`.
#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct AsMulti {
    threshold: u16,
    other_signatories: Vec<AccountId32>,
    maybe_timepoint: Option<Timepoint>,
    call: Encoded,
    max_weight: Weight,
}

/// The arguments of `utility.batch_all`.
#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Batch {
    calls: Vec<Encoded>,
}

/// Several calls of which all succeed or none.
pub fn all_of(calls: Vec<Vec<u8>>) -> DynamicPayload<Batch> {
    let calls = calls.into_iter().map(Encoded).collect();
    DynamicPayload::new("Utility", "batch_all", Batch { calls })
}

impl GridAt {
    /// The bytes of a call.
    pub fn encoded(&self, what: &str, call: &impl Payload) -> Result<Vec<u8>, Error> {
        let transactions = self.0.transactions();
        transactions.validate(call).map_err(Error::unsent(what))?;
        transactions.call_data(call).map_err(Error::unsent(what))
    }

    /// The calls of a team's account that await signatures, the oldest first.
    pub async fn proposals(&self, account: AccountId32) -> Result<Vec<Proposal>, Error> {
        let multisigs = api::storage().multisig().multisigs();
        let entries = self.entries("an account's proposals", multisigs, (account,)).await?;
        let proposals = entries.into_iter().map(|((_, hash), record)| Proposal {
            hash: H256(hash),
            when: Timepoint { height: record.when.height, index: record.when.index },
            proposer: record.depositor,
            deposit: record.deposit,
            signed: record.approvals.0,
        });
        let mut proposals: Vec<_> = proposals.collect();
        proposals.sort_unstable_by_key(|proposal| (proposal.when.height, proposal.when.index));
        Ok(proposals)
    }

    /// What is on hold on a proposer's account until its proposal is made or withdrawn, in 1e-7 TFT.
    pub fn proposal_deposit(&self, team: &Team) -> Result<Balance, Error> {
        let what = "the deposit of a proposal";
        let base = self.constant(what, api::constants().multisig().deposit_base())?;
        let of_each = self.constant(what, api::constants().multisig().deposit_factor())?;
        Ok(base.saturating_add(of_each.saturating_mul(team.threshold.into())))
    }

    /// What `signer` submits to sign a team's call: the first one proposes it, the last one makes it. `open` is the
    /// proposal that was read: the chain refuses if another one, or none, is open by then.
    pub async fn signature(
        &self,
        team: &Team,
        signer: AccountId32,
        call: Vec<u8>,
        open: Option<&Proposal>,
    ) -> Result<DynamicPayload<AsMulti>, Error> {
        let max_weight = self.weight(&call).await?;
        let arguments = AsMulti {
            threshold: team.threshold,
            other_signatories: team.others(signer),
            maybe_timepoint: open.map(|proposal| proposal.when),
            call: Encoded(call),
            max_weight,
        };
        Ok(DynamicPayload::new(PALLET, "as_multi", arguments))
    }

    async fn weight(&self, call: &[u8]) -> Result<Weight, Error> {
        const WHAT: &str = "what a call needs of a block";
        const API: &str = "TransactionPaymentCallApi_query_call_info";
        let length = u32::try_from(call.len()).unwrap_or(u32::MAX);
        let input = [call, &length.encode()].concat();
        let answer = in_time(WHAT, self.0.runtime_apis().call_raw(API, Some(&input))).await?;
        let decoded = <(Compact<u64>, Compact<u64>)>::decode(&mut &*answer);
        let (Compact(ref_time), Compact(proof_size)) = decoded.map_err(Error::read(WHAT))?;
        Ok(Weight { ref_time, proof_size })
    }

    /// Whether the transaction in `included` made a team's call; an error if the call failed.
    pub fn made(&self, what: &str, team: &Team, hash: H256, included: &Included) -> Result<bool, Error> {
        let (account, wanted) = (team.account(), hash.0);
        for event in included.events.find::<api::multisig::events::MultisigExecuted>() {
            let event = event.map_err(Error::read("what became of a team's call"))?;
            if event.multisig == account && event.call_hash == wanted {
                let failed = |error| failure(what, &error, self.0.metadata_ref());
                return event.result.map(|()| true).map_err(failed);
            }
        }
        Ok(false)
    }
}

impl GridClient {
    /// The call that a proposal is about; `None` if the node doesn't keep the block, or the transaction that proposed
    /// it has the hash alone.
    pub async fn proposed_call(&self, at: &GridAt, proposal: &Proposal) -> Result<Option<Vec<u8>>, Error> {
        const WHAT: &str = "the block of a proposal";
        let Timepoint { height, index } = proposal.when;
        let number = Some(NumberOrHex::Number(height.into()));
        let Some(block) = in_time(WHAT, self.legacy.chain_get_block_hash(number)).await? else {
            return Ok(None);
        };
        let Some(details) = in_time(WHAT, self.legacy.chain_get_block(Some(block))).await? else {
            return Ok(None);
        };
        let Some(bytes) = details.block.extrinsics.into_iter().nth(index as usize) else { return Ok(None) };
        // By the present metadata, by which the call would be made.
        let extrinsics = at.0.extrinsics().from_bytes(vec![bytes.0]).await;
        let Some(Ok(extrinsic)) = extrinsics.iter().next() else { return Ok(None) };
        Ok(find(extrinsic.call_data_bytes(), proposal.hash, at.0.metadata_ref()).ok().flatten())
    }

    /// Withdraws a proposal of the signer's.
    pub async fn withdraw_proposal(
        &self,
        what: &str,
        team: &Team,
        proposal: &Proposal,
        signer: &Keypair,
    ) -> Result<Included, Error> {
        let Timepoint { height, index } = proposal.when;
        let others = team.others(signer.account());
        let when = pallet_multisig::Timepoint { height, index };
        let multisig = api::transactions().multisig();
        let call = multisig.cancel_as_multi(team.threshold, others, when, proposal.hash.0);
        self.submit(what, &call, signer).await
    }
}

/// The error of a call that a team's last signature made, in the pallet's own words.
pub(crate) fn failure(what: &str, error: &DispatchError, metadata: &Metadata) -> Error {
    let named = match error {
        DispatchError::Module(ModuleError { index, error }) => metadata
            .pallet_by_error_index(*index)
            .and_then(|pallet| Some((pallet.name().to_owned(), pallet.error_variant_by_index(error[0])?))),
        _ => None,
    };
    let what = what.to_owned();
    match named {
        Some((pallet, variant)) => Error::Failed {
            what,
            pallet,
            name: variant.name.clone(),
            docs: variant.docs.join(" ").trim().to_owned(),
        },
        None => {
            let name = format!("{error:?}");
            Error::Failed { what, pallet: "runtime".into(), docs: "the call of the team failed".into(), name }
        }
    }
}

impl Proposal {
    /// Whether these are the bytes of its call.
    pub fn is_of(&self, call: &[u8]) -> bool {
        call_hash(call) == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_suri;

    fn account(suri: &str) -> AccountId32 {
        parse_suri(suri).unwrap().account()
    }

    #[test]
    fn a_team_has_the_account_that_wallets_compute() {
        let team = Team::new(["//Alice", "//Bob", "//Charlie"].map(account).into(), 2).unwrap();
        let again = Team::new(["//Charlie", "//Alice", "//Bob"].map(account).into(), 2).unwrap();
        assert_eq!(team, again);
        // What `createKeyMulti` of @polkadot/util-crypto answers.
        assert_eq!(team.account().to_string(), "5DjYJStmdZ2rcqXbXGX7TW85JsrW6uG4y9MUcLq2BoPMpRA7");
        assert_ne!(team.account(), Team::new(team.signatories.clone(), 3).unwrap().account());
        assert_eq!(team.others(account("//Bob")).len(), 2);
    }

    #[test]
    fn accounts_that_make_no_team_are_refused_with_the_reason() {
        let accounts = |count: u8| (0..count).map(|n| AccountId32([n; 32])).collect::<Vec<_>>();
        let why = |signatories, threshold| Team::new(signatories, threshold).unwrap_err().to_string();
        assert!(why(accounts(1), 1).contains("2 to 32 signatories"));
        assert!(why(accounts(33), 2).contains("these are 33"));
        assert!(why(accounts(3), 4).ends_with("2 to 3 signatures, not 4"));
        assert!(why(accounts(3), 1).ends_with("not 1"));
        assert!(why([accounts(2), accounts(1)].concat(), 2).contains("is named twice"));
    }

    #[test]
    fn a_proposal_knows_its_call_by_the_hash() {
        let signed = Vec::new();
        let when = Timepoint { height: 1, index: 2 };
        let hash = call_hash(b"a call");
        let proposal = Proposal { hash, when, proposer: AccountId32([1; 32]), deposit: 3, signed };
        assert!(proposal.is_of(b"a call") && !proposal.is_of(b"another call"));
    }
}
