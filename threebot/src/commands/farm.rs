// SPDX-License-Identifier: Apache-2.0
//! `threebot farm`

use super::{event, image::Image, node::Switch, rewards, watch::Watch};
use crate::{
    cli::Global,
    consent::{Consent, unasked},
    foreseen::{Foreseen, Purse},
    interface::{Interfaces, shown},
    output::{Answer, Usage, counted, row},
    session::Session,
    time::moment,
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tfgrid_client::{
    BootTicket, Error, GridAt, MachineKey,
    api::{
        self,
        runtime_types::{
            bounded_collections::bounded_vec::BoundedVec,
            pallet_grid_farms::types::{IpInfo, IpState, PublicIp},
        },
    },
    farmer,
    primitives::{FarmId, NodeId, PublicKey, TwinId, UnixSeconds},
    units::{format_tft, parse_duration, parse_id},
};

#[derive(Subcommand)]
pub enum Farm {
    /// Create a farm (holds 10 TFT as a deposit)
    Create {
        /// 3 to 40 letters, digits, - or _
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// List your farms
    List {
        /// Those of this twin [default: yours]
        #[arg(long, value_parser = parse_id::<TwinId>)]
        twin: Option<TwinId>,
    },
    /// Show all about a farm: nodes, public addresses, boot tickets, earnings
    Show {
        #[command(flatten)]
        farm: OneFarm,
    },
    /// Give your farm another name
    #[command(arg = unasked())]
    Rename {
        /// The farm's id
        #[arg(value_parser = parse_id::<FarmId>)]
        farm: FarmId,
        /// 3 to 40 letters, digits, - or _
        name: String,
    },
    /// Let all nodes of your farm be rented as a whole only, or in parts again; contracts that are there stay
    #[command(arg = unasked())]
    Dedicated {
        /// The farm's id
        #[arg(value_parser = parse_id::<FarmId>)]
        farm: FarmId,
        /// Whether they are
        #[arg(value_enum)]
        dedicated: Switch,
    },
    /// Offer a public address to the contracts on your nodes (holds 5 TFT)
    #[command(arg = unasked())]
    AddIp {
        #[command(flatten)]
        farm: OneFarm,
        #[command(flatten)]
        interfaces: Interfaces,
    },
    /// Offer a public address that no contract has no more; what it holds is returned
    #[command(arg = unasked())]
    RemoveIp {
        /// The address's id, as `threebot farm show` lists it
        #[arg(value_parser = parse_id::<u32>)]
        ip: u32,
    },
    /// Remove a farm without nodes, public addresses, open tickets and earnings; its deposit is returned
    Remove {
        #[command(flatten)]
        farm: OneFarm,
        #[command(flatten)]
        consent: Consent,
    },
    /// List what the nodes of a farm have farmed in the last 13 periods of 30 days
    Rewards {
        #[command(flatten)]
        farm: OneFarm,
    },
    /// Claim all rewards of a farm's nodes that have matured; anyone may call it, and the farmer gets them
    #[command(arg = unasked())]
    Claim {
        #[command(flatten)]
        farm: OneFarm,
    },
    /// Show a farm's payable balance
    Earnings {
        #[command(flatten)]
        farm: OneFarm,
    },
    Watch(Watch),
    /// Open a boot ticket: a machine that boots with it joins your farm (holds 10 TFT for each node)
    Ticket {
        #[command(flatten)]
        farm: OneFarm,
        /// How many machines may join
        #[arg(long, default_value_t = 1)]
        nodes: u32,
        /// How long the ticket is valid, such as 90s, 30m, 12h or 7d
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        expires: Duration,
        #[command(flatten)]
        consent: Consent,
    },
    Image(Image),
    /// Close a boot ticket: no more machines join with it, and what it holds is returned
    #[command(arg = unasked())]
    CloseTicket {
        /// The ticket as it was printed, or its public half in hex
        #[arg(value_parser = parse_ticket)]
        ticket: PublicKey,
    },
}

/// A farm that a command is about, named either way.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct OneFarm {
    /// The farm's id
    #[arg(value_name = "FARM", value_parser = parse_id::<FarmId>)]
    id: Option<FarmId>,
    /// The same as an option
    #[arg(long, value_name = "FARM", value_parser = parse_id::<FarmId>)]
    farm: Option<FarmId>,
}

impl OneFarm {
    pub fn id(&self) -> Result<FarmId> {
        Ok(self.id.or(self.farm).ok_or_else(|| Usage::new("name the farm by its id"))?)
    }
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
            Self::Create { name, consent } => create(&Session::open(global).await?, name, &consent).await,
            Self::List { twin: Some(twin) } => {
                list(&Session::anonymous(global).await?.grid.finalized().await?, twin).await
            }
            Self::List { twin: None } => {
                let session = Session::open(global).await?;
                let at = session.grid.finalized().await?;
                list(&at, session.twin(&at).await?).await
            }
            Self::Show { farm } => {
                show(&Session::anonymous(global).await?.grid.finalized().await?, farm.id()?).await
            }
            Self::Rename { farm, name } => rename(&Session::open(global).await?, farm, name).await,
            Self::Dedicated { farm, dedicated } => {
                set_dedicated(&Session::open(global).await?, farm, dedicated).await
            }
            Self::AddIp { farm, interfaces } => {
                let address = public_ip(&interfaces)?;
                add_ip(&Session::open(global).await?, farm.id()?, address).await
            }
            Self::RemoveIp { ip } => remove_ip(&Session::open(global).await?, ip).await,
            Self::Remove { farm, consent } => {
                remove(&Session::open(global).await?, farm.id()?, &consent).await
            }
            Self::Rewards { farm } => {
                rewards::list(&Session::anonymous(global).await?.grid.finalized().await?, farm.id()?).await
            }
            Self::Claim { farm } => rewards::claim(&Session::open(global).await?, farm.id()?).await,
            Self::Watch(watch) => watch.run(global).await,
            Self::Earnings { farm } => earnings(&Session::anonymous(global).await?, farm.id()?).await,
            Self::Ticket { farm, nodes, expires, consent } => {
                let (session, farm) = (Session::open(global).await?, farm.id()?);
                ask_for_ticket(&session, farm, nodes, &consent).await?;
                ticket(&session, farm, nodes, expires).await
            }
            Self::Image(image) => image.run(global).await,
            Self::CloseTicket { ticket } => close_ticket(&Session::open(global).await?, ticket).await,
        }
    }
}

async fn create(session: &Session, name: String, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    session.twin(&at).await?;
    ensure_name(&at, &name).await?;
    let purse = Purse::read(&at, session.account()?).await?;
    let held = purse.deposit_text("a farm", at.farm_deposit()?, "it is removed")?;
    consent.ask(session, &format!("create the farm {name:?}: {held}"))?;
    let call = api::transactions().farms().create(BoundedVec(name.clone().into_bytes()));
    let included = session.submit("farm create", &call).await?;
    let farm = event::<api::farms::events::FarmCreated>(&included, "farm create")?.farm;
    Ok(Answer::new(format!("farm {farm}: {name}"), json!({ "farm": farm, "name": name })))
}

/// Fails for a name that no farm can have, or another farm has.
async fn ensure_name(at: &GridAt, name: &str) -> Result<()> {
    if !is_name(name) {
        let text = format!("{name:?} is no name of a farm: it has 3 to 40 of A-Z a-z 0-9 _ -");
        bail!(Foreseen::new("Farms.NameInvalid", text));
    }
    if let Some(farm) = at.farm_by_name(name).await? {
        bail!(Foreseen::new(
            "Farms.NameTaken",
            format!("farm {farm} has the name {name:?}, or one that looks like it: choose another one")
        ));
    }
    Ok(())
}

/// The rule of the chain's farms.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (3..=40).contains(&name.len()) && name.bytes().all(is_part)
}

async fn list(at: &GridAt, twin: TwinId) -> Result<Answer> {
    let farms: Vec<farmer::Farm> = at.farms().await?.into_iter().filter(|farm| farm.twin == twin).collect();
    let text = match farms.as_slice() {
        [] => format!("twin {twin} has no farms: `threebot farm create NAME` creates one"),
        farms => farms.iter().map(farm_text).collect::<Vec<_>>().join("\n"),
    };
    Ok(Answer::new(text, json!({ "twin": twin, "farms": farms.iter().map(farm_value).collect::<Vec<_>>() })))
}

fn farm_text(farm: &farmer::Farm) -> String {
    let gold = if farm.gold { ", certified as a data centre" } else { "" };
    let dedicated = if farm.dedicated { ", its nodes are only rented as a whole" } else { "" };
    format!("farm {}: {}{gold}{dedicated}", farm.id, farm.name)
}

fn farm_value(farm: &farmer::Farm) -> Value {
    json!({
        "farm": farm.id,
        "name": farm.name,
        "twin": farm.twin,
        "dedicated": farm.dedicated,
        "gold": farm.gold,
    })
}

async fn show(at: &GridAt, farm: FarmId) -> Result<Answer> {
    let shown = Shown::read(at, farm).await?;
    Ok(Answer::new(shown.text(), shown.value()))
}

struct Shown {
    farm: farmer::Farm,
    nodes: Vec<NodeId>,
    ips: Vec<IpInfo>,
    tickets: Vec<ShownTicket>,
    /// In 1e-7 TFT.
    payable: u128,
}

struct ShownTicket {
    public: PublicKey,
    record: BootTicket,
    /// How many nodes it has admitted.
    joined: usize,
    /// When it is shown, by the chain's clock.
    now: UnixSeconds,
}

impl ShownTicket {
    /// Whether machines can join with it, in a word and with more.
    fn state(&self) -> (&'static str, String) {
        let BootTicket { nodes_left, expires, closed, .. } = self.record;
        let left =
            format!("{nodes_left} of {} left", counted(u64::from(nodes_left) + self.joined as u64, "node"));
        let joined = format!("{} joined", counted(self.joined as u64, "node"));
        match () {
            () if closed => ("closed", format!("closed, {joined}")),
            () if nodes_left == 0 => ("used up", format!("used up, {joined}")),
            () if expires < self.now => (
                "expired",
                format!(
                    "expired at {}, {left}: `threebot farm close-ticket` returns their deposit",
                    moment(expires)
                ),
            ),
            () => ("open", format!("open, {left} until {}", moment(expires))),
        }
    }

    fn value(&self) -> Value {
        json!({
            "public": hex::encode(self.public),
            "state": self.state().0,
            "nodes": self.record.nodes_left,
            "joined": self.joined,
            "expires": self.record.expires,
            "closed": self.record.closed,
        })
    }
}

impl Shown {
    async fn read(at: &GridAt, farm: FarmId) -> Result<Self> {
        let now = at.timestamp_ms().await? / 1_000;
        let mut tickets = Vec::new();
        for (public, record) in at.tickets_of_farm(farm).await? {
            tickets.push(ShownTicket { public, record, joined: at.admitted_count(&public).await?, now });
        }
        Ok(Self {
            farm: at.farm(farm).await?.with_context(|| format!("no farm has the id {farm}"))?,
            nodes: at.nodes_of_farm(farm).await?,
            ips: at.addresses_of_farm(farm).await?,
            tickets,
            payable: at.farm_earnings(farm).await?,
        })
    }

    /// Fails while the farm has what must go before it, in the order of the chain. Rewards that haven't matured and
    /// bonds are left to the chain.
    fn ensure_empty(&self) -> Result<()> {
        let id = self.farm.id;
        let tickets: Vec<_> = self.tickets.iter().filter(|ticket| !ticket.record.closed).collect();
        let (code, has, advice) = if !self.nodes.is_empty() {
            let has = format!("nodes: {}", listed(&self.nodes));
            ("Farms.FarmHasNodes", has, "`threebot node remove NODE` removes one".to_owned())
        } else if self.payable > 0 {
            let has = format!("earnings: {} TFT", format_tft(self.payable));
            ("Farms.FarmHasEarnings", has, format!("`threebot collect --farm {id}` pays them"))
        } else if !self.ips.is_empty() {
            let ids: Vec<_> = self.ips.iter().map(|ip| ip.ip).collect();
            ("Farms.FarmHasIps", format!("public addresses: {}", listed(&ids)), ips_advice(&self.ips))
        } else if tickets.is_empty() {
            return Ok(());
        } else {
            let keys: Vec<_> = tickets.iter().map(|ticket| hex::encode(ticket.public)).collect();
            let has = format!("boot tickets that aren't closed: {}", listed(&keys));
            ("Farms.FarmHasOpenTickets", has, "`threebot farm close-ticket TICKET` closes one".to_owned())
        };
        bail!(Foreseen::new(code, format!("farm {id} still has {has}; {advice}")))
    }

    fn text(&self) -> String {
        let nodes = if self.nodes.is_empty() { "none".to_string() } else { listed(&self.nodes) };
        let mut rows = vec![
            row("farm", &format!("{} of twin {}: {}", self.farm.id, self.farm.twin, self.farm.name)),
            row("certified", if self.farm.gold { "as a data centre" } else { "no" }),
            row("rent", if self.farm.dedicated { "nodes as a whole only" } else { "nodes in parts, too" }),
            row("nodes", &nodes),
            row("payable", &format!("{} TFT", format_tft(self.payable))),
        ];
        rows.extend(self.ips.iter().map(|ip| row("address", &format!("{} {}", ip.ip, ip_text(ip)))));
        rows.extend(
            self.tickets.iter().map(|ticket| {
                row("ticket", &format!("{}:\n{}", hex::encode(ticket.public), ticket.state().1))
            }),
        );
        rows.join("\n")
    }

    fn value(&self) -> Value {
        let mut value = farm_value(&self.farm);
        value["nodes"] = json!(self.nodes);
        value["payable_tft_1e7"] = self.payable.to_string().into();
        value["ips"] = self.ips.iter().map(ip_value).collect();
        value["tickets"] = self.tickets.iter().map(ShownTicket::value).collect();
        value
    }
}

fn listed(ids: &[impl ToString]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What to do for a farm to have none of these public addresses.
fn ips_advice(ips: &[IpInfo]) -> String {
    let (mut free, mut taken, mut cooling) = (Vec::new(), Vec::new(), Vec::new());
    for IpInfo { ip, state, .. } in ips {
        match state {
            IpState::Free => free.push(ip.to_string()),
            IpState::Taken(contract) => taken.push(format!("{ip} (contract {contract})")),
            IpState::CoolingDown(contract) => cooling.push(format!("{ip} (contract {contract})")),
        }
    }
    let parts = [
        ("`threebot farm remove-ip IP` removes those that are free", free),
        ("in use until their contracts end, as by `threebot node drain NODE`", taken),
        ("free once they have cooled down, a day as a rule", cooling),
    ];
    let parts = parts.into_iter().filter(|(_, ips)| !ips.is_empty());
    parts.map(|(advice, ips)| format!("{advice}: {}", ips.join(", "))).collect::<Vec<_>>().join("; ")
}

fn ip_state(state: &IpState) -> (&'static str, Option<u64>) {
    match state {
        IpState::Free => ("free", None),
        IpState::Taken(contract) => ("taken", Some(*contract)),
        IpState::CoolingDown(contract) => ("cooling down", Some(*contract)),
    }
}

fn ip_text(ip: &IpInfo) -> String {
    let v6 = ip.address.v6.as_ref().map_or_else(String::new, |v6| format!(", {}", shown(v6).0));
    let (state, contract) = ip_state(&ip.state);
    let of = contract.map_or_else(String::new, |contract| format!(" (contract {contract})"));
    format!("{}{v6}: {state}{of}", shown(&ip.address.v4).0)
}

fn ip_value(ip: &IpInfo) -> Value {
    let (state, contract) = ip_state(&ip.state);
    json!({
        "ip": ip.ip,
        "ipv4": shown(&ip.address.v4).1,
        "ipv6": ip.address.v6.as_ref().map(|v6| shown(v6).1),
        "state": state,
        "contract": contract,
    })
}

async fn rename(session: &Session, farm: FarmId, name: String) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    ensure_own(session, &at, farm, "Farms.NotFarmer").await?;
    let call = api::transactions().farms().update(farm, BoundedVec(name.clone().into_bytes()));
    session.submit("farm rename", &call).await?;
    Ok(Answer::new(format!("farm {farm}: {name}"), json!({ "farm": farm, "name": name })))
}

async fn set_dedicated(session: &Session, farm: FarmId, dedicated: Switch) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    ensure_own(session, &at, farm, "Farms.NotFarmer").await?;
    let call = api::transactions().farms().set_dedicated(farm, dedicated.is_on());
    session.submit("farm dedicated", &call).await?;
    let how = if dedicated.is_on() { "as a whole only" } else { "in parts, too" };
    let value = json!({ "farm": farm, "dedicated": dedicated.is_on() });
    Ok(Answer::new(format!("the nodes of farm {farm} are rented {how}"), value))
}

/// Fails without an IPv4 address: each public address has one.
fn public_ip(interfaces: &Interfaces) -> Result<PublicIp> {
    let v4 = interfaces.v4()?.ok_or_else(|| Usage::new("a public address needs --ipv4 and --gateway"))?;
    Ok(PublicIp { v4, v6: interfaces.v6()? })
}

async fn add_ip(session: &Session, farm: FarmId, address: PublicIp) -> Result<Answer> {
    const WHAT: &str = "farm add-ip";
    ensure_own(session, &session.grid.finalized().await?, farm, "Farms.NotFarmer").await?;
    let text = shown(&address.v4).0;
    let included = session.submit(WHAT, &api::transactions().farms().add_ip(farm, address)).await?;
    let added = event::<api::farms::events::IpAdded>(&included, WHAT)?;
    let (ip, held) = (added.ip, added.deposit);
    let value = json!({ "farm": farm, "ip": ip, "held_tft_1e7": held.to_string() });
    Ok(Answer::new(
        format!("farm {farm} offers address {ip}: {text}; {} TFT are held", format_tft(held)),
        value,
    ))
}

async fn remove_ip(session: &Session, ip: u32) -> Result<Answer> {
    const WHAT: &str = "farm remove-ip";
    let included = session.submit(WHAT, &api::transactions().farms().remove_ip(ip)).await?;
    let removed = event::<api::farms::events::IpRemoved>(&included, WHAT)?;
    let (farm, released) = (removed.farm, removed.released);
    let value = json!({ "farm": farm, "ip": ip, "returned_tft_1e7": released.to_string() });
    let text =
        format!("farm {farm} no longer offers address {ip}; {} TFT are returned", format_tft(released));
    Ok(Answer::new(text, value))
}

async fn remove(session: &Session, farm: FarmId, consent: &Consent) -> Result<Answer> {
    const WHAT: &str = "farm remove";
    let at = session.grid.finalized().await?;
    ensure_own(session, &at, farm, "Farms.NotFarmer").await?;
    Shown::read(&at, farm).await?.ensure_empty()?;
    consent.ask(session, &format!("farm {farm} goes for good, and others can take its name"))?;
    let included = session.submit(WHAT, &api::transactions().farms().remove(farm)).await?;
    let released = event::<api::farms::events::FarmRemoved>(&included, WHAT)?.released;
    let text = format!("farm {farm} is removed; {} TFT are returned", format_tft(released));
    Ok(Answer::new(text, json!({ "farm": farm, "returned_tft_1e7": released.to_string() })))
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

/// A boot ticket that was opened.
pub struct Ticket {
    /// Its secret half, as machines take it.
    pub text: String,
    pub public: PublicKey,
    /// In Unix seconds.
    pub until: u64,
}

/// Tells what a ticket of the caller's farm holds, and asks whether to open it.
pub async fn ask_for_ticket(session: &Session, farm: FarmId, nodes: u32, consent: &Consent) -> Result<()> {
    let at = session.grid.finalized().await?;
    ensure_own(session, &at, farm, "Farms.NotFarmer").await?;
    let deposit = at.node_deposit()?.saturating_mul(nodes.into());
    let purse = Purse::read(&at, session.account()?).await?;
    let held = purse.deposit_text("a boot ticket", deposit, "it is closed, and its nodes are removed")?;
    let nodes = counted(nodes.into(), "node");
    consent.ask(session, &format!("open a boot ticket of farm {farm} for {nodes}: {held}"))
}

/// The secret half is made here, shown once and never sent anywhere.
pub async fn open_ticket(session: &Session, farm: FarmId, nodes: u32, expires: Duration) -> Result<Ticket> {
    let (key, seed) = MachineKey::generate();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("this machine's clock is before 1970")?;
    let too_long = || Usage::new("the ticket would be valid for too long");
    let until = now.checked_add(expires).ok_or_else(too_long)?.as_secs();
    let proof = key.sign_opening(session.grid.genesis(), farm);
    let call = api::transactions().farms().open_ticket(farm, key.public(), nodes, until, proof.0);
    session.submit("farm ticket", &call).await?;
    Ok(Ticket { text: MachineKey::ticket_text(&seed), public: key.public(), until })
}

async fn ticket(session: &Session, farm: FarmId, nodes: u32, expires: Duration) -> Result<Answer> {
    let Ticket { text, public, until } = open_ticket(session, farm, nodes, expires).await?;
    let value = json!({
        "ticket": text,
        "public": hex::encode(public),
        "farm": farm,
        "nodes": nodes,
        "expires": until,
    });
    let advice = format!(
        "{text}\n\nBoot {} with it:  ZOS_TICKET=<the line above> zos-agent\n\
         Keep it secret: whoever has it can join farm {farm}.",
        counted(nodes.into(), "machine")
    );
    Ok(Answer::new(advice, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use tfgrid_client::api::runtime_types::tfgrid_primitives::net::Interface;

    #[test]
    fn a_farms_name_is_checked_as_the_chain_does() {
        let longest = "a".repeat(40);
        for name in ["abc", "A_-9", &longest] {
            assert!(is_name(name), "{name}");
        }
        let longer = "a".repeat(41);
        for name in ["", "ab", "sunny!", "a b c", "ñandú", &longer] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_ticket_is_named_by_either_half() {
        let (key, seed) = MachineKey::generate();
        for text in [MachineKey::ticket_text(&seed), hex::encode(key.public())] {
            assert_eq!(parse_ticket(&text).unwrap(), key.public());
        }
        assert!(parse_ticket("ab").is_err());
    }

    fn ticket(public: PublicKey, nodes_left: u32, closed: bool) -> ShownTicket {
        let record = BootTicket { farm: 3, nodes_left, expires: 1_700_000_000, closed };
        ShownTicket { public, record, joined: 1, now: 1_700_000_000 }
    }

    fn ip(ip: u32, state: IpState) -> IpInfo {
        let v4 = Interface { address: [185, 69, 166, 10], prefix: 24, gateway: [185, 69, 166, 1] };
        IpInfo { ip, address: PublicIp { v4, v6: None }, state, removed: false }
    }

    fn full() -> Shown {
        Shown {
            farm: farmer::Farm { id: 3, twin: 4, name: "sunny".into(), dedicated: false, gold: true },
            nodes: vec![1, 2],
            ips: vec![ip(9, IpState::Taken(7))],
            tickets: vec![ticket([0xab; 32], 2, false), ticket([0xcd; 32], 0, true)],
            payable: 15_000_000,
        }
    }

    #[test]
    fn a_farm_is_shown_with_addresses_and_tickets() {
        let shown = full();
        let text = shown.text();
        for part in [
            "farm      3 of twin 4: sunny",
            "nodes     1 2\n",
            "address   9 185.69.166.10/24 via 185.69.166.1: taken (contract 7)",
            "open, 2 of 3 nodes left",
            "closed, 1 node joined",
            "payable   1.5 TFT",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let value = shown.value();
        assert_eq!((&value["ips"][0]["state"], &value["ips"][0]["contract"]), (&json!("taken"), &json!(7)));
        assert_eq!((&value["tickets"][0]["nodes"], &value["nodes"]), (&json!(2), &json!([1, 2])));
        let none = Shown { nodes: Vec::new(), ..shown };
        assert!(none.text().contains("nodes     none"), "{}", none.text());
    }

    #[test]
    fn a_ticket_tells_whether_machines_can_join_with_it() {
        let open = ticket([0xab; 32], 2, false);
        assert_eq!(open.state(), ("open", "open, 2 of 3 nodes left until 2023-11-14 22:13 UTC".into()));
        let (state, text) = ShownTicket { now: open.now + 1, ..open }.state();
        assert_eq!(state, "expired");
        assert!(text.starts_with("expired at 2023-11-14 22:13 UTC, 2 of 3 nodes left: `threebot"), "{text}");
        let spent = ticket([0xab; 32], 0, false);
        assert_eq!(spent.state(), ("used up", "used up, 1 node joined".into()));
        assert_eq!((&spent.value()["joined"], &spent.value()["closed"]), (&json!(1), &json!(false)));
        assert_eq!(ticket([0xab; 32], 0, true).state().0, "closed");
    }

    #[test]
    fn a_farm_that_is_not_empty_is_not_removed() {
        let mut shown = full();
        let refused = |shown: &Shown| {
            let error = shown.ensure_empty().unwrap_err();
            (error.downcast_ref::<Foreseen>().unwrap().code, error.to_string())
        };
        let nodes = "farm 3 still has nodes: 1 2; `threebot node remove NODE` removes one";
        assert_eq!(refused(&shown), ("Farms.FarmHasNodes", nodes.into()));
        shown.nodes.clear();
        let earnings = "farm 3 still has earnings: 1.5 TFT; `threebot collect --farm 3` pays them";
        assert_eq!(refused(&shown), ("Farms.FarmHasEarnings", earnings.into()));
        shown.payable = 0;
        let (code, text) = refused(&shown);
        assert!(
            code == "Farms.FarmHasIps" && text.starts_with("farm 3 still has public addresses: 9; "),
            "{text}"
        );
        shown.ips.clear();
        let (code, text) = refused(&shown);
        assert!(code == "Farms.FarmHasOpenTickets" && text.contains(": abab"), "{text}");
        assert!(!text.contains("cdcd") && text.contains("threebot farm close-ticket TICKET"), "{text}");
        shown.tickets.remove(0);
        assert!(shown.ensure_empty().is_ok());
    }

    #[test]
    fn an_address_in_use_is_told_with_its_contract() {
        let states = [IpState::Free, IpState::Free, IpState::Taken(7), IpState::CoolingDown(8)];
        let ips: Vec<_> = (8..).zip(states).map(|(id, state)| ip(id, state)).collect();
        let removes = "`threebot farm remove-ip IP` removes those that are free: 8, 9";
        assert_eq!(ips_advice(&ips[..2]), removes);
        let waits = "in use until their contracts end, as by `threebot node drain NODE`: 10 (contract 7); free once \
                     they have cooled down, a day as a rule: 11 (contract 8)";
        assert_eq!(ips_advice(&ips[2..]), waits);
        assert_eq!(ips_advice(&ips), format!("{removes}; {waits}"));
    }

    #[test]
    fn a_farm_is_named_by_its_id_either_way() {
        let show =
            |line: &[&str]| match Cli::try_parse_from([&["threebot", "farm", "show"][..], line].concat()) {
                Ok(Cli { command: Command::Farm(Farm::Show { farm }), .. }) => farm.id().ok(),
                _ => None,
            };
        assert_eq!((show(&["2"]), show(&["--farm", "2"])), (Some(2), Some(2)));
        assert_eq!((show(&[]), show(&["2", "--farm", "2"])), (None, None));
        let ticket = |farm: &[&str]| {
            let line = [&["threebot", "farm", "ticket"][..], farm, &["--nodes", "3"]].concat();
            let cli = Cli::try_parse_from(line).unwrap();
            matches!(cli.command, Command::Farm(Farm::Ticket { farm, nodes: 3, .. }) if farm.id().is_ok())
        };
        assert!(ticket(&["2"]) && ticket(&["--farm", "2"]));
    }

    #[test]
    fn an_address_without_ipv4_is_refused() {
        let line =
            ["threebot", "farm", "add-ip", "1", "--ipv6", "2a02:1802:5e::10/64", "--gateway6", "fe80::1"];
        let Command::Farm(Farm::AddIp { interfaces, .. }) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command")
        };
        let error = public_ip(&interfaces).map(drop).unwrap_err().to_string();
        assert!(error.contains("--ipv4 and --gateway"), "{error}");
    }
}
