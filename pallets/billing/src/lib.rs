// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

mod account;
mod dispatchable_impls;
mod history_impls;
mod ledger_impls;
mod payer_impls;
mod share_impls;
mod tick_impls;
mod traffic_impls;
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

pub use account::{LedgerAccount, Proposal};
#[cfg(feature = "runtime-benchmarks")]
pub use benchmarking::BenchmarkHelper;
pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// The pallet's declarations.
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use frame_support::{PalletId, pallet_prelude::*, traits::fungible};
    use frame_system::pallet_prelude::*;
    use tfgrid_primitives::{
        Balance, ContractId, ExactTft, ExhaustionKey, GridMillis, Payer, PriceTime, ProviderId, TwinId,
        UnixSeconds, UsdAmount,
        traits::{Agenda, FarmDirectory, LedgerClock, NodeLiveness, OnPaidUse, TwinDirectory},
        views::PayerInfo,
    };

    const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    /// The billing pallet.
    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// What the pallet needs of its runtime.
    #[pallet::config]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
        /// TFT.
        type Currency: fungible::Mutate<Self::AccountId, Balance = Balance>;
        /// The price clock, and grid time for grace periods.
        type Clock: LedgerClock;
        /// Arms the ends of grace periods and reviews of price factors.
        type Agenda: Agenda;
        /// Looks up the twin of an account and the account of a twin.
        type Twins: TwinDirectory<Self::AccountId>;
        /// Looks up the farmer of a farm.
        type Farms: FarmDirectory<Self::AccountId>;
        /// Whether nodes send heartbeats: nothing is collected of contracts on those that don't.
        type Nodes: NodeLiveness;
        /// Is told what was paid for public traffic and addresses.
        type PaidUses: OnPaidUse;
        /// May set the policy and approve solution providers.
        type PolicyOrigin: EnsureOrigin<Self::RuntimeOrigin>;
        /// Names the pot: the account that keeps all credit and earnings.
        #[pallet::constant]
        type PotId: Get<PalletId>;
        /// The time that credit must pay for when something starts, and after a withdrawal.
        #[pallet::constant]
        type MinRunwayMs: Get<u64>;
        /// The least time that a contract is charged for.
        #[pallet::constant]
        type MinChargeMs: Get<u64>;
        /// What deposits and refills leave on the account beside the existential deposit, in 1e-7 TFT: the price of
        /// ten calls.
        #[pallet::constant]
        type FeeReserve: Get<Balance>;
        /// How long the first earnings of a contract are set aside, in case it wasn't delivered.
        type SetAsideMs: Get<GridMillis>;
        /// The longest grace period.
        type GraceMaxMs: Get<GridMillis>;
        /// Weights of calls and hooks.
        type WeightInfo: WeightInfo;
        /// Sets up other pallets for benchmarks.
        #[cfg(feature = "runtime-benchmarks")]
        type BenchmarkHelper: BenchmarkHelper<Self::AccountId>;
    }

    /// Prices, shares and price factors.
    #[pallet::storage]
    pub type Policy<T: Config> = StorageValue<_, BillingPolicy<T::AccountId>>;

    /// Grid time at which the present list prices were announced.
    #[pallet::storage]
    pub type PricesAnnouncedAt<T> = StorageValue<_, GridMillis, ValueQuery>;

    /// The credit and rates of each payer, by the id of its twin.
    #[pallet::storage]
    pub type Payers<T> = StorageMap<_, Twox64Concat, TwinId, Payer, ValueQuery>;

    /// The agenda of the price clock: charged, unpaused payers by where their credit is used up.
    #[pallet::storage]
    pub type PayersByExhaustion<T> = StorageMap<_, Identity, ExhaustionKey, ()>;

    /// The grace periods of payers whose credit is used up.
    #[pallet::storage]
    pub type Graces<T> = StorageMap<_, Twox64Concat, TwinId, Grace>;

    /// The automatic refills that owners have set.
    #[pallet::storage]
    pub type AutoRefills<T> = StorageMap<_, Twox64Concat, TwinId, AutoRefill>;

    /// What automatic refills have taken in the last 30 days.
    #[pallet::storage]
    pub type RefillsPaid<T> = StorageMap<_, Twox64Concat, TwinId, Refills, ValueQuery>;

    /// The spending limits that owners have set.
    #[pallet::storage]
    pub type OwnerLimits<T> = StorageMap<_, Twox64Concat, TwinId, Limits, ValueQuery>;

    /// What the foundation and stakers got of accounts' payments for capacity, and what complaints gave back.
    /// Outlives the account's twins.
    #[pallet::storage]
    pub type Standings<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, Standing, ValueQuery>;

    /// What twins were lately charged for contracts that ended early or unconfirmed.
    #[pallet::storage]
    pub type EarlyEnds<T> = StorageMap<_, Twox64Concat, TwinId, EarlyEnd, ValueQuery>;

    /// The open contracts' accounts.
    #[pallet::storage]
    pub type LedgerAccounts<T> = StorageMap<_, Twox64Concat, ContractId, LedgerAccount>;

    /// The public traffic that contracts have bought and not used.
    #[pallet::storage]
    pub type Allowances<T> = StorageMap<_, Twox64Concat, ContractId, Allowance>;

    /// What contracts were charged by month, until their tombstones are removed.
    #[pallet::storage]
    pub type Bills<T> = StorageMap<_, Twox64Concat, ContractId, Months, ValueQuery>;

    /// What payees have earned and not been paid.
    #[pallet::storage]
    pub type Payable<T> = StorageMap<_, Twox64Concat, Payee, ExactTft, ValueQuery>;

    /// The id of a solution provider that was given last.
    #[pallet::storage]
    pub type LastProviderId<T> = StorageValue<_, ProviderId, ValueQuery>;

    /// The solution providers that governance has approved.
    #[pallet::storage]
    pub type Providers<T: Config> = StorageMap<_, Twox64Concat, ProviderId, Provider<T::AccountId>>;

    /// The first policy.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Prices, shares and price factors; without a policy, nothing can be priced.
        pub policy: Option<BillingPolicy<T::AccountId>>,
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
        /// Credit was paid in.
        Deposited {
            /// The twin whose credit it is.
            twin: TwinId,
            /// The account that paid.
            from: T::AccountId,
            /// In 1e-7 TFT.
            amount: Balance,
        },
        /// A deposit was too small for paused contracts to go on.
        CreditMissing {
            /// The twin that pays.
            twin: TwinId,
            /// What must be deposited in addition, in 1e-7 TFT.
            missing: Balance,
            /// Grid time at which the contracts close otherwise.
            until: GridMillis,
        },
        /// Credit was taken out.
        Withdrawn {
            /// The twin whose credit it is.
            twin: TwinId,
            /// In 1e-7 TFT.
            amount: Balance,
        },
        /// A contract's earnings became payable.
        Collected {
            /// The contract that earned it.
            contract: ContractId,
            /// In 1e-7 TFT, without the fraction.
            amount: Balance,
        },
        /// A payee was paid.
        PaidOut {
            /// Who had earned what was paid.
            payee: Payee,
            /// The account that was paid.
            to: T::AccountId,
            /// In 1e-7 TFT.
            amount: Balance,
        },
        /// The policy changed. Contracts keep their rates.
        PolicySet,
        /// An owner set its spending limits.
        LimitsSet {
            /// The twin that they bind.
            twin: TwinId,
            /// What binds its contracts from this block on.
            limits: Limits,
        },
        /// An owner set or removed its automatic refill.
        AutoRefillSet {
            /// The twin whose credit it is.
            twin: TwinId,
            /// The refill; `None` where it was removed.
            refill: Option<AutoRefill>,
        },
        /// The owner's account paid for more credit, which counts from where the old credit ended.
        Refilled {
            /// The twin whose credit it is.
            twin: TwinId,
            /// In 1e-7 TFT.
            amount: Balance,
        },
        /// The owner's account or limit doesn't admit the automatic refill.
        RefillFailed {
            /// The twin whose credit it is.
            twin: TwinId,
            /// What it would have cost, in 1e-7 TFT.
            amount: Balance,
        },
        /// A payer's credit is used up: its contracts are paused.
        GraceBegan {
            /// The twin whose credit is used up.
            twin: TwinId,
            /// Grid time at which its contracts begin to close.
            until: GridMillis,
        },
        /// A payer's credit suffices again: its contracts go on.
        Resumed {
            /// The twin whose credit suffices.
            twin: TwinId,
        },
        /// A payer's grace period ended: its contracts close.
        GraceEnded {
            /// The twin whose contracts close.
            twin: TwinId,
        },
        /// A payer's price factor changed.
        PriceFactorChanged {
            /// The twin that pays by the new factor from now on.
            twin: TwinId,
            /// What of the list price it pays, in thousandths.
            permille: u16,
        },
        /// Credit was moved into a contract's traffic allowance.
        TrafficBought {
            /// The contract that may use the traffic.
            contract: ContractId,
            /// The twin whose credit it is.
            twin: TwinId,
            /// The traffic, in GB.
            gb: u32,
            /// What it cost, in 1e-7 TFT, rounded up.
            amount: Balance,
        },
        /// A contract was settled, or given something back.
        Charged {
            /// The contract on whose bill the charge is.
            contract: ContractId,
            /// What it was charged in all, in 1e-10 USD.
            usd: UsdAmount,
            /// What it was charged in all, in 1e-7 TFT, fraction left out.
            tft: Balance,
        },
        /// A solution provider was approved, or its share changed.
        ProviderSet {
            /// The id by which owners attach it to their contracts.
            provider: ProviderId,
            /// Its share of the foundation's part, in thousandths.
            permille: u16,
        },
        /// A solution provider shares in what a contract earns.
        ProviderAttached {
            /// The contract whose owner attached it.
            contract: ContractId,
            /// The id that governance gave the provider.
            provider: ProviderId,
        },
        /// What wasn't served or not used became credit again.
        Refunded {
            /// The contract that the credit had been spent on.
            contract: ContractId,
            /// The twin whose credit it is.
            twin: TwinId,
            /// In 1e-7 TFT, without the fraction.
            amount: Balance,
        },
        /// The credit of more payers is used up than a block serves: the rest is late, in order, and owes the same.
        PayersBehind {
            /// Where on the price clock the next one's credit ended.
            end: PriceTime,
        },
    }

    /// Errors of the pallet.
    #[pallet::error]
    pub enum Error<T> {
        /// The caller has no twin.
        NoTwin,
        /// No twin has this id.
        UnknownTwin,
        /// The deposit is below the existential deposit.
        DepositTooSmall,
        /// The deposit leaves less than `FeeReserve` on the account, so that its owner could hardly call anything.
        NothingLeftForFees,
        /// The credit doesn't cover an hour of all rates.
        CreditTooLow,
        /// The amount exceeds the credit.
        NotEnoughCredit,
        /// No open contract has this id.
        UnknownContract,
        /// Less than 1e-7 TFT is payable.
        NothingPayable,
        /// The payee has no account.
        UnknownPayee,
        /// The policy contradicts itself, or there is none.
        PolicyInvalid,
        /// The contracts would cost more than the owner's limit: 1 USD per hour before `set_limits` sets another.
        RateAboveLimit,
        /// The extra fees would exceed the owner's limit.
        ExtraFeeAboveLimit,
        /// The node that serves the contract missed a heartbeat.
        NodeSilent,
        /// Contracts that ended early or unconfirmed have cost as much within an hour as the owner's limit of the
        /// rate admits.
        EndedTooOften,
        /// The contract's earnings are set aside during its first hour, in which its owner may say that it wasn't
        /// delivered.
        SetAside,
        /// No solution provider has this id.
        UnknownProvider,
        /// A solution provider gets at most half of the foundation's part.
        ProviderShareTooLarge,
        /// The contract has a solution provider already.
        ProviderAttached,
        /// No id is left for another solution provider.
        IdsExhausted,
        /// The payer's credit isn't used up.
        NothingDue,
        /// A refill buys at least 24 hours.
        RefillTooSmall,
        /// Another twin pays for the contract.
        NotThePayer,
        /// The traffic costs more than `max_tft`.
        TrafficTooDear,
        /// The allowance would exceed 2^64 bytes.
        AllowanceTooLarge,
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

        /// Moves `amount` (1e-7 TFT) of the caller's credit to its account. An hour of all rates must stay.
        #[pallet::call_index(1)]
        pub fn withdraw(origin: OriginFor<T>, #[pallet::compact] amount: Balance) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_withdraw(account, amount)
        }

        /// Makes payable what a contract has earned. Anyone may call it.
        #[pallet::call_index(2)]
        pub fn collect(origin: OriginFor<T>, contract: ContractId) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_collect(contract)
        }

        /// Pays a payee what is payable, without the fraction. Anyone may call it.
        #[pallet::call_index(3)]
        pub fn pay_out(origin: OriginFor<T>, payee: Payee) -> DispatchResult {
            ensure_signed(origin)?;
            Self::do_pay_out(payee)
        }

        /// Replaces prices, shares and price factors as a whole.
        #[pallet::call_index(4)]
        pub fn set_policy(origin: OriginFor<T>, policy: BillingPolicy<T::AccountId>) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_set_policy(policy)
        }

        /// Sets the spending limits of the caller's twin: they bind whatever it or a proxy starts, resizes or
        /// refills from now on.
        #[pallet::call_index(5)]
        pub fn set_limits(origin: OriginFor<T>, limits: Limits) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_limits(account, limits)
        }

        /// Approves a solution provider, paid to `account`, with `permille` of the foundation's part.
        #[pallet::call_index(6)]
        pub fn add_provider(origin: OriginFor<T>, account: T::AccountId, permille: u16) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_add_provider(account, permille)
        }

        /// Changes a solution provider's share of what is collected from now on; 0 ends it.
        #[pallet::call_index(7)]
        pub fn set_provider_share(
            origin: OriginFor<T>,
            provider: ProviderId,
            permille: u16,
        ) -> DispatchResult {
            T::PolicyOrigin::ensure_origin(origin)?;
            Self::do_set_provider_share(provider, permille)
        }

        /// Sets the automatic refill of the caller's twin, within its limits; `None` removes it.
        #[pallet::call_index(8)]
        pub fn set_auto_refill(origin: OriginFor<T>, refill: Option<AutoRefill>) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_set_auto_refill(account, refill)
        }

        /// Buys `gb` (10⁹ bytes) of public traffic for a contract of the caller's twin, for at most `max_tft`
        /// (1e-7 TFT) of its credit. Unused traffic is refunded when the contract closes.
        #[pallet::call_index(9)]
        pub fn buy_traffic(
            origin: OriginFor<T>,
            contract: ContractId,
            gb: u32,
            #[pallet::compact] max_tft: Balance,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_buy_traffic(account, contract, gb, max_tft)
        }

        /// Names the solution provider of a contract of the caller's twin, once.
        #[pallet::call_index(10)]
        pub fn attach_provider(
            origin: OriginFor<T>,
            contract: ContractId,
            provider: ProviderId,
        ) -> DispatchResult {
            let account = ensure_signed(origin)?;
            Self::do_attach_provider(account, contract, provider)
        }

        /// Serves a payer whose credit is used up, as the agenda would, and resumes one in grace that could go
        /// on. Anyone may call it.
        #[pallet::call_index(11)]
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

        /// The grace period of a twin whose credit is used up.
        pub fn grace(twin: TwinId) -> Option<Grace> {
            Graces::<T>::get(twin)
        }

        /// What of the list price a twin pays, in thousandths.
        pub fn price_factor_permille(twin: TwinId) -> u16 {
            Payers::<T>::get(twin).price_factor
        }

        /// The public traffic that a contract has bought and not used.
        pub fn allowance(contract: ContractId) -> Option<Allowance> {
            Allowances::<T>::get(contract)
        }

        /// What a contract was charged in each of its last 13 months, up to its last settlement, the latest
        /// month last; empty when its tombstone is removed.
        pub fn bill(contract: ContractId) -> Months {
            Bills::<T>::get(contract)
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        #[cfg(feature = "try-runtime")]
        fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }
}
