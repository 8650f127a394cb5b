// SPDX-License-Identifier: Apache-2.0
//! What the chain says about the node.

use super::unknown;
use crate::{
    chain::endpoints::{Dialled, STALE_MS},
    clock::unix_ms,
    host,
    join::Belonging,
    store::Store,
};
use std::time::Duration;
use tfgrid_client::{
    BootTicket, Error, GridAt, GridClient,
    finding::{Finding, State},
    trouble::Trouble,
};
use tfgrid_primitives::{NodeId, PublicKey, UnixSeconds, views::NodeOffer};

/// How far this machine's clock may be behind the chain's.
const CLOCK_TOLERANCE_MS: u64 = 10_000;

/// The endpoints, and a connection to the first that can be used.
pub fn endpoints<C>(
    dialled: Vec<(String, Result<Dialled<C>, Error>)>,
    state: Option<&Store>,
) -> (Vec<Finding>, Option<C>) {
    let expected = state.and_then(|state| Belonging::known(state).ok().flatten()?.genesis().ok());
    let (mut findings, mut best) = (Vec::new(), None);
    for (url, dialled) in dialled {
        let name = format!("chain at {url}");
        findings.push(match dialled {
            Err(error) => {
                Finding::wrong(name, error.to_string(), "correct --chain, or wait until it is back")
            }
            Ok(Dialled { genesis, .. }) if expected.is_some_and(|expected| expected != genesis) => {
                Finding::wrong(
                    name,
                    format!("it isn't this node's chain: its genesis is {genesis:?}"),
                    "correct --chain, or name the data folder of a node on that chain with --data",
                )
            }
            Ok(Dialled { client, behind_ms, .. }) => {
                best.get_or_insert(client);
                behind(name, behind_ms)
            }
        });
    }
    // One that works is enough.
    if findings.iter().any(|finding| finding.state == State::Ok) {
        let spare = findings.iter_mut().filter(|finding| finding.state == State::Wrong);
        spare.for_each(|finding| finding.state = State::Note);
    }
    (findings, best)
}

/// How old a chain's newest block is.
pub fn behind(name: String, behind_ms: u64) -> Finding {
    let behind = Duration::from_secs(behind_ms / 1_000);
    let text = format!("its newest finalized block is {behind:?} old");
    if behind_ms > STALE_MS {
        let advice = "the endpoint is behind, the chain stands still, or this machine's clock is fast: name another \
                      endpoint with --chain, and keep the clock right with NTP";
        return Finding::wrong(name, text, advice);
    }
    Finding::ok(name, text)
}

/// The node with this key, and what the chain says about it or about its ticket.
pub async fn node(
    client: &GridClient,
    key: &PublicKey,
    ticket: Option<PublicKey>,
) -> (Option<NodeId>, Vec<Finding>) {
    match read(client, key, ticket).await {
        Ok(found) => found,
        Err(error) => (None, vec![unknown("node", error)]),
    }
}

async fn read(
    client: &GridClient,
    key: &PublicKey,
    ticket: Option<PublicKey>,
) -> Result<(Option<NodeId>, Vec<Finding>), Error> {
    let at = client.finalized().await?;
    let mut findings = Vec::from_iter(clock(at.timestamp_ms().await?, unix_ms()));
    let id = at.node_by_key(key).await?;
    match id {
        Some(id) => findings.extend(registered(&at, id).await?),
        None => findings.push(match ticket {
            Some(ticket) => {
                let used = at.has_admitted(&ticket, key).await?;
                ticket_finding(at.ticket(&ticket).await?, used, unix_ms() / 1_000)
            }
            None => Finding::wrong(
                "node",
                "it isn't on the grid, and has no boot ticket",
                "get a ticket from the farmer (`threebot farm ticket`) and start the agent once with it",
            ),
        }),
    }
    Ok((id, findings))
}

async fn registered(at: &GridAt, node: NodeId) -> Result<Vec<Finding>, Error> {
    let Some(offer) = at.node_offer(node).await? else { return Ok(Vec::new()) };
    let name = at.farm_name(offer.farm).await?.unwrap_or_default();
    let mut findings = vec![Finding::ok("node", format!("node {node} of farm {} ({name})", offer.farm))];
    findings.extend(standing(&offer, at.is_enrolled(node).await?));
    Ok(findings)
}

fn clock(chain_ms: u64, now_ms: u64) -> Option<Finding> {
    let slow_ms = chain_ms.saturating_sub(now_ms);
    (slow_ms > CLOCK_TOLERANCE_MS).then(|| {
        let slow = Duration::from_secs(slow_ms / 1_000);
        Finding::wrong("clock", format!("this machine's clock is {slow:?} slow"), "keep it right with NTP")
    })
}

fn ticket_finding(ticket: Option<BootTicket>, used: bool, now: UnixSeconds) -> Finding {
    const ANOTHER: &str = "ask the farmer for another one (`threebot farm ticket`)";
    let wrong = |text: &str, advice: &str| Finding::wrong("ticket", text, advice);
    let Some(BootTicket { farm, nodes_left, expires, closed }) = ticket else {
        return wrong("no farmer has opened it on this chain", "check that it is complete, and --chain");
    };
    match () {
        () if used => wrong("it has admitted this node before, which was removed since", ANOTHER),
        () if closed => wrong("its farmer has closed it", ANOTHER),
        () if expires < now => wrong("it has expired", ANOTHER),
        () if nodes_left == 0 => wrong("it has admitted all its nodes", ANOTHER),
        () => Finding::wrong(
            "node",
            format!(
                "it isn't on the grid yet; its ticket for farm {farm} is good for {nodes_left} more nodes"
            ),
            "start the agent: it joins once its self-test has passed",
        ),
    }
}

/// Why a node on the grid gets no contracts, or no money for them.
fn standing(offer: &NodeOffer, is_enrolled: bool) -> Vec<Finding> {
    let (offline, others): (Vec<_>, Vec<_>) =
        Trouble::of(offer, is_enrolled).into_iter().partition(|trouble| *trouble == Trouble::Offline);
    let heartbeats = match offline.first() {
        None => Finding::ok("heartbeats", "the chain counts the node as online"),
        Some(offline) => Finding::wrong(
            offline.name(),
            offline.text(),
            "mend what is wrong above. If nothing is, wait for the next heartbeat; if the same key runs on two \
             machines, stop one and let the farmer clear it",
        ),
    };
    let capacity = format!(
        "{} are offered, of which {} are free; {} contracts",
        host::Display(offer.total),
        host::Display(offer.free),
        offer.contracts
    );
    let others = others.into_iter().map(|trouble| Finding::note(trouble.name(), trouble.text()));
    [heartbeats, Finding::note("capacity", capacity)].into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_core::H256;
    use tfgrid_primitives::{Features, Resources};

    fn dialled(genesis: u8, behind_ms: u64) -> Result<Dialled<u8>, Error> {
        Ok(Dialled { client: genesis, genesis: H256([genesis; 32]), behind_ms })
    }

    fn down() -> Result<Dialled<u8>, Error> {
        Err(Error::TimedOut { what: "a connection".into(), within: Duration::from_secs(10) })
    }

    #[test]
    fn one_endpoint_that_works_is_enough() {
        let states = |dialled: Vec<_>| {
            let named = dialled.into_iter().map(|dialled| ("ws://x".to_owned(), dialled)).collect();
            let (findings, client) = endpoints(named, None);
            (findings.iter().map(|finding| finding.state).collect::<Vec<_>>(), client)
        };
        assert_eq!(states(vec![down(), dialled(1, 0)]), (vec![State::Note, State::Ok], Some(1)));
        assert_eq!(states(vec![down()]), (vec![State::Wrong], None));
        assert_eq!(states(vec![dialled(1, STALE_MS + 1)]), (vec![State::Wrong], Some(1)));
    }

    #[test]
    fn the_endpoint_of_another_chain_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let known = serde_json::json!({ "genesis": "01".repeat(32), "node": 7 });
        store.write("chain.json", &known).unwrap();
        let (findings, client) = endpoints(vec![("ws://x".into(), dialled(2, 0))], Some(&store));
        assert!(findings[0].text.starts_with("it isn't this node's chain"), "{findings:?}");
        assert_eq!(client, None);
    }

    #[test]
    fn a_ticket_that_admits_nobody_says_why() {
        let good = BootTicket { farm: 3, nodes_left: 2, expires: 100, closed: false };
        let text = |ticket, used, now| ticket_finding(ticket, used, now).text;
        assert!(text(None, false, 0).contains("no farmer has opened it"));
        assert!(text(Some(good), false, 100).contains("good for 2 more nodes"));
        assert!(text(Some(good), false, 101).contains("expired"));
        assert!(text(Some(good), true, 0).contains("admitted this node before"));
        assert!(text(Some(BootTicket { closed: true, ..good }), false, 0).contains("closed"));
        assert!(text(Some(BootTicket { nodes_left: 0, ..good }), false, 0).contains("all its nodes"));
    }

    #[test]
    fn a_slow_clock_is_wrong() {
        assert_eq!(clock(10_000, 0), None);
        let found = clock(60_000, 0).unwrap();
        assert_eq!((found.state, found.text.as_str()), (State::Wrong, "this machine's clock is 60s slow"));
    }

    #[test]
    fn only_what_keeps_a_node_from_earning_is_wrong() {
        let total = Resources { cru: 4, mru: 8 << 30, ..Resources::default() };
        let offer = NodeOffer {
            node: 7,
            farm: 3,
            total,
            free: total,
            certified: true,
            online: true,
            draining: false,
            dedicated: false,
            extra_fee: 0,
            country: None,
            contracts: 2,
            features: Features(1),
            not_delivered: 0,
        };
        let found = |offer: &NodeOffer, is_enrolled| -> Vec<(String, State)> {
            standing(offer, is_enrolled).into_iter().map(|finding| (finding.name, finding.state)).collect()
        };
        let ok = |state| ("heartbeats".to_owned(), state);
        let note = |name: &str| (name.to_owned(), State::Note);
        assert_eq!(found(&offer, true), [ok(State::Ok), note("capacity")]);
        let full = NodeOffer { free: Resources::default(), online: false, draining: true, ..offer };
        let expected = ["capacity", "capacity", "drain", "farming"].map(note);
        assert_eq!(found(&full, false), [&[ok(State::Wrong)][..], &expected].concat());
    }
}
