// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod dispatchable_impls;
mod history_impls;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod laws;
mod ledger_impls;
mod payer_impls;
mod tick_impls;
mod traffic_impls;
mod types;
mod utility_impls;
pub mod weights;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;
pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use alloc::vec::Vec;
    use frame_support::{PalletId, pallet_prelude::*, traits::fungible, weights::WeightMeter};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        Balance, ContractId, DeadlineKey, EndKey, GridClock, GridMillis, Payer, PriceClock, ProviderId, Q64,
        TftPrice, TwinId, UnixSeconds, UsdAmount, UsdRate,
        traits::{AgreedRates, FarmDirectory, NodeLiveness, PaidUses, ServeDeadlines, TwinDirectory},
        views::PayerInfo,
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The pallet's handle.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT.
        type Currency: fungible::Mutate<Self::AccountId, Balance = Balance>;
        /// Who is who.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Who the farmers are.
        type Farms: FarmDirectory<Self::AccountId>;
        /// Whether nodes are heard from: claims wait for those that aren't.
        type Nodes: NodeLiveness;
        /// Who is called when a deadline is due.
        type Deadlines: ServeDeadlines;
        /// Who remembers what contracts have agreed to pay.
        type Contracts: AgreedRates;
        /// What oracles say that one TFT costs, in 1e-7 USD; `None` while they say nothing that counts.
        type PriceFeed: Get<Option<TftPrice>>;
        /// Who is told what was paid for public traffic and addresses.
        type PaidUses: PaidUses;
        /// Who may set the price of TFT.
        type PriceOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Who may set the policy and approve solution providers.
        type PolicyOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Names the pot: the account that keeps all credit and earnings.
        #[pallet::constant]
        type PotId: Get<PalletId>;
        /// What credit must pay for when something starts, and what a withdrawal must leave, in milliseconds
        /// of the present rate.
        #[pallet::constant]
        type MinRunwayMs: Get<u64>;
        /// The least that a contract is charged for, in milliseconds of its rate.
        #[pallet::constant]
        type MinChargeMs: Get<u64>;
        /// How long what a contract earns at first is set aside, in case it wasn't delivered.
        type SetAsideMs: Get<GridMillis>;
        /// The most patience with a payer that has run out, in milliseconds.
        type GraceMaxMs: Get<GridMillis>;
        /// Weights of calls and hooks.
        type WeightInfo: WeightInfo;
        /// Makes twins and farms for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// The price clock.
    #[pallet::storage]
    #[pallet::getter(fn price_clock)]
    pub type PriceClockState<T> = StorageValue<_, PriceClock, ValueQuery>;

    /// Grid time.
    #[pallet::storage]
    #[pallet::getter(fn grid_clock)]
    pub type GridClockState<T> = StorageValue<_, GridClock, ValueQuery>;

    /// Prices, shares and bounds.
    #[pallet::storage]
    pub type CurrentPolicy<T: Config> = StorageValue<_, Policy<T::AccountId>>;

    /// The payers' records.
    #[pallet::storage]
    pub type Payers<T> = StorageMap<_, Twox64Concat, TwinId, Payer, ValueQuery>;

    /// Whose credit ends next, in the order of the price clock: each payer that is charged and doesn't wait.
    #[pallet::storage]
    pub type Ends<T> = StorageMap<_, Identity, EndKey, ()>;

    /// The payers that have run out and wait, and until when.
    #[pallet::storage]
    pub type Graces<T> = StorageMap<_, Twox64Concat, TwinId, Grace>;

    /// What owners wish to happen when their credit ends.
    #[pallet::storage]
    pub type AutoRefills<T> = StorageMap<_, Twox64Concat, TwinId, AutoRefill>;

    /// What automatic refills have taken lately.
    #[pallet::storage]
    pub type RefillsPaid<T> = StorageMap<_, Twox64Concat, TwinId, Refills, ValueQuery>;

    /// What owners allow those who act for them.
    #[pallet::storage]
    pub type OwnerLimits<T> = StorageMap<_, Twox64Concat, TwinId, Limits, ValueQuery>;

    /// What comes due in grid time, in the order in which it is due.
    #[pallet::storage]
    pub type Deadlines<T> = StorageMap<_, Identity, DeadlineKey, ()>;

    /// The id of a solution provider given last.
    #[pallet::storage]
    pub type LastProviderId<T> = StorageValue<_, ProviderId, ValueQuery>;

    /// The solution providers that governance has approved.
    #[pallet::storage]
    pub type Providers<T: Config> = StorageMap<_, Twox64Concat, ProviderId, Provider<T::AccountId>>;

    /// The running contracts' places on their payers' clocks.
    #[pallet::storage]
    pub type Accruals<T> = StorageMap<_, Twox64Concat, ContractId, ContractAccount>;

    /// The public traffic that contracts have bought and not used.
    #[pallet::storage]
    pub type Allowances<T> = StorageMap<_, Twox64Concat, ContractId, Allowance>;

    /// What contracts were charged by month, until they are forgotten.
    #[pallet::storage]
    pub type Bills<T> = StorageMap<_, Twox64Concat, ContractId, Months, ValueQuery>;

    /// The daily prices: a ring of [`DAYS_KEPT`], by day modulo that.
    #[pallet::storage]
    pub type DailyPrices<T> = StorageMap<_, Twox64Concat, u32, DayPrice>;

    /// What the chain has seen of the price.
    #[pallet::storage]
    pub type PriceWatchState<T> = StorageValue<_, PriceWatch, ValueQuery>;

    /// Grid time at which the present list prices were announced.
    #[pallet::storage]
    pub type PricesAnnouncedAt<T> = StorageValue<_, GridMillis, ValueQuery>;

    /// What payees have earned and not been paid, as Q64.64 of 1e-7 TFT.
    #[pallet::storage]
    pub type Payable<T> = StorageMap<_, Twox64Concat, Payee, Q64, ValueQuery>;

    /// The first policy and price.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Prices, shares and bounds; billing refuses everything without.
        pub policy: Option<Policy<T::AccountId>>,
        /// The price of one TFT in 1e-7 USD.
        pub price: TftPrice,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            Pallet::<T>::build_genesis(self)
        }
    }

    /// What happened.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// Credit was paid in.
        Deposited {
            /// Whose credit.
            twin: TwinId,
            /// Who paid.
            from: T::AccountId,
            /// How much, in 1e-7 TFT.
            amount: Balance,
        },
        /// Credit was taken out.
        Withdrawn {
            /// Whose credit.
            twin: TwinId,
            /// How much, in 1e-7 TFT.
            amount: Balance,
        },
        /// A contract's earnings became payable.
        Claimed {
            /// Which contract.
            contract: ContractId,
            /// How much, in 1e-7 TFT, fraction left out.
            amount: Balance,
        },
        /// A payee was paid.
        PaidOut {
            /// Which payee.
            payee: Payee,
            /// To which account.
            to: T::AccountId,
            /// How much, in 1e-7 TFT.
            amount: Balance,
        },
        /// TFT has another price.
        PriceSet {
            /// In 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// Prices, shares or bounds have changed. Contracts keep their rates.
        PolicySet,
        /// An owner has set what those who act for it may spend.
        LimitsSet {
            /// Whose limits.
            twin: TwinId,
            /// The limits.
            limits: Limits,
        },
        /// An owner has said what shall happen when the credit ends.
        AutoRefillSet {
            /// Whose credit.
            twin: TwinId,
            /// The wish; `None` for nothing.
            wish: Option<AutoRefill>,
        },
        /// The owner's account has paid for more credit, which counts from where the old ended.
        Refilled {
            /// Whose credit.
            twin: TwinId,
            /// How much, in 1e-7 TFT.
            amount: Balance,
        },
        /// The owner's account or limit doesn't allow the refill that was wished.
        RefillFailed {
            /// Whose credit.
            twin: TwinId,
            /// How much was needed, in 1e-7 TFT.
            amount: Balance,
        },
        /// A payer has run out: its contracts are paused.
        GraceBegan {
            /// Who pays.
            twin: TwinId,
            /// Grid time at which its contracts begin to close.
            until: GridMillis,
        },
        /// A payer that had run out goes on.
        Resumed {
            /// Who pays.
            twin: TwinId,
        },
        /// Patience with a payer has ended: its contracts close.
        GraceEnded {
            /// Who didn't pay.
            twin: TwinId,
        },
        /// A payer has another discount.
        DiscountChanged {
            /// Who pays.
            twin: TwinId,
            /// What is left of the price, in thousandths.
            permille: u16,
        },
        /// Credit was moved into a contract's traffic allowance.
        TrafficBought {
            /// Which contract.
            contract: ContractId,
            /// Whose credit.
            twin: TwinId,
            /// How much traffic, in GB.
            gb: u32,
            /// What it cost, in 1e-7 TFT, rounded up.
            amount: Balance,
        },
        /// A contract was settled.
        Charged {
            /// Which contract.
            contract: ContractId,
            /// What it was charged in all, in 1e-10 USD.
            usd: UsdAmount,
            /// What it was charged in all, in 1e-7 TFT, fraction left out.
            tft: Balance,
        },
        /// A contract is charged by the present list.
        Repriced {
            /// Which contract.
            contract: ContractId,
            /// What it costs from now on, in 1e-10 USD per hour.
            rate: UsdRate,
        },
        /// The feed has no answer that counts: the last price stays.
        PriceStale {
            /// In 1e-7 USD per TFT.
            price: TftPrice,
        },
        /// A solution provider shares in the foundation's part.
        ProviderSet {
            /// Its id.
            provider: ProviderId,
            /// Its part of that part, in thousandths.
            permille: u16,
        },
        /// What fell into a silence of the node, or wasn't delivered, is credit again.
        Refunded {
            /// Which contract.
            contract: ContractId,
            /// Whose credit.
            twin: TwinId,
            /// How much, in 1e-7 TFT, fraction left out.
            amount: Balance,
        },
        /// More was due than a block serves: deadlines are late, in order.
        Behind {
            /// The grid time at which the next one was due.
            due: GridMillis,
        },
        /// More payers have run out than a block serves: they are late, in order, and owe no less for it.
        PayersBehind {
            /// Where on the price clock the next one's credit ended.
            end: Q64,
        },
    }

    /// Why a call failed.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No twin has this id.
        UnknownTwin,
        /// A deposit is at least the existential deposit.
        DepositTooSmall,
        /// The credit doesn't pay for the minimum runway of all that would run.
        CreditTooLow,
        /// Less is left than that.
        NotEnoughCredit,
        /// The contract isn't running.
        UnknownContract,
        /// Less than one unit is payable.
        NothingPayable,
        /// The payee has no account.
        UnknownPayee,
        /// The price is outside the policy's bounds.
        PriceOutOfBounds,
        /// The policy contradicts itself.
        PolicyInvalid,
        /// The contracts would cost more than the owner's limit.
        RateAboveLimit,
        /// The extra fees would be more than the owner's limit.
        ExtraFeeAboveLimit,
        /// The node that serves the contract hasn't been heard from for an interval.
        NodeSilent,
        /// What the contract has earned is set aside: until its owner can't say any more that it wasn't delivered,
        /// and while its node hasn't answered whether a smaller version runs.
        SetAside,
        /// No solution provider has this id.
        UnknownProvider,
        /// A solution provider gets at most half of the foundation's part.
        ProviderShareTooLarge,
        /// The contract has a solution provider already.
        ProviderAttached,
        /// All ids of solution providers are given away.
        IdsExhausted,
        /// The payer's credit hasn't ended.
        NothingDue,
        /// A refill buys at least 24 hours.
        RefillTooSmall,
        /// The refill would exceed the owner's limit of 30 days.
        RefillAboveLimit,
        /// Somebody else pays for the contract.
        NotThePayer,
        /// The traffic costs more than the caller wants to pay.
        TrafficTooDear,
        /// No contract can have that much traffic.
        AllowanceTooLarge,
        /// The contract's price was agreed and doesn't follow the list.
        PriceAgreed,
        /// The present list was announced less than 30 days ago.
        NoticeRuns,
        /// The contract is charged by the present list.
        PricedAlready,
    }

    #[pallet::call(weight = T::WeightInfo)]
    impl<T: Config> Pallet<T> {
        /// Pays `amount` (1e-7 TFT) from the caller's account into the credit of any twin.
        #[pallet::call_index(0)]
        pub fn deposit(
            origin: OriginFor<T>,
            twin: TwinId,
            #[pallet::compact] amount: Balance,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_deposit(account, twin, amount)
        }

        /// Takes `amount` (1e-7 TFT) of the caller's credit back to its account; what runs keeps its
        /// minimum runway.
        #[pallet::call_index(1)]
        pub fn withdraw(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_withdraw(account, amount)
        }

        /// Makes payable what a contract has earned. By anyone.
        #[pallet::call_index(2)]
        pub fn claim(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_claim(contract)
        }

        /// Pays a payee what is payable, without the fraction. By anyone.
        #[pallet::call_index(3)]
        pub fn pay_out(origin: OriginFor<T>, payee: Payee) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_pay_out(payee)
        }

        /// Sets the price of one TFT in 1e-7 USD.
        #[pallet::call_index(4)]
        pub fn set_price(origin: OriginFor<T>, price: TftPrice) -> DispatchResult {
            T::PriceOrigin::ensure_origin(origin)?;
            Self::do_set_price(price)
        }

        /// Replaces prices, shares and bounds as a whole.
        #[pallet::call_index(5)]
        pub fn set_policy(origin: OriginFor<T>, policy: Policy<T::AccountId>) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_set_policy(policy)
        }

        /// Sets what those who act for the caller's twin may spend: binds every start and resize from now on.
        /// What runs already stays.
        #[pallet::call_index(6)]
        pub fn set_limits(origin: OriginFor<T>, limits: Limits) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_limits(account, limits)
        }

        /// Approves a solution provider, paid to `account`, with `permille` of the foundation's part.
        #[pallet::call_index(7)]
        pub fn add_provider(origin: OriginFor<T>, account: T::AccountId, permille: u16) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_add_provider(account, permille)
        }

        /// Changes a solution provider's part of what is claimed from now on; 0 ends it.
        #[pallet::call_index(8)]
        pub fn set_provider_share(
            origin: OriginFor<T>,
            provider: ProviderId,
            permille: u16,
        ) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_set_provider_share(provider, permille)
        }

        /// Sets what shall happen when the credit of the caller's twin ends; within its limits. `None`:
        /// nothing.
        #[pallet::call_index(9)]
        pub fn set_auto_refill(origin: OriginFor<T>, wish: Option<AutoRefill>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_auto_refill(account, wish)
        }

        /// Buys `gb` (10⁹ bytes) of public traffic for a running contract of the caller's twin, for at most
        /// `max_tft` (1e-7 TFT) of its credit. What isn't used comes back when the contract closes.
        #[pallet::call_index(10)]
        pub fn buy_traffic(
            origin: OriginFor<T>,
            contract: ContractId,
            gb: u32,
            #[pallet::compact] max_tft: Balance,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_buy_traffic(account, contract, gb, max_tft)
        }

        /// Brings a contract to the present list, 30 days after that was announced. By anyone.
        #[pallet::call_index(11)]
        pub fn reprice(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_reprice(contract)
        }

        /// Does what the agenda would do for a payer whose credit has ended, or resumes one that waits and
        /// could go on. By anyone.
        #[pallet::call_index(12)]
        pub fn poke(origin: OriginFor<T>, twin: TwinId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_poke(twin)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// A twin's credit, settled up to this block.
        pub fn payer(twin: TwinId) -> PayerInfo {
            Self::payer_info(twin)
        }

        /// Until when a twin's credit lasts at the present price, in seconds since 1970; `None` while nothing
        /// is charged.
        pub fn funded_until(twin: TwinId) -> Option<UnixSeconds> {
            Self::end_of_credit(twin)
        }

        /// The grace of a twin whose credit has ended.
        pub fn grace(twin: TwinId) -> Option<Grace> {
            Graces::<T>::get(twin)
        }

        /// What is left of the list price for a twin, in thousandths.
        pub fn discount_permille(twin: TwinId) -> u16 {
            Payers::<T>::get(twin).speed
        }

        /// The public traffic that a contract has bought and not used.
        pub fn allowance(contract: ContractId) -> Option<Allowance> {
            Allowances::<T>::get(contract)
        }

        /// What a contract was charged by month, up to its last settlement, the latest month last; of its last
        /// 13 months, and until its tombstone goes.
        pub fn bill(contract: ContractId) -> Months {
            Bills::<T>::get(contract)
        }

        /// The daily prices of at most 400 days, the oldest first.
        pub fn daily_prices() -> Vec<DayPrice> {
            Self::all_daily_prices()
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            // The timestamp inherent steps the price clock; its own weight doesn't know of that.
            T::WeightInfo::on_timestamp_set()
        }

        fn on_poll(_: BlockNumberFor<T>, meter: &mut WeightMeter) {
            Self::step_grid_clock(meter);
            Self::watch_price(meter);
            Self::serve_agendas(meter);
        }

        fn integrity_test() {
            Self::every_step_fits_in_a_block();
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
