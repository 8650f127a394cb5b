// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod dispatchable_impls;
mod price_impls;
mod tick_impls;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
mod types;
mod utility_impls;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;
pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet's declarations.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use frame_support::{pallet_prelude::*, weights::WeightMeter};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        DeadlineKey, GridClock, GridMillis, PriceClock, TftPrice,
        traits::{ServeDeadlines, ServePriceClock},
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The clock pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// Serves the deadlines that other pallets arm.
        type Deadlines: ServeDeadlines;
        /// Serves what comes due on the price clock, with what deadlines leave of the agendas' share.
        type Payers: ServePriceClock;
        /// The price of one TFT that oracles agree on, in 1e-7 USD; `None` while there is none.
        type PriceFeed: Get<Option<TftPrice>>;
        /// May set the price of TFT.
        type PriceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// May set the bounds of that price.
        type BoundsOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Weights of calls and hooks.
        type WeightInfo: WeightInfo;
        /// Sets up other pallets for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper;
    }

    /// The price clock.
    #[pallet::storage]
    pub type PriceClockState<T> = StorageValue<_, PriceClock, ValueQuery>;

    /// Grid time.
    #[pallet::storage]
    pub type GridClockState<T> = StorageValue<_, GridClock, ValueQuery>;

    /// The prices of TFT that the chain accepts.
    #[pallet::storage]
    pub type Bounds<T> = StorageValue<_, PriceBounds, ValueQuery>;

    /// The agenda of grid time, in the order in which deadlines are due.
    #[pallet::storage]
    pub type Deadlines<T> = StorageMap<_, Identity, DeadlineKey, ()>;

    /// The daily prices: a ring of [`DAYS_KEPT`], by day modulo its length.
    #[pallet::storage]
    pub type DailyPrices<T> = StorageMap<_, Twox64Concat, u32, DayPrice>;

    /// When the price was recorded and the feed was asked last.
    #[pallet::storage]
    pub type PriceWatchState<T> = StorageValue<_, PriceWatch, ValueQuery>;

    /// The first price and its bounds.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// The price of one TFT in 1e-7 USD; the price clock stands while it is 0.
        pub price: TftPrice,
        /// The prices that the chain accepts.
        pub bounds: PriceBounds,
        #[serde(skip)]
        #[allow(missing_docs)]
        pub _config: PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            Pallet::<T>::build_genesis(self)
        }
    }

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The price of TFT changed.
        PriceSet {
            /// In 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// The bounds of the price of TFT changed.
        BoundsSet {
            /// The new bounds.
            bounds: PriceBounds,
        },
        /// The feed has no answer any more: the last price stays in force.
        PriceStale {
            /// In 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// More deadlines were due than a block serves: the rest is late, in order.
        Behind {
            /// Grid time at which the next one was due.
            due: GridMillis,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The price is outside the bounds.
        PriceOutOfBounds,
        /// The bounds are out of order, exclude the present price, or are wider than the arithmetic allows.
        BoundsInvalid,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Sets the price of one TFT, in 1e-7 USD.
        #[pallet::call_index(0)]
        pub fn set_price(origin: OriginFor<T>, price: TftPrice) -> DispatchResult {
            T::PriceOrigin::ensure_origin(origin)?;
            Self::do_set_price(price)
        }

        /// Sets the bounds between which the price of TFT moves.
        #[pallet::call_index(1)]
        pub fn set_bounds(origin: OriginFor<T>, bounds: PriceBounds) -> DispatchResult {
            T::BoundsOrigin::ensure_origin(origin)?;
            Self::do_set_bounds(bounds)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The daily prices of at most 400 days, the oldest first.
        pub fn daily_prices() -> Vec<DayPrice> {
            Self::all_daily_prices()
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            // The timestamp inherent steps the price clock; its own weight doesn't include that.
            T::WeightInfo::on_timestamp_set()
        }

        fn on_poll(_: BlockNumberFor<T>, meter: &mut WeightMeter) {
            Self::step_grid_clock(meter);
            Self::watch_price(meter);
            Self::serve_agendas(meter);
        }

        fn integrity_test() {
            Self::ensure_steps_fit();
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
