// SPDX-License-Identifier: Apache-2.0

use crate::GREETING;
use serde_json::{Value, json};

pub const MIB: u64 = 1 << 20;

/// The deployment of a web server that serves a page from a disk. `image` is that of
/// [`Registry::push_page_image`](crate::Registry::push_page_image).
pub fn page_deployment(image: &str, cpu: u64) -> Value {
    let machine = json!({
        "image": image, "cpu": cpu, "memory": 64 * MIB, "rootfs": 64 * MIB,
        "mounts": [{ "name": "data", "path": "/data" }],
        "env": { "GREETING": GREETING },
        "health": { "http": { "port": 80 } },
    });
    json!({ "version": 1, "workloads": [
        { "name": "data", "type": "zmount", "data": { "size": 16 * MIB } },
        { "name": "web", "type": "zmachine", "data": machine },
    ]})
}
