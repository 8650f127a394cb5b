// SPDX-License-Identifier: Apache-2.0
//! `threebot bill`

use crate::{
    cli::Global,
    contract,
    many::answers,
    output::{Answer, counted, note},
    session::Session,
    time,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tfgrid_client::{
    GridAt,
    bill::{self, Line, Total, When},
    primitives::{ContractId, TwinId, UnixSeconds, views::ClosedContract},
    units::{format_tft, format_usd, parse_id},
};

/// Show what contracts were charged, by month
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot bill 7                                one contract
  threebot bill                                  all that are open
  threebot bill --closed --csv > bill.csv        those that closed, too
  threebot bill --closed --month 2026-11         a month of them
  threebot bill 7 8 --html --to 'Acme Ltd' > invoice.html")]
pub struct Bill {
    /// The contracts' ids, open or closed lately [default: all open ones of your twin]
    #[arg(value_parser = parse_id::<ContractId>)]
    contracts: Vec<ContractId>,
    /// Those of your twin that closed in the last 90 days, too; for them, the records of all contracts on the grid that
    /// did are read
    #[arg(long, conflicts_with = "contracts")]
    closed: bool,
    /// Only the months of 720 hours that begin in this calendar month, such as 2026-11
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    month: Option<String>,
    /// As comma-separated values, for spreadsheets
    #[arg(long, conflicts_with = "html")]
    csv: bool,
    /// As an invoice: one HTML file
    #[arg(long)]
    html: bool,
    /// Whom the invoice is for; may have several lines
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "html")]
    to: String,
}

impl Bill {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let is_all = self.contracts.is_empty();
        let session = if is_all { Session::open(global).await? } else { Session::anonymous(global).await? };
        let at = session.grid.finalized().await?;
        let (contracts, closed) = if is_all {
            of_twin(&at, session.twin(&at).await?, self.closed).await?
        } else {
            (self.contracts.clone(), BTreeSet::new())
        };
        let asked = contracts.into_iter().map(|contract| {
            let at = at.clone();
            async move { at.bill(contract).await?.ok_or_else(|| contract::unknown(contract)) }
        });
        let mut bills = answers(asked).await?;
        if is_all && !self.closed {
            note("contracts that closed are left out: --closed adds them", global.json);
        }
        if let Some(month) = &self.month {
            bills = bills.into_iter().map(|bill| of_month(bill, month)).collect();
        }
        // One that closed before the month.
        bills.retain(|bill| !bill.lines.is_empty() || !closed.contains(&bill.contract));
        let text = if self.csv {
            csv(&bills)
        } else if self.html {
            html(&bills, &self.to, at.timestamp_ms().await? / 1_000)
        } else {
            texts(&bills, is_all)
        };
        let value = match (bills.as_slice(), self.contracts.len()) {
            ([bill], 1) => value(bill),
            (bills, _) => all(bills),
        };
        Ok(Answer::new(text, value))
    }
}

/// The contracts of a twin, and those of them that closed lately, if they are asked for, and were charged something.
async fn of_twin(
    at: &GridAt,
    twin: TwinId,
    with_closed: bool,
) -> Result<(Vec<ContractId>, BTreeSet<ContractId>)> {
    let open = at.contracts_of_twin(twin).await?.into_iter().map(|open| open.contract);
    let closed = if with_closed { at.closed_contracts_of(twin).await? } else { Vec::new() };
    let charged = closed.into_iter().filter(|(_, record)| was_charged(record));
    let closed: BTreeSet<ContractId> = charged.map(|(contract, _)| contract).collect();
    let mut contracts: Vec<ContractId> = open.chain(closed.iter().copied()).collect();
    contracts.sort_unstable();
    Ok((contracts, closed))
}

fn was_charged(record: &ClosedContract) -> bool {
    record.usd > 0 || record.tft > 0
}

fn parse_month(text: &str) -> Result<String, String> {
    let parsed = text.split_once('-').and_then(|(year, month)| {
        let is_number = |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        let month: u8 = month.parse().ok().filter(|_| is_number(year, 4) && is_number(month, 2))?;
        (1..=12).contains(&month).then(|| text.into())
    });
    parsed.ok_or_else(|| format!("{text:?} isn't a month: write it like 2026-11"))
}

/// The part of a bill whose months begin in a calendar month.
fn of_month(bill: bill::Bill, month: &str) -> bill::Bill {
    let is_in =
        |line: &Line| matches!(line.when, When::MonthOf(_)) && first_day(&line.when).starts_with(month);
    let lines: Vec<Line> = bill.lines.into_iter().filter(is_in).collect();
    let total = lines.iter().fold(Total::default(), |sum, line| Total {
        usd: sum.usd.saturating_add(line.amount.usd),
        tft: sum.tft.saturating_add(line.amount.tft),
    });
    bill::Bill { lines, total, ..bill }
}

/// The sum of bills.
fn sum(bills: &[bill::Bill]) -> Total {
    bills.iter().fold(Total::default(), |sum, bill| Total {
        usd: sum.usd.saturating_add(bill.total.usd),
        tft: sum.tft.saturating_add(bill.total.tft),
    })
}

fn all(bills: &[bill::Bill]) -> Value {
    let total = sum(bills);
    json!({
        "bills": bills.iter().map(value).collect::<Vec<_>>(),
        "total_usd_1e10": total.usd.to_string(),
        "total_tft_1e7": total.tft.to_string(),
    })
}

fn first_day(when: &When) -> String {
    match when {
        When::Earlier => "earlier".into(),
        When::MonthOf(start) => time::moment(*start),
    }
}

/// No value has a comma or a quote.
fn csv(bills: &[bill::Bill]) -> String {
    let mut lines = vec!["contract,month_of_720_hours_from,usd,tft".into()];
    for bill in bills {
        lines.extend(bill.lines.iter().map(|Line { when, amount }| {
            let (usd, tft) = (format_usd(amount.usd), format_tft(amount.tft));
            format!("{},{},{usd},{tft}", bill.contract, first_day(when))
        }));
    }
    lines.join("\n")
}

const STYLE: &str = "body{font:11pt sans-serif;max-width:45em;margin:3em auto}\
                     table{width:100%;border-collapse:collapse}\
                     th,td{padding:.3em .6em;border-bottom:1px solid #bbb;text-align:right}\
                     th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}\
                     tfoot{font-weight:bold}address{font-style:normal;margin:2em 0;white-space:pre-line}";

/// An invoice that needs no other file.
fn html(bills: &[bill::Bill], to: &str, now: UnixSeconds) -> String {
    let row = |first: &str, second: &str, amount: &Total| {
        let (usd, tft) = (format_usd(amount.usd), format_tft(amount.tft));
        format!("<tr><td>{first}</td><td>{second}</td><td>{usd}</td><td>{tft}</td></tr>")
    };
    let lines = bills.iter().flat_map(|bill| {
        bill.lines
            .iter()
            .map(move |line| row(&bill.contract.to_string(), &first_day(&line.when), &line.amount))
    });
    let rows: Vec<String> = lines.collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Invoice of {day}</title>\
         <style>{STYLE}</style></head>\n<body>\n<h1>Invoice</h1>\n<p>{day}</p>\n<address>{to}</address>\n\
         <table>\n<thead><tr><th>Contract</th><th>Month of 720 hours from</th><th>USD</th><th>TFT</th></tr></thead>\n\
         <tbody>\n{rows}\n</tbody>\n<tfoot>{total}</tfoot>\n</table>\n\
         <p>Capacity of the ThreeFold Grid. It was paid in TFT; USD are those at the price of TFT at that \
         time.</p>\n</body>\n</html>",
        day = time::moment(now),
        to = escaped(to),
        rows = rows.join("\n"),
        total = row("Total", "", &sum(bills)),
    )
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Bills with their ids and the sum of all where there are several, or they weren't named.
fn texts(bills: &[bill::Bill], is_all: bool) -> String {
    let with_ids = is_all || bills.len() > 1;
    let mut texts: Vec<String> = bills.iter().map(|bill| text(bill, with_ids)).collect();
    if with_ids {
        texts.push(amounts(&format!("total of {}", counted(bills.len() as u64, "contract")), sum(bills)));
    }
    texts.join("\n\n")
}

fn text(bill: &bill::Bill, with_id: bool) -> String {
    let mut rows = if with_id { vec![format!("contract {}", bill.contract)] } else { Vec::new() };
    rows.push(columns("MONTH OF 720 h FROM", "USD", "TFT"));
    rows.extend(bill.lines.iter().map(|Line { when, amount }| amounts(&first_day(when), *amount)));
    rows.push(amounts("total", bill.total));
    rows.join("\n")
}

fn amounts(first: &str, Total { usd, tft }: Total) -> String {
    columns(first, &format_usd(usd), &format_tft(tft))
}

fn columns(first: &str, usd: &str, tft: &str) -> String {
    format!("{first:<24}  {usd:>18}  {tft:>18}")
}

fn value(bill: &bill::Bill) -> Value {
    let lines: Vec<Value> = bill
        .lines
        .iter()
        .map(|Line { when, amount }| {
            json!({
                "from": match when {
                    When::Earlier => Value::Null,
                    When::MonthOf(start) => json!(start),
                },
                "usd_1e10": amount.usd.to_string(),
                "tft_1e7": amount.tft.to_string(),
            })
        })
        .collect();
    json!({
        "contract": bill.contract,
        "lines": lines,
        "total_usd_1e10": bill.total.usd.to_string(),
        "total_tft_1e7": bill.total.tft.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::primitives::views::ClosingReason;

    fn bill() -> bill::Bill {
        let line = |when, usd, tft| Line { when, amount: Total { usd, tft } };
        bill::Bill {
            contract: 7,
            lines: vec![
                line(When::Earlier, 10_000_000_000, 200_000_000),
                line(When::MonthOf(1_700_352_000), 5_000_000_000, 100_000_001),
            ],
            total: Total { usd: 15_000_000_000, tft: 300_000_001 },
        }
    }

    #[test]
    fn a_contract_that_cost_nothing_has_no_bill_once_closed() {
        let reason = ClosingReason::Cancelled;
        let (twin, node, closed_at, closed_at_unix) = (3, None, 0, 0);
        let record = |usd, tft| ClosedContract { twin, node, reason, closed_at, closed_at_unix, usd, tft };
        assert!(!was_charged(&record(0, 0)));
        assert!(was_charged(&record(1, 0)) && was_charged(&record(0, 1)));
    }

    #[test]
    fn a_calendar_month_has_its_own_total() {
        let november = of_month(bill(), "2023-11");
        assert_eq!((november.lines.len(), november.total.tft), (1, 100_000_001));
        let december = of_month(bill(), "2023-12");
        assert_eq!((december.lines.len(), december.total.usd), (0, 0));
        assert_eq!(parse_month("2023-11").as_deref(), Ok("2023-11"));
        for wrong in ["", "2023", "2023-13", "2023-0", "2023-00", "23-11", "+023-11", "2023-1"] {
            assert!(parse_month(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_spreadsheet_has_a_line_for_each_month() {
        let text = csv(&[bill(), bill::Bill { contract: 8, ..bill() }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "contract,month_of_720_hours_from,usd,tft");
        assert_eq!((lines[1], lines[4]), ("7,earlier,1,20", "8,2023-11-19 00:00 UTC,0.5,10.0000001"));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn an_invoice_is_one_file_with_no_tags_but_its_own() {
        let text = html(&[bill(), bill()], "Acme & <script>alert('1')</script>\nGent", 1_700_352_000);
        assert!(text.contains("Acme &amp; &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\nGent"), "{text}");
        assert!(text.contains("<td>7</td><td>earlier</td><td>1</td><td>20</td>"), "{text}");
        assert!(text.contains("<tr><td>Total</td><td></td><td>3</td><td>60.0000002</td></tr>"), "{text}");
        for outside in ["src=", "href=", "url(", "<script", "@import"] {
            assert!(!text.contains(outside), "{outside}");
        }
    }

    #[test]
    fn bills_add_up() {
        let value = all(&[bill(), bill()]);
        assert_eq!(
            (&value["total_usd_1e10"], &value["total_tft_1e7"]),
            (&json!("30000000000"), &json!("600000002"))
        );
        assert_eq!(value["bills"][1]["contract"], 7);
    }

    #[test]
    fn bills_that_are_not_named_have_their_ids_and_a_sum() {
        let last = |text: &str| {
            let words = text.lines().last().unwrap().split_whitespace();
            words.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let both = texts(&[bill(), bill::Bill { contract: 8, ..bill() }], true);
        assert!(both.starts_with("contract 7\n") && both.contains("\n\ncontract 8\n"), "{both}");
        assert_eq!(last(&both), ["total", "of", "2", "contracts", "3", "60.0000002"]);
        assert_eq!(last(&texts(&[], true)), ["total", "of", "0", "contracts", "0", "0"]);
        assert_eq!(texts(&[bill()], false), text(&bill(), false));
        assert!(both.lines().all(|line| line.len() <= 80), "{both}");
    }

    #[test]
    fn a_bill_is_a_table_with_a_total() {
        let bill = bill();
        let text = text(&bill, false);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["earlier", "1", "20"]);
        assert_eq!(words[2], ["2023-11-19", "00:00", "UTC", "0.5", "10.0000001"]);
        assert_eq!(words[3], ["total", "1.5", "30.0000001"]);
        assert_eq!(value(&bill)["lines"][1]["tft_1e7"], "100000001");
        assert_eq!(value(&bill)["lines"][0]["from"], Value::Null);
    }
}
