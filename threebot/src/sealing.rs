// SPDX-License-Identifier: Apache-2.0
//! Bodies as they go to the chain: sealed where they hold what isn't for everyone.

use crate::{deployment::Reservation, output::Usage, session::read_key_file};
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use tfgrid_client::{
    GridAt, api,
    deployment::Secrets,
    grid_at::SealKeys,
    primitives::{Body, NodeId, TwinId},
    sealing::{Recipient, SealKey, seal},
};

#[derive(Args, Clone, Default)]
pub struct Sealing {
    /// Let anyone read the deployment on the chain, its environment and registry credentials included
    #[arg(long)]
    plain: bool,
    /// Seal the deployment, and let this age key open it, too; may be repeated
    #[arg(long = "recipient", value_name = "age1…", conflicts_with = "plain")]
    recipients: Vec<Recipient>,
}

/// A body, and who can read it.
pub struct PreparedBody {
    pub body: Body<Vec<u8>>,
    pub note: String,
}

impl Sealing {
    /// The body of this reservation: sealed if it is confidential or somebody is to open it, unless it is to be plain.
    /// The secrets of a plain one are sealed.
    pub async fn prepare(
        &self,
        at: &GridAt,
        node: NodeId,
        twin: TwinId,
        reservation: &Reservation,
    ) -> Result<PreparedBody> {
        let is_plain = self.plain || !reservation.is_confidential;
        if is_plain && (self.recipients.is_empty() || reservation.deployment.secrets.is_some()) {
            return self.readable(at, node, twin, reservation).await;
        }
        let (recipients, note) = self.recipients(at, node, twin).await?;
        Ok(PreparedBody { body: Body::Sealed(seal(&reservation.body, &recipients)?), note })
    }

    /// The body of this reservation with its secrets sealed, and all else for everyone to read.
    pub async fn readable(
        &self,
        at: &GridAt,
        node: NodeId,
        twin: TwinId,
        reservation: &Reservation,
    ) -> Result<PreparedBody> {
        let public = public_note(&reservation.secrets);
        let Some(Secrets::Open(_)) = &reservation.deployment.secrets else {
            return Ok(PreparedBody { body: Body::Plain(reservation.body.clone()), note: public });
        };
        let (recipients, readers) = self.recipients(at, node, twin).await?;
        let body = reservation.deployment.with_sealed_secrets(&recipients)?.to_body()?;
        Ok(PreparedBody { body: Body::Plain(body), note: format!("{public}. The secrets are {readers}") })
    }

    /// Whether nothing is sealed that its owner hasn't named as secret.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Who is to open it, and how to say so.
    async fn recipients(&self, at: &GridAt, node: NodeId, twin: TwinId) -> Result<(Vec<Recipient>, String)> {
        let keys = at.seal_keys(node, twin).await?.with_context(|| format!("no node has the id {node}"))?;
        let mut recipients = keys.recipients().context("can't seal the deployment")?;
        recipients.extend(self.recipients.iter().cloned());
        Ok((recipients, sealed_note(node, &keys, self.recipients.len())))
    }
}

impl PreparedBody {
    /// The argument of a call.
    pub fn for_chain(self) -> api::runtime_types::tfgrid_primitives::body::Body<Vec<u8>> {
        use api::runtime_types::tfgrid_primitives::body::Body as ForChain;
        match self.body {
            Body::Plain(bytes) => ForChain::Plain(bytes),
            Body::Sealed(bytes) => ForChain::Sealed(bytes),
        }
    }
}

/// The owner's key, where a file with it is given.
#[derive(Args)]
pub struct Identity {
    /// File with an age secret key, as age-keygen writes it: opens what of your contracts is sealed
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Identity {
    pub fn read(&self) -> Result<Option<SealKey>> {
        self.identity.as_deref().map(read_identity).transpose()
    }
}

/// The secret key in a file as `age-keygen` writes it: the first line that is no comment.
fn read_identity(file: &Path) -> Result<SealKey> {
    let text = read_key_file(file)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let lacks = || Usage::new(format!("{} has no secret key", file.display()));
    line.unwrap_or_default().parse().with_context(lacks)
}

/// Says that a body is public, and which variables look as if they shouldn't be.
fn public_note(secrets: &[String]) -> String {
    if secrets.is_empty() {
        return "anyone can read the deployment on the chain, its environment included".into();
    }
    format!("WARNING: anyone can read the deployment on the chain, {} included", secrets.join(", "))
}

/// Says who can read a sealed body.
fn sealed_note(node: NodeId, keys: &SealKeys, named: usize) -> String {
    let mut readers = vec![format!("node {node}")];
    readers.extend(keys.owner.map(|_| "the key of your twin".into()));
    readers.extend((!keys.bots.is_empty()).then(|| format!("{} of your bots", keys.bots.len())));
    readers.extend((named > 0).then(|| format!("{named} of --recipient")));
    let only = format!("sealed: it can be read by {} only", readers.join(", "));
    if keys.owner.is_some() || named > 0 {
        return only;
    }
    format!("{only}. Keep the file: your twin has no key to open it (`threebot twin seal-key` sets one)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn bots_open_what_is_sealed_for_their_owner() {
        let [node, owner, bot, stranger] = [1, 2, 3, 4].map(|seed| SealKey::new(&[seed; 32]).unwrap());
        let public = |key: &SealKey| key.recipient().key().unwrap();
        let mut keys =
            SealKeys { twin: 7, node: public(&node), owner: Some(public(&owner)), bots: Vec::new() };
        // One with a weak key keeps nobody from it.
        keys.add_bot([0; 32]);
        keys.add_bot(public(&bot));
        let sealed = seal(b"{}", &keys.recipients().unwrap()).unwrap();
        for key in [node, owner, bot] {
            assert_eq!(key.open(&sealed).unwrap(), b"{}");
        }
        let weak = SealKeys { owner: Some([0; 32]), ..keys };
        assert!(weak.recipients().is_err(), "nothing is sealed to everyone");
        assert!(stranger.open(&sealed).is_err());
        assert!(SealKey::new(&[1; 32]).unwrap().of(8).open(&sealed).is_err(), "in a stranger's contract");
    }

    #[test]
    fn a_note_says_who_can_read_the_body() {
        assert!(!public_note(&[]).contains("WARNING"));
        assert!(
            public_note(&["TOKEN".into()])
                .contains("WARNING: anyone can read the deployment on the chain, TOKEN")
        );
        let mut keys = SealKeys { twin: 7, node: [1; 32], owner: None, bots: Vec::new() };
        let alone = sealed_note(7, &keys, 0);
        assert!(alone.starts_with("sealed: it can be read by node 7 only. Keep the file"), "{alone}");
        keys.owner = Some([2; 32]);
        keys.bots = vec![[3; 32]];
        let all =
            "sealed: it can be read by node 7, the key of your twin, 1 of your bots, 2 of --recipient only";
        assert_eq!(sealed_note(7, &keys, 2), all);
    }

    #[test]
    fn an_identity_is_read_as_age_keygen_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        let secret = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG";
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, format!("# created: today\n# public key: age1\n\n{secret}\n")).unwrap();
        let recipient = read_identity(&file).unwrap().recipient().to_string();
        assert_eq!(recipient, "age13aqvttdk3ujkyjh9kg2w5an6dmy5mq5a84a4uxk3hfhnugfc9p0sy5p2wh");
        fs::write(&file, secret.to_lowercase().replace("q", "b")).unwrap();
        let error = format!("{:#}", read_identity(&file).unwrap_err());
        assert!(error.contains("has no secret key") && !error.contains("bbb"), "{error}");
    }
}
