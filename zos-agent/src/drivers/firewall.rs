// SPDX-License-Identifier: Apache-2.0
//! Keeps tenants away from the host and from the farmer's network. The container engine alone lets
//! every container reach whatever listens on the host's addresses.

use super::tools::{Tool, run_with_input};
use std::fs;
use tracing::{info, warn};

/// Every tenant's bridge has a name that starts with this.
pub const BRIDGE_PREFIX: &str = "zb";

const NFT: Tool = Tool { program: "nft", package: "nftables" };
const TABLE: &str = "table inet zos";
/// The first two lines make the whole a replacement, in one transaction.
const RULES: &str = r#"
table inet zos
delete table inet zos
table inet zos {
    chain input {
        type filter hook input priority -10; policy accept;
        iifname "zb*" ct state established,related accept
        iifname "zb*" meta l4proto { icmp, ipv6-icmp } accept
        iifname "zb*" drop
    }
    chain forward {
        type filter hook forward priority -10; policy accept;
        # The engine keeps bridges apart; what stays on one bridge is its owner's affair.
        iifname "zb*" oifname "zb*" accept
        iifname "zb*" ct state established,related accept
        iifname "zb*" ip daddr { 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } drop
    }
}
"#;

/// Installs the rules, replacing those that an earlier start left. Where that isn't possible, says
/// so loudly and goes on: a node without it serves tenants, but doesn't keep them from the host.
pub async fn install() {
    if !rustix::process::geteuid().is_root() {
        return warn!("not root: tenants can reach services of this host. Run zos-agent as root");
    }
    match run_with_input(&NFT, &["-f", "-"], RULES).await {
        Ok(_) => info!("tenants are kept from this host and its network"),
        Err(error) => warn!("tenants can reach services of this host: {error}"),
    }
}

/// Removes the rules, unless another agent on this machine still has tenants.
pub async fn remove() {
    let tenants_left = fs::read_dir("/sys/class/net").is_ok_and(|interfaces| {
        interfaces.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(BRIDGE_PREFIX))
    });
    if tenants_left {
        return;
    }
    if let Err(error) = run_with_input(&NFT, &["-f", "-"], &format!("{TABLE}\ndelete {TABLE}\n")).await {
        warn!("the firewall rules stay: {error}");
    }
}
