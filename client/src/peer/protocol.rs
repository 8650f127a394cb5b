// SPDX-License-Identifier: Apache-2.0
//! What callers ask and nodes answer. Every request has a stream of its own.

use crate::{finding::Finding, snapshot::ImageId, wireguard::WireGuardKey};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::Ipv4Addr};
use tfgrid_primitives::{
    ContractId, NodeId,
    text::{is_printable, printable},
};

/// Name of the protocol with its version, as the two ends agree on it (ALPN).
pub const ALPN: &[u8] = b"tfgrid/peer/1";

/// What follows a machine's name in that of what its image declares as `VOLUME`. No workload has such a name.
pub const IMAGE_VOLUMES: &str = "_volumes";

/// The first message on a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A contract of the caller's twin; `None` for [`Ask::Node`] alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractId>,
    /// What is asked of it.
    pub ask: Ask,
}

/// What a caller asks of a contract, or a farmer of the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// How the contract's workloads fare: [`Message::Status`].
    Status {},
    /// What its machines use: [`Message::Stats`].
    Stats {},
    /// A [`Message::Event`] for each of the last events, and for those to come.
    Events {
        /// Whether to wait for more.
        #[serde(default)]
        follow: bool,
    },
    /// A machine's output, in data frames.
    Logs(Logs),
    /// Runs a program in a machine: [`Message::Ready`], data frames in both directions, [`Message::Exit`].
    Exec(Exec),
    /// A file or folder of a machine: [`Message::Ready`], an [archive](crate::archive) in data frames,
    /// [`Message::Done`].
    CopyOut {
        /// Name of the machine.
        workload: String,
        /// Its absolute path there.
        path: String,
    },
    /// Files for a folder of a machine: [`Message::Ready`], the caller's [archive](crate::archive) in data frames until
    /// the end of its stream, [`Message::Done`] once it is unpacked.
    CopyIn {
        /// Name of the machine.
        workload: String,
        /// Absolute path of the folder there.
        path: String,
    },
    /// Stops the machine and starts it again; [`Message::Done`].
    Restart {
        /// Name of the machine.
        workload: String,
    },
    /// Stops the machine until it is started, whatever happens to the node; [`Message::Done`].
    Stop {
        /// Name of the machine.
        workload: String,
    },
    /// Ends a [`Ask::Stop`]; [`Message::Done`].
    Start {
        /// Name of the machine.
        workload: String,
    },
    /// A connection to a port of a machine: [`Message::Ready`], then its bytes without frames (TCP), or its datagrams
    /// in data frames (UDP).
    Forward(Forward),
    /// Its volumes: [`Message::Volumes`].
    Volumes {
        /// Whether also its machines, for their roots, and what their images declare as `VOLUME`.
        #[serde(default, skip_serializing_if = "is_false")]
        roots: bool,
    },
    /// The content of a volume or a machine's root at one instant: [`Message::Ready`] once it is kept, then the
    /// [parts](crate::snapshot::Part) of its tree. For each batch with chunks the caller sends a data frame with
    /// [bits](crate::snapshot::wanted_bits), and gets the content of those that it wants.
    Snapshot {
        /// Name of the volume, of the machine for its root, or with [`IMAGE_VOLUMES`].
        workload: String,
    },
    /// Another content for a volume or a root whose machines don't run: [`Message::Ready`], then the caller's
    /// [parts](crate::snapshot::Part) with the content of all chunks, and [`Message::Done`] once it is in place.
    Restore {
        /// As in [`Self::Snapshot`].
        workload: String,
        /// Whether it is refused where that was restored before.
        #[serde(default, skip_serializing_if = "is_false")]
        once: bool,
    },
    /// What a peer joins a private network of the contract with: [`Message::Network`].
    Network {
        /// Name of the network.
        network: String,
    },
    /// The node itself, which only the twin that owns its farm may ask.
    Node(NodeAsk),
}

/// What a farmer asks of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NodeAsk {
    /// How it fares: [`Message::Node`].
    Status {},
    /// A [`Message::Line`] for each line of its agent's log, without anything of tenants; [`Message::Done`].
    Logs(NodeLogs),
}

/// Which part of an agent's log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeLogs {
    /// Whether to wait for more.
    #[serde(default)]
    pub follow: bool,
    /// Number of the last lines; all that are kept if it isn't given.
    #[serde(default)]
    pub tail: Option<u32>,
    /// Only lines since this time, in seconds since 1970.
    #[serde(default)]
    pub since: Option<u32>,
}

/// Which part of a machine's output is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Name of the machine.
    pub workload: String,
    /// Whether to wait for more, also across restarts of the machine.
    #[serde(default)]
    pub follow: bool,
    /// Number of the last lines; all that are kept if it isn't given.
    #[serde(default)]
    pub tail: Option<u32>,
    /// Only lines since this time, in seconds since 1970.
    #[serde(default)]
    pub since: Option<u32>,
    /// Whether each line begins with its time.
    #[serde(default)]
    pub timestamps: bool,
}

/// A program to run in a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Name of the machine.
    pub workload: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Size of the terminal that it gets; none if it isn't given.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Number of lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// A port of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Name of the machine.
    pub workload: String,
    /// How its program is spoken to.
    pub protocol: Protocol,
    /// Port on which a program of the machine listens.
    pub port: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A connection, without frames.
    #[default]
    Tcp,
    /// Datagrams, one in each frame.
    Udp,
}

/// What a caller says while its program runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Control {
    /// The terminal has another size.
    Resize(TerminalSize),
    /// A signal for the program, by its number on Linux.
    Signal(i32),
    /// The standard input has ended; signals may follow, which they can't after the end of the stream.
    EndInput {},
}

/// A message of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The stream is open in both directions.
    Ready {},
    /// It is done.
    Done {},
    /// How a contract's workloads fare.
    Status(Status),
    /// What they use.
    Stats(BTreeMap<String, Stats>),
    /// The contract's volumes by their names, and its machines' roots by theirs.
    Volumes(BTreeMap<String, Volume>),
    /// What has happened to one.
    Event(Event),
    /// The program has ended with this code; 128 and more are signals.
    Exit {
        /// Code with which the program ended.
        code: i64,
    },
    /// How a peer joins a private network.
    Network(Joining),
    /// How the node itself fares.
    Node(NodeStatus),
    /// A line of its agent's log.
    Line(LogLine),
    /// It can't be done, or ends before its time. Nothing follows.
    Failed(Failed),
}

impl Message {
    /// The message without what could deceive those who see it on a terminal: nodes and machines write its texts.
    pub(super) fn printable(mut self) -> Self {
        match &mut self {
            Self::Failed(failed) => clean(&mut failed.message),
            Self::Event(event) => {
                event.workload.iter_mut().for_each(clean);
                clean(&mut event.what);
            }
            Self::Status(status) => {
                status.trouble.iter_mut().for_each(clean);
                for machine in status.machines.values_mut() {
                    clean(&mut machine.state);
                    let texts = machine.health.iter_mut().chain(&mut machine.ended).chain(&mut machine.run);
                    texts.for_each(clean);
                }
                status.machines.retain(|name, _| is_printable(name.as_bytes()));
            }
            Self::Stats(stats) => stats.retain(|name, _| is_printable(name.as_bytes())),
            Self::Volumes(volumes) => volumes.retain(|name, _| is_printable(name.as_bytes())),
            Self::Node(status) => {
                clean(&mut status.version);
                for Finding { name, text, advice, .. } in &mut status.findings {
                    [name, text].into_iter().chain(advice).for_each(clean);
                }
                status.warnings.iter_mut().for_each(|line| clean(&mut line.text));
            }
            Self::Line(line) => clean(&mut line.text),
            Self::Ready {} | Self::Done {} | Self::Exit { .. } | Self::Network(_) => {}
        }
        self
    }
}

fn clean(text: &mut String) {
    *text = printable(text, u32::MAX);
}

/// Why a node doesn't do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// Class of the failure.
    pub code: FailedCode,
    /// The reason in words.
    pub message: String,
}

/// Class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedCode {
    /// The request isn't one of this protocol.
    BadRequest,
    /// The caller's twin has no such contract on this node, or the contract no such workload.
    NotFound,
    /// The machine doesn't run.
    NotRunning,
    /// A machine runs that must be stopped first.
    Running,
    /// The contract or its twin has as many streams open as the node allows.
    TooMany,
    /// The contract has closed, or the caller's key is none of its owner's any more.
    Closed,
    /// Nothing passed in either direction for an hour.
    Idle,
    /// A failure of the node's own, which the message tells.
    Failed,
    /// A code of a later version.
    #[serde(other)]
    Other,
}

/// How a contract's workloads fare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the contract that is to run.
    pub version: u32,
    /// Whether all of that version runs as it should.
    pub ready: bool,
    /// Why the node doesn't run it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Its machines by their names.
    pub machines: BTreeMap<String, MachineStatus>,
}

/// How a machine fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// `running`, `stopped`, `missing`, [`Self::STOPPING`], [`Self::HELD`].
    pub state: String,
    /// Its address in the contract's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<std::net::IpAddr>,
    /// What its health check says, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// How it ended, if it doesn't run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The exit code of a job that isn't started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<i64>,
    /// Identifies its last run: it changes with every start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl MachineStatus {
    /// It runs, and its owner wants that it doesn't.
    pub const STOPPING: &str = "stopping";
    /// Its owner wants that it doesn't run.
    pub const HELD: &str = "stopped by its owner";

    /// Whether its owner wants that it doesn't run.
    pub fn is_held(&self) -> bool {
        [Self::STOPPING, Self::HELD].contains(&self.state.as_str())
    }
}

/// Resources that a machine uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time since its start, in milliseconds of one core.
    pub cpu_ms: u64,
    /// Memory in use.
    pub memory_bytes: u64,
    /// Traffic to it since its start.
    pub received_bytes: u64,
    /// Traffic from it since its start.
    pub sent_bytes: u64,
}

/// A volume; of a machine's root, what it holds beyond its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Bytes that it holds at most.
    pub size_bytes: u64,
    /// Bytes of its content.
    pub used_bytes: u64,
    /// Whether its content has come with an [`Ask::Restore`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub restored: bool,
    /// The image of the machine, if it is a machine's root.
    #[serde(default, with = "image", skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
}

mod image {
    use crate::snapshot::ImageId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(image: &Option<ImageId>, serializer: S) -> Result<S::Ok, S::Error> {
        image.map(hex::encode).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ImageId>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let image = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        image.map(Some).ok_or_else(|| D::Error::custom("no id of an image"))
    }
}

/// What a peer needs to join a private network. It reaches the node at the addresses of its peer endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The node's public key of WireGuard for the network, in base64.
    #[serde(with = "key")]
    pub public_key: WireGuardKey,
    /// Its UDP port of WireGuard.
    pub port: u16,
    /// Addresses of the whole network.
    #[serde(with = "text")]
    pub subnet: Ipv4Net,
    /// Address of the network's name server.
    pub name_server: Ipv4Addr,
    /// Size of the largest packets.
    pub mtu: u32,
}

mod key {
    use crate::wireguard::{WireGuardKey, key_from_text, key_text};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(key: &WireGuardKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&key_text(key))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WireGuardKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        key_from_text(&text).ok_or_else(|| D::Error::custom("no key of WireGuard"))
    }
}

mod text {
    use ipnet::Ipv4Net;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(network: &Ipv4Net, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(network)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipv4Net, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// How a node fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Version of its agent.
    pub version: String,
    /// Seconds since the agent was started.
    pub uptime_s: u64,
    /// What the agent finds when it looks at itself and its machine.
    pub findings: Vec<Finding>,
    /// The last warnings and errors of its log.
    pub warnings: Vec<LogLine>,
}

/// A line of an agent's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// How grave it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something is done.
    Info,
    /// Something may need the farmer.
    Warn,
    /// Something has failed.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// Something that has happened to a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Workload, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// What has happened, such as `exited with code 1`.
    pub what: String,
}

impl Event {
    /// What is told when the node takes up a version.
    pub fn taking_up(version: u32) -> String {
        format!("version {version} is to run")
    }

    /// The version that the node takes up with this event.
    pub fn taken_up(&self) -> Option<u32> {
        let version = self.what.strip_prefix("version ")?.strip_suffix(" is to run")?;
        version.parse().ok().filter(|_| self.workload.is_none())
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_form_of_the_formats_page() {
        for (text, ask) in [
            (r#"{"contract":7,"ask":{"status":{}}}"#, Ask::Status {}),
            (
                r#"{"contract":7,"ask":{"logs":{"workload":"web","tail":10}}}"#,
                Ask::Logs(Logs {
                    workload: "web".into(),
                    follow: false,
                    tail: Some(10),
                    since: None,
                    timestamps: false,
                }),
            ),
            (
                r#"{"contract":7,"ask":{"copy-in":{"workload":"web","path":"/srv"}}}"#,
                Ask::CopyIn { workload: "web".into(), path: "/srv".into() },
            ),
            (
                r#"{"contract":7,"ask":{"forward":{"workload":"web","protocol":"tcp","port":80}}}"#,
                Ask::Forward(Forward { workload: "web".into(), protocol: Protocol::Tcp, port: 80 }),
            ),
            (
                r#"{"contract":7,"ask":{"restore":{"workload":"data"}}}"#,
                Ask::Restore { workload: "data".into(), once: false },
            ),
            (r#"{"contract":7,"ask":{"volumes":{}}}"#, Ask::Volumes { roots: false }),
            (r#"{"contract":7,"ask":{"volumes":{"roots":true}}}"#, Ask::Volumes { roots: true }),
        ] {
            let request = Request { contract: Some(7), ask };
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        }
        let text = r#"{"ask":{"node":{"logs":{"follow":true,"tail":10,"since":null}}}}"#;
        let logs = NodeLogs { follow: true, tail: Some(10), since: None };
        let request = Request { contract: None, ask: Ask::Node(NodeAsk::Logs(logs)) };
        assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
    }

    #[test]
    fn unknown_requests_and_fields_are_refused() {
        for text in [
            r#"{"contract":7}"#,
            r#"{"contract":7,"ask":{"format-disks":{}}}"#,
            r#"{"contract":7,"ask":{"status":{"all":true}}}"#,
            r#"{"contract":7,"ask":{"status":{}},"as":"root"}"#,
            r#"{"contract":7,"ask":{"forward":{"workload":"web","protocol":"tcp","port":65536}}}"#,
            r#"{"ask":{"node":{"exec":{}}}}"#,
            r#"{"ask":{"node":{"logs":{"workload":"web"}}}}"#,
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_of_nodes_have_no_escape_sequences() {
        let event = Event { at_ms: 0, workload: Some("w\u{1b}[2J".into()), what: "a\nb\u{202e}c".into() };
        let Message::Event(event) = Message::Event(event).printable() else { panic!("another message") };
        assert!(is_printable(event.what.as_bytes()) && is_printable(event.workload.unwrap().as_bytes()));
        let machines = ["web", "w\u{1b}"].map(|name| (name.into(), MachineStatus::default())).into();
        let Message::Status(status) = Message::Status(Status { machines, ..Default::default() }).printable()
        else {
            panic!("another message")
        };
        assert_eq!(status.machines.keys().collect::<Vec<_>>(), ["web"]);
        let line = LogLine { at_ms: 0, level: Level::Warn, text: "a\u{1b}[2J".into() };
        let status = NodeStatus {
            node: 1,
            version: "1\u{1b}".into(),
            uptime_s: 0,
            findings: vec![Finding::wrong("a\u{1b}", "b\u{1b}", "c\u{1b}")],
            warnings: vec![line.clone()],
        };
        for message in [Message::Node(status), Message::Line(line)] {
            let text = serde_json::to_string(&message.printable()).unwrap();
            assert!(!text.contains("u001b"), "{text}");
        }
    }

    #[test]
    fn joining_has_the_form_of_the_formats_page() {
        let text = r#"{"network":{"public_key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","port":21000,"subnet":"10.20.0.0/16","name_server":"10.20.1.1","mtu":1420}}"#;
        let joining = Joining {
            public_key: [1; 32],
            port: 21_000,
            subnet: "10.20.0.0/16".parse().unwrap(),
            name_server: [10, 20, 1, 1].into(),
            mtu: 1_420,
        };
        let message = Message::Network(joining);
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<Message>(text).unwrap(), message);
        assert!(serde_json::from_str::<Message>(&text.replace("AQE=", "AQ==")).is_err());
    }

    #[test]
    fn volumes_have_the_form_of_the_formats_page() {
        let image = "07".repeat(32);
        let root = format!(r#"{{"size_bytes":4,"used_bytes":3,"restored":true,"image":"{image}"}}"#);
        let text = format!(r#"{{"volumes":{{"data":{{"size_bytes":2,"used_bytes":1}},"web":{root}}}}}"#);
        let data = Volume { size_bytes: 2, used_bytes: 1, restored: false, image: None };
        let web = Volume { size_bytes: 4, used_bytes: 3, restored: true, image: Some([7; 32]) };
        let message = Message::Volumes([("data".into(), data), ("web".into(), web)].into());
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        assert!(serde_json::from_str::<Message>(&text.replace(&image, "07")).is_err());
    }

    #[test]
    fn codes_of_later_versions_are_read() {
        let text = r#"{"failed":{"code":"too-late","message":"x"}}"#;
        let Message::Failed(failed) = serde_json::from_str(text).unwrap() else { panic!("another message") };
        assert_eq!(failed.code, FailedCode::Other);
    }
}
