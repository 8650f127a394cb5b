// SPDX-License-Identifier: Apache-2.0

use super::event;
use crate::{cli::Farm, output::Answer, session::Session};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::{Duration, SystemTime};
use tfgrid_client::{MachineKey, api, primitives::FarmId, units::format_tft};

pub async fn run(session: &Session, command: Farm) -> Result<Answer> {
    match command {
        Farm::Create { name } => create(session, name).await,
        Farm::Earnings { farm } => earnings(session, farm).await,
        Farm::Ticket { farm, nodes, expires } => ticket(session, farm, nodes, expires).await,
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
    let payable = session.grid.finalized().await?.farm_earnings(farm).await?;
    let text = format!(
        "farm {farm} has {} TFT to be paid; `threebot claim --farm {farm}` claims what its contracts have earned \
         since, and pays all of it",
        format_tft(payable)
    );
    Ok(Answer::new(text, json!({ "farm": farm, "payable_units": payable.to_string() })))
}

/// The secret half is made here, shown once and never sent anywhere.
async fn ticket(session: &Session, farm: FarmId, nodes: u32, expires: Duration) -> Result<Answer> {
    let (key, seed) = MachineKey::generate();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("this machine's clock is before 1970")?;
    let until = (now + expires).as_secs();
    let call = api::transactions().farms().open_ticket(farm, key.public(), nodes, until);
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
        "{text}\n\nBoot {nodes} machine(s) with it:  zos-agent --ticket <the line above>\nKeep it secret: whoever has it can join farm {farm}."
    );
    Ok(Answer::new(advice, value))
}
