// SPDX-License-Identifier: Apache-2.0

//! Bots of two twins on two machines.

use anyhow::{Context, Result, bail, ensure};
use iroh::{
    Endpoint, SecretKey,
    endpoint::{Connection, ConnectionError, VarInt, presets},
};
use serde_json::{Value, json};
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    thread,
    time::{Duration, SystemTime},
};
use tfgrid_client::peer::{
    Device, NodeAddress, PeerAddresses, TOO_MANY, UNKNOWN_CALLER,
    frame::Frame,
    msg::{MSG_ALPN, MessageId, Reply, TwinMessage},
};
use tfgrid_tests::{
    Grid, Lines, OtherMachine, Person, Relay, answer, free_port, programs, repository, text, wait_for,
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(40);
/// What goes through texts, files and answers.
const SAID: &str = "said-7c41d09e";
const FILED: &str = "filed-b25f8a60";
const ASKED: &str = "asked-e9037d1b";
const ANSWERED: &str = "answered-4fa86c35";
const RELAYED: &str = "relayed-0d9b7e12";
/// What goes in clear, so that the capture is known to see what passes.
const IN_CLEAR: &str = "in-clear-68ce3f07";

fn twin(person: &Person) -> Result<String> {
    Ok(person.threebot(&["twin", "show"])?["twin"].to_string())
}

/// Where bots keep their messages, and where the receiving one listens on this machine.
struct Bots {
    receiver: String,
    sender: String,
    at: SocketAddr,
}

impl Bots {
    fn new(grid: &Grid, at: Ipv4Addr) -> Result<Self> {
        let (receiver, sender) = (twin(&grid.farmer)?, twin(&grid.user)?);
        Ok(Self { receiver, sender, at: (at, free_port()?).into() })
    }

    /// The farmer's bot, which listens to the user's.
    fn listen(&self, grid: &Grid, more: &[&str]) -> Result<Lines> {
        let folder = grid.run().subfolder("farmer-messages")?;
        let mut command = grid.farmer.command()?;
        command.args(["--json", "msg", "listen", "--allow", &self.sender, "--bind", &self.at.to_string()]);
        Lines::start(command.args(more).arg("--folder").arg(folder))
    }

    /// Arguments of a command that writes to the farmer's bot.
    fn to_receiver<'a>(&'a self, verb: &'a str, text: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["msg", verb, &self.receiver, text, "--within", "40s"][..], more].concat()
    }
}

fn message(line: &Value) -> Option<Value> {
    line.get("message").cloned()
}

fn with_text(wanted: &str) -> impl Fn(&Value) -> Option<Value> {
    move |line| message(line).filter(|message| message["text"] == wanted)
}

pub fn messages_pass_where_nobody_can_read_them(grid: &mut Grid) -> Result<()> {
    let mut cable = OtherMachine::start(grid.run())?;
    cable.reaches(grid.chain.rpc())?;
    let relay = Relay::start(OtherMachine::HERE)?;
    let bots = Bots::new(grid, OtherMachine::HERE)?;
    let (user, at, url) = (&grid.user, bots.at.to_string(), relay.url());
    let mut listening = bots.listen(grid, &["--ack", "--relay", &url])?;

    let file = grid.run().folder().join("sent.txt");
    fs::write(&file, FILED)?;
    let direct = ["--at", &at, "--file", file.to_str().context("a path is text")?];
    let sent = cable.on(|| user.threebot(&bots.to_receiver("send", SAID, &direct)))?;
    ensure!(sent["delivered"] == true, "{sent}");
    let got = listening.until("what was said", LIMIT, with_text(SAID))?;
    let from = got["from"].to_string();
    ensure!(from == bots.sender && got["request"] == false, "{got}");
    ensure!(fs::read_to_string(text(&got["file"])?)? == FILED, "another file came: {got}");
    listening.say(&json!({ "done": got["id"] }))?;

    let answered = thread::scope(|scope| -> Result<Value> {
        let calling =
            scope.spawn(|| cable.on(|| user.threebot(&bots.to_receiver("call", ASKED, &["--at", &at]))));
        let request = listening.until("what was asked", LIMIT, with_text(ASKED))?;
        listening.say(&json!({ "answer": { "id": request["id"], "text": ANSWERED } }))?;
        calling.join().expect("a failure is an error")
    })?;
    ensure!(answered["answer"] == ANSWERED, "{answered}");

    cable.on(|| user.threebot(&bots.to_receiver("send", RELAYED, &["--relay", &url])))?;
    listening.until("what came over the relay", LIMIT, with_text(RELAYED))?;
    listening.kill()?;

    cable.on(|| Ok(UdpSocket::bind((OtherMachine::THERE, 0))?.send_to(IN_CLEAR.as_bytes(), bots.at)?))?;
    let passed = cable.passed()?;
    ensure!(holds(&passed, IN_CLEAR), "what goes in clear wasn't captured");
    for secret in [SAID, FILED, ASKED, ANSWERED, RELAYED] {
        ensure!(!holds(&passed, secret), "{secret} passed the cable in clear");
    }
    Ok(())
}

fn holds(bytes: &[u8], wanted: &str) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

pub fn messages_of_strangers_are_refused(grid: &mut Grid) -> Result<()> {
    let bots = Bots::new(grid, Ipv4Addr::LOCALHOST)?;
    let at = bots.at.to_string();
    let to = |text| bots.to_receiver("send", text, &["--at", &at]);
    let listening = bots.listen(grid, &[])?;
    grid.user.threebot(&to("from a friend"))?;
    listening.until("what a friend says", LIMIT, with_text("from a friend"))?;
    let nowhere = grid.user.threebot(&["msg", "send", &bots.receiver, "hello"]);
    let error = format!("{:#}", nowhere.err().context("a message is sent to nowhere")?);
    ensure!(error.contains("nothing says where a bot of twin"), "{error}");
    // Another device in the name of the user's twin.
    ensure!(is_stranger(grid, &bots, &Device::generate())?, "a stranger's message is taken");

    let device = grid.user.device_key()?;
    grid.user.threebot(&["device", "remove"])?;
    let forgotten = wait_for("a removed device to be a stranger", LIMIT, || {
        Ok(is_stranger(grid, &bots, &device)?.then_some(()))
    });
    let refused = grid.user.threebot(&to("from who was a friend"));
    grid.user.threebot(&["device", "add"])?;
    forgotten?;
    let error = format!("{:#}", refused.err().context("a removed device sends")?);
    ensure!(error.contains("threebot device add"), "{error}");
    listening.kill()
}

/// Whether a message in the name of the user's twin from a device gets no word. A device that comes too often is none.
fn is_stranger(grid: &Grid, bots: &Bots, device: &Device) -> Result<bool> {
    let addresses = PeerAddresses { relays: Vec::new(), direct: vec![bots.at] };
    let to = NodeAddress { key: grid.farmer.device_key()?.public(), addresses };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let message = TwinMessage {
        id: MessageId([0xab; 16]),
        from: bots.sender.parse()?,
        to: bots.receiver.parse()?,
        expires_ms: u64::try_from(now.as_millis())? + 60_000,
        text: "am I a stranger?".into(),
        file: None,
        request: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&device.seed()))
            .relay_mode(to.addresses.relay_mode())
            .bind()
            .await?;
        let connection = timeout(LIMIT, endpoint.connect(to.endpoint()?, MSG_ALPN)).await??;
        let reply = timeout(LIMIT, reply(&connection, message)).await?;
        let reason = connection.close_reason();
        connection.close(0u32.into(), b"");
        drop(timeout(Duration::from_secs(1), endpoint.close()).await);
        match (reply, reason) {
            (Ok(Some(_)), _) => Ok(false),
            (_, Some(ConnectionError::ApplicationClosed(close))) => {
                let is = |code| close.error_code == VarInt::from_u32(code);
                ensure!(is(UNKNOWN_CALLER) || is(TOO_MANY), "the connection is closed: {close}");
                Ok(is(UNKNOWN_CALLER))
            }
            (reply, reason) => bail!("the reply is {reply:?}, and the connection {reason:?}"),
        }
    })
}

async fn reply(connection: &Connection, message: TwinMessage) -> Result<Option<Frame<Reply>>> {
    let (mut send, mut receive) = connection.open_bi().await?;
    Frame::Message(message).write(&mut send).await?;
    Ok(Frame::read(&mut receive).await?)
}

pub fn messages_wait_for_whoever_is_away(grid: &mut Grid) -> Result<()> {
    let bots = Bots::new(grid, Ipv4Addr::LOCALHOST)?;
    let (user, at) = (&grid.user, bots.at.to_string());
    let folder = grid.run().subfolder("user-messages")?.display().to_string();
    let queued =
        user.threebot(&bots.to_receiver("send", "first", &["--at", &at, "--queue", "--folder", &folder]))?;
    ensure!(queued["delivered"] == false, "{queued}");
    let mut command = user.command()?;
    command.args(["--json", "msg", "listen", "--bind", "127.0.0.1:0", "--folder", &folder]);
    let sending = Lines::start(&mut command)?;
    let id = &queued["id"];

    // Away until now; killed before its script is done with the message.
    let listening = bots.listen(grid, &["--ack"])?;
    let first = listening.until("the first message", LIMIT, with_text("first"))?;
    sending.until("that it is delivered", LIMIT, |line| (line["delivered"]["id"] == *id).then_some(()))?;
    sending.kill()?;
    listening.kill()?;

    let mut listening = bots.listen(grid, &["--ack"])?;
    let again = listening.until("the first message again", LIMIT, with_text("first"))?;
    ensure!(again == first, "{again} isn't {first}");
    listening.say(&json!({ "done": first["id"] }))?;
    // Sent once more, as by a sender that was killed before it had the acknowledgement.
    let id = text(id)?;
    let sent = user.threebot(&bots.to_receiver("send", "first", &["--at", &at, "--id", id]))?;
    ensure!(sent["delivered"] == true, "{sent}");
    user.threebot(&bots.to_receiver("send", "second", &["--at", &at]))?;
    let next = listening.until("another message", LIMIT, message)?;
    ensure!(next["text"] == "second", "{next} comes twice");
    listening.say(&json!({ "done": next["id"] }))?;
    listening.kill()
}

pub fn messages_find_a_twin_in_the_phone_book_alone(grid: &mut Grid) -> Result<()> {
    let bots = Bots::new(grid, Ipv4Addr::LOCALHOST)?;
    let (user, at) = (&grid.user, bots.at.to_string());
    let to = |text| bots.to_receiver("send", text, &[]);
    let listening = bots.listen(grid, &["--publish", &at])?;
    let found = wait_for("the address on the chain", LIMIT, || {
        let shown = user.threebot(&["twin", "show", &bots.receiver])?;
        Ok((shown["addresses"] == json!([at])).then_some(()))
    })
    .and_then(|()| user.threebot(&to("found")))
    .and_then(|_| listening.until("what was sent there", LIMIT, with_text("found")));
    let hidden = grid.farmer.threebot(&["twin", "publish"])?;
    found?;
    ensure!(hidden["addresses"] == json!([]), "{hidden}");
    let error = format!("{:#}", user.threebot(&to("lost")).err().context("a message is sent to nowhere")?);
    ensure!(error.contains("it publishes no address on the chain"), "{error}");
    listening.kill()
}

pub fn messages_are_answered_by_the_script_of_the_guide(grid: &mut Grid) -> Result<()> {
    let bots = Bots::new(grid, Ipv4Addr::LOCALHOST)?;
    let at = bots.at.to_string();
    let path = env::var("PATH").unwrap_or_default();
    let mut script = Command::new("python3");
    script
        .arg(repository().join("docs/bots/lease_bot.py"))
        .args(["--allow", &bots.sender, "--bind", &at])
        .arg("--folder")
        .arg(grid.run().subfolder("script-messages")?)
        .env("PATH", format!("{}:{path}", programs()?.display()))
        .env("TFGRID_CHAIN", grid.chain.url())
        .env("TFGRID_KEY", "//Alice")
        .env("TFGRID_DEVICE", grid.farmer.device());
    let script = Lines::start(&mut script)?;
    let call = |text| {
        answer(grid.user.command()?.arg("--json").args(bots.to_receiver("call", text, &["--at", &at])))
    };
    let offer = call(r#"{"lease":{"cores":2,"hours":24}}"#)?;
    let offer: Value = serde_json::from_str(text(&offer["answer"])?)?;
    ensure!(offer == json!({ "offer": { "cores": 2, "hours": 24, "usd": 0.48 } }), "{offer}");
    let deep = "[".repeat(8_000);
    for hostile in ["hello", r#"{"lease":{"cores":1e999,"hours":1}}"#, deep.as_str()] {
        let wrong = call(hostile)?;
        ensure!(text(&wrong["answer"])?.contains("error"), "{wrong}");
    }
    grid.user.threebot(&bots.to_receiver("send", "thanks", &["--at", &at]))?;
    script.until("that the thanks are noted", LIMIT, |line| (line["noted"] == "thanks").then_some(()))?;
    script.kill()
}
