// SPDX-License-Identifier: Apache-2.0
//! Tells the chain the price of TFT, as one of the accounts that governance trusts with it.

use crate::{
    cli::{Feed, Oracle},
    output::Answer,
    session::Session,
    time::stretch,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};
use tfgrid_client::{GridClient, primitives::TftPrice, units::format_price};
use tokio::{process::Command, time::sleep};

/// Between two tries, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long a page may take.
const FETCH_SECONDS: u32 = 30;
/// A price has 7 decimals on the chain.
const DECIMALS: usize = 7;

pub async fn run(session: &Session, command: Oracle) -> Result<Answer> {
    match command {
        Oracle::Feed(args) => feed(session, args).await,
        Oracle::Show => show(session).await,
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
            json!({ "feeder": value.feeder.to_string(), "price": value.price, "at": value.at_ms / 1_000 })
        })
        .collect();
    Ok(Answer::new(text, json!({ "price": price, "fed": fed })))
}

/// Tells it once, or again and again. A source or a chain that fails is tried again; what fails for good
/// is only what the chain says about this account.
async fn feed(session: &Session, args: Feed) -> Result<Answer> {
    let mut feeder = Feeder { grid: session.grid.clone(), chain: session.chain.clone(), told: None };
    loop {
        let price = feeder.tell(session, &args).await?;
        let text = format!("told the chain: {} USD per TFT", format_price(price));
        let answer = Answer::new(text, json!({ "price": price }));
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
    /// When the chain was last told.
    told: Option<Instant>,
}

impl Feeder {
    /// Tries until the chain has been told; says when what it knows is stale.
    async fn tell(&mut self, session: &Session, args: &Feed) -> Result<TftPrice> {
        let begun = self.told.unwrap_or_else(Instant::now);
        let mut wait = RETRY.0;
        loop {
            let why = match read(args).await {
                Ok(price) => match self.submit(session, price).await {
                    Ok(()) => {
                        self.told = Some(Instant::now());
                        return Ok(price);
                    }
                    Err(error) if is_final(&error) => return Err(error),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if args.once {
                return Err(why);
            }
            let silent = begun.elapsed();
            let stale = if silent >= args.stale_after {
                format!("; STALE: the chain wasn't told for {}", stretch(silent.as_secs()))
            } else {
                String::new()
            };
            eprintln!("threebot: {why:#}{stale}; again in {} s", wait.as_secs());
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    async fn submit(&mut self, session: &Session, price: TftPrice) -> Result<()> {
        let told = self.grid.feed_price(price, session.key()?).await;
        if told.is_err() {
            // The connection may be gone.
            self.grid = GridClient::connect(&self.chain).await?;
        }
        told?;
        Ok(())
    }
}

/// What the chain says about the account or the price won't be another thing in a minute.
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

/// A file that nobody writes any more has no price of today.
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
    let limit = FETCH_SECONDS.to_string();
    let args = ["--fail", "--silent", "--show-error", "--location", "--max-time", &limit, "--", url];
    let output = Command::new("curl").args(args).stdin(Stdio::null()).output().await;
    let output = output.context("can't run curl: install it (package curl)")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "can't fetch the price: {}", complaint.trim());
    String::from_utf8(output.stdout).context("the price isn't text")
}

/// The price in a text: a number alone, or JSON with a number or a string at `pointer`.
fn price_in(text: &str, pointer: &str) -> Result<TftPrice> {
    let text = text.trim();
    let number = match serde_json::from_str::<Value>(text) {
        Ok(json) => match json.pointer(pointer) {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(number)) => number.clone(),
            Some(other) => bail!("at {pointer:?} stands {other}, not a price"),
            None => bail!("the JSON has nothing at {pointer:?}"),
        },
        Err(_) => text.to_owned(),
    };
    let price = rounded(&number).with_context(|| format!("{number:?} isn't a price in USD"))?;
    ensure!(price > 0, "the price is zero");
    Ok(price)
}

/// In 1e-7 USD, rounded half up.
fn rounded(number: &str) -> Option<TftPrice> {
    // Only what is written with an exponent goes through a float.
    let written = match number.contains(['e', 'E']) {
        true => format!("{:.1$}", number.parse::<f64>().ok().filter(|n| n.is_finite())?, DECIMALS + 1),
        false => number.to_owned(),
    };
    let (whole, fraction) = written.split_once('.').unwrap_or((&written, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(DECIMALS)];
    let units: TftPrice = format!("{whole}{kept:0<DECIMALS$}").parse().ok()?;
    let up = fraction.as_bytes().get(DECIMALS).is_some_and(|next| *next >= b'5');
    units.checked_add(up.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Word, OnGrid};
    use clap::Parser;

    fn args(words: &str) -> Feed {
        let line = format!("threebot oracle feed {words}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Word::OnGrid(OnGrid::Oracle(Oracle::Feed(feed))) => feed,
            _ => unreachable!("the line feeds"),
        }
    }

    #[test]
    fn a_price_is_a_number_or_stands_in_json() {
        assert_eq!(price_in(" 0.05\n", "").unwrap(), 500_000);
        assert_eq!(price_in(r#"{"data":{"usd":0.0123}}"#, "/data/usd").unwrap(), 123_000);
        assert_eq!(price_in(r#"["0.5"]"#, "/0").unwrap(), 5_000_000);
        assert_eq!(price_in("1.23456785", "").unwrap(), 12_345_679);
        assert_eq!(price_in("1.2e-2", "").unwrap(), 120_000);
        assert_eq!(price_in("3", "").unwrap(), 30_000_000);
    }

    #[test]
    fn what_is_no_price_is_said() {
        for (text, pointer, why) in [
            ("cheap", "", "isn't a price"),
            ("-1", "", "isn't a price"),
            ("", "", "isn't a price"),
            ("0.00000001", "", "zero"),
            ("{}", "/usd", "nothing at"),
            (r#"{"usd":null}"#, "/usd", "not a price"),
            ("1e400", "", "isn't a price"),
        ] {
            let error = format!("{:#}", price_in(text, pointer).unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_nobody_writes_any_more_is_stale() {
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
    fn only_what_the_chain_says_of_the_account_is_final() {
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
}
