// SPDX-License-Identifier: Apache-2.0
//! `threebot farm`

use super::event;
use crate::{cli::Global, foreseen::Foreseen, output::Answer, session::Session};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use std::time::{Duration, SystemTime};
use tfgrid_client::{
    Error, GridAt, MachineKey, api,
    primitives::{FarmId, PublicKey, TwinId},
    units::{format_tft, parse_duration, parse_id},
};

#[derive(Subcommand)]
pub enum Farm {
    /// Create a farm (holds 10 TFT as a deposit)
    Create {
        /// 3 to 40 letters, digits, - or _
        name: String,
    },
    /// Show a farm's payable balance
    Earnings {
        /// The farm's id
        #[arg(value_parser = parse_id::<FarmId>)]
        farm: FarmId,
    },
    /// Open a boot ticket: a machine that boots with it joins your farm (holds 10 TFT for each node)
    Ticket {
        /// Your farm's id
        #[arg(long, value_parser = parse_id::<FarmId>)]
        farm: FarmId,
        /// How many machines may join
        #[arg(long, default_value_t = 1)]
        nodes: u32,
        /// How long the ticket is valid, such as 90s, 30m, 12h or 7d
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        expires: Duration,
    },
    /// Close a boot ticket: no more machines join with it, and what it holds is returned
    CloseTicket {
        /// The ticket as it was printed, or its public half in hex
        #[arg(value_parser = parse_ticket)]
        ticket: PublicKey,
    },
}

/// The public half of a ticket.
fn parse_ticket(text: &str) -> Result<PublicKey, Error> {
    match hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()) {
        Some(public) => Ok(public),
        None => Ok(MachineKey::from_ticket(text)?.public()),
    }
}

impl Farm {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Create { name } => create(&Session::open(global).await?, name).await,
            Self::Earnings { farm } => earnings(&Session::anonymous(global).await?, farm).await,
            Self::Ticket { farm, nodes, expires } => {
                ticket(&Session::open(global).await?, farm, nodes, expires).await
            }
            Self::CloseTicket { ticket } => close_ticket(&Session::open(global).await?, ticket).await,
        }
    }
}

async fn create(session: &Session, name: String) -> Result<Answer> {
    let bytes = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(name.clone().into_bytes());
    let call = api::transactions().farms().create(bytes);
    let included = session.submit("farm create", &call).await?;
    let farm = event::<api::farms::events::FarmCreated>(&included, "farm create")?.farm;
    Ok(Answer::new(format!("farm {farm}: {name}"), json!({ "farm": farm, "name": name })))
}

async fn earnings(session: &Session, farm: FarmId) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    ensure_exists(&at, farm).await?;
    let payable = at.farm_earnings(farm).await?;
    let text = format!(
        "farm {farm} has {} TFT payable; `threebot collect --farm {farm}` collects the newer earnings of its \
         contracts and pays all",
        format_tft(payable)
    );
    Ok(Answer::new(text, json!({ "farm": farm, "payable_tft_1e7": payable.to_string() })))
}

/// Fails for an id that no farm has; returns the twin of its farmer.
pub async fn ensure_exists(at: &GridAt, farm: FarmId) -> Result<TwinId> {
    at.farmer(farm).await?.with_context(|| format!("no farm has the id {farm}"))
}

/// Fails if the farm is another twin's; `code` is the chain's error for that.
pub async fn ensure_own(session: &Session, at: &GridAt, farm: FarmId, code: &'static str) -> Result<()> {
    let (farmer, twin) = (ensure_exists(at, farm).await?, session.twin(at).await?);
    if farmer == twin {
        return Ok(());
    }
    bail!(Foreseen::new(code, format!("farm {farm} belongs to twin {farmer}, and you are twin {twin}")))
}

async fn close_ticket(session: &Session, ticket: PublicKey) -> Result<Answer> {
    const WHAT: &str = "farm close-ticket";
    let at = session.grid.finalized().await?;
    let record = at.ticket(&ticket).await?;
    let record = record.context("no farm has opened this ticket, or it was closed long ago")?;
    // Anybody may delete the record of a closed one.
    if !record.closed {
        ensure_own(session, &at, record.farm, "Farms.NotFarmer").await?;
    }
    let included = session.submit(WHAT, &api::transactions().farms().close_ticket(ticket)).await?;
    let public = hex::encode(ticket);
    // A ticket that was closed before holds nothing: its record is deleted.
    let closed = included.events.find_first::<api::farms::events::TicketClosed>();
    let returned = match closed {
        Some(closed) => closed.with_context(|| format!("can't read the event of {WHAT}"))?.released,
        None => 0,
    };
    let text = format!("the ticket {public} is closed; {} TFT are returned", format_tft(returned));
    Ok(Answer::new(text, json!({ "public": public, "returned_tft_1e7": returned.to_string() })))
}

/// The secret half is made here, shown once and never sent anywhere.
async fn ticket(session: &Session, farm: FarmId, nodes: u32, expires: Duration) -> Result<Answer> {
    ensure_own(session, &session.grid.finalized().await?, farm, "Farms.NotFarmer").await?;
    let (key, seed) = MachineKey::generate();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("this machine's clock is before 1970")?;
    let until = now.checked_add(expires).context("the ticket would be valid for too long")?.as_secs();
    let proof = key.sign_opening(session.grid.genesis(), farm);
    let call = api::transactions().farms().open_ticket(farm, key.public(), nodes, until, proof.0);
    session.submit("farm ticket", &call).await?;
    let text = MachineKey::ticket_text(&seed);
    let value = json!({
        "ticket": text,
        "public": hex::encode(key.public()),
        "farm": farm,
        "nodes": nodes,
        "expires": until,
    });
    let advice = format!(
        "{text}\n\nBoot {nodes} machine(s) with it:  ZOS_TICKET=<the line above> zos-agent\n\
         Keep it secret: whoever has it can join farm {farm}."
    );
    Ok(Answer::new(advice, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_named_by_either_half() {
        let (key, seed) = MachineKey::generate();
        for text in [MachineKey::ticket_text(&seed), hex::encode(key.public())] {
            assert_eq!(parse_ticket(&text).unwrap(), key.public());
        }
        assert!(parse_ticket("ab").is_err());
    }
}
