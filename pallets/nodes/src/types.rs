// SPDX-License-Identifier: Apache-2.0
//! The records of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Balance, FarmId, GridMillis, Isolation, PublicKey, Resources, UsdRate,
    report::{DetailsPayload, Gpu, MAX_GPUS, MAX_SERIAL_BYTES, PowerState},
    views::CountryCode,
};

/// The most bytes of a city's name.
pub const MAX_CITY_BYTES: u32 = 50;
/// The most bytes of a reason to drain a node.
pub const MAX_REASON_BYTES: u32 = 64;

/// A machine that runs the agent (a 3Node).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Node {
    /// The farm that it belongs to.
    pub farm: FarmId,
    /// Signs its reports (ed25519).
    pub key: PublicKey,
    /// Under which others dial it (ed25519).
    pub peer_key: PublicKey,
    /// To which bodies are sealed (X25519).
    pub encryption_key: PublicKey,
    /// All that it offers.
    pub resources: Resources,
    /// What keeps its tenants apart.
    pub isolation: Isolation,
    /// What it offered when a certifier vouched for it; `None` where none does.
    pub certified: Option<Resources>,
    /// What the farmer's account holds for it, in 1e-7 TFT.
    pub deposit: Balance,
    /// What its farmer has decided about it.
    pub terms: Terms,
}

impl Node {
    /// Takes over what the machine offers now. The certificate is lost where it is another machine by then;
    /// says whether that has happened.
    pub(crate) fn offer(&mut self, resources: Resources) -> bool {
        self.resources = resources;
        let lost = self.certified.is_some_and(|certified| differs_much(&certified, &resources));
        if lost {
            self.certified = None;
        }
        lost
    }
}

/// Whether any part differs by more than one in a hundred.
fn differs_much(before: &Resources, now: &Resources) -> bool {
    let much = |a: u64, b: u64| u128::from(a.abs_diff(b)).saturating_mul(100) > a.into();
    much(before.cru, now.cru)
        || much(before.mru, now.mru)
        || much(before.sru, now.sru)
        || much(before.hru, now.hru)
        || much(before.gpu, now.gpu)
}

/// What a farmer decides about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Terms {
    /// It is only rented as a whole.
    pub dedicated: bool,
    /// Asked for a rent beside the list price.
    pub extra_fee: ExtraFee,
    /// Its contracts end.
    pub drain: Option<Drain>,
    /// Whether it shall sleep.
    pub power_target: PowerState,
}

/// What is asked for a rent beside the list price, and what will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct ExtraFee {
    /// In 1e-10 USD per hour.
    pub now: UsdRate,
    /// From [`ExtraFee::from`] on, in 1e-10 USD per hour.
    pub next: UsdRate,
    /// When that begins to count, in grid time.
    pub from: GridMillis,
}

impl ExtraFee {
    /// What is asked at `now`.
    pub fn at(&self, now: GridMillis) -> UsdRate {
        if now < self.from { self.now } else { self.next }
    }

    /// `next` is asked instead: at once where that is no more, else after `notice`.
    pub(crate) fn change(&self, next: UsdRate, now: GridMillis, notice: GridMillis) -> Self {
        let asked = self.at(now);
        let from = if next > asked { now.saturating_add(notice) } else { now };
        Self { now: asked, next, from }
    }
}

/// A node's contracts end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Drain {
    /// When, in grid time.
    pub deadline: GridMillis,
    /// Why, for people to read.
    pub reason: DrainReason,
}

/// Why a node is drained, in UTF-8.
pub type DrainReason = BoundedVec<u8, ConstU32<MAX_REASON_BYTES>>;

/// What a machine is, as it says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct MachineDetails {
    /// The mainboard's serial number, as the firmware tells it.
    pub serial: BoundedVec<u8, ConstU32<MAX_SERIAL_BYTES>>,
    /// Whether the machine is itself a virtual one.
    pub virtualized: bool,
    /// Whether it was booted with secure boot.
    pub secure_boot: bool,
    /// Its GPUs: as many as it offers.
    pub gpus: BoundedVec<Gpu, ConstU32<MAX_GPUS>>,
}

impl From<DetailsPayload> for MachineDetails {
    fn from(payload: DetailsPayload) -> Self {
        let DetailsPayload { serial, virtualized, secure_boot, gpus, .. } = payload;
        Self { serial, virtualized, secure_boot, gpus }
    }
}

/// Where a node stands, as its farmer says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Location {
    /// North of the equator, in 1e-6 degrees.
    pub latitude: i32,
    /// East of Greenwich, in 1e-6 degrees.
    pub longitude: i32,
    /// The country.
    pub country: CountryCode,
    /// The city, in UTF-8.
    pub city: BoundedVec<u8, ConstU32<MAX_CITY_BYTES>>,
}

impl Location {
    /// Whether there is such a place on Earth.
    pub fn has_valid_coordinates(&self) -> bool {
        self.latitude.unsigned_abs() <= 90_000_000 && self.longitude.unsigned_abs() <= 180_000_000
    }

    /// Whether the country's code is two capital letters.
    pub fn has_valid_country(&self) -> bool {
        self.country.iter().all(u8::is_ascii_uppercase)
    }
}

/// Whether people can read this: UTF-8 without control characters.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// What of a node is promised to contracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reservation {
    /// Sum over its contracts.
    pub resources: Resources,
    /// How many they are.
    pub contracts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_may_differ_by_one_in_a_hundred() {
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
        // Another raise before that starts the notice anew, from what is asked then.
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
    fn text_is_what_people_can_read() {
        assert!(is_text("Gent – Vlaanderen".as_bytes()) && is_text(b""));
        assert!(!is_text(b"a\nb") && !is_text(&[0xff]) && !is_text(b"\x1b[31m"));
    }
}
