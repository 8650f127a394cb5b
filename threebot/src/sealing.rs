// SPDX-License-Identifier: Apache-2.0
//! Bodies as they go to the chain: sealed where they hold what isn't for everyone.

use crate::{deployment::Reservation, output::Usage, session::read_key_file};
use anyhow::{Context, Result};
use clap::Args;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use tfgrid_client::{
    GridAt, api,
    deployment::Secrets,
    grid_at::SealKeys,
    primitives::{Body, ContractId, NodeId, PublicKey, TwinId},
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
        let (recipients, readers) = self.recipients(at, node, twin).await?;
        let body = Body::Sealed(seal(&reservation.body, &recipients)?);
        Ok(PreparedBody { body, note: format!("sealed: all of it {readers}") })
    }

    /// The body of this reservation with its secrets sealed, and all else for everyone to read.
    pub async fn readable(
        &self,
        at: &GridAt,
        node: NodeId,
        twin: TwinId,
        reservation: &Reservation,
    ) -> Result<PreparedBody> {
        let (sealed, open) = reservation.sealed_and_open();
        let public = public_note(&open, &reservation.secrets);
        let Some(Secrets::Open(_)) = &reservation.deployment.secrets else {
            return Ok(PreparedBody { body: Body::Plain(reservation.body.clone()), note: public });
        };
        let (recipients, readers) = self.recipients(at, node, twin).await?;
        let body = reservation.deployment.with_sealed_secrets(&recipients)?.to_body()?;
        Ok(PreparedBody {
            body: Body::Plain(body),
            note: format!("{public}; {}", secrets_note(&sealed, &readers)),
        })
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
        Ok((recipients, readers_note(node, &keys, self.recipients.len())))
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

/// The error where a key, if there is one, doesn't open what is sealed in a contract of this twin.
pub async fn unopened(
    at: &GridAt,
    twin: TwinId,
    contract: ContractId,
    key: Option<&SealKey>,
) -> Result<anyhow::Error> {
    let own = at.twin(twin).await?.and_then(|twin| twin.encryption_key);
    Ok(anyhow::anyhow!(not_opened(contract, key, own.as_ref())))
}

/// Says which key opens what is sealed in a contract; `own` is the one that its twin has on the chain.
fn not_opened(contract: ContractId, key: Option<&SealKey>, own: Option<&PublicKey>) -> String {
    let given = key.map(|key| key.recipient().to_string());
    let own = own.and_then(|key| Recipient::new(key).ok()).map(|own| own.to_string());
    let what = match &given {
        Some(given) => format!("contract {contract} isn't sealed to the key of --identity, {given}"),
        None => format!("contract {contract} is sealed"),
    };
    let opens: String = match own {
        None => "your twin has no key on the chain (`threebot twin seal-key` sets one for later): only one that was \
                 named with --recipient opens it"
            .into(),
        Some(own) if Some(&own) == given.as_ref() => {
            "that is your twin's now, and an earlier one of your twin's may open it".into()
        }
        Some(own) => format!("--identity with that of your twin, {own}, opens it, or an earlier one"),
    };
    format!(
        "{what}: {opens}. Where no key does, only its node reads it: `threebot update {contract} -f FILE` without \
         --identity replaces it by what your file says"
    )
}

/// Says that a body is public, with what is `open` in it, and what of this looks as if it shouldn't be.
fn public_note(open: &BTreeSet<String>, secrets: &[String]) -> String {
    let public = "anyone can read the deployment on the chain";
    let others: BTreeSet<String> = open.iter().filter(|name| !secrets.contains(name)).cloned().collect();
    match (secrets.is_empty(), listed(&others).as_str()) {
        (true, "") => public.into(),
        (true, others) => format!("{public}, {others} included"),
        (false, "") => format!("WARNING: {public}, {} included", secrets.join(", ")),
        (false, others) => format!("WARNING: {public}, {} included, and {others}", secrets.join(", ")),
    }
}

/// Says which secrets of a public body are sealed, and who can read them.
fn secrets_note(sealed: &BTreeSet<String>, readers: &str) -> String {
    format!("sealed: {}, which {readers}", listed(sealed))
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Says who can read what is sealed.
fn readers_note(node: NodeId, keys: &SealKeys, named: usize) -> String {
    let mut readers = vec![format!("node {node}")];
    readers.extend(keys.owner.map(|_| "the key of your twin".into()));
    readers.extend((!keys.bots.is_empty()).then(|| format!("{} of your bots", keys.bots.len())));
    readers.extend((named > 0).then(|| format!("{named} of --recipient")));
    let only = format!("can be read by {} only", readers.join(", "));
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
    fn a_key_that_does_not_open_is_told_with_those_that_may() {
        let [own, other] = [1, 2].map(|seed| SealKey::new(&[seed; 32]).unwrap());
        let public = own.recipient().key().unwrap();
        let told = |key, own| not_opened(7, key, own);
        let sealed = told(None, Some(&public));
        let with_own =
            format!("contract 7 is sealed: --identity with that of your twin, {}", own.recipient());
        assert!(sealed.starts_with(&with_own), "{sealed}");
        let wrong = told(Some(&other), Some(&public));
        assert!(wrong.contains(&other.recipient().to_string()), "{wrong}");
        assert!(wrong.contains(&own.recipient().to_string()), "{wrong}");
        assert!(told(Some(&own), Some(&public)).contains("that is your twin's now, and an earlier one"));
        let none = told(None, None);
        assert!(
            none.contains("your twin has no key") && none.contains("threebot update 7 -f FILE"),
            "{none}"
        );
    }

    #[test]
    fn a_note_says_who_can_read_the_body() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let public = "anyone can read the deployment on the chain";
        assert_eq!(public_note(&names(&[]), &[]), public);
        assert_eq!(public_note(&names(&["B", "A"]), &[]), format!("{public}, A, B included"));
        let warning = |open: &[&str]| public_note(&names(open), &["TOKEN".into()]);
        assert_eq!(warning(&["TOKEN"]), format!("WARNING: {public}, TOKEN included"));
        assert_eq!(warning(&["TOKEN", "A"]), format!("WARNING: {public}, TOKEN included, and A"));
        let mut keys = SealKeys { twin: 7, node: [1; 32], owner: None, bots: Vec::new() };
        let alone = readers_note(7, &keys, 0);
        assert!(alone.starts_with("can be read by node 7 only. Keep the file"), "{alone}");
        keys.owner = Some([2; 32]);
        keys.bots = vec![[3; 32]];
        let all = "can be read by node 7, the key of your twin, 1 of your bots, 2 of --recipient only";
        assert_eq!(readers_note(7, &keys, 2), all);
        let sealed = secrets_note(&names(&["DB", "the address of out"]), all);
        assert!(
            sealed.starts_with("sealed: DB, the address of out, which can be read by node 7"),
            "{sealed}"
        );
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
