// SPDX-License-Identifier: Apache-2.0
//! `threebot farm image`

use super::farm::{self, OneFarm};
use crate::{
    cli::Global,
    consent::Consent,
    output::{Answer, Usage},
    progress::{Progress, is_watched},
    session::Session,
    time::moment,
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tfgrid_client::units::parse_duration;
use url::{Host, Url};

/// Begins the page of an image that is for settings (`docs/IMAGE.md`).
const MARK: &str = "# Settings of this node.";
/// Begins the line of the page that names all settings that the image knows.
const KNOWN: &str = "# known: ";
const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;
/// So much of an image is on the disk before more of it is copied.
const COPIED_AT_ONCE: u64 = 4 << 20;
const TICKET: &str = "ZOS_TICKET";
const CHAIN: &str = "ZOS_CHAIN";
const CHANNEL: &str = "ZOS_CHANNEL";

/// Write a boot image with a ticket of your farm in it: a machine that boots from it, with a blank disk, joins the
/// farm by itself
///
/// The ticket holds 10 TFT for each node, as that of `threebot farm ticket` does. Keep the image secret until its nodes
/// have joined.
#[derive(Args)]
pub struct Image {
    #[command(flatten)]
    farm: OneFarm,
    /// The image of a release, or one that this command has written
    #[arg(long, value_name = "FILE", default_value = "zos.img")]
    image: PathBuf,
    /// Where to write the image with the ticket
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How many machines may join
    #[arg(long, default_value_t = 1)]
    nodes: u32,
    /// How long the ticket is valid, such as 90s, 30m, 12h or 7d
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    expires: Duration,
    /// RPC addresses at which the nodes reach the chain [default: that of --chain]
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    node_chain: Vec<String>,
    /// Folder of a web server from which the nodes update their image [default: they don't]
    #[arg(long, value_name = "URL", value_parser = channel)]
    channel: Option<String>,
    /// A setting of the agent, such as ZOS_CAPACITY=cru=2; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    consent: Consent,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((CHAIN, _)) => Err("name the chain with --node-chain".into()),
        Some((TICKET, _)) => Err("the ticket is a new one of --farm".into()),
        Some((name, value)) if !value.contains(char::is_control) => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE, in one line".into()),
    }
}

fn channel(text: &str) -> Result<String, String> {
    // A URL parser leaves line ends out.
    match Url::parse(text).ok().filter(|_| !text.contains(char::is_control)) {
        Some(url) if matches!(url.scheme(), "https" | "http") && url.query().is_none() => Ok(text.into()),
        _ => Err("write it as https://…, the address of a folder".into()),
    }
}

impl Image {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let chain = if self.node_chain.is_empty() { vec![global.chain.clone()] } else { self.node_chain };
        chain.iter().try_for_each(|url| ensure_reachable(url))?;
        let mut settings = self.settings;
        settings.push((CHAIN.into(), chain.join(",")));
        settings.extend(self.channel.map(|channel| (CHANNEL.into(), channel)));
        let mut image =
            File::open(&self.image).with_context(|| format!("can't read {}", self.image.display()))?;
        let is_watched = is_watched(global.json);
        let page = Page::find(&mut image, Progress::new(is_watched))
            .with_context(|| format!("can't use {}", self.image.display()))?;
        // All that can fail does before the ticket holds a deposit.
        page.text(&settings, &"x".repeat(128))?;
        let (session, farm) = (Session::open(global).await?, self.farm.id()?);
        farm::ask_for_ticket(&session, farm, self.nodes, &self.consent).await?;
        let written = copy(&mut image, &self.out, Progress::new(is_watched))?;
        let finished = async {
            let ticket = farm::open_ticket(&session, farm, self.nodes, self.expires).await?;
            written.write_all_at(page.text(&settings, &ticket.text)?.as_bytes(), page.at)?;
            written.sync_all()?;
            anyhow::Ok(ticket)
        };
        let ticket = match finished.await {
            Ok(ticket) => ticket,
            Err(why) => {
                // A copy without a ticket looks like one that has it.
                let _ = fs::remove_file(&self.out);
                return Err(why);
            }
        };
        let (out, nodes) = (self.out.display(), self.nodes);
        let text = format!(
            "{out}: {nodes} machine(s) join farm {farm} with it until {}\n\nWrite it to a stick (dd if={out} of=/dev/… \
             bs=4M conv=fsync), and boot a machine with a blank disk from it.\nKeep it secret: whoever has it can join \
             the farm.",
            moment(ticket.until)
        );
        let value = json!({
            "image": self.out,
            "farm": farm,
            "nodes": nodes,
            "public": hex::encode(ticket.public),
            "expires": ticket.until,
        });
        Ok(Answer::new(text, value))
    }
}

/// Fails for the address of this computer: on a node, it is the node's.
fn ensure_reachable(url: &str) -> Result<()> {
    let host = Url::parse(url).with_context(|| Usage::new(format!("{url:?} is no RPC address")))?;
    let is_here = match host.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Domain(name)) => name == "localhost",
        None => bail!(Usage::new(format!("{url:?} names no host"))),
    };
    ensure!(
        !is_here,
        Usage::new(format!("a node can't reach the chain at {url}: name an address of it with --node-chain"))
    );
    Ok(())
}

/// The page of an image that is for settings.
#[derive(Debug)]
struct Page {
    at: u64,
    /// Names that the image knows.
    known: Vec<String>,
}

impl Page {
    fn find(image: &mut File, mut progress: Progress) -> Result<Self> {
        let (mut found, mut at) = (Vec::new(), 0);
        let mut sector = [0; SECTOR_BYTES];
        let mut sectors = io::BufReader::with_capacity(1 << 20, &*image);
        loop {
            match sectors.read_exact(&mut sector) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read.with_context(|| format!("can't read it at byte {at}"))?,
            }
            if sector.starts_with(MARK.as_bytes()) {
                found.push(at);
            }
            at += SECTOR_BYTES as u64;
            progress.tell("reading the image:", at);
        }
        let [at] = found[..] else {
            bail!("it has {} pages for settings and should have one: is it a boot image?", found.len());
        };
        let mut page = [0; PAGE_BYTES];
        image.read_exact_at(&mut page, at)?;
        let text = String::from_utf8_lossy(&page).into_owned();
        let known = text.lines().find_map(|line| line.strip_prefix(KNOWN));
        let known = known.context("its page for settings doesn't say which it knows")?;
        Ok(Self { at, known: known.split_whitespace().map(Into::into).collect() })
    }

    /// What is to stand there.
    fn text(&self, settings: &[(String, String)], ticket: &str) -> Result<String> {
        let known = self.known.join(" ");
        let mut text = format!("{MARK}\n{KNOWN}{known}\n{TICKET}={ticket}\n");
        for (name, value) in settings {
            ensure!(
                self.known.contains(name),
                Usage::new(format!("the image has no setting {name}; it knows {known}"))
            );
            text.push_str(&format!("{name}={value}\n"));
        }
        let rest = PAGE_BYTES.checked_sub(text.len());
        let rest = rest.with_context(|| format!("the settings have more than {PAGE_BYTES} bytes"))?;
        Ok(text + &"\n".repeat(rest))
    }
}

/// A new file, which others can't read.
fn copy(image: &mut File, out: &Path, progress: Progress) -> Result<File> {
    let mut copied = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(|| format!("can't create {}", out.display()))?;
    if let Err(error) = copy_whole(image, &mut copied, progress) {
        let _ = fs::remove_file(out);
        return Err(error).with_context(|| format!("can't write {}", out.display()));
    }
    Ok(copied)
}

fn copy_whole(image: &mut File, copied: &mut File, mut progress: Progress) -> io::Result<()> {
    image.seek(SeekFrom::Start(0))?;
    let mut moved = 0;
    loop {
        let count = io::copy(&mut Read::take(&*image, COPIED_AT_ONCE), copied)?;
        if count == 0 {
            return Ok(());
        }
        // Else a slow disk would seem to be fast, and then to stand still.
        copied.sync_data()?;
        moved += count;
        progress.tell("writing the image:", moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 2048;

    /// An image with this page.
    fn image(page: &str) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 10).unwrap();
        file.write_all_at(page.as_bytes(), AT as u64).unwrap();
        file
    }

    fn find(image: &mut File) -> Result<Page> {
        Page::find(image, Progress::new(false))
    }

    #[test]
    fn settings_replace_those_of_the_page_and_nothing_else() {
        let mut first = image(&format!("{MARK} They are here.\n{KNOWN}ZOS_TICKET ZOS_CHAIN\n"));
        let page = find(&mut first).unwrap();
        let settings = [("ZOS_CHAIN".to_owned(), "wss://a".to_owned())];
        let text = page.text(&settings, "t:1").unwrap();
        assert_eq!((page.at, text.len()), (AT as u64, PAGE_BYTES));
        assert!(text.contains("\nZOS_TICKET=t:1\nZOS_CHAIN=wss://a\n\n"), "{text}");

        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        copy(&mut first, &out, Progress::new(false)).unwrap().write_all_at(text.as_bytes(), page.at).unwrap();
        let written = fs::read(&out).unwrap();
        assert!(written.len() == 64 << 10 && written[AT..].starts_with(text.as_bytes()));
        assert_eq!(find(&mut File::open(&out).unwrap()).unwrap().known, page.known, "it can be used again");
        let error = copy(&mut first, &out, Progress::new(false)).unwrap_err().to_string();
        assert!(error.starts_with("can't create "), "{error}");
    }

    #[test]
    fn what_an_image_does_not_know_is_refused() {
        let page = Page { at: 0, known: vec!["ZOS_CHAIN".into()] };
        let refused =
            |name: &str, value: String| page.text(&[(name.into(), value)], "").unwrap_err().to_string();
        assert_eq!(
            refused("ZOS_POOL", "/dev/sda".into()),
            "the image has no setting ZOS_POOL; it knows ZOS_CHAIN"
        );
        assert_eq!(refused("ZOS_CHAIN", "a".repeat(5_000)), "the settings have more than 4096 bytes");
    }

    #[test]
    fn a_file_that_is_no_image_is_refused() {
        let why = |page: &str| find(&mut image(page)).unwrap_err().to_string();
        assert!(why("").starts_with("it has 0 pages"));
        assert!(
            why(&format!("{MARK}{}{MARK}", "\n".repeat(SECTOR_BYTES - MARK.len())))
                .starts_with("it has 2 pages")
        );
        assert!(why(MARK).contains("doesn't say which"));
    }

    #[test]
    fn an_image_that_can_not_be_read_has_no_other_fault() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&mut File::open(folder.path()).unwrap()).unwrap_err().to_string();
        assert_eq!(error, "can't read it at byte 0");
    }

    #[test]
    fn a_chain_that_nodes_can_not_reach_is_refused() {
        for url in ["ws://127.0.0.1:9944", "ws://localhost:9944", "ws://[::1]:9944", "ws://0.0.0.0:1", "x"] {
            assert!(ensure_reachable(url).is_err(), "{url}");
        }
        assert!(ensure_reachable("wss://rpc.example.org").is_ok());
    }

    #[test]
    fn a_channel_is_a_folder_of_a_web_server() {
        assert_eq!(channel("https://updates.example.org/zos").unwrap(), "https://updates.example.org/zos");
        for text in ["updates.example.org", "file:///zos", "https://a/?b", "https://a\nZOS_TICKET=t"] {
            assert!(channel(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_setting_is_one_line_and_neither_chain_nor_ticket() {
        assert_eq!(setting("ZOS_CAPACITY=cru=2").unwrap(), ("ZOS_CAPACITY".into(), "cru=2".into()));
        for text in ["ZOS_CHAIN=a", "ZOS_TICKET=a", "ZOS_DNS", "ZOS_DNS=1\nZOS_TICKET=a"] {
            assert!(setting(text).is_err(), "{text}");
        }
    }
}
