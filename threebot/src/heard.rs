// SPDX-License-Identifier: Apache-2.0
//! What nodes tell the owner of contracts that are waited for: events, which are gone with a contract that closes.

use crate::{contract::Rejected, device::DeviceFile, many::answers, peer, session::Session};
use anyhow::Result;
use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tfgrid_client::{
    GridAt, GridClient,
    causes::shortened,
    deployment::Deployment,
    peer::{
        Device, NodeAddress, NodePeer,
        frame::Frame,
        protocol::{Ask, Event, Message, Status},
    },
    primitives::{ContractId, NodeId, TwinId},
};
use tokio::{task::JoinSet, time::sleep};

/// Events that are kept of a contract, and bytes of each.
const KEPT: usize = 10;
const KEPT_BYTES: u32 = 512;
/// Events that a node has kept of a contract are taken at once. Further ones are taken one by one, so that none that
/// says much keeps this computer busy.
const AT_ONCE: usize = 100;
const PACE: Duration = Duration::from_millis(10);
/// The most contracts whose nodes are listened to.
const MAX_CONTRACTS: usize = 100;

/// A contract, and the version of it that is waited for; `None` for its first.
pub type Waited = (ContractId, Option<u32>);

/// What was heard of contracts.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Whether nodes answer this device.
    is_asking: bool,
    words: BTreeMap<ContractId, Words>,
    /// Connections to nodes that tell.
    peers: Vec<Arc<NodePeer>>,
}

/// What was heard of a contract.
struct Words {
    /// Whether what is told now is about the version that is waited for.
    is_about: bool,
    lines: VecDeque<String>,
}

impl Heard {
    /// Listens to the nodes of these contracts of a twin, as far as this device may ask them, until `wait` ends.
    pub async fn during<T>(
        &self,
        session: &Session,
        device: &DeviceFile,
        twin: TwinId,
        contracts: Vec<Waited>,
        wait: impl Future<Output = T>,
    ) -> T {
        let mut listening = JoinSet::new();
        if let Ok(device) = device.read() {
            listening.spawn(listen(session.grid.clone(), device, twin, contracts, self.clone()));
        }
        let waited = wait.await;
        listening.shutdown().await;
        self.goodbye().await;
        waited
    }

    /// Whether nodes answer this device for contracts of this twin.
    pub async fn may_ask(&self, at: &GridAt, twin: TwinId, device: &Device) -> Result<bool> {
        let is_mine = at.twin(twin).await?.is_some_and(|twin| twin.peer_keys.0.contains(&device.public()));
        self.lock().is_asking |= is_mine;
        Ok(is_mine)
    }

    /// Listens on this connection until [`Self::goodbye`].
    pub fn keep(&self, peer: NodePeer) -> Arc<NodePeer> {
        let peer = Arc::new(peer);
        self.lock().peers.push(peer.clone());
        peer
    }

    /// Tells goodbye to the nodes that were listened to: each has few places for a device.
    pub async fn goodbye(&self) {
        let peers = mem::take(&mut self.lock().peers);
        let mut leaving: JoinSet<()> =
            peers.into_iter().map(|peer| async move { peer.close().await }).collect();
        while leaving.join_next().await.is_some() {}
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the events of a contract, until it closes. Its node first tells those that it has kept.
    pub async fn follow(self, peer: Arc<NodePeer>, waited: Waited) {
        let (contract, _) = waited;
        let Ok(mut call) = peer.ask(contract, Ask::Events { follow: true }).await else { return };
        let mut count: usize = 0;
        while let Ok(Some(Frame::Message(Message::Event(event)))) = call.next().await {
            self.add(waited, &event);
            count = count.saturating_add(1);
            if count > AT_ONCE {
                sleep(PACE).await;
            }
        }
    }

    /// What is told again and again is kept once.
    fn add(&self, (contract, version): Waited, event: &Event) {
        let mut heard = self.lock();
        let new = Words { is_about: version.is_none(), lines: VecDeque::new() };
        let words = heard.words.entry(contract).or_insert(new);
        if let Some(taken_up) = event.taken_up() {
            words.is_about = version.is_none_or(|version| version == taken_up);
        }
        let Some(workload) = event.workload.as_ref().filter(|_| words.is_about) else { return };
        let line = shortened(&format!("{workload}: {}", event.what), KEPT_BYTES);
        let lines = &mut words.lines;
        lines.retain(|old| *old != line);
        lines.push_back(line);
        if lines.len() > KEPT {
            lines.pop_front();
        }
    }

    /// An error with what its owner knows beside the chain, if it is of a version that the node can't run.
    pub fn explain(
        &self,
        contract: ContractId,
        deployment: Option<&Deployment>,
        error: anyhow::Error,
    ) -> anyhow::Error {
        let heard = self.lock();
        let words = heard.words.get(&contract);
        let lines = words.into_iter().flat_map(|words| &words.lines).cloned().collect();
        match error.downcast::<Rejected>() {
            Ok(rejected) => rejected.explained(deployment, heard.is_asking.then_some(lines)).into(),
            Err(error) => error,
        }
    }
}

/// One connection to each node: it allows a device few.
async fn listen(grid: GridClient, device: Device, twin: TwinId, contracts: Vec<Waited>, heard: Heard) {
    let Ok(at) = grid.finalized().await else { return };
    // Of what this device may not ask, the chain alone tells.
    if !heard.may_ask(&at, twin, &device).await.unwrap_or_default() {
        return;
    }
    // What can't be read of one contract keeps no other from being listened to.
    let node_of = |waited: Waited, at: GridAt| async move {
        anyhow::Ok(at.node_of_contract(waited.0).await.ok().flatten().map(|node| (node, waited)))
    };
    let listened = contracts.into_iter().take(MAX_CONTRACTS);
    let asked: Vec<_> = listened.map(|waited| node_of(waited, at.clone())).collect();
    let Ok(found) = answers(asked).await else { return };
    let mut nodes: BTreeMap<NodeId, Vec<Waited>> = BTreeMap::new();
    for (node, waited) in found.into_iter().flatten() {
        nodes.entry(node).or_default().push(waited);
    }
    let mut listening = JoinSet::new();
    for (node, contracts) in nodes {
        let (at, device, heard) = (at.clone(), device.clone(), heard.clone());
        listening.spawn(async move {
            if let Ok(Some(address)) = at.peer(node).await {
                listen_to(device, node, address, contracts, heard).await;
            }
        });
    }
    while listening.join_next().await.is_some() {}
}

async fn listen_to(device: Device, node: NodeId, address: NodeAddress, contracts: Vec<Waited>, heard: Heard) {
    let Some((first, _)) = contracts.first().copied() else { return };
    let connected: Result<(NodePeer, Status)> =
        peer::connect(&device, node, &address, None, move |peer| Box::pin(peer.status(first))).await;
    let Ok((peer, _)) = connected else { return };
    let (peer, mut following) = (heard.keep(peer), JoinSet::new());
    for waited in contracts {
        following.spawn(heard.clone().follow(peer.clone(), waited));
    }
    while following.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use iroh::{
        Endpoint, RelayMode, SecretKey,
        endpoint::{ConnectionError, presets},
    };
    use std::net::Ipv4Addr;
    use tfgrid_client::{
        deployment::{Rejection, WITHHELD},
        peer::{
            PeerAddresses,
            protocol::{ALPN, Request},
        },
        primitives::FailureCode,
    };
    use tokio::{task::JoinHandle, time::timeout};

    const LIMIT: Duration = Duration::from_secs(20);

    /// A node that tells events without end, and how its only connection ends.
    async fn flooding() -> (NodeAddress, JoinHandle<ConnectionError>) {
        let secret = SecretKey::generate();
        let key = *secret.public().as_bytes();
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(secret)
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .bind()
            .await
            .unwrap();
        let addresses = PeerAddresses { relays: Vec::new(), direct: endpoint.bound_sockets() };
        let serving = tokio::spawn(async move {
            let connection = endpoint.accept().await.unwrap().accept().unwrap().await.unwrap();
            let mut answering = JoinSet::new();
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                answering.spawn(async move {
                    let Ok(Some(Frame::Message(Request { ask, .. }))) = Frame::read(&mut receive).await
                    else {
                        return;
                    };
                    let mut number = 0;
                    loop {
                        let message = match ask {
                            Ask::Status {} => Message::Status(Status::default()),
                            _ => Message::Event(event(&number.to_string())),
                        };
                        if Frame::Message(message).write(&mut send).await.is_err() {
                            return;
                        }
                        number += 1;
                    }
                });
            }
            let ended = connection.closed().await;
            endpoint.close().await;
            ended
        });
        (NodeAddress { key, addresses }, serving)
    }

    fn event(what: &str) -> Event {
        Event { at_ms: 1, workload: Some("web".into()), what: what.into() }
    }

    /// That of a device which nodes answer.
    fn asking() -> Heard {
        let heard = Heard::default();
        heard.lock().is_asking = true;
        heard
    }

    /// What its owner is told of a version that failed with this code at this place.
    fn told(heard: &Heard, code: FailureCode, path: &str, text: &str) -> String {
        let failure = Rejection::new(code, path, text).failure(1);
        let body = r#"{"version":1,"workloads":[{"name":"web","type":"zmachine","data":{
                       "image":"docker.io/web:1","cpu":1,"memory":16777216}}]}"#;
        let deployment = Deployment::parse(body.as_bytes()).unwrap();
        heard.explain(7, Some(&deployment), Rejected::new("it failed", failure).into()).to_string()
    }

    #[test]
    fn what_a_node_says_again_is_kept_once() {
        let heard = asking();
        for what in ["started", "ended: exit code 1", "last line of output: sesame"].repeat(KEPT) {
            heard.add((7, None), &event(what));
        }
        heard.add((7, None), &Event { workload: None, ..event("version 1 is to run") });
        heard.add((8, None), &event("of another"));
        let text = told(&heard, FailureCode::WorkloadExited, "/workloads/0", &format!("3 times: {WITHHELD}"));
        let said = "its node has told you alone:\n  web: started\n  web: ended: exit code 1\n  \
                    web: last line of output: sesame";
        assert!(text.ends_with(said), "{text}");
        for number in 0..2 * KEPT {
            heard.add((7, None), &event(&number.to_string()));
        }
        let text = told(&heard, FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        assert_eq!(text.lines().count(), KEPT + 2, "{text}");
    }

    #[test]
    fn words_of_another_version_are_left_out() {
        let heard = asking();
        let tell = |what: &str| heard.add((7, Some(2)), &event(what));
        let take_up = |version| {
            let what = Event::taking_up(version);
            heard.add((7, Some(2)), &Event { workload: None, ..event(&what) });
        };
        tell("ended: before all that was kept");
        take_up(1);
        tell("ended: exit code 1");
        take_up(2);
        tell("version 1 is to run");
        tell("ended: exit code 2");
        // The node goes back.
        take_up(1);
        tell("started");
        let text = told(&heard, FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        let said = "told you alone:\n  web: version 1 is to run\n  web: ended: exit code 2";
        assert!(text.ends_with(said), "{text}");
    }

    #[test]
    fn long_words_of_a_node_are_cut() {
        let heard = asking();
        for number in 0..KEPT {
            heard.add((7, None), &event(&format!("{number}{}", "é".repeat(1 << 20))));
        }
        let text = told(&heard, FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        assert!(text.len() < (KEPT + 1) * 520, "{} bytes", text.len());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_floods_is_taken_slowly() {
        let (address, serving) = flooding().await;
        let peer = Arc::new(NodePeer::connect(&Device::generate(), &address).await.unwrap());
        let heard = asking();
        let followed = timeout(100 * PACE, heard.clone().follow(peer.clone(), (7, None))).await;
        assert!(followed.is_err(), "the node goes on");
        let text = told(&heard, FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        let last: usize = text.rsplit_once("web: ").unwrap().1.parse().unwrap();
        assert!(last <= AT_ONCE + 100, "{last}");
        peer.close().await;
        timeout(LIMIT, serving).await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_is_told_goodbye_when_the_wait_ends() {
        let (address, serving) = flooding().await;
        let (heard, mut listening) = (Heard::default(), JoinSet::new());
        listening.spawn(listen_to(Device::generate(), 3, address, vec![(7, None)], heard.clone()));
        let is_heard = async {
            while heard.lock().words.is_empty() {
                sleep(PACE).await;
            }
        };
        timeout(LIMIT, is_heard).await.unwrap();
        heard.goodbye().await;
        let ended = timeout(LIMIT, serving).await.unwrap().unwrap();
        assert!(matches!(ended, ConnectionError::ApplicationClosed(_)), "{ended:?}");
    }

    #[test]
    fn last_words_that_nobody_heard_are_told_to_be_gone() {
        let text = told(&Heard::default(), FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        assert!(
            text.contains("told while the contract is open") && text.contains("threebot device add"),
            "{text}"
        );
        let text =
            told(&Heard::default(), FailureCode::WorkloadExited, "/workloads/0", "exit code 1: no key");
        assert!(text.ends_with("exit code 1: no key"), "{text}");
    }

    #[test]
    fn a_device_that_heard_nothing_is_not_told_to_be_added() {
        let text = told(&asking(), FailureCode::WorkloadExited, "/workloads/0", WITHHELD);
        assert!(text.contains("weren't heard") && !text.contains("device add"), "{text}");
    }

    #[test]
    fn the_image_that_failed_is_named_to_its_owner() {
        let sealed = Rejection::new(FailureCode::ImageNotFound, "/workloads/0/data/image", "").withheld();
        let text = told(&Heard::default(), sealed.code, &sealed.path, &sealed.message);
        assert!(text.ends_with("(ImageNotFound), at /workloads/0/data/image: docker.io/web:1"), "{text}");
        let public = told(&Heard::default(), sealed.code, &sealed.path, "no such manifest");
        assert!(public.ends_with("/data/image: docker.io/web:1: no such manifest"), "{public}");
        let elsewhere =
            told(&Heard::default(), FailureCode::ImageTooLarge, "/workloads/9/data/image", "full");
        assert!(elsewhere.ends_with("at /workloads/9/data/image: full"), "{elsewhere}");
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let error = Heard::default().explain(7, None, anyhow::anyhow!("the chain is gone"));
        assert_eq!(error.to_string(), "the chain is gone");
    }
}
