// SPDX-License-Identifier: Apache-2.0
//! Called by the DHCP client when an interface has got, renewed or lost an address. The client sets addresses and
//! routes itself; this keeps the name servers, and the addresses for the console.

use anyhow::Result;
use std::{collections::BTreeMap, fs, path::Path};

/// A folder for addresses, and one for name servers, with a file for each interface and protocol.
pub const FOLDER: &str = "/run/zos-lease";
const RESOLV_CONF: &str = "resolv.conf";

/// Takes in what the client says in its variables.
pub fn apply(variables: impl Iterator<Item = (String, String)>, folder: &Path) -> Result<()> {
    let said: BTreeMap<String, String> = variables.collect();
    let value = |name: &str| said.get(name).map(String::as_str).unwrap_or_default();
    let protocol = match value("reason") {
        "ROUTERADVERT" => "ra",
        reason if reason.ends_with('6') => "v6",
        _ => "v4",
    };
    let file = format!("{}.{protocol}", value("interface").replace('/', ""));
    let (mut addresses, mut servers) = (String::new(), String::new());
    for (name, value) in &said {
        if name == "new_ip_address" || name.starts_with("new_dhcp6_ia_na") && name.ends_with("_ia_addr1") {
            addresses.push_str(&format!("{value}\n"));
        }
        let is_server = matches!(name.as_str(), "new_domain_name_servers" | "new_dhcp6_name_servers")
            || name.starts_with("nd") && name.ends_with("_servers");
        if is_server {
            servers.extend(value.split_whitespace().map(|server| format!("nameserver {server}\n")));
        }
    }
    for (kind, content) in [("addresses", &addresses), ("servers", &servers)] {
        let folder = folder.join(kind);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(&file), content)?;
    }
    let new = folder.join("resolv.conf.new");
    fs::write(&new, all(&folder.join("servers")))?;
    Ok(fs::rename(&new, folder.join(RESOLV_CONF))?)
}

/// The addresses of this machine.
pub fn addresses(folder: &Path) -> Vec<String> {
    all(&folder.join("addresses")).lines().map(str::to_owned).collect()
}

/// What the files of a folder say, in the order of their names.
fn all(folder: &Path) -> String {
    let mut files: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(folder: &Path, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        apply(variables, folder).unwrap();
        fs::read_to_string(folder.join(RESOLV_CONF)).unwrap()
    }

    #[test]
    fn name_servers_of_all_leases_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let bound = [
            ("reason", "BOUND"),
            ("interface", "eth0"),
            ("new_ip_address", "10.0.2.15"),
            ("new_domain_name_servers", "10.0.2.3 10.0.2.4"),
        ];
        assert_eq!(say(folder, &bound), "nameserver 10.0.2.3\nnameserver 10.0.2.4\n");
        let advert = [("reason", "ROUTERADVERT"), ("interface", "eth0"), ("nd1_rdnss1_servers", "fd00::1")];
        assert_eq!(say(folder, &advert), "nameserver fd00::1\nnameserver 10.0.2.3\nnameserver 10.0.2.4\n");
        assert_eq!(addresses(folder), ["10.0.2.15"]);

        assert_eq!(say(folder, &[("reason", "EXPIRE"), ("interface", "eth0")]), "nameserver fd00::1\n");
        assert!(addresses(folder).is_empty());
    }
}
