// SPDX-License-Identifier: Apache-2.0
//! Records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, FarmId, Features, GridMillis, Isolation, PublicKey, Resources, UsdRate,
    fixed::mul_div,
    report::{
        DetailsPayload, Gpu, MAX_GPUS, MAX_PEER_ADDRESSES_BYTES, MAX_SERIAL_BYTES, MAX_VERSION_BYTES,
        PowerState,
    },
    units::DAY_MS,
    views::CountryCode,
};

/// Upper limit of bytes of a city name.
pub const MAX_CITY_BYTES: u32 = 50;
/// Upper limit of bytes of the reason for a drain.
pub const MAX_REASON_BYTES: u32 = 64;

/// A machine that runs the node agent (a 3Node).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Node {
    /// Farm that it belongs to.
    pub farm: FarmId,
    /// Key that signs its reports (ed25519).
    pub key: PublicKey,
    /// Key under which others dial it (ed25519).
    pub peer_key: PublicKey,
    /// Key to which bodies are sealed (X25519).
    pub encryption_key: PublicKey,
    /// Capacity that it offers.
    pub resources: Resources,
    /// Isolation of its tenants from each other.
    pub isolation: Isolation,
    /// What its certifier saw of it; `None` without a certificate.
    pub certified: Option<Resources>,
    /// Hold on the farmer's account, in 1e-7 TFT.
    pub deposit: Balance,
    /// Settings of its farmer.
    pub settings: FarmerSettings,
}

impl Node {
    /// Whether it offers what a certifier has seen of it.
    pub(crate) fn offers(&self, seen: &Resources) -> bool {
        !differs_much(seen, &self.resources)
    }

    /// Sets the capacity that the machine offers now. Removes the certificate and returns `true` where the
    /// hardware isn't the certified one any more.
    pub(crate) fn set_resources(&mut self, resources: Resources) -> bool {
        self.resources = resources;
        let lost = self.certified.is_some_and(|certified| differs_much(&certified, &resources));
        if lost {
            self.certified = None;
        }
        lost
    }
}

/// Whether any part differs by more than 1 %.
fn differs_much(before: &Resources, now: &Resources) -> bool {
    let much = |a: u64, b: u64| u128::from(a.abs_diff(b)).saturating_mul(100) > a.into();
    much(before.cru, now.cru)
        || much(before.mru, now.mru)
        || much(before.sru, now.sru)
        || much(before.hru, now.hru)
        || much(before.gpu, now.gpu)
}

/// Settings of a farmer for a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct FarmerSettings {
    /// Whether the node is only rented as a whole.
    pub dedicated: bool,
    /// Fee for renting the node, beside the list price.
    pub extra_fee: ExtraFee,
    /// Drain of the node, if one is announced or over.
    pub drain: Option<Drain>,
    /// Whether the node is to sleep.
    pub power_target: PowerState,
}

/// Fee for renting a node beside the list price, with the next one that is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ExtraFee {
    /// Fee before [`ExtraFee::from`], in 1e-10 USD per hour.
    pub now: UsdRate,
    /// Fee since [`ExtraFee::from`], in 1e-10 USD per hour.
    pub next: UsdRate,
    /// Grid time from which `next` counts.
    pub from: GridMillis,
}

impl ExtraFee {
    /// Fee that counts at `now`.
    pub fn at(&self, now: GridMillis) -> UsdRate {
        if now < self.from { self.now } else { self.next }
    }

    /// The fee changes to `next`: at once if that isn't higher, otherwise after `notice`.
    pub(crate) fn change(&self, next: UsdRate, now: GridMillis, notice: GridMillis) -> Self {
        let fee = self.at(now);
        let from = if next > fee { now.saturating_add(notice) } else { now };
        Self { now: fee, next, from }
    }
}

/// End of all contracts of a node at a deadline.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Drain {
    /// Grid time at which the contracts close.
    pub deadline: GridMillis,
    /// Reason, for people to read.
    pub reason: DrainReason,
}

/// Reason to drain a node, in UTF-8.
pub type DrainReason = BoundedVec<u8, ConstU32<MAX_REASON_BYTES>>;

/// Upper limit of the traffic that counts of a node, in bytes per second: 100 Gbit/s.
pub const MAX_BYTES_PER_SECOND: u64 = 100_000_000_000 / 8;

/// Hardware of a machine, as it reports it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct MachineDetails {
    /// Serial number of the mainboard, as the firmware reports it.
    pub serial: BoundedVec<u8, ConstU32<MAX_SERIAL_BYTES>>,
    /// Whether the machine is a virtual one.
    pub virtualized: bool,
    /// Whether it was booted with secure boot.
    pub secure_boot: bool,
    /// GPUs: as many as it offers.
    pub gpus: BoundedVec<Gpu, ConstU32<MAX_GPUS>>,
    /// Public traffic that it can carry, in bytes per second.
    pub bytes_per_second: u64,
    /// What its agent has code for.
    pub features: Features,
    /// Where its peer endpoint is reached.
    pub peer_addresses: BoundedVec<u8, ConstU32<MAX_PEER_ADDRESSES_BYTES>>,
    /// Version of its boot image, else of its agent.
    pub version: BoundedVec<u8, ConstU32<MAX_VERSION_BYTES>>,
}

impl From<DetailsPayload> for MachineDetails {
    fn from(payload: DetailsPayload) -> Self {
        let DetailsPayload {
            serial,
            virtualized,
            secure_boot,
            gpus,
            bytes_per_second,
            features,
            peer_addresses,
            version,
            ..
        } = payload;
        Self { serial, virtualized, secure_boot, gpus, bytes_per_second, features, peer_addresses, version }
    }
}

/// Where a node stands, according to its farmer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Location {
    /// Latitude north of the equator, in 1e-6 degrees.
    pub latitude: i32,
    /// Longitude east of Greenwich, in 1e-6 degrees.
    pub longitude: i32,
    /// Country code.
    pub country: CountryCode,
    /// City, in UTF-8.
    pub city: BoundedVec<u8, ConstU32<MAX_CITY_BYTES>>,
}

impl Location {
    /// Whether latitude and longitude are in range.
    pub fn has_valid_coordinates(&self) -> bool {
        self.latitude.unsigned_abs() <= 90_000_000 && self.longitude.unsigned_abs() <= 180_000_000
    }

    /// Whether the country code is two capital letters.
    pub fn has_valid_country(&self) -> bool {
        self.country.iter().all(u8::is_ascii_uppercase)
    }
}

/// Whether `bytes` are UTF-8 without control characters.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Capacity of a node that its contracts reserve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reservation {
    /// Sum over the contracts.
    pub resources: Resources,
    /// Capacity that a rent pays for: the node offers no less while it lasts.
    pub rented: Option<Resources>,
    /// Number of contracts, the rent included.
    pub contracts: u32,
}

impl Reservation {
    /// The most that contracts can reserve of a node that offers `total`: a tenant no more than was rented.
    pub(crate) fn most(&self, total: &Resources) -> Resources {
        self.rented.unwrap_or(*total)
    }

    /// What is free of it.
    pub(crate) fn free(&self, total: &Resources) -> Resources {
        self.most(total).saturating_sub(&self.resources)
    }

    /// The least that the node must offer.
    pub(crate) fn least(&self) -> Resources {
        self.rented.map_or(self.resources, |rented| rented.max(&self.resources))
    }
}

/// Time in which what is known of undelivered contracts fades to nothing, in grid time.
pub const UNDELIVERED_FADES_IN: GridMillis = 90 * DAY_MS;

/// What tenants got back because a node hadn't delivered. Money, so that it costs a competitor ten times as much
/// paid for capacity; it fades, so that a farmer who repairs a machine isn't marked for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Undelivered {
    /// The amount at `at`, in 1e-7 TFT.
    pub tft: Balance,
    /// When it was counted last, in grid time.
    pub at: GridMillis,
}

impl Undelivered {
    /// What is left of it at `now`, in 1e-7 TFT.
    pub fn at(&self, now: GridMillis) -> Balance {
        let left = UNDELIVERED_FADES_IN.saturating_sub(now.saturating_sub(self.at));
        mul_div(self.tft, left.into(), UNDELIVERED_FADES_IN.into())
    }

    /// Adds `tft` (1e-7 TFT) at `now`.
    pub fn plus(&self, tft: Balance, now: GridMillis) -> Self {
        Self { tft: self.at(now).saturating_add(tft), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_may_differ_by_one_percent() {
        let before = Resources { cru: 100, mru: 1_000, sru: 0, hru: u64::MAX, gpu: 1 };
        assert!(!differs_much(&before, &before));
        assert!(!differs_much(&before, &Resources { cru: 99, mru: 1_010, ..before }));
        for other in [
            Resources { cru: 102, ..before },
            Resources { mru: 989, ..before },
            Resources { sru: 1, ..before },
            Resources { hru: 0, ..before },
            Resources { gpu: 0, ..before },
        ] {
            assert!(differs_much(&before, &other), "{other:?}");
        }
    }

    #[test]
    fn a_fee_rises_after_notice_and_falls_at_once() {
        let raised = ExtraFee::default().change(10, 100, 50);
        assert_eq!([100, 149, 150].map(|now| raised.at(now)), [0, 0, 10]);
        // Another raise before that starts the notice anew, from the fee that counts then.
        let again = raised.change(20, 140, 50);
        assert_eq!([149, 150, 189, 190].map(|now| again.at(now)), [0, 0, 0, 20]);
        let back = raised.change(0, 140, 50);
        assert_eq!([140, 150, u64::MAX].map(|now| back.at(now)), [0, 0, 0]);
        let cut = raised.change(5, 200, 50);
        assert_eq!([200, u64::MAX].map(|now| cut.at(now)), [5, 5]);
    }

    #[test]
    fn a_raise_at_the_end_of_time_does_not_wrap() {
        let raised = ExtraFee::default().change(u64::MAX, u64::MAX - 1, 50);
        assert_eq!((raised.at(u64::MAX - 1), raised.from), (0, u64::MAX));
    }

    #[test]
    fn text_has_no_control_characters() {
        assert!(is_text("Gent – Vlaanderen".as_bytes()) && is_text(b""));
        assert!(!is_text(b"a\nb") && !is_text(&[0xff]) && !is_text(b"\x1b[31m"));
    }
}
