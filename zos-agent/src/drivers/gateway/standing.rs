// SPDX-License-Identifier: Apache-2.0
//! Which sites may be published, and under which host. Pure.

use super::domains::Domains;
use crate::drivers::{GatewayGrants, GatewayHost, GatewaySpec, WorkloadId};
use std::collections::BTreeMap;

/// The host of a site, or why it can't be published.
pub type Standing = Result<String, String>;

/// The host under which a site is to be published.
///
/// # Errors
/// If its owner has no right to it on this node.
pub fn host(spec: &GatewaySpec, grants: &GatewayGrants) -> Standing {
    if grants.addresses.is_empty() {
        return Err("this node has no public address: it is no gateway".into());
    }
    match (&spec.host, &grants.domain) {
        (GatewayHost::Name(_), None) => {
            Err("this node has no domain: it publishes no names, only domains".into())
        }
        (GatewayHost::Name(name), Some(domain)) if grants.holders.get(name) == Some(&spec.twin) => {
            Ok(format!("{name}.{domain}"))
        }
        (GatewayHost::Name(name), Some(_)) => Err(format!(
            "the name {name:?} isn't yours: `threebot name reserve {name}` takes one that is free"
        )),
        (GatewayHost::Domain(fqdn), Some(domain)) if is_within(fqdn, domain) => {
            Err(format!("{fqdn} belongs to this node: names below {domain} are reserved on the chain"))
        }
        (GatewayHost::Domain(fqdn), _) => Ok(fqdn.clone()),
    }
}

fn is_within(fqdn: &str, domain: &str) -> bool {
    fqdn == domain || fqdn.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Sites that have the hosts under which they are published.
pub type Holders = BTreeMap<String, WorkloadId>;

/// All of these sites. Of several with one host, the one that has it is published, otherwise that of the first
/// contract.
pub fn standings<'a>(
    sites: &'a BTreeMap<WorkloadId, GatewaySpec>,
    grants: &GatewayGrants,
    domains: &Domains,
    holders: &Holders,
) -> BTreeMap<&'a WorkloadId, Standing> {
    let alone = |spec: &GatewaySpec| -> Standing {
        let host = host(spec, grants)?;
        match spec.host {
            GatewayHost::Domain(_) => {
                domains.trouble(&host, spec.twin, &grants.addresses).map_or(Ok(host), Err)
            }
            GatewayHost::Name(_) => Ok(host),
        }
    };
    let mut standings: BTreeMap<_, _> = sites.iter().map(|(id, spec)| (id, alone(spec))).collect();
    let mut taken: BTreeMap<String, &WorkloadId> = BTreeMap::new();
    for (&id, standing) in &standings {
        if let Ok(host) = standing {
            let first = taken.entry(host.clone()).or_insert(id);
            if holders.get(host) == Some(id) {
                *first = id;
            }
        }
    }
    for (id, standing) in &mut standings {
        if let Ok(host) = &*standing
            && let Some(first) = taken.get(host).filter(|first| *first != id)
        {
            *standing = Err(format!("contract {} publishes {host} already", first.contract));
        }
    }
    standings
}

/// Who has which host from now on. A site that can't be published for now has its host until another one is.
pub fn holders(
    sites: &BTreeMap<WorkloadId, GatewaySpec>,
    standings: &BTreeMap<&WorkloadId, Standing>,
    mut before: Holders,
) -> Holders {
    before.retain(|host, id| sites.get(id).is_some_and(|spec| wants(spec, host)));
    let published =
        standings.iter().filter_map(|(id, standing)| Some((standing.clone().ok()?, (*id).clone())));
    before.extend(published);
    before
}

fn wants(spec: &GatewaySpec, host: &str) -> bool {
    match &spec.host {
        GatewayHost::Name(name) => host.split_once('.').is_some_and(|(first, _)| first == name),
        GatewayHost::Domain(fqdn) => fqdn == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::gateway::{domains::Records, tests::site};
    use std::net::IpAddr;
    use tfgrid_primitives::ContractId;

    fn grants() -> GatewayGrants {
        GatewayGrants {
            domain: Some("gw1.example.org".into()),
            addresses: vec![[185, 69, 166, 10].into()],
            holders: [("shop".to_owned(), 5)].into(),
        }
    }

    fn domain(contract: ContractId, fqdn: &str) -> GatewaySpec {
        GatewaySpec { host: GatewayHost::Domain(fqdn.into()), ..site(contract, "www") }
    }

    fn all(specs: &[GatewaySpec], domains: &Domains) -> Vec<Standing> {
        let sites = specs.iter().map(|spec| (spec.id.clone(), spec.clone())).collect();
        standings(&sites, &grants(), domains, &Holders::new()).into_values().collect()
    }

    #[test]
    fn a_name_is_published_for_its_holder_alone() {
        assert_eq!(host(&site(1, "shop"), &grants()).as_deref(), Ok("shop.gw1.example.org"));
        let other = GatewaySpec { twin: 6, ..site(1, "shop") };
        assert!(host(&other, &grants()).unwrap_err().starts_with(r#"the name "shop" isn't yours"#));
        assert!(host(&site(1, "blog"), &grants()).is_err(), "nobody holds it");
        let no_domain = GatewayGrants { domain: None, ..grants() };
        assert!(host(&site(1, "shop"), &no_domain).unwrap_err().contains("has no domain"));
        assert!(host(&site(1, "shop"), &GatewayGrants::default()).unwrap_err().contains("no public address"));
    }

    #[test]
    fn a_name_can_not_be_had_as_a_domain() {
        for fqdn in ["shop.gw1.example.org", "gw1.example.org", "a.b.gw1.example.org"] {
            assert!(
                host(&domain(1, fqdn), &grants()).unwrap_err().contains("belongs to this node"),
                "{fqdn}"
            );
        }
        assert!(host(&domain(1, "agw1.example.org"), &grants()).is_ok());
    }

    #[test]
    fn a_domain_that_leads_here_goes_to_the_first_contract() {
        let mut domains = Domains::default();
        let both = [domain(1, "a.example"), domain(2, "a.example")];
        assert!(all(&both, &domains).iter().all(Result::is_err));
        let addresses: Vec<IpAddr> = grants().addresses;
        let found = Ok(Records { addresses: addresses.clone(), ..Default::default() });
        domains.note("a.example", &[5].into(), &addresses, found);
        let expected = [Ok("a.example".into()), Err("contract 1 publishes a.example already".to_owned())];
        assert_eq!(all(&both, &domains), expected);
    }

    #[test]
    fn a_live_site_keeps_its_host_from_an_older_contract() {
        let mut domains = Domains::default();
        let lead = |domains: &mut Domains, ip| {
            let found = Ok(Records { addresses: vec![ip], ..Default::default() });
            domains.note("a.example", &[5].into(), &grants().addresses, found);
        };
        let here = grants().addresses[0];
        lead(&mut domains, here);
        let [old, live] = [domain(1, "a.example"), domain(2, "a.example")];
        let alone: BTreeMap<_, _> = [(live.id.clone(), live.clone())].into();
        let after = |sites, domains: &Domains, before: &Holders| {
            let standings = standings(sites, &grants(), domains, before);
            (holders(sites, &standings, before.clone()), standings[&live.id].clone())
        };
        let (had, _) = after(&alone, &domains, &Holders::new());
        assert_eq!(had, [("a.example".to_owned(), live.id.clone())].into());
        let mut both = alone.clone();
        both.insert(old.id.clone(), old.clone());
        assert_eq!(after(&both, &domains, &had), (had.clone(), Ok("a.example".into())));
        // Also after its domain has led elsewhere.
        lead(&mut domains, [192, 0, 2, 1].into());
        let (has, standing) = after(&both, &domains, &had);
        assert!(has == had && standing.is_err());
        // Not after it is gone.
        lead(&mut domains, here);
        let rest: BTreeMap<_, _> = [(old.id.clone(), old.clone())].into();
        let standings = standings(&rest, &grants(), &domains, &had);
        assert_eq!(holders(&rest, &standings, had), [("a.example".to_owned(), old.id)].into());
    }
}
