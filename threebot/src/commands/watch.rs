// SPDX-License-Identifier: Apache-2.0
//! `threebot farm watch`

use super::{farm::ensure_exists, shown_node::state};
use crate::{
    cli::Global,
    contract::size_text,
    device::config_folder,
    durable,
    many::answers,
    output::{self, Answer, counted, is_unread, warn},
    session::Session,
    time::exact_moment,
    webhook::{parse_webhook, post},
};
use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_farming::types::{Enrolment, Phase},
    primitives::{Balance, FarmId, NodeId, Resources, UnixSeconds, views::NodeOffer},
    trouble::{SERVED, Trouble},
    units::{format_tft, parse_duration, parse_id},
};
use tokio::time::sleep;

/// Changes that wait for the webhook; the oldest are left out beyond that.
const MAX_UNTOLD: usize = 1_000;
/// The least time from one look to the next.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Exit code of --once where a node needs its farmer.
const ALARMED: u8 = 6;

/// Tell when a node of a farm falls silent, shrinks, earns nothing, is complained about, runs full, or has an old agent
///
/// Each is told once when it begins and once when it ends, as far as the state file is kept. A node that sleeps at its
/// farmer's will isn't silent. A change that the webhook doesn't take is posted again.
#[derive(Args)]
#[command(after_help = "\
The webhook gets a POST of JSON for each change:
  {\"farm\": 3, \"node\": 7, \"alarm\": \"silent\", \"begins\": true,
   \"text\": …, \"at\": …}
with alarm one of silent, shrunk, unpaid, complaints, full, outdated; at is in
seconds since 1970.

Examples:
  threebot farm watch 3 --webhook https://hooks.example.org/farm
  threebot farm watch 3 --once    exit code 6 if something is wrong")]
pub struct Watch {
    /// The farm's id
    #[arg(value_parser = parse_id::<FarmId>)]
    farm: FarmId,
    /// Look once, and list all that is wrong
    #[arg(long)]
    once: bool,
    /// How long to wait from one look to the next
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    every: Duration,
    /// Web address that each change is posted to
    #[arg(long, value_name = "URL", value_parser = parse_webhook)]
    webhook: Option<String>,
    /// File that remembers what was told, and the most capacity of each node; without it, the present one is the most.
    /// One for each farm beside the key of this device if it isn't given
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// What a farmer is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Alarm {
    Silent,
    Shrunk,
    Unpaid,
    Complaints,
    Full,
    Outdated,
}

impl Alarm {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Shrunk => "shrunk",
            Self::Unpaid => "unpaid",
            Self::Complaints => "complaints",
            Self::Full => "full",
            Self::Outdated => "outdated",
        }
    }
}

/// What the chain says about a node.
#[derive(Clone, Debug)]
struct Facts {
    offer: NodeOffer,
    is_enrolled: bool,
    /// Whether it sleeps at its farmer's will.
    is_asleep: bool,
}

/// What is remembered of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// The most capacity that it had.
    most: Resources,
    /// What its tenants had got back.
    not_delivered: Balance,
    /// What is wrong, in words.
    alarms: BTreeMap<Alarm, String>,
}

/// The beginning or end of an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    farm: FarmId,
    node: NodeId,
    alarm: Alarm,
    begins: bool,
    text: String,
    at: UnixSeconds,
}

/// What is remembered of a farm.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    nodes: BTreeMap<NodeId, Seen>,
    /// Changes that the webhook hasn't taken.
    untold: VecDeque<Change>,
}

/// What is wrong with a node now, and what is remembered of it from now on.
fn judge(seen: &Seen, facts: &Facts) -> Seen {
    let Facts { offer, is_enrolled, is_asleep } = facts;
    let troubles = Trouble::of(offer, *is_enrolled);
    let has = |trouble| troubles.contains(&trouble);
    let told = |trouble: Trouble| format!("{}: {}", trouble.name(), trouble.text());
    let most = larger(&seen.most, &offer.total);
    let lacking = SERVED.names().filter(|name| !offer.features.names().any(|served| served == *name));
    let lacking: Vec<&str> = lacking.collect();
    let outdated = if has(Trouble::Mute) {
        told(Trouble::Mute)
    } else {
        format!("features: its agent has no code for {}: it is to be upgraded", lacking.join(", "))
    };
    let alarms = [
        (has(Trouble::Offline) && !is_asleep, Alarm::Silent, told(Trouble::Offline)),
        (most != offer.total, Alarm::Shrunk, shrunk(&offer.total, &most)),
        (
            has(Trouble::Unenrolled) && has(Trouble::Unused),
            Alarm::Unpaid,
            [Trouble::Unenrolled, Trouble::Unused].map(told).join("; "),
        ),
        (
            offer.not_delivered > 0,
            Alarm::Complaints,
            format!("complaints: tenants got {} TFT back, as not delivered", format_tft(offer.not_delivered)),
        ),
        (has(Trouble::Full), Alarm::Full, told(Trouble::Full)),
        (!lacking.is_empty(), Alarm::Outdated, outdated),
    ];
    let alarms = alarms.into_iter().filter(|(applies, ..)| *applies);
    let alarms = alarms.map(|(_, alarm, text)| (alarm, text)).collect();
    Seen { most, not_delivered: offer.not_delivered, alarms }
}

fn larger(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cru: a.cru.max(b.cru),
        mru: a.mru.max(b.mru),
        sru: a.sru.max(b.sru),
        hru: a.hru.max(b.hru),
        gpu: a.gpu.max(b.gpu),
    }
}

fn shrunk(now: &Resources, most: &Resources) -> String {
    let count = |count: u64| count.to_string();
    let part = |now: u64, most: u64, name: &str, text: &dyn Fn(u64) -> String| {
        (now < most).then(|| format!("{} of {} {name}", text(now), text(most)))
    };
    let parts = [
        part(now.cru, most.cru, "cores", &count),
        part(now.mru, most.mru, "memory", &size_text),
        part(now.sru, most.sru, "SSD", &size_text),
        part(now.hru, most.hru, "HDD", &size_text),
        part(now.gpu, most.gpu, "GPUs", &count),
    ];
    format!("capacity: it offers only {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// What begins and ends between two looks at a node. A further complaint begins again.
fn changes(before: &Seen, now: &Seen) -> Vec<(Alarm, bool, String)> {
    let is_new = |alarm: &Alarm| {
        let is_further = *alarm == Alarm::Complaints && now.not_delivered > before.not_delivered;
        is_further || !before.alarms.contains_key(alarm)
    };
    let begin = now.alarms.iter().filter(|(alarm, _)| is_new(alarm));
    let end = before.alarms.iter().filter(|(alarm, _)| !now.alarms.contains_key(alarm));
    let begin = begin.map(|(alarm, text)| (*alarm, true, text.clone()));
    begin.chain(end.map(|(alarm, text)| (*alarm, false, text.clone()))).collect()
}

impl Memory {
    /// Takes what the chain says about all nodes of a farm; returns what has changed. Nodes that aren't of the farm any
    /// more are forgotten.
    fn take(&mut self, farm: FarmId, facts: &[Facts], at: UnixSeconds) -> Vec<Change> {
        let mut nodes = BTreeMap::new();
        let mut changed = Vec::new();
        for facts in facts {
            let node = facts.offer.node;
            let before = self.nodes.remove(&node).unwrap_or_default();
            let now = judge(&before, facts);
            let told = changes(&before, &now).into_iter();
            changed.extend(told.map(|(alarm, begins, text)| Change { farm, node, alarm, begins, text, at }));
            nodes.insert(node, now);
        }
        self.nodes = nodes;
        changed
    }
}

impl Watch {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let mut session = Some(Session::anonymous(global).await?);
        let file = self.state_file(session.as_ref())?;
        let mut memory: Memory = durable::read(&file)?.unwrap_or_default();
        let mut is_warned = false;
        loop {
            match self.look(&mut session, global, &mut memory, &file).await {
                Ok(()) => is_warned = false,
                Err(error) if is_unread(&error) => return Ok(Answer::printed(ExitCode::SUCCESS)),
                Err(error) if self.once => return Err(error),
                // A chain that can't be reached is told once.
                Err(error) => {
                    if !std::mem::replace(&mut is_warned, true) {
                        warn(&format!("{error:#}: trying again"), global.json);
                    }
                    session = None;
                }
            }
            if self.once {
                return self.answer(&memory, global.json);
            }
            sleep(self.every.max(LOOK_AT_MOST_EVERY)).await;
        }
    }

    /// One for each farm and chain.
    fn state_file(&self, session: Option<&Session>) -> Result<PathBuf> {
        if let Some(file) = &self.state {
            return Ok(file.clone());
        }
        let folder = config_folder("remember the farm in: name a file with --state")?.join("tfgrid-ledger");
        durable::create_folder(&folder)?;
        let genesis =
            session.map(|session| hex::encode(&session.grid.genesis().as_bytes()[..4])).unwrap_or_default();
        Ok(folder.join(format!("watch-{genesis}-{}.json", self.farm)))
    }

    async fn look(
        &self,
        session: &mut Option<Session>,
        global: &Global,
        memory: &mut Memory,
        file: &Path,
    ) -> Result<()> {
        let connected = match session.take() {
            Some(session) => session,
            None => Session::anonymous(global).await?,
        };
        let at = connected.grid.finalized().await?;
        let facts = read(&at, self.farm).await?;
        let now = at.timestamp_ms().await? / 1_000;
        *session = Some(connected);
        let changed = memory.take(self.farm, &facts, now);
        if !self.once {
            for change in &changed {
                writeln!(io::stdout(), "{}", output::line(&change.line(), &json!(change), global.json))?;
            }
        }
        if self.webhook.is_some() {
            memory.untold.extend(changed);
            let excess = memory.untold.len().saturating_sub(MAX_UNTOLD);
            memory.untold.drain(..excess);
        }
        durable::write(file, &*memory)?;
        self.tell(memory, file, global.json).await
    }

    /// Posts what the webhook hasn't taken yet, in order.
    async fn tell(&self, memory: &mut Memory, file: &Path, json: bool) -> Result<()> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        while let Some(change) = memory.untold.front() {
            if let Err(error) = post(webhook, serde_json::to_string(change)?).await {
                warn(&format!("{error:#}: it is posted again at the next look"), json);
                return Ok(());
            }
            memory.untold.pop_front();
            durable::write(file, &*memory)?;
        }
        Ok(())
    }

    /// All that is wrong now.
    fn answer(&self, memory: &Memory, json: bool) -> Result<Answer> {
        let all =
            || memory.nodes.iter().flat_map(|(node, seen)| seen.alarms.iter().map(move |told| (node, told)));
        let lines: Vec<String> = all().map(|(node, (alarm, text))| line(*node, *alarm, text)).collect();
        let value = json!({
            "farm": self.farm,
            "nodes": memory.nodes.len(),
            "alarms": all()
                .map(|(node, (alarm, text))| json!({ "node": node, "alarm": alarm, "text": text }))
                .collect::<Vec<Value>>(),
        });
        if lines.is_empty() {
            let nodes = counted(memory.nodes.len() as u64, "node");
            let text = format!("farm {}: nothing is wrong with {nodes}", self.farm);
            return Ok(Answer::new(text, value));
        }
        writeln!(io::stdout(), "{}", output::line(&lines.join("\n"), &value, json))?;
        Ok(Answer::printed(ExitCode::from(ALARMED)))
    }
}

fn line(node: NodeId, alarm: Alarm, text: &str) -> String {
    format!("node {node}  {:<10}  {text}", alarm.name())
}

impl Change {
    fn line(&self) -> String {
        let state = if self.begins { "begins" } else { "ends" };
        format!("{}  {state:<6}  {}", exact_moment(self.at), line(self.node, self.alarm, &self.text))
    }
}

/// What the chain says about a farm's nodes.
async fn read(at: &GridAt, farm: FarmId) -> Result<Vec<Facts>> {
    ensure_exists(at, farm).await?;
    let nodes = at.nodes_of_farm(farm).await?;
    let read = answers(nodes.into_iter().map(|node| facts(at.clone(), node))).await?;
    Ok(read.into_iter().flatten().collect())
}

/// `None` of a node that was removed meanwhile.
async fn facts(at: GridAt, node: NodeId) -> Result<Option<Facts>> {
    let (Some(offer), Some(farmed)) = (at.node_offer(node).await?, at.farmed_node(node).await?) else {
        return Ok(None);
    };
    let is_enrolled = matches!(farmed.enrolment, Some(Enrolment { phase: Phase::Farming(_), .. }));
    let is_asleep = state(farmed.liveness.as_ref()) == "asleep";
    Ok(Some(Facts { offer, is_enrolled, is_asleep }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::nodes::tests::offer;
    use std::{io::Read, net::TcpListener, thread};
    use tfgrid_client::primitives::{Features, units::TFT};

    fn fine() -> Facts {
        let offer = NodeOffer { features: SERVED, ..offer(7) };
        Facts { offer, is_enrolled: true, is_asleep: false }
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = fine();
        change(&mut facts);
        facts
    }

    /// What is told at each of these looks.
    fn told(looks: &[Facts]) -> Vec<Vec<(Alarm, bool)>> {
        let mut memory = Memory::default();
        let mut look = |facts: &Facts| {
            let told = memory.take(3, std::slice::from_ref(facts), 0).into_iter();
            told.map(|change| (change.alarm, change.begins)).collect()
        };
        looks.iter().map(&mut look).collect()
    }

    #[test]
    fn each_alarm_is_told_once_and_again_when_it_ends() {
        let cases = [
            (with(|facts| facts.offer.online = false), Alarm::Silent),
            (with(|facts| facts.offer.total.sru /= 2), Alarm::Shrunk),
            (with(|facts| (facts.is_enrolled, facts.offer.contracts) = (false, 0)), Alarm::Unpaid),
            (with(|facts| facts.offer.not_delivered = TFT), Alarm::Complaints),
            (with(|facts| facts.offer.free.mru = 0), Alarm::Full),
            (with(|facts| facts.offer.features = Features::ZMACHINE), Alarm::Outdated),
            (with(|facts| facts.offer.features = Features(0)), Alarm::Outdated),
        ];
        for (bad, alarm) in cases {
            let looks = [fine(), bad.clone(), bad, fine(), fine()];
            let expected = [vec![], vec![(alarm, true)], vec![], vec![(alarm, false)], vec![]];
            assert_eq!(told(&looks), expected, "{alarm:?}");
        }
    }

    #[test]
    fn what_a_farmer_wants_is_no_alarm() {
        let asleep = with(|facts| (facts.offer.online, facts.is_asleep) = (false, true));
        let unused = with(|facts| facts.offer.contracts = 0);
        let unenrolled = with(|facts| facts.is_enrolled = false);
        let larger = with(|facts| facts.offer.total.cru += 1);
        let more = with(|facts| facts.offer.features = SERVED.and(Features::GATEWAYS));
        let silence: [Vec<(Alarm, bool)>; 5] = Default::default();
        assert_eq!(told(&[asleep, unused, unenrolled, more, larger]), silence);
    }

    #[test]
    fn a_further_complaint_is_told_and_a_fading_one_is_not() {
        let returned = |tft: u128| with(|facts| facts.offer.not_delivered = tft * TFT);
        let told = told(&[returned(2), returned(1), returned(3), returned(0)]);
        let (begins, ends) = ((Alarm::Complaints, true), (Alarm::Complaints, false));
        assert_eq!(told, [vec![begins], vec![], vec![begins], vec![ends]]);
    }

    #[test]
    fn alarms_are_told_in_the_words_of_the_doctor() {
        let bad = with(|facts| {
            facts.offer.online = false;
            facts.offer.total.cru = 2;
            facts.offer.features = Features::ZMACHINE;
        });
        let seen = judge(&judge(&Seen::default(), &fine()), &bad);
        let text = |alarm| seen.alarms[&alarm].as_str();
        assert_eq!(text(Alarm::Silent), format!("heartbeats: {}", Trouble::Offline.text()));
        assert_eq!(text(Alarm::Shrunk), "capacity: it offers only 2 of 8 cores");
        assert!(text(Alarm::Outdated).contains("no code for zmount, networks, volume, zlogs"), "{seen:?}");
    }

    #[test]
    fn a_node_that_left_the_farm_is_forgotten() {
        let mut memory = Memory::default();
        memory.take(3, &[fine()], 0);
        assert!(memory.take(3, &[], 0).is_empty() && memory.nodes.is_empty());
    }

    #[test]
    fn memory_is_read_as_it_is_written() {
        let mut memory = Memory::default();
        let bad = with(|facts| (facts.offer.online, facts.offer.not_delivered) = (false, u128::MAX));
        memory.untold = memory.take(3, &[bad], 7).into();
        let text = serde_json::to_vec(&memory).unwrap();
        let read: Memory = serde_json::from_slice(&text).unwrap();
        assert_eq!((read.nodes, read.untold), (memory.nodes, memory.untold));
    }

    #[tokio::test]
    async fn the_address_of_a_webhook_stays_out_of_errors() {
        let error = post("http://127.0.0.1:9/let-me-in", "{}".into()).await.unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains("can't post to the webhook") && !told.contains("let-me-in"), "{told}");
    }

    #[tokio::test]
    async fn a_change_is_posted_until_it_is_taken() {
        let hook = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/farm", hook.local_addr().unwrap());
        let serving = thread::spawn(move || {
            ["500 Oops", "200 OK"].map(|status| {
                let (mut caller, _) = hook.accept().unwrap();
                let mut request = Vec::new();
                let mut bytes = [0; 1_024];
                while !request.ends_with(b"}") {
                    let count = caller.read(&mut bytes).unwrap();
                    request.extend(&bytes[..count]);
                }
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                caller.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(request).unwrap()
            })
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let (every, state) = (Duration::ZERO, Some(file.clone()));
        let watch = Watch { farm: 3, once: true, every, webhook: Some(url), state };
        let mut memory = Memory::default();
        memory.untold = memory.take(3, &[with(|facts| facts.offer.online = false)], 7).into();
        watch.tell(&mut memory, &file, true).await.unwrap();
        assert_eq!(memory.untold.len(), 1);
        watch.tell(&mut memory, &file, true).await.unwrap();
        assert!(memory.untold.is_empty());
        let requests = serving.join().unwrap();
        assert!(
            requests.iter().all(|request| request.contains(r#""alarm":"silent","begins":true"#)),
            "{requests:?}"
        );
        assert_eq!(requests[0], requests[1]);
    }
}
