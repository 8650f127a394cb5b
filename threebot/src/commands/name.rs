// SPDX-License-Identifier: Apache-2.0
//! `threebot name`

use super::event;
use crate::{
    application::{Deployed, cancelling},
    cli::Global,
    consent::Consent,
    contract::{self, merge, own_record, status_columns},
    foreseen::{self, Foreseen, Purse},
    many::answers,
    output::Answer,
    plan::Plan,
    sealing::Identity,
    session::Session,
};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tfgrid_client::{
    GridAt, api,
    deployment::{Workload, WorkloadData},
    primitives::{
        ContractId, NodeId, Rates,
        views::{Target, TwinContract},
    },
    units::parse_unique_name,
};

#[derive(Subcommand)]
pub enum Name {
    /// Take a name (locks a deposit of 1 TFT, or 10 TFT for names of up to four letters)
    #[command(after_help = "\
Example:
  threebot name reserve shop    then `gateway-name-proxy` workloads named shop
                                publish sites at shop.DOMAIN of their gateway")]
    Reserve {
        /// 1 to 63 of a-z, 0-9 and hyphens, none at either end
        #[arg(value_parser = parse_unique_name)]
        name: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give a name back: others can take it, and its deposit is returned
    Release {
        /// A name of yours
        #[arg(value_parser = parse_unique_name)]
        name: String,
        #[command(flatten)]
        identity: Identity,
        #[command(flatten)]
        consent: Consent,
    },
    /// List your names
    List,
}

impl Name {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        match self {
            Self::Reserve { name, consent } => reserve(&session, &name, &consent).await,
            Self::Release { name, identity, consent } => release(&session, &name, &identity, &consent).await,
            Self::List => {
                let at = session.grid.finalized().await?;
                Ok(list(&at.contracts_of_twin(session.twin(&at).await?).await?))
            }
        }
    }
}

async fn reserve(session: &Session, name: &str, consent: &Consent) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let twin = session.twin(&at).await?;
    if let Some(contract) = at.contract_of_name(name).await? {
        let text = format!("the name {name:?} is taken: contract {contract} has it");
        bail!(Foreseen::new("Contracts.NameTaken", text));
    }
    let rate = at.quote_name().await?.context("the chain has no price for names")?;
    foreseen::ensure_place(&at, twin, None).await?;
    let bytes = api::runtime_types::bounded_collections::bounded_vec::BoundedVec(name.as_bytes().to_vec());
    let call = api::transactions().contracts().create_name_contract(bytes, rate);
    let fee = session.fee("name", &call).await?;
    let purse = Purse::read(&at, session.account()?).await?;
    let plan = Plan::for_new(&at, twin, format!("take the name {name:?}"), Rates { usd: rate, extra: 0 })
        .await?
        .holding(at.name_deposit(name)?, fee, purse)?;
    let deposit = consent.ask_for(session, &plan)?;
    let included = session.submit_after(deposit, "name", &call).await?;
    let contract = event::<api::contracts::events::NameContractCreated>(&included, "name")?.contract;
    let text = format!("contract {contract}: the name {name:?} is yours");
    Ok(Answer::new(text, json!({ "contract": contract, "name": name, "plan": plan.value() })))
}

async fn release(session: &Session, name: &str, identity: &Identity, consent: &Consent) -> Result<Answer> {
    let key = identity.read()?;
    let at = session.grid.finalized().await?;
    let contract =
        at.contract_of_name(name).await?.with_context(|| format!("nobody has the name {name:?}"))?;
    let twin = session.twin(&at).await?;
    own_record(&at, twin, contract).await?;
    let contracts = with_sites(&at, at.contracts_of_twin(twin).await?).await?;
    let deployed = Deployed::read(&at, &contracts, key.as_ref()).await?;
    let sites = sites_named(name, &deployed);
    consent.ask(session, &release_text(name, &sites, deployed.sealed_note()))?;
    let call = api::transactions().utility().batch_all(vec![cancelling(contract)]);
    session.submit("name release", &call).await?;
    let mut answer = contract::answer(session, contract, None).await?;
    let value = |(contract, site): &(ContractId, &str)| json!({ "contract": contract, "site": site });
    merge(&mut answer.value, json!({ "sites": sites.iter().map(value).collect::<Vec<Value>>() }));
    Ok(answer)
}

/// The contracts among these that may have sites of a name: those on nodes with a domain. The bodies of others aren't
/// read.
async fn with_sites(at: &GridAt, mut contracts: Vec<TwinContract>) -> Result<Vec<TwinContract>> {
    let nodes: BTreeSet<NodeId> = contracts.iter().filter_map(node_of).collect();
    let read = answers(nodes.into_iter().map(|node| with_domain(at.clone(), node))).await?;
    let gateways: BTreeSet<NodeId> = read.into_iter().flatten().collect();
    contracts.retain(|own| node_of(own).is_some_and(|node| gateways.contains(&node)));
    Ok(contracts)
}

fn node_of(own: &TwinContract) -> Option<NodeId> {
    match own.target {
        Target::Node { node, .. } => Some(node),
        Target::Rent { .. } | Target::Name { .. } => None,
    }
}

/// A node, if it has a domain for names.
async fn with_domain(at: GridAt, node: NodeId) -> Result<Option<NodeId>> {
    Ok(at.public_place(node).await?.domain.map(|_| node))
}

/// The sites of an owner that have this name, with their contracts.
fn sites_named<'a>(name: &str, deployed: &'a Deployed) -> Vec<(ContractId, &'a str)> {
    let has_name = |workload: &&Workload| {
        let WorkloadData::GatewayNameProxy(site) = &workload.data else { return false };
        site.name == name
    };
    let open = deployed.open.iter().flat_map(|(contract, _, deployment)| {
        let sites = deployment.workloads.iter().filter(has_name);
        sites.map(move |workload| (*contract, workload.name.as_str()))
    });
    open.collect()
}

/// What giving a name back does to these sites; `sealed` says which contracts may have others.
fn release_text(name: &str, sites: &[(ContractId, &str)], sealed: Option<String>) -> String {
    let ending =
        sites.iter().map(|(contract, site)| format!("\nthe site {site:?} of contract {contract} ends"));
    let unknown = sealed.map(|note| format!("\nmore sites of that name may end: {note}"));
    let text = format!("give the name {name:?} back: others can take it, and sites of that name end");
    [text].into_iter().chain(ending).chain(unknown).collect()
}

/// The names among a twin's contracts.
fn list(contracts: &[TwinContract]) -> Answer {
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for TwinContract { contract, target, status, .. } in contracts {
        let Target::Name { name } = target else { continue };
        let (name, (state, ..)) = (String::from_utf8_lossy(name), status_columns(status));
        lines.push(format!("{name}: contract {contract}, {state}"));
        values.push(json!({ "name": name, "contract": contract, "state": state }));
    }
    let none = "you have no name: `threebot name reserve NAME` takes one";
    let text = if lines.is_empty() { none.into() } else { lines.join("\n") };
    Answer::new(text, json!({ "names": values }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::{deployment::Deployment, primitives::views::ContractStatus};

    #[test]
    fn sites_of_a_name_are_told_before_it_is_given_back() {
        let site = |name: &str, host: &str| {
            let kind = if host.contains('.') { "fqdn" } else { "name" };
            json!({ "name": name, "type": format!("gateway-{kind}-proxy"),
                    "data": { kind: host, "backends": ["http://185.69.166.20:80"] } })
        };
        let workloads = json!([site("www", "shop"), site("blog", "blog"), site("own", "shop.example.org")]);
        let body = json!({ "version": 1, "workloads": workloads }).to_string();
        let deployment = Deployment::parse(body.as_bytes()).unwrap();
        let deployed = Deployed { open: vec![(7, 3, deployment)], ..Default::default() };
        assert_eq!(sites_named("shop", &deployed), [(7, "www")]);
        assert!(sites_named("other", &deployed).is_empty());
        let text = release_text("shop", &[(7, "www")], Some("1 of your contracts are sealed".into()));
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "the site \"www\" of contract 7 ends",
            "more sites of that name may end: 1 of your contracts are sealed",
        ];
        assert_eq!(lines, expected);
        assert_eq!(release_text("shop", &[], None).lines().count(), 1);
    }

    #[test]
    fn names_are_listed_with_their_contracts() {
        let own = |contract, target| TwinContract {
            contract,
            target,
            status: ContractStatus::Deployed { tft: 1, usd: 1 },
            rate: 1,
            extra: 0,
        };
        let shop = own(8, Target::Name { name: b"shop".to_vec() });
        let listed = list(&[own(7, Target::Rent { node: 3 }), shop]);
        assert_eq!(listed.text, "shop: contract 8, deployed");
        let value = json!({ "names": [{ "name": "shop", "contract": 8, "state": "deployed" }] });
        assert_eq!(listed.value, value);
        assert!(list(&[]).text.starts_with("you have no name"));
    }
}
