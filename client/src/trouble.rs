// SPDX-License-Identifier: Apache-2.0
//! What the chain says about a node, in the words of `zos-agent doctor` and `threebot farm watch`.

use tfgrid_primitives::{Features, views::NodeOffer};

/// What every agent of this release has code for, whatever its machine has.
pub const SERVED: Features = Features::ZMACHINE
    .and(Features::ZMOUNT)
    .and(Features::VOLUME)
    .and(Features::ZLOGS)
    .and(Features::NETWORKS);

/// Something that keeps a node from contracts or money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Trouble {
    Offline,
    Full,
    Unused,
    Draining,
    Dedicated,
    Uncertified,
    Unenrolled,
    Mute,
}

impl Trouble {
    /// All that a node has.
    pub fn of(offer: &NodeOffer, is_enrolled: bool) -> Vec<Self> {
        let none = offer.free.cru == 0 || offer.free.mru == 0;
        let troubles = [
            (!offer.online, Self::Offline),
            (none, Self::Full),
            (offer.contracts == 0, Self::Unused),
            (offer.draining, Self::Draining),
            (offer.dedicated, Self::Dedicated),
            (!offer.certified, Self::Uncertified),
            (!is_enrolled, Self::Unenrolled),
            (offer.features.0 == 0, Self::Mute),
        ];
        troubles.into_iter().filter(|(applies, _)| *applies).map(|(_, trouble)| trouble).collect()
    }

    /// What it is about.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "heartbeats",
            Self::Full => "capacity",
            Self::Unused => "contracts",
            Self::Draining => "drain",
            Self::Dedicated => "dedicated",
            Self::Uncertified => "certificate",
            Self::Unenrolled => "farming",
            Self::Mute => "features",
        }
    }

    /// It in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Offline => {
                "the chain counts the node as offline: its contracts cost nothing and earn nothing"
            }
            Self::Full => "it is fully reserved: nothing more can be deployed",
            Self::Unused => "there are none, so it earns nothing from tenants",
            Self::Draining => "it is being drained: it takes no new contracts",
            Self::Dedicated => "it is only rented as a whole",
            Self::Uncertified => "it isn't certified",
            Self::Unenrolled => "it isn't enrolled: no TFT are minted for it",
            Self::Mute => "it hasn't reported what it can run: nothing can be deployed yet",
        }
    }
}
