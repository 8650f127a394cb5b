// SPDX-License-Identifier: Apache-2.0
//! The result of a deployment: how its owner reaches the workloads, and how they fare (`docs/FORMATS.md` §5).

use super::{exits::ContractExits, observed::ObservedContract};
use crate::{
    chain::desired::Workloads,
    drivers::{MachineSpec, MachineState},
};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tfgrid_primitives::{report::MAX_RESULT_BYTES, text::printable};

/// Longest last lines, tried one after another until the result fits.
const LINE_BYTES: [u32; 4] = [120, 60, 20, 0];
/// Stands for machines that don't fit: no workload has this name.
const OTHERS: &str = "+";

/// What is told about a machine or a site.
#[derive(Default, Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip)]
    full_line: &'a str,
}

/// JSON from the names of sites and machines to what is told about them, sites first, in the order of the deployment.
/// Where it would exceed the size limit, last lines are shortened, then left out, and at last the number of those that
/// don't fit stands for them.
pub fn result(
    workloads: &Workloads,
    observed: Option<&ObservedContract>,
    exits: Option<&ContractExits>,
) -> Vec<u8> {
    let machines = workloads.machines.iter().map(|spec| (&spec.id.name, told(spec, observed, exits)));
    let sites = workloads.gateways.iter().map(|spec| (&spec.id.name, told_of_site(&spec.id.name, observed)));
    let told: Vec<_> = sites.chain(machines).filter_map(|(name, told)| Some((name, told?))).collect();
    let entries = |most: u32| -> Vec<String> {
        told.iter()
            .map(|(name, told)| {
                let line = (!told.full_line.is_empty() && most > 0).then(|| shortened(told.full_line, most));
                let told = Told { line, ..*told };
                // Neither names nor these values can fail to be JSON.
                let told = serde_json::to_string(&told).unwrap_or_else(|_| "{}".into());
                format!(r#""{name}":{told}"#)
            })
            .collect()
    };
    let fits = |entries: &[String]| {
        let text = format!("{{{}}}", entries.join(","));
        (text.len() <= MAX_RESULT_BYTES as usize).then_some(text)
    };
    let shortest = entries(0);
    let left_out = |count: usize| {
        let others = format!(r#""{OTHERS}":{count}"#);
        let kept = shortest.iter().take(shortest.len() - count).cloned();
        fits(&kept.chain([others]).collect::<Vec<_>>())
    };
    let text = LINE_BYTES
        .into_iter()
        .find_map(|most| fits(&entries(most)))
        .or_else(|| (1..=shortest.len()).find_map(left_out));
    text.unwrap_or_else(|| "{}".into()).into_bytes()
}

/// `None` if nothing is known of the machine.
fn told<'a>(
    spec: &MachineSpec,
    observed: Option<&ObservedContract>,
    exits: Option<&'a ContractExits>,
) -> Option<Told<'a>> {
    let machine = observed?.machines.get(&spec.id.name)?;
    let ip = match machine.state {
        MachineState::Running { ip, .. } => ip,
        MachineState::Stopped { .. } => None,
    };
    let exit = exits.and_then(|exits| exits.get(&spec.id.name)).filter(|exit| exit.hash == spec.hash);
    let mut public_ip = None;
    let mut ipv6 = None;
    // Only those that work.
    for ip in observed?.links.get(&spec.id.name).into_iter().flatten() {
        match ip {
            IpAddr::V4(ip) => public_ip = Some(*ip),
            IpAddr::V6(ip) => ipv6 = Some(*ip),
        }
    }
    if ip.is_none() && public_ip.is_none() && ipv6.is_none() && exit.is_none() {
        return None;
    }
    Some(Told {
        ip,
        public_ip,
        ipv6,
        url: None,
        health: machine.sickness().map(|_| "unhealthy"),
        restarts: exit.map(|exit| exit.restarts).filter(|restarts| *restarts > 0),
        exit: exit.map(|exit| exit.code),
        line: None,
        full_line: exit.map_or("", |exit| exit.line.as_str()),
    })
}

/// `None` if the gateway doesn't know of the site.
fn told_of_site<'a>(name: &str, observed: Option<&'a ObservedContract>) -> Option<Told<'a>> {
    let site = observed?.gateways.get(name)?;
    let full_line = site.trouble.as_deref().unwrap_or_default();
    Some(Told { url: site.url.as_deref(), full_line, ..Told::default() })
}

/// The text in at most so many bytes; what is cut off shows.
fn shortened(text: &str, most: u32) -> String {
    if text.len() <= most as usize {
        return text.to_owned();
    }
    format!("{}…", printable(text, most.saturating_sub(3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drivers::{ContainerSpec, ObservedMachine, WorkloadId},
        engine::exits::Exits,
        store::Store,
    };
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tfgrid_client::deployment::Restart;
    use tfgrid_primitives::text::is_printable;

    /// So many machines that run again after they have crashed with this last line.
    fn crashed(count: usize, line: &str) -> String {
        let name = |index| (format!("machine-{index:02}"), line.to_owned());
        all_crashed(&(0..count).map(name).collect::<Vec<_>>())
    }

    fn spec(name: &str) -> MachineSpec {
        MachineSpec {
            id: WorkloadId { contract: 1, name: name.into() },
            version: 1,
            pointer: String::new(),
            restart: Restart::Always,
            is_held: false,
            registry: None,
            container: ContainerSpec::default(),
            attachment: Default::default(),
            public: None,
            hash: "a".into(),
        }
    }

    /// Machines of these names that run again after they have crashed with these last lines.
    fn all_crashed(machines: &[(String, String)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut exits = Exits::load(Store::open(folder.path()).unwrap()).unwrap();
        let mut workloads = Workloads::default();
        let mut observed = ObservedContract::default();
        for (name, line) in machines {
            let spec = spec(name);
            let id = spec.id.clone();
            let state = MachineState::Stopped { how: String::new(), exit: Some(1) };
            let mut machine = ObservedMachine { id, hash: "a".into(), instance: "1".into(), state };
            exits.note(&spec, &machine, line);
            machine.state =
                MachineState::Running { ip: Some([172, 30, 0, 2].into()), condition: Default::default() };
            observed.machines =
                BTreeMap::from_iter(observed.machines.into_iter().chain([(spec.id.name.clone(), machine)]));
            workloads.machines.push(spec);
        }
        let text = result(&workloads, Some(&observed), exits.of(1));
        assert!(text.len() <= MAX_RESULT_BYTES as usize && is_printable(&text));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_restart_is_told_with_exit_code_and_last_line() {
        assert_eq!(
            crashed(1, "no \"config\"\n"),
            r#"{"machine-00":{"ip":"172.30.0.2","restarts":1,"exit":1,"line":"no \"config\""}}"#
        );
    }

    #[test]
    fn public_addresses_of_a_run_are_told() {
        let spec = spec("web");
        let id = spec.id.clone();
        let state = MachineState::Running { ip: None, condition: Default::default() };
        let machine = ObservedMachine { id, hash: "a".into(), instance: "1".into(), state };
        let observed = ObservedContract {
            machines: [("web".into(), machine)].into(),
            links: [("web".into(), vec!["11.1.1.9".parse().unwrap(), "2a10::9".parse().unwrap()])].into(),
            ..Default::default()
        };
        let workloads = Workloads { machines: vec![spec], ..Default::default() };
        let text = String::from_utf8(result(&workloads, Some(&observed), None)).unwrap();
        assert_eq!(text, r#"{"web":{"public_ip":"11.1.1.9","ipv6":"2a10::9"}}"#);
    }

    #[test]
    fn long_lines_are_shortened_and_show_it() {
        let text = crashed(2, &"é".repeat(200));
        assert_eq!(text.matches("é…").count(), 2, "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn machines_that_do_not_fit_are_counted() {
        let text = crashed(32, "x");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let told = value.as_object().unwrap().len() - 1;
        assert_eq!(value[OTHERS], 32 - told);
        assert!(told >= 3, "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_machine_is_told_or_counted(
            lengths in proptest::collection::vec((2usize..=32, "[^\n\r]{0,150}"), 0..=32),
        ) {
            let name = |(index, (length, line)): (usize, (usize, String))| (format!("{index:0length$}"), line);
            let machines: Vec<_> = lengths.into_iter().enumerate().map(name).collect();
            let text = all_crashed(&machines);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let counted = value.get(OTHERS).and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
            let told = machines.len() - counted;
            prop_assert_eq!(value.as_object().unwrap().len(), told + usize::from(counted > 0));
            // The next would be too much.
            prop_assert!(counted == 0 || text.len() + machines[told].0.len() + 60 > MAX_RESULT_BYTES as usize);
            for (name, _) in &machines[..told] {
                prop_assert_eq!(&value[name]["exit"], 1);
                prop_assert_eq!(&value[name]["ip"], "172.30.0.2");
            }
            for (name, line) in &machines[..told] {
                let whole = printable(line, u32::MAX);
                if let Some(shown) = value[name].get("line").and_then(serde_json::Value::as_str) {
                    prop_assert!(shown == whole || shown.ends_with('…'), "{} of {}", shown, whole);
                }
            }
        }
    }
}
