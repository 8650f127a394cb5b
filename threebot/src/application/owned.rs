// SPDX-License-Identifier: Apache-2.0
//! The contracts of an owner, and the applications that they are parts of.

use super::State;
use crate::{foreseen::Foreseen, many::answers, sealing::unopened};
use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use std::mem;
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_contracts::types::{
        Contract, ContractKind, Deployment as Versions, Network,
    },
    deployment::{Deployment, PresentRange},
    primitives::{
        Body, ContractId, NodeId, Rates, Resources, TwinId,
        views::{ContractStatus, Target, TwinContract},
    },
    sealing::SealKey,
};

/// A contract that is a part of an application.
#[derive(Debug, PartialEq)]
pub struct Running {
    pub contract: ContractId,
    pub application: String,
    pub part: String,
    pub node: NodeId,
    /// The last version that was asked for. Its secrets are in clear where there is a key.
    pub state: State,
    pub is_deployed: bool,
    /// The version that was asked for and doesn't run yet, beside one that does.
    pub pending: Option<u32>,
    pub rates: Rates,
}

/// The node contracts of an owner.
#[derive(Default)]
pub struct Owned {
    /// Parts of applications, in the order of their ids.
    pub running: Vec<Running>,
    /// Ranges of private networks, with the contracts that have them.
    ranges: Vec<(ContractId, String, Ipv4Net)>,
    /// Contracts that are sealed, and that no key opens.
    pub unreadable: Vec<ContractId>,
    /// Whether there is a key.
    pub has_key: bool,
}

impl Owned {
    pub async fn read(at: &GridAt, contracts: &[TwinContract], key: Option<&SealKey>) -> Result<Self> {
        let mut owned = Self { has_key: key.is_some(), ..Self::default() };
        for (own, record, body) in records_of(at, contracts).await? {
            owned.add(own, &record, body, key);
        }
        Ok(owned)
    }

    /// The same where words may name an application; nothing where all are ids.
    pub async fn for_words(
        at: &GridAt,
        twin: TwinId,
        words: &[String],
        key: Option<&SealKey>,
    ) -> Result<Self> {
        if words.iter().all(|word| word.parse::<ContractId>().is_ok()) {
            return Ok(Self::default());
        }
        Self::read(at, &at.contracts_of_twin(twin).await?, key).await
    }

    fn add(&mut self, own: &TwinContract, record: &Contract, body: Body<Vec<u8>>, key: Option<&SealKey>) {
        let (ContractKind::Node(versions), Target::Node { node, resources, public_ips }) =
            (&record.kind, &own.target)
        else {
            return;
        };
        let pending = versions.pending.as_ref();
        let networks = pending.map(|pending| &pending.networks).into_iter().chain([&versions.networks]);
        let ranges = networks.flat_map(|networks| &networks.0).filter_map(range_of);
        self.ranges.extend(ranges.map(|(name, range)| (own.contract, name, range)));
        let (resources, public_ips) = asked_for(versions, *resources, *public_ips);
        let deployment = match opened(body, key) {
            Ok(deployment) => deployment,
            Err(Sealed) => return self.unreadable.push(own.contract),
        };
        let Some((part, deployment)) = deployment.and_then(|d| Some((d.application.clone()?, d))) else {
            return;
        };
        self.running.push(Running {
            contract: own.contract,
            application: part.name,
            part: part.part,
            node: *node,
            state: State { deployment, resources, public_ips },
            is_deployed: own.status != ContractStatus::Created,
            pending: pending.map(|pending| pending.version),
            rates: Rates { usd: own.rate, extra: own.extra },
        });
    }

    /// The contracts of an application, out of all.
    pub fn take(&mut self, application: &str) -> Vec<Running> {
        let (its, others) =
            mem::take(&mut self.running).into_iter().partition(|running| running.application == application);
        self.running = others;
        its
    }

    /// The ranges of private networks, as the parts of an application meet them.
    pub fn ranges(&self, its: &[Running]) -> Vec<PresentRange> {
        let present = |(contract, network, range): &(ContractId, String, Ipv4Net)| PresentRange {
            network: network.clone(),
            part: its
                .iter()
                .find(|running| running.contract == *contract)
                .map(|running| running.part.clone()),
            range: *range,
        };
        self.ranges.iter().map(present).collect()
    }

    fn ensure_free(&self, networks: &[Network], own: Option<ContractId>) -> Result<()> {
        for (name, range) in networks.iter().filter_map(range_of) {
            let is_taken = |(contract, network, other): &&(ContractId, String, Ipv4Net)| {
                Some(*contract) != own
                    && *network == name
                    && (other.contains(&range) || range.contains(other))
            };
            if let Some((contract, _, other)) = self.ranges.iter().find(is_taken) {
                let text = format!(
                    "contract {contract} has the range {other} of your network {name}: give this deployment \
                     another `range` of it than {range}"
                );
                bail!(Foreseen::new("Contracts.RangeTaken", text));
            }
        }
        Ok(())
    }
}

/// What the node contracts of an owner run, or were asked to run last.
#[derive(Default)]
pub struct Deployed {
    pub open: Vec<(ContractId, NodeId, Deployment)>,
    /// Contracts that are sealed, and that no key opens.
    pub sealed: Vec<SealedContract>,
    /// Whether there is a key.
    pub has_key: bool,
}

/// What the chain says of a contract that no key opens.
pub struct SealedContract {
    pub contract: ContractId,
    pub node: NodeId,
    /// Its ranges of private networks.
    pub ranges: Vec<(String, Ipv4Net)>,
}

impl Deployed {
    pub async fn read(at: &GridAt, contracts: &[TwinContract], key: Option<&SealKey>) -> Result<Self> {
        let mut deployed = Self { has_key: key.is_some(), ..Self::default() };
        for (own, record, body) in records_of(at, contracts).await? {
            let (ContractKind::Node(versions), Target::Node { node, .. }) = (&record.kind, &own.target)
            else {
                continue;
            };
            let (contract, node) = (own.contract, *node);
            match opened(body, key) {
                Ok(deployment) => deployed.open.extend(deployment.map(|open| (contract, node, open))),
                Err(Sealed) => {
                    let pending = versions.pending.as_ref();
                    let networks = pending.map_or(&versions.networks, |pending| &pending.networks);
                    let ranges = networks.0.iter().filter_map(range_of).collect();
                    deployed.sealed.push(SealedContract { contract, node, ranges });
                }
            }
        }
        Ok(deployed)
    }

    /// How many contracts can't be read, and what opens them; `None` where all can.
    pub fn sealed_note(&self) -> Option<String> {
        sealed_note(self.sealed.len(), self.has_key)
    }
}

/// Fails if a contract of the twin other than `own` has addresses of these networks' ranges.
pub async fn ensure_ranges(
    at: &GridAt,
    twin: TwinId,
    own: Option<ContractId>,
    networks: &[Network],
) -> Result<()> {
    if networks.is_empty() {
        return Ok(());
    }
    Owned::read(at, &at.contracts_of_twin(twin).await?, None).await?.ensure_free(networks, own)
}

/// What a node contract runs, or was asked to run last.
///
/// # Errors
/// If it is sealed, and the key doesn't open it.
pub async fn state_of(at: &GridAt, own: &TwinContract, key: Option<&SealKey>) -> Result<State> {
    let contract = own.contract;
    let read = record_of(at.clone(), contract).await?;
    let (record, body) = read.with_context(|| format!("contract {contract} has closed"))?;
    let (ContractKind::Node(deployment), Target::Node { resources, public_ips, .. }) =
        (&record.kind, &own.target)
    else {
        bail!("contract {contract} runs no deployment");
    };
    let Ok(opened) = opened(body, key) else {
        return Err(unopened(at, record.twin, contract, key).await?);
    };
    let (resources, public_ips) = asked_for(deployment, *resources, *public_ips);
    let deployment = opened.with_context(|| format!("what contract {contract} runs isn't a deployment"))?;
    Ok(State { deployment, resources, public_ips })
}

/// What the last version reserves, if these are of the active one.
fn asked_for(record: &Versions, resources: Resources, public_ips: u8) -> (Resources, u8) {
    let pending = record.pending.as_ref();
    pending.map_or((resources, public_ips), |pending| (*pending.resources, pending.public_ips))
}

/// The node contracts among these that are still open, with their records and the last bodies that were asked for.
async fn records_of<'a>(
    at: &GridAt,
    contracts: &'a [TwinContract],
) -> Result<Vec<(&'a TwinContract, Contract, Body<Vec<u8>>)>> {
    let nodes = contracts.iter().filter(|own| matches!(own.target, Target::Node { .. }));
    let read = answers(nodes.clone().map(|own| record_of(at.clone(), own.contract))).await?;
    // One may have closed since the list was made.
    let open = nodes.zip(read).filter_map(|(own, read)| read.map(|(record, body)| (own, record, body)));
    Ok(open.collect())
}

/// An open contract and the last body that was asked for.
async fn record_of(at: GridAt, contract: ContractId) -> Result<Option<(Contract, Body<Vec<u8>>)>> {
    let Some(record) = at.contract(contract).await? else { return Ok(None) };
    let body = match at.pending_body(contract).await? {
        Some(body) => Some(body),
        None => at.body(contract).await?,
    };
    Ok(body.map(|body| (record, body)))
}

/// A body that no key opens.
struct Sealed;

/// The deployment in a body; `None` if it is another document.
fn opened(body: Body<Vec<u8>>, key: Option<&SealKey>) -> Result<Option<Deployment>, Sealed> {
    let text = match body {
        Body::Plain(text) => text,
        Body::Sealed(sealed) => key.and_then(|key| key.open(&sealed).ok()).ok_or(Sealed)?,
    };
    let Ok(deployment) = Deployment::parse(&text) else { return Ok(None) };
    let clear = key.and_then(|key| deployment.with_open_secrets(key).ok());
    Ok(Some(clear.unwrap_or(deployment)))
}

fn range_of(network: &Network) -> Option<(String, Ipv4Net)> {
    let range = Ipv4Net::new(network.subnet.address.into(), network.subnet.prefix).ok()?;
    Some((String::from_utf8_lossy(&network.name.0).into_owned(), range))
}

/// What keeps something sealed from being read, with or without a key.
pub fn key_text(has_key: bool) -> &'static str {
    if has_key {
        "the key of --identity doesn't open that, one that your twin had earlier may"
    } else {
        "--identity with your key opens that"
    }
}

fn sealed_note(count: usize, has_key: bool) -> Option<String> {
    (count > 0).then(|| format!("{count} of your contracts are sealed: {}", key_text(has_key)))
}

/// The contracts that these words mean: ids, or names of applications.
///
/// # Errors
/// If no application has the name.
pub fn contracts_named(words: &[String], owned: &Owned) -> Result<Vec<ContractId>> {
    let mut contracts = Vec::new();
    for word in words {
        let its: Vec<ContractId> = match word.parse() {
            Ok(contract) => vec![contract],
            Err(_) => {
                owned.running.iter().filter(|at| at.application == *word).map(|at| at.contract).collect()
            }
        };
        if its.is_empty() {
            let sealed = sealed_note(owned.unreadable.len(), owned.has_key);
            let sealed = sealed.map_or_else(String::new, |note| format!("; {note}"));
            bail!("no application of yours has the name {word:?}: `threebot ps` lists them{sealed}");
        }
        let new: Vec<_> = its.into_iter().filter(|contract| !contracts.contains(contract)).collect();
        contracts.extend(new);
    }
    Ok(contracts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::steps::tests::{running, state};
    use serde_json::json;
    use tfgrid_client::{
        api::runtime_types::{bounded_collections::bounded_vec::BoundedVec, tfgrid_primitives::net::Subnet},
        sealing::seal,
    };

    fn owned() -> Owned {
        let state = || state("db", 16 << 20, json!({}));
        let running = vec![running(7, "db", state()), running(8, "web", state())];
        let range = |range: &str| range.parse().unwrap();
        let ranges = vec![(7, "net".into(), range("10.0.0.0/24")), (9, "net".into(), range("10.0.1.0/24"))];
        Owned { running, ranges, unreadable: vec![9], has_key: false }
    }

    #[test]
    fn an_application_is_found_by_its_name() {
        let named = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            contracts_named(&words, &owned()).map_err(|error| error.to_string())
        };
        assert_eq!(named(&["shop", "8", "12"]), Ok(vec![7, 8, 12]));
        let error = named(&["shp"]).unwrap_err();
        assert!(error.contains("\"shp\"") && error.contains("1 of your contracts are sealed"), "{error}");
        let with_key = Owned { has_key: true, ..owned() };
        let error = contracts_named(&["shp".into()], &with_key).unwrap_err().to_string();
        assert!(error.ends_with("doesn't open that, one that your twin had earlier may"), "{error}");
    }

    #[test]
    fn ranges_of_other_contracts_are_of_no_part() {
        let mut owned = owned();
        let its = owned.take("shop");
        assert_eq!((its.len(), owned.running.len(), owned.take("shop").len()), (2, 0, 0));
        let parts: Vec<_> = owned.ranges(&its).into_iter().map(|at| at.part).collect();
        assert_eq!(parts, [Some("db".into()), None]);
    }

    #[test]
    fn a_range_of_another_contract_is_refused() {
        let network = |name: &str, address, prefix| Network {
            name: BoundedVec(name.into()),
            subnet: Subnet { address, prefix },
        };
        let refused = |name, address, prefix, own| {
            let error = owned().ensure_free(&[network(name, address, prefix)], own).err()?;
            Some((error.downcast_ref::<Foreseen>()?.code, error.to_string()))
        };
        for (address, prefix) in [([10, 0, 0, 0], 24), ([10, 0, 0, 64], 26), ([10, 0, 0, 0], 16)] {
            let (code, text) = refused("net", address, prefix, None).unwrap();
            assert_eq!(code, "Contracts.RangeTaken");
            assert!(text.starts_with("contract 7 has the range 10.0.0.0/24 of your network net"), "{text}");
        }
        assert_eq!(refused("net", [10, 0, 0, 0], 24, Some(7)), None);
        assert!(refused("net", [10, 0, 0, 0], 23, Some(7)).unwrap().1.starts_with("contract 9 "));
        assert_eq!(refused("net", [10, 0, 2, 0], 24, None).or(refused("lan", [10, 0, 0, 0], 24, None)), None);
    }

    #[test]
    fn a_body_is_opened_with_the_owners_key_alone() {
        let (key, other) = (SealKey::new(&[1; 32]).unwrap(), SealKey::new(&[2; 32]).unwrap());
        let deployment = state("db", 16 << 20, json!({ "db": "sesame" })).deployment;
        let text = deployment.to_body().unwrap();
        let sealed = || Body::Sealed(seal(&text, &[key.recipient()]).unwrap());
        assert!(opened(sealed(), None).is_err() && opened(sealed(), Some(&other)).is_err());
        let found = |body, key| opened(body, key).ok().flatten();
        assert_eq!(found(sealed(), Some(&key)).as_ref(), Some(&deployment));
        let hidden = deployment.with_sealed_secrets(&[key.recipient()]).unwrap();
        let body = || Body::Plain(hidden.to_body().unwrap());
        assert_eq!(found(body(), Some(&key)).as_ref(), Some(&deployment));
        assert_eq!(found(body(), None).as_ref(), Some(&hidden));
        assert_eq!(found(Body::Plain(b"{}".to_vec()), None), None);
    }
}
