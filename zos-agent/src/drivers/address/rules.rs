// SPDX-License-Identifier: Apache-2.0
//! The firewall's rules for public addresses: who may use which, and what reaches it. Pure.

use crate::drivers::{
    AddressSpec,
    counters::{IN, OUT, counter},
    gateway::{HTTP, HTTPS},
};
use sp_core::{Blake2Hasher, Hasher};
use std::{fmt::Write, net::IpAddr};
use tfgrid_client::{deployment::Ports, peer::protocol::Protocol};
use tfgrid_primitives::{
    ContractId,
    net::{GLOBAL_UNICAST_IPV6, NOT_PUBLIC_IPV4, NOT_PUBLIC_IPV6},
};

/// Bytes of the headers of IP and TCP.
const HEADERS_V4: u32 = 40;
const HEADERS_V6: u32 = 60;

/// Where the rules apply.
pub struct Host<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// The public interface.
    pub uplink: &'a str,
    /// Size of the largest packets that it takes.
    pub mtu: u32,
    /// Whether machines reach mail servers.
    pub allow_smtp: bool,
    /// Addresses of this host at which machines reach sites.
    pub gateway: &'a [IpAddr],
}

/// A machine with its public addresses.
pub struct Machine<'a> {
    /// Its contract.
    pub contract: ContractId,
    /// Its link, which may be yet to come.
    pub link: String,
    /// Its addresses.
    pub spec: &'a AddressSpec,
}

/// The table's content, for at least one machine, and the mark by which it is known. Counters aren't in it.
pub fn rules(host: &Host, machines: &[Machine]) -> (String, String) {
    let mark = hex::encode(&Blake2Hasher::hash(table(host, machines, "").as_bytes())[..8]);
    (table(host, machines, &mark), mark)
}

fn table(host: &Host, machines: &[Machine], mark: &str) -> String {
    let Host { table, uplink, mtu, allow_smtp, gateway } = host;
    let links: Vec<String> = machines.iter().map(|machine| format!("{:?}", machine.link)).collect();
    let links = links.join(", ");
    let (from, to) = (format!("iifname {{ {links} }}"), format!("oifname {{ {links} }}"));
    let not_public_v4 = NOT_PUBLIC_IPV4.map(|network| network.to_string()).join(", ");
    let not_public_v6 = NOT_PUBLIC_IPV6.map(|network| network.to_string()).join(", ");
    let mut text = format!("table inet {table} {{\n");
    let guards = [format!("{from} comment \"{mark}\"")];
    let guards = guards.into_iter().chain(FAMILIES.iter().flat_map(|family| guard(family, machines, &from)));
    chain(&mut text, "guard", "filter hook prerouting priority raw", guards);
    let visits = gateway.iter().map(|ip| {
        let family = if ip.is_ipv4() { "ip" } else { "ip6" };
        format!("{from} {family} daddr {ip} tcp dport {{ {HTTP}, {HTTPS} }} accept")
    });
    // A machine may ping its router, and is told of no other address of this host.
    let input = [
        format!("{from} ct state established,related accept"),
        format!("{from} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept"),
        format!("{from} icmp type echo-request fib daddr . iif type local accept"),
        format!("{from} icmpv6 type echo-request fib daddr . iif type local accept"),
    ];
    let input = input.into_iter().chain(visits).chain([format!("{from} drop")]);
    chain(&mut text, "input", "filter hook input priority -10", input);
    // The engine's networks, private ones and the farm's are out of reach.
    let outwards = [
        "ct state established,related return".to_owned(),
        format!("oifname != {{ \"{uplink}\", {links} }} drop"),
        format!("ip daddr {{ {not_public_v4} }} drop"),
        format!("ip6 daddr != {GLOBAL_UNICAST_IPV6} drop"),
        format!("ip6 daddr {{ {not_public_v6} }} drop"),
    ];
    let mail = (!allow_smtp).then(|| "tcp dport 25 reject with tcp reset".to_owned());
    chain(&mut text, "outwards", "", outwards.into_iter().chain(mail));
    let inwards = ["ct state established,related accept", "icmp type echo-request accept"];
    let inwards = inwards.into_iter().chain(["icmpv6 type echo-request accept"]).map(ToOwned::to_owned);
    let open = FAMILIES.iter().flat_map(|family| open(family, machines));
    chain(&mut text, "inwards", "", inwards.chain(open).chain(["drop".to_owned()]));
    let forward = [format!("{from} jump outwards"), format!("{to} jump inwards")];
    chain(&mut text, "forward", "filter hook forward priority -10", forward);
    // What programs of this host connect with may be a tenant's choice. Only the kernel speaks ICMP.
    let output = [format!("{to} meta l4proto {{ icmp, ipv6-icmp }} accept"), format!("{to} jump inwards")];
    chain(&mut text, "output", "filter hook output priority -10", output);
    // A path on which nobody says that a packet is too large must not stall.
    let clamp = "tcp flags syn tcp option maxseg size set";
    let clamps = [
        format!("{from} {clamp} rt mtu"),
        format!("{to} meta nfproto ipv4 {clamp} {}", mtu.saturating_sub(HEADERS_V4)),
        format!("{to} meta nfproto ipv6 {clamp} {}", mtu.saturating_sub(HEADERS_V6)),
    ];
    chain(&mut text, "clamp", "filter hook forward priority mangle", clamps);
    let counts = FAMILIES.iter().flat_map(|family| count(family, machines));
    chain(&mut text, "count", "filter hook postrouting priority filter", counts);
    text.push_str("}\n");
    text
}

fn chain(text: &mut String, name: &str, hook: &str, rules: impl IntoIterator<Item = String>) {
    let hook = if hook.is_empty() { String::new() } else { format!("type {hook}; policy accept;\n") };
    let rules: String = rules.into_iter().map(|rule| rule + "\n").collect();
    // A text takes all that is written.
    let _ = writeln!(text, "chain {name} {{\n{hook}{rules}}}");
}

/// A version of IP.
struct Family {
    /// Its name in rules.
    name: &'static str,
    is_v4: bool,
    /// Matches packets that are more than a neighbour's.
    beyond: &'static str,
}

static FAMILIES: [Family; 2] = [
    Family { name: "ip", is_v4: true, beyond: "meta nfproto ipv4" },
    Family { name: "ip6", is_v4: false, beyond: "ip6 saddr != fe80::/10" },
];

impl Family {
    /// The machines' addresses of this version.
    fn addresses<'a>(&self, machines: &'a [Machine<'a>]) -> impl Iterator<Item = (&'a Machine<'a>, IpAddr)> {
        let is_v4 = self.is_v4;
        machines
            .iter()
            .flat_map(|machine| machine.spec.addresses.iter().map(move |address| (machine, address.ip)))
            .filter(move |(_, ip)| ip.is_ipv4() == is_v4)
    }
}

/// A machine sends from its own addresses, and nobody else does.
fn guard(family: &Family, machines: &[Machine], from: &str) -> Vec<String> {
    let Family { name, beyond, .. } = family;
    let pairs: Vec<String> =
        family.addresses(machines).map(|(machine, ip)| format!("{:?} . {ip}", machine.link)).collect();
    if pairs.is_empty() {
        return vec![format!("{from} {beyond} drop")];
    }
    let ips: Vec<String> = family.addresses(machines).map(|(_, ip)| ip.to_string()).collect();
    let not_its_own = format!("iifname . {name} saddr != {{ {} }} drop", pairs.join(", "));
    vec![
        format!("{from} {beyond} {not_its_own}"),
        format!("{name} saddr {{ {} }} {not_its_own}", ips.join(", ")),
    ]
}

/// Lets in what machines have open, to all or to a network.
fn open(family: &Family, machines: &[Machine]) -> Vec<String> {
    let name = family.name;
    let (mut to_all, mut to_some) = (Vec::new(), Vec::new());
    for (machine, ip) in family.addresses(machines) {
        for ports in &machine.spec.ports {
            match ports.from {
                None => to_all.push(place(ip, ports)),
                Some(from) if from.addr().is_ipv4() == family.is_v4 => {
                    to_some.push(format!("{from} . {}", place(ip, ports)));
                }
                Some(_) => {}
            }
        }
    }
    let rule = |packets: String, places: Vec<String>| {
        let set = places.join(", ");
        (!places.is_empty()).then(|| format!("{packets} . meta l4proto . th dport {{ {set} }} accept"))
    };
    let all = rule(format!("{name} daddr"), to_all);
    all.into_iter().chain(rule(format!("{name} saddr . {name} daddr"), to_some)).collect()
}

fn place(ip: IpAddr, Ports { first, last, protocol, .. }: &Ports) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{ip} . {protocol} . {first}-{last}")
}

/// Counts what has passed everything else.
fn count(family: &Family, machines: &[Machine]) -> Vec<String> {
    let map = |direction: &str| {
        let pair =
            |(machine, ip): (&Machine, IpAddr)| format!("{ip} : {:?}", counter(machine.contract, direction));
        family.addresses(machines).map(pair).collect::<Vec<_>>().join(", ")
    };
    if family.addresses(machines).next().is_none() {
        return Vec::new();
    }
    let name = family.name;
    vec![
        format!("counter name {name} daddr map {{ {} }}", map(IN)),
        format!("counter name {name} saddr map {{ {} }}", map(OUT)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfgrid_client::public_ip::PublicAddress;

    const HOST: Host =
        Host { table: "zos-public-ab", uplink: "eth0", mtu: 1_500, allow_smtp: false, gateway: &[] };

    fn spec(ips: &[&str], ports: &[&str]) -> AddressSpec {
        let address =
            |ip: &&str| PublicAddress { ip: ip.parse().unwrap(), gateway: "11.1.1.1".parse().unwrap() };
        AddressSpec {
            addresses: ips.iter().map(address).collect(),
            ports: ports.iter().map(|ports| ports.parse().unwrap()).collect(),
        }
    }

    fn rules_of(host: &Host, specs: &[AddressSpec]) -> String {
        let machine = |(index, spec)| Machine { contract: 7, link: format!("za{index}"), spec };
        rules(host, &specs.iter().enumerate().map(machine).collect::<Vec<_>>()).0
    }

    fn has(rules: &str, rule: &str) -> bool {
        rules.lines().any(|line| line == rule)
    }

    #[test]
    fn a_machine_sends_from_its_addresses_and_nobody_else_does() {
        let rules = rules_of(&HOST, &[spec(&["11.1.1.9", "2a10::9"], &[]), spec(&["11.1.1.10"], &[])]);
        let from = r#"iifname { "za0", "za1" }"#;
        let own = r#"iifname . ip saddr != { "za0" . 11.1.1.9, "za1" . 11.1.1.10 } drop"#;
        assert!(has(&rules, &format!("{from} meta nfproto ipv4 {own}")), "{rules}");
        assert!(has(&rules, &format!("ip saddr {{ 11.1.1.9, 11.1.1.10 }} {own}")), "{rules}");
        let own = r#"iifname . ip6 saddr != { "za0" . 2a10::9 } drop"#;
        assert!(has(&rules, &format!("{from} ip6 saddr != fe80::/10 {own}")), "{rules}");
    }

    #[test]
    fn a_machine_without_an_address_of_a_version_sends_none() {
        let v4 = rules_of(&HOST, &[spec(&["11.1.1.9"], &[])]);
        assert!(has(&v4, r#"iifname { "za0" } ip6 saddr != fe80::/10 drop"#), "{v4}");
        let v6 = rules_of(&HOST, &[spec(&["2a10::9"], &[])]);
        assert!(has(&v6, r#"iifname { "za0" } meta nfproto ipv4 drop"#), "{v6}");
    }

    #[test]
    fn what_is_not_open_is_closed() {
        let ports = ["80/tcp", "53/udp", "8000-8010/tcp"];
        let rules = rules_of(&HOST, &[spec(&["11.1.1.9", "2a10::9"], &ports), spec(&["11.1.1.10"], &[])]);
        let open = "11.1.1.9 . tcp . 80-80, 11.1.1.9 . udp . 53-53, 11.1.1.9 . tcp . 8000-8010";
        assert!(has(&rules, &format!("ip daddr . meta l4proto . th dport {{ {open} }} accept")), "{rules}");
        assert!(!rules.contains("11.1.1.10 . tcp"), "{rules}");
        let (_, inwards) = rules.split_once("chain inwards {").unwrap();
        let (inwards, _) = inwards.split_once("\n}").unwrap();
        assert!(inwards.ends_with("\ndrop"), "{inwards}");
        let closed = rules_of(&HOST, &[spec(&["11.1.1.9"], &[])]);
        assert!(!closed.contains("th dport"), "{closed}");
    }

    #[test]
    fn what_is_open_to_a_network_is_closed_to_others() {
        let ports = ["80/tcp", "22/tcp from 203.0.113.0/24", "5-6/udp from 2a12::/32"];
        let rules = rules_of(&HOST, &[spec(&["11.1.1.9", "2a10::9"], &ports)]);
        let accepts = |family: &str, of: &str, places: &str| {
            let rule = format!("{of}{family} daddr . meta l4proto . th dport {{ {places} }} accept");
            assert!(has(&rules, &rule), "{rule}: {rules}");
        };
        accepts("ip", "", "11.1.1.9 . tcp . 80-80");
        accepts("ip", "ip saddr . ", "203.0.113.0/24 . 11.1.1.9 . tcp . 22-22");
        accepts("ip6", "", "2a10::9 . tcp . 80-80");
        accepts("ip6", "ip6 saddr . ", "2a12::/32 . 2a10::9 . udp . 5-6");
    }

    #[test]
    fn this_host_reaches_what_is_open_alone() {
        let rules = rules_of(&HOST, &[spec(&["11.1.1.9"], &["80/tcp"])]);
        let (_, output) = rules.split_once("chain output {").unwrap();
        let (output, _) = output.split_once("\n}").unwrap();
        let expected = [
            "type filter hook output priority -10; policy accept;",
            r#"oifname { "za0" } meta l4proto { icmp, ipv6-icmp } accept"#,
            r#"oifname { "za0" } jump inwards"#,
        ];
        assert!(output.trim().lines().eq(expected), "{output}");
    }

    #[test]
    fn mail_servers_are_reached_where_the_farmer_says_so() {
        let mail = "tcp dport 25 reject with tcp reset";
        let specs = [spec(&["11.1.1.9"], &[])];
        assert!(has(&rules_of(&HOST, &specs), mail));
        assert!(!has(&rules_of(&Host { allow_smtp: true, ..HOST }, &specs), mail));
    }

    #[test]
    fn machines_reach_sites_at_addresses_of_the_gateway_alone() {
        let gateway = ["185.69.166.10".parse().unwrap(), "2a10::1".parse().unwrap()];
        let rules = rules_of(&Host { gateway: &gateway, ..HOST }, &[spec(&["11.1.1.9"], &[])]);
        let (_, input) = rules.split_once("chain input {").unwrap();
        let (input, rest) = input.split_once("\n}").unwrap();
        let opened: Vec<_> = input.lines().filter(|rule| rule.contains("dport")).collect();
        let expected = [
            r#"iifname { "za0" } ip daddr 185.69.166.10 tcp dport { 80, 443 } accept"#,
            r#"iifname { "za0" } ip6 daddr 2a10::1 tcp dport { 80, 443 } accept"#,
        ];
        assert_eq!(opened, expected);
        assert!(input.ends_with(r#"iifname { "za0" } drop"#) && !rest.contains("443"), "{rules}");
    }

    #[test]
    fn other_rules_have_another_mark() {
        let mark = |ports: &[&str]| {
            let spec = spec(&["11.1.1.9"], ports);
            rules(&HOST, &[Machine { contract: 7, link: "za0".into(), spec: &spec }]).1
        };
        assert_eq!(mark(&["80/tcp"]), mark(&["80/tcp"]));
        assert_ne!(mark(&["80/tcp"]), mark(&["81/tcp"]));
    }
}
