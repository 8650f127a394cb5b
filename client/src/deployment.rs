// SPDX-License-Identifier: Apache-2.0
//! The deployment: the JSON document in the body of a node contract (`docs/FORMATS.md` §4).
//!
//! Clients check a deployment before they submit it, and the node checks it again with the same code:
//! every [`Deployment`] from text, JSON or YAML, went through [`Deployment::read`].

mod image;
mod json;
mod rejection;
mod rules;
#[cfg(test)]
mod tests;

pub use image::{ImageError, ImageReference};
pub use json::Json;
pub use rejection::Rejection;

use json::Cursor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tfgrid_primitives::{FailureCode, Resources};

/// The only version that this code knows.
pub const VERSION: u64 = 1;
/// The most bytes of a body, plain or sealed.
pub const MAX_BODY_BYTES: usize = tfgrid_primitives::body::MAX_BODY_BYTES as usize;

/// The workloads of a node contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Json")]
pub struct Deployment {
    /// Always [`VERSION`].
    pub version: u64,
    /// For people; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// 1 to 32 workloads.
    pub workloads: Vec<Workload>,
}

/// One thing to run, named uniquely in its deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Lowercase letters, digits and inner hyphens; at most 32 bytes.
    pub name: String,
    /// Its type and settings.
    #[serde(flatten)]
    pub data: WorkloadData,
}

/// The types of workload, with their settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
pub enum WorkloadData {
    /// A container that its node runs from an image.
    Zmachine(Zmachine),
    /// A volume that machines mount.
    Zmount(Zmount),
}

/// A container made from an OCI image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Zmachine {
    /// OCI reference with a registry host, and a tag or a digest.
    pub image: String,
    /// Whole cores, 1 or more.
    pub cpu: u64,
    /// Bytes, 16 MiB or more.
    pub memory: u64,
    /// Bytes, 16 MiB or more: disk for what the machine writes to its root and to the image's `VOLUME`s.
    pub rootfs: u64,
    /// Volumes of the same deployment, and where the machine sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Replaces the image's `ENTRYPOINT`; empty keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Replaces the image's `CMD`; empty keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// A volume inside a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Name of a `zmount` of this deployment.
    pub name: String,
    /// Absolute path in the machine.
    pub path: String,
}

/// A volume; its content lives as long as the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Zmount {
    /// Bytes: whole MiB, 16 MiB or more.
    pub size: u64,
}

impl Deployment {
    /// Reads and checks a plain body.
    ///
    /// # Errors
    /// The first rule of `docs/FORMATS.md` §4 that the body breaks, and where.
    pub fn parse(body: &[u8]) -> Result<Self, Rejection> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Rejection::new(
                FailureCode::BodyInvalid,
                "",
                format!("a body has at most {MAX_BODY_BYTES} bytes, this one has {}", body.len()),
            ));
        }
        let json: Json = serde_json::from_slice(body).map_err(|error| {
            Rejection::new(FailureCode::BodyNotJson, "", format!("the body isn't JSON: {error}"))
        })?;
        Self::read(&json)
    }

    /// Checks a JSON document and makes a deployment of it.
    ///
    /// # Errors
    /// As [`Deployment::parse`].
    pub fn read(json: &Json) -> Result<Self, Rejection> {
        rules::deployment(&Cursor::root(json))
    }

    /// The JSON text that goes into a body.
    ///
    /// # Errors
    /// [`FailureCode::BodyInvalid`] if it would have more than [`MAX_BODY_BYTES`] bytes.
    pub fn to_body(&self) -> Result<Vec<u8>, Rejection> {
        let body = serde_json::to_vec(self)
            .map_err(|error| Rejection::new(FailureCode::BodyNotJson, "", error.to_string()))?;
        Self::parse(&body)?;
        Ok(body)
    }

    /// The sum of the workloads' needs.
    pub fn needs(&self) -> Resources {
        self.workloads.iter().fold(Resources::ZERO, |sum, workload| match &workload.data {
            WorkloadData::Zmachine(machine) => Resources {
                cru: sum.cru.saturating_add(machine.cpu),
                mru: sum.mru.saturating_add(machine.memory),
                sru: sum.sru.saturating_add(machine.rootfs),
                ..sum
            },
            WorkloadData::Zmount(volume) => Resources { sru: sum.sru.saturating_add(volume.size), ..sum },
        })
    }

    /// Checks that the workloads fit the contract's reservation.
    ///
    /// # Errors
    /// [`FailureCode::OverReserved`], with each part that is too small and by how much.
    pub fn check_fits(&self, reserved: &Resources) -> Result<(), Rejection> {
        let needs = self.needs();
        if needs.fits_in(reserved) {
            return Ok(());
        }
        let missing = needs.saturating_sub(reserved);
        let parts: Vec<String> = [
            ("cru", missing.cru, reserved.cru),
            ("mru", missing.mru, reserved.mru),
            ("sru", missing.sru, reserved.sru),
        ]
        .iter()
        .filter(|(_, short, _)| *short > 0)
        .map(|(name, short, has)| format!("{name} by {short} (the contract reserves {has})"))
        .collect();
        Err(Rejection::new(
            FailureCode::OverReserved,
            "/workloads",
            format!("the workloads need more than the contract reserves: {}", parts.join(", ")),
        ))
    }
}

impl TryFrom<Json> for Deployment {
    type Error = Rejection;

    fn try_from(json: Json) -> Result<Self, Rejection> {
        Self::read(&json)
    }
}
