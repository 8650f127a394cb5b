// SPDX-License-Identifier: Apache-2.0

//! Warp sync from a block that the operator trusts.
//!
//! Proofs of finality lead from one set of validators to the next. Where GRANDPA was restarted (`noteStalled`), the old
//! set has not signed for the new one, and a proof from genesis ends. One that begins at a later block is whole.

use crate::types::{Block, FullBackend, FullClient, Hash};
use async_trait::async_trait;
use codec::{Decode, DecodeAll, Encode};
use sc_consensus::{BlockCheckParams, BlockImport, BlockImportParams, ImportResult};
use sc_consensus_grandpa::{
    find_forced_change, find_scheduled_change,
    warp_proof::{NetworkProvider, WarpSyncFragment},
};
use sc_network_sync::strategy::warp::{EncodedProof, VerificationResult, Verifier, WarpSyncProvider};
use sp_consensus_grandpa::{AuthorityList, SetId};
use std::{error::Error, str::FromStr, sync::Arc};

type Refusal = Box<dyn Error + Send + Sync>;

/// A finalized block, and the validators that finalize those after it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Checkpoint {
    hash: Hash,
    set_id: SetId,
    authorities: AuthorityList,
}

impl FromStr for Checkpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let advice = "the script `checkpoint` of the package prints one";
        let bytes =
            sp_core::bytes::from_hex(text).map_err(|error| format!("it isn't hex ({error}): {advice}"))?;
        Self::decode_all(&mut &bytes[..]).map_err(|_| format!("it isn't whole: {advice}"))
    }
}

impl Checkpoint {
    /// Goes on to the fragment's block, if it is final.
    fn pass(&mut self, fragment: &WarpSyncFragment<Block>, may_be_last: bool) -> Result<(), Refusal> {
        let hash = fragment.header.hash();
        let WarpSyncFragment { header, justification } = fragment;
        justification.verify(self.set_id, &self.authorities).map_err(|error| error.to_string())?;
        if justification.target().1 != hash {
            return Err("a justification is for another block".into());
        }
        match find_scheduled_change::<Block>(header) {
            Some(change) => {
                self.set_id = self.set_id.saturating_add(1);
                self.authorities = change.next_authorities;
            }
            None if may_be_last => {}
            None => return Err("a block amid the proof changes no validators".into()),
        }
        self.hash = hash;
        Ok(())
    }
}

impl Verifier<Block> for Checkpoint {
    fn verify(&mut self, proof: &EncodedProof) -> Result<VerificationResult<Block>, Refusal> {
        let (fragments, is_finished) = <(Vec<WarpSyncFragment<Block>>, bool)>::decode_all(&mut &proof.0[..])
            .map_err(|error| error.to_string())?;
        let last = fragments.last().map(|fragment| fragment.header.clone()).ok_or("the proof is empty")?;
        let mut reached = self.clone();
        for (number, fragment) in fragments.iter().enumerate() {
            reached.pass(fragment, is_finished && number + 1 == fragments.len())?;
        }
        *self = reached;
        // The blocks of the proof come later, with all others of the history: before, the database knows of no set that
        // could have signed them.
        Ok(if is_finished {
            VerificationResult::Complete(last, Vec::new())
        } else {
            VerificationResult::Partial(Vec::new())
        })
    }

    fn next_proof_context(&self) -> Hash {
        self.hash
    }

    fn status(&self) -> Option<String> {
        Some(format!("from a checkpoint, at set {}", self.set_id))
    }
}

/// Serves proofs, and asks for those after a checkpoint.
pub struct FromCheckpoint {
    pub proofs: NetworkProvider<Block, FullBackend>,
    pub checkpoint: Checkpoint,
}

impl WarpSyncProvider<Block> for FromCheckpoint {
    fn generate(&self, start: Hash) -> Result<EncodedProof, Refusal> {
        self.proofs.generate(start)
    }

    fn create_verifier(&self) -> Box<dyn Verifier<Block>> {
        Box::new(self.checkpoint.clone())
    }
}

/// Imports blocks through GRANDPA, except those of the history at which GRANDPA was restarted: it wants a justification
/// for them, and nobody has one.
pub struct HistoryImport<I> {
    pub finality: I,
    pub client: Arc<FullClient>,
}

impl<I> HistoryImport<I> {
    fn is_restart_in_history(&self, block: &BlockImportParams<Block>) -> bool {
        block.header.number <= self.client.chain_info().finalized_number
            && block.justifications.is_none()
            && !block.with_state()
            && find_forced_change::<Block>(&block.header).is_some()
    }
}

#[async_trait]
impl<I> BlockImport<Block> for HistoryImport<I>
where
    I: BlockImport<Block, Error = <FullClient as BlockImport<Block>>::Error> + Send + Sync,
{
    type Error = I::Error;

    async fn check_block(&self, block: BlockCheckParams<Block>) -> Result<ImportResult, I::Error> {
        self.finality.check_block(block).await
    }

    async fn import_block(&self, block: BlockImportParams<Block>) -> Result<ImportResult, I::Error> {
        if self.is_restart_in_history(&block) {
            return <FullClient as BlockImport<Block>>::import_block(&self.client, block).await;
        }
        self.finality.import_block(block).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sc_consensus_grandpa::GrandpaJustification;
    use sp_core::{Pair, ed25519};
    use sp_runtime::{Digest, DigestItem};
    use tfgrid_runtime::opaque::Header;

    const SET: SetId = 7;
    const ROUND: u64 = 1;

    fn pair(name: &str) -> ed25519::Pair {
        ed25519::Pair::from_string(name, None).unwrap()
    }

    /// One validator, as an encoded list.
    fn list(name: &str) -> Vec<([u8; 32], u64)> {
        vec![(pair(name).public().0, 1)]
    }

    fn checkpoint(validator: &str) -> Checkpoint {
        let encoded = (Hash::repeat_byte(1), SET, list(validator)).encode();
        sp_core::bytes::to_hex(&encoded, false).parse().unwrap()
    }

    /// A header that says who comes next, if anybody.
    fn header(number: u32, next: Option<&str>) -> Header {
        let change = next.map(|next| DigestItem::Consensus(*b"FRNK", (1u8, list(next), 0u32).encode()));
        let digest = Digest { logs: change.into_iter().collect() };
        Header {
            parent_hash: Hash::zero(),
            number,
            state_root: Hash::zero(),
            extrinsics_root: Hash::zero(),
            digest,
        }
    }

    /// The header, final by a vote of `validator` in a set.
    fn fragment(header: Header, validator: &str, set: SetId) -> WarpSyncFragment<Block> {
        let (hash, number) = (header.hash(), header.number);
        let pair = pair(validator);
        // A precommit is message 1.
        let payload = sp_consensus_grandpa::localized_payload(ROUND, set, &(1u8, hash, number));
        let votes = vec![((hash, number), pair.sign(&payload).0, pair.public().0)];
        let encoded = (ROUND, (hash, number, votes), Vec::<Header>::new()).encode();
        WarpSyncFragment { header, justification: GrandpaJustification::decode(&encoded).unwrap() }
    }

    fn proof(fragments: Vec<WarpSyncFragment<Block>>, is_finished: bool) -> EncodedProof {
        EncodedProof((fragments, is_finished).encode())
    }

    #[test]
    fn proof_after_a_restart_leads_to_its_last_block() {
        let mut verifier = checkpoint("//Alice");
        let target = header(30, None);
        let fragments = vec![
            fragment(header(20, Some("//Bob")), "//Alice", SET),
            fragment(target.clone(), "//Bob", SET + 1),
        ];
        match verifier.verify(&proof(fragments, true)).unwrap() {
            VerificationResult::Complete(reached, blocks) => {
                assert_eq!(reached, target);
                assert!(blocks.is_empty());
            }
            VerificationResult::Partial(_) => panic!("the proof is whole"),
        }
    }

    #[test]
    fn next_proof_begins_where_the_last_one_ended() {
        let mut verifier = checkpoint("//Alice");
        assert_eq!(verifier.next_proof_context(), Hash::repeat_byte(1));
        let change = header(20, Some("//Bob"));
        let first = proof(vec![fragment(change.clone(), "//Alice", SET)], false);
        assert!(matches!(verifier.verify(&first), Ok(VerificationResult::Partial(_))));
        assert_eq!(verifier.next_proof_context(), change.hash());
        let second = proof(vec![fragment(header(30, None), "//Bob", SET + 1)], true);
        assert!(matches!(verifier.verify(&second), Ok(VerificationResult::Complete(..))));
    }

    #[test]
    fn proof_of_others_is_refused_and_changes_nothing() {
        let trusted = checkpoint("//Alice");
        let bad = [
            proof(vec![], true),
            proof(vec![fragment(header(30, None), "//Bob", SET)], true),
            proof(vec![fragment(header(30, None), "//Alice", SET - 1)], true),
            proof(vec![fragment(header(30, None), "//Alice", SET)], false),
            proof(
                vec![
                    fragment(header(20, Some("//Bob")), "//Alice", SET),
                    fragment(header(30, None), "//Alice", SET + 1),
                ],
                true,
            ),
            EncodedProof(vec![1, 2, 3]),
        ];
        for proof in bad {
            let mut verifier = trusted.clone();
            assert!(verifier.verify(&proof).is_err());
            assert_eq!(verifier, trusted);
        }
    }

    #[test]
    fn a_text_that_is_no_checkpoint_is_explained() {
        for (bad, why) in [("spec.json", "isn't hex"), ("0x0102", "isn't whole")] {
            let error = bad.parse::<Checkpoint>().unwrap_err();
            assert!(error.contains(why) && error.contains("`checkpoint`"), "{error}");
        }
    }
}
