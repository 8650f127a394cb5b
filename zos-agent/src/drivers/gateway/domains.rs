// SPDX-License-Identifier: Apache-2.0
//! Whether a domain leads to this node, and which twins may publish it. Name servers that the farmer trusts say so.

use crate::drivers::name_servers::{PORT, ask};
use anyhow::{Context, Result, anyhow, ensure};
use hickory_server::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tfgrid_primitives::TwinId;

/// How long an answer counts: one that is good, and one that isn't yet.
const COUNTS_FOR: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(10)];

/// Label of the record that names the twins that may publish a domain, and the beginning of its text.
const OWNERS: (&str, &str) = ("_tfgrid", "twin=");

/// Records of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The twins that may publish it; any, where none is named.
    pub twins: BTreeSet<TwinId>,
}

/// What is known of domains. Not kept over restarts.
#[derive(Default)]
pub struct Domains {
    known: BTreeMap<String, (Instant, Answer)>,
}

/// What a name server has said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Found(Records),
    Nothing(String),
}

impl Domains {
    /// Domains of these that are to be asked for now.
    pub fn due<'a>(
        &self,
        domains: impl Iterator<Item = (&'a str, TwinId)>,
        here: &[IpAddr],
    ) -> BTreeSet<String> {
        let is_due = |(domain, twin): &(&str, TwinId)| {
            let Some((since, answer)) = self.known.get(*domain) else { return true };
            since.elapsed() >= COUNTS_FOR[usize::from(trouble(answer, *twin, here).is_some())]
        };
        domains.filter(is_due).map(|(domain, _)| domain.to_owned()).collect()
    }

    /// Notes an answer. Where name servers fail, the last good one stays: a site isn't taken down for it.
    pub fn note(&mut self, domain: &str, found: Result<Records>) {
        let answer = match (found, self.known.get(domain)) {
            (Ok(records), _) => Answer::Found(records),
            (Err(_), Some((_, good @ Answer::Found(_)))) => good.clone(),
            (Err(why), _) => Answer::Nothing(format!("{why:#}")),
        };
        self.known.insert(domain.to_owned(), (Instant::now(), answer));
    }

    /// Why this twin may not publish a domain at these addresses, `None` if it may.
    pub fn trouble(&self, domain: &str, twin: TwinId, here: &[IpAddr]) -> Option<String> {
        match self.known.get(domain) {
            None => Some("its domain is being looked up".into()),
            Some((_, answer)) => trouble(answer, twin, here),
        }
    }
}

fn trouble(answer: &Answer, twin: TwinId, here: &[IpAddr]) -> Option<String> {
    let Records { addresses, twins } = match answer {
        Answer::Found(records) => records,
        Answer::Nothing(why) => return Some(why.clone()),
    };
    if !addresses.iter().any(|ip| here.contains(ip)) {
        return Some(format!("its domain leads to {}, not to {}", list(addresses), list(here)));
    }
    let (label, text) = OWNERS;
    (!twins.is_empty() && !twins.contains(&twin))
        .then(|| format!("the record {label} of its domain doesn't say {text}{twin}"))
}

fn list(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "no address".into(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    }
}

/// Records of a domain, of the first of these name servers that answers.
///
/// # Errors
/// If none does.
pub async fn look_up(servers: &[IpAddr], domain: &str) -> Result<Records> {
    let mut failed = anyhow!("there is no name server to look up {domain}");
    for server in servers {
        match look_up_at(SocketAddr::new(*server, PORT), domain).await {
            Ok(records) => return Ok(records),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn look_up_at(server: SocketAddr, domain: &str) -> Result<Records> {
    let mut records = Records::default();
    let (label, prefix) = OWNERS;
    let owners = format!("{label}.{domain}");
    for (name, kind) in
        [(domain, RecordType::A), (domain, RecordType::AAAA), (owners.as_str(), RecordType::TXT)]
    {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(Name::from_ascii(format!("{name}."))?, kind));
        let answer = ask(server, &question.to_vec().context("can't make a question")?).await?;
        let answer = Message::from_vec(&answer).with_context(|| format!("can't understand {server}"))?;
        let code = answer.metadata.response_code;
        ensure!(answer.metadata.id == question.metadata.id, "{server} answers another question");
        ensure!(
            matches!(code, ResponseCode::NoError | ResponseCode::NXDomain),
            "{server} doesn't find {name}: {code}"
        );
        for record in &answer.answers {
            match &record.data {
                RData::A(ip) => records.addresses.push(ip.0.into()),
                RData::AAAA(ip) => records.addresses.push(ip.0.into()),
                RData::TXT(text) => {
                    let text = String::from_utf8_lossy(&text.txt_data.concat()).into_owned();
                    records
                        .twins
                        .extend(text.strip_prefix(prefix).and_then(|twin| twin.parse::<TwinId>().ok()));
                }
                _ => {}
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(185, 69, 166, 10))];

    fn at(addresses: &[IpAddr], twins: &[TwinId]) -> Result<Records> {
        Ok(Records { addresses: addresses.to_vec(), twins: twins.iter().copied().collect() })
    }

    #[test]
    fn a_domain_that_leads_elsewhere_is_told_with_its_address() {
        let mut domains = Domains::default();
        let wanted = || [("a.example", 5)].into_iter();
        assert_eq!(domains.due(wanted(), &HERE), ["a.example".to_owned()].into());
        assert_eq!(domains.trouble("a.example", 5, &HERE).unwrap(), "its domain is being looked up");
        domains.note("a.example", at(&[[192, 0, 2, 1].into()], &[]));
        let trouble = domains.trouble("a.example", 5, &HERE).unwrap();
        assert_eq!(trouble, "its domain leads to 192.0.2.1, not to 185.69.166.10");
        domains.note("a.example", at(&HERE, &[]));
        assert_eq!(domains.trouble("a.example", 5, &HERE), None);
        assert!(domains.due(wanted(), &HERE).is_empty());
    }

    #[test]
    fn a_domain_that_names_twins_is_theirs_alone() {
        let mut domains = Domains::default();
        domains.note("a.example", at(&HERE, &[5, 6]));
        assert_eq!(domains.trouble("a.example", 6, &HERE), None);
        let trouble = domains.trouble("a.example", 7, &HERE).unwrap();
        assert_eq!(trouble, "the record _tfgrid of its domain doesn't say twin=7");
    }

    #[test]
    fn name_servers_that_fail_take_no_site_down() {
        let mut domains = Domains::default();
        domains.note("a.example", Err(anyhow!("no answer")));
        assert_eq!(domains.trouble("a.example", 5, &HERE).unwrap(), "no answer");
        domains.note("a.example", at(&HERE, &[]));
        domains.note("a.example", Err(anyhow!("no answer")));
        assert_eq!(domains.trouble("a.example", 5, &HERE), None);
    }
}
