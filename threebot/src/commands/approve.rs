// SPDX-License-Identifier: Apache-2.0
//! `threebot approve`

use super::tx::parse_hash;
use crate::{
    cli::Global,
    consent::Consent,
    describe::{Description, call_value},
    foreseen::Foreseen,
    keyring::Keyring,
    output::{Answer, Usage, counted, row},
    session::Session,
    team::{self, Signed},
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tfgrid_client::{Call, GridAt, GridClient, H256, Proposal, Team, units::format_tft};

/// The largest file with a call; the chain takes none above it.
const MAX_CALL_BYTES: u64 = 5 << 20;

#[derive(Subcommand)]
pub enum Approve {
    /// List the calls of your teams that await signatures
    List,
    /// Tell what a call does, in words, from the call itself
    Show(Wanted),
    /// Tell what a call does, and sign it; the last signature that it needs makes it
    Sign {
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        consent: Consent,
    },
    /// Withdraw a call that you have proposed: its deposit is yours again
    ///
    /// A call that somebody else proposed isn't made without your signature, or others': there is nothing to withdraw.
    Reject {
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        consent: Consent,
    },
}

/// A call that awaits signatures.
#[derive(Args)]
pub struct Wanted {
    /// Hash of the call, as `threebot approve list` prints it [default: the only one there]
    #[arg(value_parser = parse_hash)]
    hash: Option<H256>,
    /// File with the call, as bytes or in hex: only where the chain doesn't have it, since the hash alone was proposed
    #[arg(long, value_name = "FILE")]
    call: Option<PathBuf>,
}

/// A proposal, and the team that it is of.
struct Open {
    name: String,
    team: Team,
    proposal: Proposal,
}

/// The call of a proposal.
struct Read {
    bytes: Vec<u8>,
    call: Call,
    description: Description,
}

impl Approve {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::List => list(&Session::anonymous(global).await?.grid, global).await,
            Self::Show(wanted) => {
                let grid = Session::anonymous(global).await?.grid;
                let at = grid.finalized().await?;
                let open = wanted.open(&at, global).await?;
                let read = wanted.read(&grid, &at, &open.proposal).await?;
                Ok(Answer::new(text(&open, &read), value(&open, Some(&read))))
            }
            Self::Sign { wanted, consent } => sign(&wanted, &consent, global).await,
            Self::Reject { wanted, consent } => reject(&wanted, &consent, global).await,
        }
    }
}

/// The teams that are meant: that of --team, or all.
fn teams(global: &Global) -> Result<Vec<(String, Team)>> {
    let keys = Keyring::of_user()?;
    match &global.team {
        Some(name) => Ok(vec![(name.clone(), keys.team(name)?)]),
        None => keys.teams(),
    }
}

async fn all_open(at: &GridAt, global: &Global) -> Result<Vec<Open>> {
    let mut open = Vec::new();
    for (name, team) in teams(global)? {
        for proposal in at.proposals(team.account()).await? {
            open.push(Open { name: name.clone(), team: team.clone(), proposal });
        }
    }
    Ok(open)
}

async fn list(grid: &GridClient, global: &Global) -> Result<Answer> {
    let at = grid.finalized().await?;
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for open in all_open(&at, global).await? {
        let read = match grid.proposed_call(&at, &open.proposal).await? {
            Some(bytes) => Some(Read::new(&at, bytes)?),
            None => None,
        };
        let what = read.as_ref().map_or_else(no_call, |read| read.description.summary());
        texts.push(format!("{}\n{}", rows(&open), row("it would", &what)));
        values.push(value(&open, read.as_ref()));
    }
    let text = if texts.is_empty() { "no call awaits signatures".into() } else { texts.join("\n\n") };
    Ok(Answer::new(text, json!({ "proposals": values })))
}

async fn sign(wanted: &Wanted, consent: &Consent, global: &Global) -> Result<Answer> {
    let session = Session::open(global).await?;
    let at = session.grid.finalized().await?;
    let open = wanted.open(&at, global).await?;
    let session = session.acting_for(open.team.clone())?;
    team::ensure_may_sign(&open.team, &open.proposal, &session.key()?.account())?;
    let read = wanted.read(&session.grid, &at, &open.proposal).await?;
    ensure!(
        !read.description.is_cut,
        "{}\nthreebot signs nothing that it can't tell in full",
        read.description.text()
    );
    let missing = usize::from(open.team.threshold()).saturating_sub(open.proposal.signed.len() + 1);
    let then = match missing {
        0 => "your signature makes it at once".into(),
        missing => format!("it awaits {} more after yours", counted(missing as u64, "signature")),
    };
    consent.ask(&session, &format!("{}\n{}", text(&open, &read), row("then", &then)))?;
    let mut value = value(&open, Some(&read));
    let signed = team::sign(&session, "the call", &open.team, read.bytes, Some(&open.proposal)).await?;
    let hash = open.proposal.hash;
    let text = match &signed {
        Signed::Made(included) => format!("the call {hash:?} is made, in block {:?}", included.block),
        Signed::Awaits(_) => format!("you have signed the call {hash:?}: {then}"),
    };
    value["made"] = matches!(signed, Signed::Made(_)).into();
    Ok(Answer::new(text, value))
}

async fn reject(wanted: &Wanted, consent: &Consent, global: &Global) -> Result<Answer> {
    let session = Session::open(global).await?;
    let at = session.grid.finalized().await?;
    let open = wanted.open(&at, global).await?;
    let session = session.acting_for(open.team.clone())?;
    let Open { team, proposal, .. } = &open;
    let key = session.key()?;
    if proposal.proposer != key.account() {
        let text = format!(
            "{} proposed this, and alone can withdraw it; it isn't made unless {} sign it",
            proposal.proposer,
            team.threshold()
        );
        bail!(Foreseen::new("Multisig.NotOwner", text));
    }
    consent.ask(&session, &format!("withdraw this proposal:\n{}", rows(&open)))?;
    session.grid.withdraw_proposal("approve reject", team, proposal, key).await?;
    let (hash, deposit) = (proposal.hash, format_tft(proposal.deposit));
    let text = format!("the call {hash:?} awaits no signature any more; {deposit} TFT are free again");
    Ok(Answer::new(text, value(&open, None)))
}

impl Wanted {
    /// The proposal with this hash, or else the only one.
    async fn open(&self, at: &GridAt, global: &Global) -> Result<Open> {
        let mut found = all_open(at, global).await?;
        found.retain(|open| self.hash.is_none_or(|hash| open.proposal.hash == hash));
        only(found)
    }

    /// The call of a proposal, which its hash proves.
    async fn read(&self, grid: &GridClient, at: &GridAt, proposal: &Proposal) -> Result<Read> {
        let bytes = match &self.call {
            Some(file) => call_in(file)?,
            None => grid.proposed_call(at, proposal).await?.with_context(no_call)?,
        };
        ensure_is_of(proposal, &bytes)?;
        Read::new(at, bytes)
    }
}

fn only(mut found: Vec<Open>) -> Result<Open> {
    let first =
        found.pop().context("no such call awaits signatures of your teams: `threebot approve list`")?;
    if let Some(second) = found.pop() {
        let [first, second] =
            [first, second].map(|open| format!("{:?} of {}", open.proposal.hash, open.name));
        let text =
            format!("which of these calls? {first}, {second}: name its hash, and the team with --team");
        bail!(Usage::new(text));
    }
    Ok(first)
}

fn ensure_is_of(proposal: &Proposal, bytes: &[u8]) -> Result<()> {
    ensure!(
        proposal.is_of(bytes),
        "this isn't the call that was proposed: its hash isn't {:?}. Sign nothing of whoever gave it to you",
        proposal.hash
    );
    Ok(())
}

/// The bytes of a call in a file.
fn call_in(file: &Path) -> Result<Vec<u8>> {
    let name = file.display();
    let size = fs::metadata(file).with_context(|| format!("can't read {name}"))?.len();
    ensure!(size <= 2 * MAX_CALL_BYTES, "{name} has {size} bytes: no call is so large");
    let bytes = fs::read(file).with_context(|| format!("can't read {name}"))?;
    let digits = str::from_utf8(&bytes).ok().and_then(|text| text.trim().strip_prefix("0x"));
    match digits {
        Some(digits) => hex::decode(digits).ok().with_context(|| format!("{name} isn't a call in hex")),
        None => Ok(bytes),
    }
}

impl Read {
    fn new(at: &GridAt, bytes: Vec<u8>) -> Result<Self> {
        let call = at.call(&bytes)?;
        let mut description = Description::of(&call);
        description.is_by_hearsay = !at.has_known_metadata();
        Ok(Self { bytes, call, description })
    }
}

fn no_call() -> String {
    "the chain's node doesn't have the call: it no longer keeps the block in which it was proposed, or the hash alone \
     was proposed; get the call from whoever proposed it, and give it with --call"
        .into()
}

/// What is known of a proposal without its call.
fn rows(Open { name, team, proposal }: &Open) -> String {
    let signed: Vec<String> = proposal.signed.iter().map(ToString::to_string).collect();
    [
        row("call", &format!("{:?}", proposal.hash)),
        row("team", &format!("{name}, {}", team.account())),
        row("signed", &format!("by {} of {}: {}", signed.len(), team.threshold(), signed.join(" "))),
        row(
            "proposed",
            &format!(
                "by {} in block {}, with {} TFT on hold",
                proposal.proposer,
                proposal.when.height,
                format_tft(proposal.deposit)
            ),
        ),
    ]
    .join("\n")
}

fn text(open: &Open, read: &Read) -> String {
    format!("{}\n{}", rows(open), row("it would", &read.description.text()))
}

fn value(Open { name, team, proposal }: &Open, read: Option<&Read>) -> Value {
    let signed: Vec<String> = proposal.signed.iter().map(ToString::to_string).collect();
    json!({
        "call_hash": format!("{:?}", proposal.hash),
        "team": name,
        "account": team.account().to_string(),
        "threshold": team.threshold(),
        "signed": signed,
        "proposer": proposal.proposer.to_string(),
        "block": proposal.when.height,
        "held_tft_1e7": proposal.deposit.to_string(),
        "description": read.map(|read| &read.description.lines),
        "warnings": read.map(|read| read.description.warnings()),
        "decoded": read.map(|read| call_value(&read.call)),
        "bytes": read.map(|read| format!("0x{}", hex::encode(&read.bytes))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::{AccountId32, call::call_hash, team::Timepoint};

    fn open() -> Open {
        let account = |n| AccountId32([n; 32]);
        let team = Team::new(vec![account(1), account(2), account(3)], 2).unwrap();
        let proposal = Proposal {
            hash: call_hash(b"a call"),
            when: Timepoint { height: 7, index: 1 },
            proposer: account(1),
            deposit: 2_000_000,
            signed: vec![account(1)],
        };
        Open { name: "shop".into(), team, proposal }
    }

    #[test]
    fn one_of_several_proposals_must_be_named() {
        let error = |found| only(found).err().unwrap().to_string();
        assert!(error(Vec::new()).contains("no such call"));
        assert!(error(vec![open(), open()]).contains("which of these calls?"));
        assert_eq!(only(vec![open()]).ok().unwrap().name, "shop");
    }

    #[test]
    fn bytes_with_another_hash_are_refused() {
        let open = open();
        assert!(ensure_is_of(&open.proposal, b"a call").is_ok());
        let error = ensure_is_of(&open.proposal, b"another call").unwrap_err().to_string();
        assert!(error.starts_with("this isn't the call that was proposed"), "{error}");
    }

    #[test]
    fn a_proposal_is_told_with_its_signatures_and_deposit() {
        let open = open();
        let rows = rows(&open);
        assert!(rows.contains("signed    by 1 of 2: 5"), "{rows}");
        assert!(rows.contains("0.2 TFT on hold") && rows.contains("in block 7"), "{rows}");
        let value = value(&open, None);
        assert_eq!((&value["held_tft_1e7"], &value["description"]), (&json!("2000000"), &Value::Null));
    }

    #[test]
    fn a_call_is_read_from_a_file_as_bytes_or_hex() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("call");
        for (content, bytes) in [("0x0a0b\n".as_bytes(), [10, 11]), ([10, 200].as_slice(), [10, 200])] {
            fs::write(&file, content).unwrap();
            assert_eq!(call_in(&file).unwrap(), bytes);
        }
        fs::write(&file, "0x0").unwrap();
        assert!(call_in(&file).unwrap_err().to_string().contains("isn't a call in hex"));
        assert!(call_in(&folder.path().join("none")).unwrap_err().to_string().contains("can't read"));
    }
}
