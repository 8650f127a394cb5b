// SPDX-License-Identifier: Apache-2.0

use crate::{Person, page_deployment};
use anyhow::Result;
use serde_json::{Value, json};

/// Domain of the grid's gateway, which no name server knows.
pub const DOMAIN: &str = "gw1.example.org";

impl Person {
    /// Makes a node of the farm the gateway of [`DOMAIN`].
    pub fn makes_a_gateway(&self, node: u64) -> Result<()> {
        let config = ["--ipv4", "185.69.166.10/24", "--gateway", "185.69.166.1", "--domain", DOMAIN];
        self.threebot(&[&["node", "public-config", &node.to_string()][..], &config].concat())?;
        Ok(())
    }
}

/// The deployment of [`page_deployment`] in a private network, published under the name `shop`.
pub fn shop_deployment(image: &str) -> Value {
    let mut body = page_deployment(image, 1);
    body["workloads"][1]["data"]["interfaces"] = json!([{ "network": "backend", "ip": "10.20.1.5" }]);
    let more = [
        json!({ "name": "backend", "type": "network",
                "data": { "subnet": "10.20.0.0/16", "range": "10.20.1.0/24" } }),
        json!({ "name": "shop", "type": "gateway-name-proxy",
                "data": { "name": "shop", "network": "backend", "backends": ["http://10.20.1.5:80"] } }),
    ];
    if let Some(workloads) = body["workloads"].as_array_mut() {
        workloads.extend(more);
    }
    body
}
