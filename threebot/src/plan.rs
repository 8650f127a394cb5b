// SPDX-License-Identifier: Apache-2.0
//! Plans: what something will cost, shown before it is done.

use crate::{
    foreseen::{Foreseen, Purse},
    output::indented,
    time::stretch,
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tfgrid_client::{
    GridAt,
    api::runtime_types::pallet_grid_billing::types::Limits,
    estimate::{MONTH_HOURS, seconds_for, tft_for},
    grid_at::EarlyCharges,
    primitives::{
        Balance, RateSums, Rates, TftPrice, TwinId, UsdAmount,
        units::{HOUR_MS, MINUTE_MS},
    },
    units::{format_price, format_tft, format_usd},
};

/// The cost of going ahead, and its effect on a twin's credit.
pub struct Plan {
    what: String,
    /// The rates at list price.
    rates: Rates,
    /// The rates of all contracts of the twin if it goes ahead, those that aren't deployed yet included.
    after: RateSums,
    /// The owner's limits of these.
    limits: Limits,
    /// What counts against the limit of the rate, too.
    early: EarlyCharges,
    /// Whether the chain checks limits and credit: where rates rise, or a first version is replaced.
    is_checked: bool,
    credit: Balance,
    price: TftPrice,
    /// The time that a new contract pays for at least, in milliseconds.
    min_charge_ms: u64,
    /// The time for which the credit must pay, in milliseconds.
    min_runway_ms: u64,
    /// The least that can be deposited.
    least_deposit: Balance,
    /// The rate of contracts that are new, in 1e-10 USD per hour.
    new_rate: u128,
    /// GB of traffic that are bought, and their cost.
    traffic: Option<(u32, Balance)>,
    /// What the reservation of a version costs that is replaced.
    replaced: Option<(u32, UsdAmount)>,
    /// The deposit that the account holds.
    held: Balance,
    /// The fee of the call.
    fee: Balance,
    /// What the account can spend beside these; nothing where that isn't known.
    spare: Balance,
    /// What a deposit leaves on the account.
    fee_reserve: Balance,
    notes: Vec<String>,
}

/// A version that its node hasn't answered, and that another one replaces.
pub struct Replaced {
    pub version: u32,
    /// The rates at which its reservation is paid for.
    pub rates: Rates,
    pub reserved_ms: u64,
    /// Whether it is the first version: it replaces nothing, so its rates are those of the contract.
    pub is_first: bool,
}

impl Plan {
    /// For a new contract.
    pub async fn for_new(at: &GridAt, twin: TwinId, what: impl Into<String>, rates: Rates) -> Result<Self> {
        Ok(Self::for_change(at, twin, what, Rates::ZERO, rates).await?.starting(rates))
    }

    /// For contracts that have the rates `before` and will have `rates`.
    pub async fn for_change(
        at: &GridAt,
        twin: TwinId,
        what: impl Into<String>,
        before: Rates,
        rates: Rates,
    ) -> Result<Self> {
        let mut after = at.payer_rates(twin).await?;
        after.remove(before);
        after.add(rates);
        Ok(Self {
            what: what.into(),
            rates,
            after,
            limits: at.owner_limits(twin).await?,
            early: at.early_charges(twin).await?,
            is_checked: rates.beyond(&before) != Rates::ZERO,
            credit: at.payer(twin).await?.credit,
            price: at.grid_info().await?.tft_price,
            min_charge_ms: at.min_charge_ms()?,
            min_runway_ms: at.min_runway_ms()?,
            least_deposit: at.existential_deposit()?,
            new_rate: 0,
            traffic: None,
            replaced: None,
            held: 0,
            fee: 0,
            spare: 0,
            fee_reserve: at.fee_reserve()?,
            notes: Vec::new(),
        })
    }

    /// Says which of the rates are those of new contracts.
    pub fn starting(self, new: Rates) -> Self {
        Self { new_rate: u128::from(new.usd).saturating_add(new.extra.into()), ..self }
    }

    /// Replaces a version, which is paid for as far as it was reserved.
    pub fn replacing(mut self, replaced: &Replaced) -> Self {
        let Replaced { version, rates, reserved_ms, is_first } = *replaced;
        if is_first {
            self.is_checked = true;
        } else {
            self.after.remove(rates);
        }
        let per_hour = UsdAmount::from(rates.usd).saturating_add(rates.extra.into());
        let ms = reserved_ms.max(self.min_charge_ms);
        let usd = per_hour.saturating_mul(ms.into()) / UsdAmount::from(HOUR_MS);
        Self { replaced: Some((version, usd)).filter(|(_, usd)| *usd > 0), ..self }
    }

    /// Adds traffic, which is paid in advance.
    pub fn with_traffic(self, gb: u32, cost: Balance) -> Self {
        Self { traffic: Some((gb, cost)).filter(|_| gb > 0), ..self }
    }

    /// Adds a deposit and the fee of the call, both from an account.
    ///
    /// # Errors
    /// If the account has less.
    pub fn holding(self, held: Balance, fee: Balance, purse: Purse) -> Result<Self> {
        let what = format!(
            "this holds {} TFT of your account as a deposit (credit doesn't count: `threebot withdraw` takes it \
             back)",
            format_tft(held)
        );
        let purse = purse.keeping(fee);
        purse.ensure_has(held, &what)?;
        Ok(Self { held, fee, spare: purse.spendable().saturating_sub(held), ..self })
    }

    /// Fails if the owner's limits or the credit don't admit it.
    pub fn ensure_affordable(&self) -> Result<()> {
        self.ensure_within_limits()?;
        if self.lacks_credit() {
            bail!(Foreseen::new(
                "Billing.CreditTooLow",
                format!(
                    "your credit must pay for {} of all that you run: `threebot deposit {}` first",
                    stretch(self.min_runway_ms / 1_000),
                    format_tft(self.missing().max(self.least_deposit))
                )
            ));
        }
        Ok(())
    }

    /// Fails if the owner's limits don't admit it.
    pub fn ensure_within_limits(&self) -> Result<()> {
        let limits = [
            (self.after.usd, self.limits.max_usd_rate, "Billing.RateAboveLimit", "contracts", "--rate"),
            (
                self.after.extra,
                self.limits.max_extra_fee,
                "Billing.ExtraFeeAboveLimit",
                "extra fees",
                "--extra-fee",
            ),
        ];
        for (rate, limit, code, what, option) in limits {
            if self.is_checked && rate > limit.into() {
                let (rate, limit) = (format_usd(rate), format_usd(limit.into()));
                bail!(Foreseen::new(
                    code,
                    format!(
                        "all your {what} would cost {rate} USD per hour, and your limit is {limit}: allow it with \
                         `threebot limits {option} {rate}`"
                    )
                ));
            }
        }
        self.ensure_few_early_ends()
    }

    fn lacks_credit(&self) -> bool {
        (self.is_checked || self.traffic.is_some()) && self.missing() > 0
    }

    /// The deposit without which the credit is too low, if the account can pay it, and a hundredth more: credit is
    /// used, and the price of TFT moves, until the call is in a block.
    pub fn lacking_deposit(&self) -> Option<Balance> {
        let missing = self.missing();
        let deposit = missing.saturating_add(missing / 100).max(self.least_deposit);
        let can_pay = deposit.saturating_add(self.fee_reserve) <= self.spare;
        (self.lacks_credit() && can_pay).then_some(deposit)
    }

    /// Fails if what ended early has cost as much as the owner's limit admits.
    fn ensure_few_early_ends(&self) -> Result<()> {
        let (ended, limit) = (self.early.usd.saturating_add(self.replaced_usd()), self.limits.max_usd_rate);
        if !self.is_checked || ended < limit.into() {
            return Ok(());
        }
        let text = format!(
            "contracts that ended early or before they ran cost you {} USD within an hour, and your limit is {} USD \
             per hour: wait {}, or set a higher limit with `threebot limits --rate`",
            format_usd(ended),
            format_usd(limit.into()),
            stretch(self.early.counts_for_ms / 1_000),
        );
        bail!(Foreseen::new("Billing.EndedTooOften", text))
    }

    /// Adds a line for people.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn at_once(&self) -> Balance {
        self.traffic.map_or(0, |(_, cost)| cost).saturating_add(self.replaced_tft())
    }

    fn replaced_usd(&self) -> UsdAmount {
        self.replaced.map_or(0, |(_, usd)| usd)
    }

    fn replaced_tft(&self) -> Balance {
        tft_for(self.replaced_usd(), 1, self.price).unwrap_or(Balance::MAX)
    }

    fn tft(&self, hours: u64) -> Balance {
        tft_for(self.usd(1), hours, self.price).unwrap_or(Balance::MAX)
    }

    fn usd(&self, hours: u64) -> u128 {
        u128::from(self.rates.usd).saturating_add(self.rates.extra.into()).saturating_mul(hours.into())
    }

    /// The least that new contracts cost, however early they are cancelled.
    fn at_least(&self) -> Balance {
        if self.new_rate == 0 {
            return 0;
        }
        let hour = tft_for(self.new_rate, 1, self.price).unwrap_or(Balance::MAX);
        hour.saturating_mul(self.min_charge_ms.into()) / Balance::from(HOUR_MS)
    }

    /// The seconds for which the credit lasts, at list price; `None` where nothing is charged.
    fn lasts(&self) -> Option<u64> {
        seconds_for(self.credit.saturating_sub(self.at_once()), self.after.total(), self.price)
    }

    /// The deposit that is missing for the minimum runway of all contracts.
    fn missing(&self) -> Balance {
        let hour = tft_for(self.after.total(), 1, self.price).unwrap_or(Balance::MAX);
        let runway = hour.saturating_mul(self.min_runway_ms.into()).div_ceil(Balance::from(HOUR_MS));
        runway.saturating_add(self.at_once()).saturating_sub(self.credit)
    }

    pub fn text(&self) -> String {
        let mut lines = vec![self.what.clone()];
        lines.extend(self.traffic.map(|(gb, cost)| {
            format!(
                "  at once    {} TFT for {gb} GB of traffic; unused traffic is refunded",
                format_tft(cost)
            )
        }));
        lines.extend(self.replaced.map(|(version, _)| {
            format!(
                "  at once    {} TFT for version {version}, unless its node reports before that it runs",
                format_tft(self.replaced_tft())
            )
        }));
        lines.push(format!("  per hour   {} USD, {} TFT", format_usd(self.usd(1)), format_tft(self.tft(1))));
        lines.push(format!(
            "  per month  {} USD, {} TFT (720 h, at {} USD per TFT)",
            format_usd(self.usd(MONTH_HOURS)),
            format_tft(self.tft(MONTH_HOURS)),
            format_price(self.price)
        ));
        if self.at_least() > 0 {
            let minutes = self.min_charge_ms / MINUTE_MS;
            lines.push(format!(
                "  at least   {} TFT: {minutes} minutes are always paid",
                format_tft(self.at_least())
            ));
        }
        if self.held > 0 {
            lines
                .push(format!("  on hold    {} TFT of your account, until it closes", format_tft(self.held)));
        }
        if self.fee > 0 {
            lines.push(format!("  fee        {} TFT of your account at most", format_tft(self.fee)));
        }
        let lasts = match self.lasts() {
            Some(seconds) => format!("then lasts {} at list price", stretch(seconds)),
            None => "isn't touched".into(),
        };
        lines.push(format!("  your credit of {} TFT {lasts}", format_tft(self.credit)));
        lines.extend(self.notes.iter().map(|note| indented(note, 2)));
        lines.join("\n")
    }

    pub fn value(&self) -> Value {
        json!({
            "rate_usd_1e10": self.usd(1).to_string(),
            "hour": { "usd_1e10": self.usd(1).to_string(), "tft_1e7": self.tft(1).to_string() },
            "month": {
                "hours": MONTH_HOURS,
                "usd_1e10": self.usd(MONTH_HOURS).to_string(),
                "tft_1e7": self.tft(MONTH_HOURS).to_string(),
            },
            "at_once_tft_1e7": self.at_once().to_string(),
            "at_least_tft_1e7": self.at_least().to_string(),
            "held_tft_1e7": self.held.to_string(),
            "fee_tft_1e7": self.fee.to_string(),
            "price_usd_1e7": self.price.to_string(),
            "credit_tft_1e7": self.credit.to_string(),
            "missing_tft_1e7": self.missing().to_string(),
            "credit_lasts_hours": self.lasts().map(|seconds| seconds / (HOUR_MS / 1_000)),
            "notes": self.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::{
        UsdRate,
        units::{TFT, USD},
    };

    fn plan(rate: UsdRate, all: u128) -> Plan {
        Plan {
            what: "deploy on node 1".into(),
            rates: Rates { usd: rate, extra: 0 },
            after: RateSums { usd: all, extra: 0 },
            limits: Limits { max_usd_rate: 10_000_000_000, max_extra_fee: 0, refill_per_30_days: 0 },
            early: EarlyCharges { usd: 0, counts_for_ms: 0 },
            is_checked: true,
            credit: 10 * TFT,
            price: USD / 20,
            min_charge_ms: 10 * MINUTE_MS,
            min_runway_ms: HOUR_MS,
            least_deposit: 0,
            new_rate: rate.into(),
            traffic: None,
            replaced: None,
            held: 0,
            fee: 0,
            spare: 0,
            fee_reserve: 0,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_missing_deposit_is_offered_if_the_account_can_pay() {
        let spare = 30 * TFT;
        let dear = Plan { credit: TFT, ..plan_with(spare) };
        assert_eq!(dear.lacking_deposit(), Some(19 * TFT + 19 * TFT / 100));
        let least = Plan { credit: 20 * TFT - 1, least_deposit: TFT / 100, ..dear };
        assert_eq!(least.lacking_deposit(), Some(TFT / 100));
        for none in
            [Plan { credit: 20 * TFT, ..plan_with(spare) }, Plan { credit: TFT, ..plan_with(19 * TFT) }]
        {
            assert_eq!(none.lacking_deposit(), None);
        }
    }

    fn plan_with(spare: Balance) -> Plan {
        Plan { spare, fee_reserve: TFT, ..plan(10_000_000_000, 10_000_000_000) }
    }

    #[test]
    fn traffic_is_paid_at_once_and_shortens_the_runway() {
        let plan = plan(103_750_000, 103_750_000).with_traffic(10, 5 * TFT);
        let text = plan.text();
        assert!(text.contains("at once    5 TFT for 10 GB of traffic"), "{text}");
        assert!(text.contains("then lasts 1 d 0 h"), "{text}");
        assert_eq!(plan.value()["at_once_tft_1e7"], "50000000");
        assert!(!plan.with_traffic(0, 0).text().contains("at once"));
    }

    #[test]
    fn a_plan_shows_costs_deposit_and_runway() {
        let plan =
            Plan { held: 4_490_000, fee: 12_345, ..plan(103_750_000, 103_750_000) }.with_note("a note");
        let text = plan.text();
        for part in [
            "per hour   0.010375 USD, 0.2075 TFT",
            "per month  7.47 USD, 149.4 TFT (720 h, at 0.05 USD per TFT)",
            "at least   0.0345833 TFT: 10 minutes are always paid",
            "on hold    0.449 TFT of your account, until it closes",
            "fee        0.0012345 TFT of your account at most",
            "your credit of 10 TFT then lasts 2 d 0 h at list price",
            "\n  a note",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(plan.ensure_affordable().is_ok());
    }

    #[test]
    fn a_plan_in_json_has_exact_numbers() {
        let value = plan(103_750_000, 207_500_000).value();
        assert_eq!(value["hour"], json!({ "usd_1e10": "103750000", "tft_1e7": "2075000" }));
        assert_eq!((&value["month"]["hours"], &value["credit_lasts_hours"]), (&json!(720), &json!(24)));
        assert_eq!((&value["rate_usd_1e10"], &value["missing_tft_1e7"]), (&json!("103750000"), &json!("0")));
    }

    #[test]
    fn a_runway_below_a_day_has_minutes() {
        let lasts = |credit| Plan { credit, ..plan(103_750_000, 103_750_000) }.text();
        assert!(lasts(46 * TFT / 10).contains("then lasts 22 h 10 min at list price"));
        assert!(lasts(173 * TFT / 1_000).contains("then lasts 50 min at list price"));
    }

    fn refusal(plan: &Plan) -> (&'static str, String) {
        let error = plan.ensure_affordable().unwrap_err();
        (error.downcast_ref::<Foreseen>().unwrap().code, error.to_string())
    }

    #[test]
    fn missing_credit_is_refused_with_the_deposit() {
        let dear = Plan { credit: TFT, ..plan(10_000_000_000, 10_000_000_000) };
        let text = "your credit must pay for 1 h 0 min of all that you run: `threebot deposit 19` first";
        assert_eq!(refusal(&dear), ("Billing.CreditTooLow", text.into()));
        let almost = Plan { credit: 20 * TFT - 1, least_deposit: TFT / 100, ..dear };
        assert!(refusal(&almost).1.contains("`threebot deposit 0.01` first"));
        assert!(Plan { is_checked: false, ..almost }.ensure_affordable().is_ok());
    }

    #[test]
    fn a_rate_above_the_limit_is_refused_with_the_way() {
        let text = "all your contracts would cost 1.2 USD per hour, and your limit is 1: allow it with `threebot \
                    limits --rate 1.2`";
        assert_eq!(refusal(&plan(3_000_000_000, 12_000_000_000)), ("Billing.RateAboveLimit", text.into()));
        let after = RateSums { usd: 1, extra: 5_000_000_000 };
        let (code, text) = refusal(&Plan { after, ..plan(1, 1) });
        assert_eq!(code, "Billing.ExtraFeeAboveLimit");
        assert!(text.ends_with("`threebot limits --extra-fee 0.5`"), "{text}");
    }

    #[test]
    fn early_ends_that_reach_the_limit_are_refused() {
        let early = EarlyCharges { usd: 10_000_000_000, counts_for_ms: 20 * MINUTE_MS };
        let often = Plan { early, ..plan(1, 1) };
        let text = "contracts that ended early or before they ran cost you 1 USD within an hour, and your limit is 1 \
                    USD per hour: wait 20 min, or set a higher limit with `threebot limits --rate`";
        assert_eq!(refusal(&often), ("Billing.EndedTooOften", text.into()));
        assert!(Plan { is_checked: false, ..often }.ensure_affordable().is_ok());
        let early = EarlyCharges { usd: 9_999_999_999, ..early };
        assert!(Plan { early, ..plan(1, 1) }.ensure_affordable().is_ok());
    }

    fn replaced(reserved_ms: u64, is_first: bool) -> Replaced {
        Replaced { version: 1, rates: Rates { usd: 103_750_000, extra: 0 }, reserved_ms, is_first }
    }

    #[test]
    fn a_replaced_version_is_paid_for_at_once() {
        let plan = |ms| Plan { new_rate: 0, ..plan(103_750_000, 103_750_000) }.replacing(&replaced(ms, true));
        let text = plan(1).text();
        assert!(text.contains("at once    0.0345833 TFT for version 1"), "{text}");
        assert_eq!(plan(20 * MINUTE_MS).value()["at_once_tft_1e7"], "691667");
        let text = Plan { credit: 2_100_000, ..plan(1) }.ensure_affordable().unwrap_err().to_string();
        assert!(text.contains("`threebot deposit 0.0320833` first"), "{text}");
    }

    #[test]
    fn a_replaced_update_no_longer_counts() {
        let all = RateSums { usd: 207_500_000, extra: 0 };
        let plan = Plan { after: all, is_checked: false, ..plan(1, 1) }.replacing(&replaced(1, false));
        assert_eq!((plan.after.usd, plan.is_checked), (103_750_000, false));
    }

    #[test]
    fn a_change_has_no_minimum() {
        let plan = Plan { new_rate: 0, ..plan(103_750_000, 103_750_000) };
        assert!(!plan.text().contains("at least"));
    }

    #[test]
    fn a_free_contract_does_not_touch_the_credit() {
        assert!(plan(0, 0).text().contains("your credit of 10 TFT isn't touched"));
    }
}
