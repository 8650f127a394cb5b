// SPDX-License-Identifier: Apache-2.0
//! `threebot oracle`

use crate::{
    cli::Global,
    consent::unasked,
    output::{Answer, message, warn},
    session::Session,
    time::stretch,
};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};
use tfgrid_client::{
    GridClient,
    primitives::TftPrice,
    units::{format_price, parse_duration},
};
use tokio::time::sleep;

/// The pause between two tries, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The time that a page has to arrive.
const FETCH_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of a page.
const MAX_PAGE_BYTES: u64 = 1 << 20;
/// Decimals of a price on the chain.
const DECIMALS: usize = 7;

#[derive(Subcommand)]
pub enum Oracle {
    Feed(Feed),
    /// Show the price in force and the feeders' prices
    Show,
}

/// Keep telling the chain the price of TFT until stopped (oracle members only)
#[derive(Args)]
#[command(arg = unasked(), after_help = "\
Examples:
  threebot oracle feed --file /run/tft-price
  threebot oracle feed --url https://prices.example.org/tft --pointer /data/usd
  threebot oracle feed --file price.json --once")]
pub struct Feed {
    /// A file with the price of one TFT in USD: a number, or JSON (see --pointer)
    #[arg(long, required_unless_present = "url")]
    file: Option<PathBuf>,
    /// A page with the price, of at most 1 MiB
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    url: Option<String>,
    /// The price's place in the JSON (RFC 6901), such as /data/usd
    #[arg(long, default_value = "", hide_default_value = true)]
    pointer: String,
    /// How often, such as 5m
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    every: Duration,
    /// Don't send a price older than this
    #[arg(long, default_value = "30m", value_parser = parse_duration)]
    stale_after: Duration,
    /// Send one price and end
    #[arg(long)]
    once: bool,
}

impl Oracle {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        match self {
            Self::Feed(args) => {
                let session = Session::open(global).await?;
                session.ensure_alone("a feeder's price")?;
                feed(&session, args).await
            }
            Self::Show => show(&Session::anonymous(global).await?).await,
        }
    }
}

async fn show(session: &Session) -> Result<Answer> {
    let at = session.grid.finalized().await?;
    let price = at.grid_info().await?.tft_price;
    let now = at.timestamp_ms().await?;
    let fed = at.fed_prices().await?;
    let mut text = format!("in force  {} USD per TFT", format_price(price));
    for value in &fed {
        let age = stretch(now.saturating_sub(value.at_ms) / 1_000);
        text.push_str(&format!("\n{}  {} USD, {age} ago", value.feeder, format_price(value.price)));
    }
    let fed: Vec<Value> = fed
        .iter()
        .map(|value| {
            json!({
                "feeder": value.feeder.to_string(),
                "price_usd_1e7": value.price.to_string(),
                "at": value.at_ms / 1_000,
            })
        })
        .collect();
    Ok(Answer::new(text, json!({ "price_usd_1e7": price.to_string(), "fed": fed })))
}

/// Sends the price once, or again and again. A source or a chain that fails is tried again; only the chain's
/// refusal of this account ends it.
async fn feed(session: &Session, args: Feed) -> Result<Answer> {
    let mut feeder = Feeder { grid: session.grid.clone(), chain: session.chain.clone(), fed: None };
    loop {
        let price = feeder.feed(session, &args).await?;
        let text = format!("told the chain: {} USD per TFT", format_price(price));
        let answer = Answer::new(text, json!({ "price_usd_1e7": price.to_string() }));
        if args.once {
            return Ok(answer);
        }
        answer.print(session.json);
        sleep(args.every).await;
    }
}

struct Feeder {
    grid: GridClient,
    chain: String,
    /// The time of the last price that the chain took.
    fed: Option<Instant>,
}

impl Feeder {
    /// Tries until the chain has taken a price; warns when its last one is stale.
    async fn feed(&mut self, session: &Session, args: &Feed) -> Result<TftPrice> {
        let begun = self.fed.unwrap_or_else(Instant::now);
        let mut wait = RETRY.0;
        loop {
            let error = match self.feed_once(session, args).await {
                Ok(price) => return Ok(price),
                Err(error) if args.once || is_final(&error) => return Err(error),
                Err(error) => error,
            };
            let silent = begun.elapsed();
            let stale = if silent >= args.stale_after {
                format!("; STALE: the chain has had no price for {}", stretch(silent.as_secs()))
            } else {
                String::new()
            };
            let failed = format!("{}{stale}; again in {} s", message(&error), wait.as_secs());
            warn(&failed, session.json);
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    async fn feed_once(&mut self, session: &Session, args: &Feed) -> Result<TftPrice> {
        let price = read(args).await?;
        let fed = self.grid.feed_price(price, session.key()?).await;
        if fed.is_err() {
            // The connection may be gone.
            self.grid = GridClient::connect(&self.chain).await?;
        }
        fed?;
        self.fed = Some(Instant::now());
        Ok(price)
    }
}

/// Whether the chain refuses the account: it will in a minute, too.
fn is_final(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<tfgrid_client::Error>();
    matches!(failed, Some(tfgrid_client::Error::Failed { name, .. }) if name == "NoPermission")
}

async fn read(args: &Feed) -> Result<TftPrice> {
    let text = match (&args.file, &args.url) {
        (Some(file), _) => read_file(file, args.stale_after)?,
        (None, Some(url)) => fetch(url).await?,
        (None, None) => bail!("a price comes from --file or --url"),
    };
    price_in(&text, &args.pointer)
}

/// Reads a file, unless it is too old.
fn read_file(file: &Path, stale_after: Duration) -> Result<String> {
    let name = file.display();
    let written = fs::metadata(file).and_then(|facts| facts.modified());
    let written = written.with_context(|| format!("can't read the price {name}"))?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    ensure!(
        age <= stale_after,
        "the price in {name} is stale: it was written {} ago",
        stretch(age.as_secs())
    );
    fs::read_to_string(file).with_context(|| format!("can't read the price {name}"))
}

async fn fetch(url: &str) -> Result<String> {
    let page = url.to_owned();
    let fetching = tokio::task::spawn_blocking(move || fetch_blocking(&page));
    fetching
        .await
        .context("the fetching of the price was interrupted")?
        .with_context(|| format!("can't fetch {url}"))
}

fn fetch_blocking(url: &str) -> Result<String, ureq::Error> {
    let config = ureq::Agent::config_builder().timeout_global(Some(FETCH_WITHIN)).build();
    let mut page = ureq::Agent::new_with_config(config).get(url).call()?;
    page.body_mut().with_config().limit(MAX_PAGE_BYTES).read_to_string()
}

/// The price in a text: a number alone, or JSON with a number or a string at `pointer`.
fn price_in(text: &str, pointer: &str) -> Result<TftPrice> {
    let text = text.trim();
    let number = match serde_json::from_str::<Value>(text) {
        Ok(json) => match json.pointer(pointer) {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(number)) => number.clone(),
            Some(other) => bail!("at {pointer:?} is {other}, not a price"),
            None => bail!("the JSON has nothing at {pointer:?}"),
        },
        Err(_) => text.to_owned(),
    };
    let price = rounded(&number).with_context(|| format!("{number:?} isn't a price in USD"))?;
    ensure!(price > 0, "the price is zero");
    Ok(price)
}

/// A decimal number, with or without an exponent, in 1e-7 USD, rounded half up.
fn rounded(number: &str) -> Option<TftPrice> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The digits before this place are whole units; zeros go in front or behind where there are none.
    let place = exponent.parse::<i16>().ok()?.checked_add(i16::try_from(whole.len() + DECIMALS).ok()?)?;
    let Ok(place) = usize::try_from(place) else { return Some(0) };
    let digits = format!("{digits:0<place$}");
    let (units, rest) = digits.split_at(place);
    let units: TftPrice = if units.is_empty() { 0 } else { units.parse().ok()? };
    units.checked_add(rest.starts_with(['5', '6', '7', '8', '9']).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use std::{io::Write, net::TcpListener, thread};

    fn args(words: &str) -> Feed {
        let line = format!("threebot oracle feed {words}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Oracle(Oracle::Feed(feed)) => feed,
            _ => unreachable!("the line feeds"),
        }
    }

    #[test]
    fn a_feed_has_one_source() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' ')).map(drop);
        assert!(parse("threebot oracle feed --file a").is_ok());
        assert!(parse("threebot oracle feed").is_err());
        assert!(parse("threebot oracle feed --file a --url b").is_err());
    }

    #[test]
    fn a_price_is_a_number_or_in_json() {
        assert_eq!(price_in(" 0.05\n", "").unwrap(), 500_000);
        assert_eq!(price_in(r#"{"data":{"usd":0.0123}}"#, "/data/usd").unwrap(), 123_000);
        assert_eq!(price_in(r#"["0.5"]"#, "/0").unwrap(), 5_000_000);
        assert_eq!(price_in("1.23456785", "").unwrap(), 12_345_679);
        assert_eq!(price_in("1.2e-2", "").unwrap(), 120_000);
        assert_eq!(price_in("5e-8", "").unwrap(), 1);
        assert_eq!(price_in("0.12E+1", "").unwrap(), 12_000_000);
        assert_eq!(price_in(r#"{"usd":1.234567849e0}"#, "/usd").unwrap(), 12_345_678);
        assert_eq!(price_in("3", "").unwrap(), 30_000_000);
    }

    #[test]
    fn a_text_without_a_price_is_refused() {
        for (text, pointer, why) in [
            ("cheap", "", "isn't a price"),
            ("-1", "", "isn't a price"),
            ("", "", "isn't a price"),
            ("0.00000001", "", "zero"),
            ("{}", "/usd", "nothing at"),
            (r#"{"usd":null}"#, "/usd", "not a price"),
            ("1e400", "", "isn't a price"),
            ("1e-400", "", "zero"),
            ("1e99999", "", "isn't a price"),
            ("1e", "", "isn't a price"),
            ("e5", "", "isn't a price"),
        ] {
            let error = format!("{:#}", price_in(text, pointer).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn an_old_file_is_stale() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0.05").unwrap();
        let feed = args(&format!("--file {} --stale-after 60s", file.path().display()));
        assert_eq!(read(&feed).await.unwrap(), 500_000);
        let long_ago = SystemTime::now() - Duration::from_secs(120);
        file.as_file().set_modified(long_ago).unwrap();
        let error = format!("{:#}", read(&feed).await.unwrap_err());
        assert!(error.contains("is stale: it was written 2 min ago"), "{error}");
    }

    #[test]
    fn only_a_refused_account_is_final() {
        let failed = |name: &str| {
            anyhow::Error::from(tfgrid_client::Error::Failed {
                what: "the price".into(),
                pallet: "Oracle".into(),
                name: name.into(),
                docs: String::new(),
            })
        };
        assert!(is_final(&failed("NoPermission")) && !is_final(&failed("AlreadyFeeded")));
        assert!(!is_final(&anyhow::anyhow!("the connection ended")));
    }

    /// Serves one page; answers with its address.
    fn serve(status: &'static str, body: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/price", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The request is read before the answer, or closing would reset the connection.
            let mut request = [0; 4_096];
            std::io::Read::read(&mut stream, &mut request).unwrap();
            let length = body.len();
            // A reader that has enough may close early.
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        });
        url
    }

    #[tokio::test]
    async fn a_page_has_the_price() {
        let url = serve("200 OK", r#"{"data":{"usd":"0.05"}}"#.into());
        assert_eq!(read(&args(&format!("--url {url} --pointer /data/usd"))).await.unwrap(), 500_000);
    }

    #[tokio::test]
    async fn a_missing_or_huge_page_is_refused() {
        let url = serve("404 Not Found", "gone".into());
        let error = message(&fetch(&url).await.unwrap_err());
        assert!(error.contains(&url) && error.contains("404"), "{error}");
        let url = serve("200 OK", "1".repeat(MAX_PAGE_BYTES as usize + 1));
        let error = message(&fetch(&url).await.unwrap_err());
        assert!(error.contains("limit"), "{error}");
    }
}
