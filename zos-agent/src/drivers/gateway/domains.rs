// SPDX-License-Identifier: Apache-2.0
//! Whether a domain leads to this node, and which twins may publish it. Name servers that the farmer trusts say so.

use crate::{
    clock::unix_ms,
    drivers::{
        GatewayHost, GatewaySpec,
        name_servers::{PORT, ask},
    },
};
use anyhow::{Context, Result, anyhow, ensure};
use hickory_server::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};
use tfgrid_primitives::TwinId;

/// How long a good answer counts.
const GOOD_FOR_MS: u64 = 300_000;
/// How long the first other answer counts. It doubles with each one until the most.
const RETRY_MS: u64 = 10_000;
const MAX_RETRY_MS: u64 = 600_000;
/// Domains that are looked up at the same time, and how many of them for one twin.
const MAX_LOOKUPS: usize = 32;
const MAX_LOOKUPS_OF_TWIN: usize = 2;

/// Label of the record that names the twins that may publish a domain, and the beginning of its text.
const OWNERS: (&str, &str) = ("_tfgrid", "twin=");

/// Records of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The twins that may publish it; any, where none is named.
    pub twins: BTreeSet<TwinId>,
}

/// Domains that are to be published, and by which twins.
pub type Wanted = BTreeMap<String, BTreeSet<TwinId>>;

/// The domains of these sites.
pub fn wanted<'a>(sites: impl Iterator<Item = &'a GatewaySpec>) -> Wanted {
    let mut wanted = Wanted::new();
    for spec in sites {
        if let GatewayHost::Domain(fqdn) = &spec.host {
            wanted.entry(fqdn.clone()).or_default().insert(spec.twin);
        }
    }
    wanted
}

/// What is known of domains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domains {
    known: BTreeMap<String, Known>,
}

/// What is known of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    asked_at_ms: u64,
    /// Answers since then of which none let a twin publish it that wants to.
    failures: u32,
    answer: Answer,
}

impl Known {
    fn is_due(&self, now_ms: u64) -> bool {
        let counts_for_ms = match self.failures {
            0 => GOOD_FOR_MS,
            failures => (RETRY_MS << (failures - 1).min(6)).min(MAX_RETRY_MS),
        };
        // The clock may have been set back.
        now_ms.abs_diff(self.asked_at_ms) >= counts_for_ms
    }
}

/// What a name server has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    Found(Records),
    Nothing(String),
}

impl Domains {
    /// Domains of these that are to be asked for now: those first that wait longest, and few of each twin.
    pub fn due(&self, wanted: &Wanted, now_ms: u64) -> Wanted {
        let is_due = |domain: &String| self.known.get(domain).is_none_or(|known| known.is_due(now_ms));
        let mut due: Vec<_> = wanted.iter().filter(|(domain, _)| is_due(domain)).collect();
        due.sort_by_key(|(domain, _)| self.known.get(*domain).map(|known| known.asked_at_ms));
        let mut asked: BTreeMap<TwinId, usize> = BTreeMap::new();
        due.retain(|(_, twins)| {
            let is_free = |twin: &&TwinId| asked.get(*twin).is_none_or(|count| *count < MAX_LOOKUPS_OF_TWIN);
            let Some(twin) = twins.iter().find(is_free) else { return false };
            *asked.entry(*twin).or_default() += 1;
            true
        });
        due.into_iter().take(MAX_LOOKUPS).map(|(domain, twins)| (domain.clone(), twins.clone())).collect()
    }

    /// Forgets domains that aren't among these.
    pub fn keep(&mut self, wanted: &Wanted) {
        self.known.retain(|domain, _| wanted.contains_key(domain));
    }

    /// Notes an answer for these twins; returns whether it differs from the one before. Where name servers fail, the
    /// last good one stays: a site isn't taken down for it.
    pub fn note(
        &mut self,
        domain: &str,
        twins: &BTreeSet<TwinId>,
        here: &[IpAddr],
        found: Result<Records>,
    ) -> bool {
        let (before, failures) = match self.known.remove(domain) {
            Some(known) => (Some(known.answer), known.failures),
            None => (None, 0),
        };
        let answer = match (found, &before) {
            (Ok(records), _) => Answer::Found(records),
            (Err(_), Some(good @ Answer::Found(_))) => good.clone(),
            (Err(why), _) => Answer::Nothing(format!("{why:#}")),
        };
        let is_new = before.as_ref() != Some(&answer);
        let is_good = twins.iter().any(|twin| trouble(&answer, *twin, here).is_none());
        let failures = if is_good { 0 } else { failures.saturating_add(1) };
        self.known.insert(domain.to_owned(), Known { asked_at_ms: unix_ms(), failures, answer });
        is_new
    }

    /// Why this twin may not publish a domain at these addresses, `None` if it may.
    pub fn trouble(&self, domain: &str, twin: TwinId, here: &[IpAddr]) -> Option<String> {
        match self.known.get(domain) {
            None => Some("its domain is being looked up".into()),
            Some(known) => trouble(&known.answer, twin, here),
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
        let wanted: Wanted = [("a.example".to_owned(), [5].into())].into();
        assert_eq!(domains.due(&wanted, unix_ms()), wanted);
        assert_eq!(domains.trouble("a.example", 5, &HERE).unwrap(), "its domain is being looked up");
        domains.note("a.example", &[5].into(), &HERE, at(&[[192, 0, 2, 1].into()], &[]));
        let trouble = domains.trouble("a.example", 5, &HERE).unwrap();
        assert_eq!(trouble, "its domain leads to 192.0.2.1, not to 185.69.166.10");
        domains.note("a.example", &[5].into(), &HERE, at(&HERE, &[]));
        assert_eq!(domains.trouble("a.example", 5, &HERE), None);
        assert!(domains.due(&wanted, unix_ms()).is_empty());
    }

    #[test]
    fn a_domain_that_names_twins_is_theirs_alone() {
        let mut domains = Domains::default();
        domains.note("a.example", &[5].into(), &HERE, at(&HERE, &[5, 6]));
        assert_eq!(domains.trouble("a.example", 6, &HERE), None);
        let trouble = domains.trouble("a.example", 7, &HERE).unwrap();
        assert_eq!(trouble, "the record _tfgrid of its domain doesn't say twin=7");
    }

    #[test]
    fn name_servers_that_fail_take_no_site_down() {
        let mut domains = Domains::default();
        domains.note("a.example", &[5].into(), &HERE, Err(anyhow!("no answer")));
        assert_eq!(domains.trouble("a.example", 5, &HERE).unwrap(), "no answer");
        domains.note("a.example", &[5].into(), &HERE, at(&HERE, &[]));
        domains.note("a.example", &[5].into(), &HERE, Err(anyhow!("no answer")));
        assert_eq!(domains.trouble("a.example", 5, &HERE), None);
    }

    #[test]
    fn domains_that_fail_starve_no_other() {
        let mut domains = Domains::default();
        let mut wanted: Wanted = (0..40).map(|id| (format!("a{id}.example"), [6].into())).collect();
        wanted.insert("z.example".into(), [5, 6].into());
        let mut asked = BTreeSet::new();
        for _ in 0..21 {
            let due = domains.due(&wanted, unix_ms());
            assert!(due.len() <= 2 * MAX_LOOKUPS_OF_TWIN, "{due:?}");
            for (domain, twins) in &due {
                domains.note(domain, twins, &HERE, Err(anyhow!("no answer")));
            }
            asked.extend(due.into_keys());
        }
        assert_eq!(asked.len(), 41, "{asked:?}");
        // What waits longest comes first.
        for known in domains.known.values_mut() {
            known.asked_at_ms = 9;
        }
        domains.known.get_mut("z.example").unwrap().asked_at_ms = 8;
        domains.known.get_mut("a7.example").unwrap().asked_at_ms = 7;
        let again = domains.due(&wanted, unix_ms());
        assert!(again.contains_key("a7.example") && again.contains_key("z.example"), "{again:?}");
    }

    #[test]
    fn a_domain_that_fails_is_asked_for_less_and_less() {
        let mut domains = Domains::default();
        let wanted: Wanted = [("a.example".to_owned(), [5].into())].into();
        for delay_s in [10, 20, 40, 80, 160, 320, 600, 600] {
            domains.note("a.example", &[5].into(), &HERE, at(&[], &[]));
            let asked_at_ms = domains.known["a.example"].asked_at_ms;
            assert!(domains.due(&wanted, asked_at_ms + delay_s * 1_000 - 1).is_empty(), "{delay_s}");
            assert_eq!(domains.due(&wanted, asked_at_ms + delay_s * 1_000), wanted);
        }
        domains.note("a.example", &[5].into(), &HERE, at(&HERE, &[]));
        assert_eq!(domains.known["a.example"].failures, 0);
    }

    #[test]
    fn answers_are_kept_as_long_as_a_site_wants_them() {
        let mut domains = Domains::default();
        domains.note("a.example", &[5].into(), &HERE, at(&HERE, &[5]));
        let text = serde_json::to_string(&domains).unwrap();
        let mut next: Domains = serde_json::from_str(&text).unwrap();
        assert_eq!(next.trouble("a.example", 5, &HERE), None);
        next.keep(&Wanted::new());
        assert_eq!(next, Domains::default());
    }
}
