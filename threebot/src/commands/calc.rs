// SPDX-License-Identifier: Apache-2.0
//! What things cost and earn, by the chain's own arithmetic, without a chain.

use crate::{
    cli::{Calc, CalcCost, CalcFarming},
    output::Answer,
};
use anyhow::{Context, Result};
use serde_json::{json, Value};
use std::{fs, path::Path};
use tfgrid_client::{
    primitives::{
        farming::{farming_units_millionths, reward_musd, reward_tft, Farmed, FarmingRates, Payment},
        pricing::{cloud_units_millionths, cost, Usage},
        units::{GIB, USD},
        Discount, PriceList, PricedNode, Resources,
    },
    units::format_tft,
};

/// A month of prepaid runway, in hours.
const MONTH_HOURS: f64 = 720.0;

pub fn run(command: Calc) -> Result<Answer> {
    match command {
        Calc::Cost(args) => price(args),
        Calc::Farming(args) => reward(args),
        Calc::Units => Ok(units()),
    }
}

fn price(args: CalcCost) -> Result<Answer> {
    let list = args.prices.as_deref().map_or_else(|| Ok(PriceList::default()), read_prices)?;
    let resources = Resources { cru: args.cru, mru: args.mru, sru: args.sru, hru: args.hru, gpu: args.gpu };
    let discount = Discount::for_runway_hours((args.runway_months * MONTH_HOURS) as u64);
    let usage = Usage {
        resources,
        public_ips: args.ips,
        traffic_gb: args.nu_gb,
        seconds: args.seconds,
        node: PricedNode { certified: args.certified, rent: args.rent },
        discount,
    };
    let (usd_units, tft_units) = cost(&list, &usage, args.tft_price)
        .context("this costs more than the chain can count: is the price of TFT above zero?")?;
    let (cu, su) = cloud_units_millionths(&resources);
    let text = format!(
        "{} CU, {} SU for {} s: {} USD, {} TFT (discount: {})",
        decimal(cu),
        decimal(su),
        args.seconds,
        usd(usd_units),
        format_tft(tft_units.into()),
        json!(discount).as_str().unwrap_or("none"),
    );
    let value = json!({
        "cu": decimal(cu), "su": decimal(su), "usd_units": usd_units, "tft_units": tft_units,
        "discount": discount,
    });
    Ok(Answer::new(text, value))
}

fn reward(args: CalcFarming) -> Result<Answer> {
    let resources = Resources { cru: args.cru, mru: args.mru, sru: args.sru, hru: args.hru, gpu: 0 };
    let traffic_bytes = args.nu_gib.checked_mul(GIB).context("that many GiB of traffic can't be counted")?;
    let farmed = Farmed { resources, traffic_bytes, ip_seconds: args.ip_seconds };
    let payment =
        Payment { uptime_permille: args.uptime_permille, certified: args.certified, price: args.tft_price };
    let musd =
        reward_musd(&FarmingRates::default(), &farmed).context("this earns more than the chain can count")?;
    let tft_units = reward_tft(musd, &payment).context("the price of TFT must be above zero")?;
    let tft_units = u64::try_from(tft_units).context("this earns more than the chain can count")?;
    let (cu, su) = farming_units_millionths(&resources);
    let text = format!(
        "{} CU, {} SU: {musd} mUSD, {} TFT a period",
        decimal(cu),
        decimal(su),
        format_tft(tft_units.into()),
    );
    let value = json!({ "cu": decimal(cu), "su": decimal(su), "musd": musd, "tft_units": tft_units });
    Ok(Answer::new(text, value))
}

fn units() -> Answer {
    let text = "\
CU (compute)  min(max(mru/4, cru/2), max(mru/8, cru), max(mru/2, cru/4)), memory in GiB
SU (storage)  hru/1200 + sru/200, disks in GiB
NU (network)  GB of public traffic (10^9 bytes)
farmed CU     min(2 cru, (mru - 1)/4, sru/50)
farmed SU     hru/1200 + sru/250
farmed NU     GiB of public traffic (2^30 bytes)
usd_units     1e-7 USD
tft_units     1e-7 TFT
month         720 hours";
    let value = json!({
        "usd_units_per_usd": USD, "tft_units_per_tft": 10_000_000, "month_hours": MONTH_HOURS as u64,
        "prices": PriceList::default(), "farming": FarmingRates::default(),
    });
    Answer::new(text, value)
}

/// Prices from a file: the `policy` object of `docs/vectors/cost.json`.
fn read_prices(file: &Path) -> Result<PriceList> {
    let text =
        fs::read_to_string(file).with_context(|| format!("can't read the prices {}", file.display()))?;
    let prices: Value =
        serde_json::from_str(&text).with_context(|| format!("the prices {} aren't JSON", file.display()))?;
    serde_json::from_value(prices)
        .with_context(|| format!("the prices {} aren't a list of prices", file.display()))
}

/// Millionths as a number with a point.
fn decimal(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}

/// 1e-7 USD as people write it.
fn usd(units: u64) -> String {
    format_tft(units.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn answer(line: &str) -> Result<Value> {
        let Command::Calc(command) = Cli::try_parse_from(line.split(' '))?.command else {
            unreachable!("the line is a calculation")
        };
        Ok(run(command)?.value)
    }

    #[test]
    fn the_cost_of_an_hour_is_that_of_the_vectors() {
        let line = "threebot calc cost --cru 2 --mru 2GiB --sru 15GiB --hru 0GiB --gpu 0 --ips 0 --nu-gb 0 \
                    --seconds 3600 --tft-price 0.011 --json";
        let expected = json!({
            "cu": 1.0, "su": 0.075, "usd_units": 103_750, "tft_units": 9_431_818, "discount": "none",
        });
        assert_eq!(answer(line).unwrap(), expected);
    }

    #[test]
    fn a_reward_is_that_of_the_vectors() {
        let line = "threebot calc farming --cru 8 --mru 16GiB --sru 512GiB --hru 1024GiB --nu-gib 60 \
                    --ip-seconds 60 --uptime-permille 1000 --tft-price 0.08 --json";
        let reward = answer(line).unwrap();
        assert_eq!((&reward["musd"], &reward["tft_units"]), (&json!(13_701), &json!(1_712_625_000)));
    }

    #[test]
    fn prices_come_from_a_file_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.json");
        let vectors = include_str!("../../../docs/vectors/cost.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        fs::write(&file, vectors["policy"].to_string()).unwrap();
        let line = format!("threebot calc cost --cru 2 --mru 2GiB --tft-price 1 --prices {}", file.display());
        assert_eq!(answer(&line).unwrap()["usd_units"], json!(100_000));
        fs::write(&file, "{").unwrap();
        let error = format!("{:#}", answer(&line).unwrap_err());
        assert!(error.contains("aren't JSON") && error.contains("prices.json"), "{error}");
        fs::write(&file, "{\"cu\": 1}").unwrap();
        assert!(format!("{:#}", answer(&line).unwrap_err()).contains("aren't a list of prices"));
    }

    #[test]
    fn what_cannot_be_counted_is_said() {
        let error = |line: &str| format!("{:#}", answer(line).unwrap_err());
        assert!(error("threebot calc cost --cru 1 --tft-price 0").contains("above zero"));
        assert!(error(
            "threebot calc cost --cru 18446744073709551615 --seconds 18446744073709551615 --tft-price 1"
        )
        .contains("more than the chain can count"));
        assert!(error("threebot calc farming --cru 8 --tft-price 0").contains("above zero"));
        assert!(error("threebot calc cost --cru 1 --mru 2GB --tft-price 1").contains("isn't a size"));
    }
}
