// SPDX-License-Identifier: Apache-2.0
//! Capacity of machines, as contracts reserve it.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Capacity: counts and bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Virtual CPU cores.
    pub cru: u64,
    /// Memory in bytes.
    pub mru: u64,
    /// SSD storage in bytes.
    pub sru: u64,
    /// HDD storage in bytes.
    pub hru: u64,
    /// GPUs.
    pub gpu: u64,
}

impl Resources {
    /// No capacity.
    pub const ZERO: Self = Self { cru: 0, mru: 0, sru: 0, hru: 0, gpu: 0 };

    /// Whether each part of `self` is at most that of `limit`.
    pub fn fits_in(&self, limit: &Self) -> bool {
        self.cru <= limit.cru
            && self.mru <= limit.mru
            && self.sru <= limit.sru
            && self.hru <= limit.hru
            && self.gpu <= limit.gpu
    }

    /// Sum, part by part; `None` if one overflows.
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_add)
    }

    /// Difference, part by part; `None` if one would be negative.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_sub)
    }

    /// Difference, part by part; zero where it would be negative.
    pub fn saturating_sub(&self, other: &Self) -> Self {
        self.zip(other, |a, b| Some(a.saturating_sub(b))).unwrap_or(Self::ZERO)
    }

    /// Maximum, part by part.
    pub fn max(&self, other: &Self) -> Self {
        self.zip(other, |a, b| Some(a.max(b))).unwrap_or(Self::ZERO)
    }

    /// Minimum, part by part.
    pub fn min(&self, other: &Self) -> Self {
        self.zip(other, |a, b| Some(a.min(b))).unwrap_or(Self::ZERO)
    }

    fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        Some(Self {
            cru: f(self.cru, other.cru)?,
            mru: f(self.mru, other.mru)?,
            sru: f(self.sru, other.sru)?,
            hru: f(self.hru, other.hru)?,
            gpu: f(self.gpu, other.gpu)?,
        })
    }
}
