// SPDX-License-Identifier: Apache-2.0
//! Random sequences of calls and reports: whatever happens, the invariants hold, what fails changes nothing, no TFT is
//! made or lost, and no owner's call takes credit below an hour of all rates.

use crate::chain::*;
use pallet_grid_contracts::CancelReason;
use pallet_grid_farms::{Interface, PublicIp};
use proptest::prelude::*;
use sp_keyring::Sr25519Keyring::Eve;
use tfgrid_primitives::{
    Body, ContractId, ExactTft, FailureCode, RateSums, Resources, TwinId, UsageItem, UsageTotals,
    clock::stretch,
    ledger::FULL_PRICE,
    traits::LedgerClock as _,
    units::{HOUR_MS, MINUTE_MS, TFT},
};
use tfgrid_runtime::*;

/// What a person of the test does.
#[derive(Clone, Debug)]
enum Act {
    Deposit(u128),
    Withdraw(u128),
    /// All but so many thousandths of an hour of all rates.
    WithdrawDownTo(u32),
    Create {
        cru: u64,
        body: usize,
        ips: u8,
        gb: u32,
    },
    Update {
        contract: ContractId,
        cru: u64,
        body: usize,
        ips: u8,
    },
    Rent,
    Name(u8),
    Cancel(ContractId),
    Complain(ContractId),
    Claim(ContractId),
    PayOut(u8),
    Refill(Option<u32>),
    Limit {
        rate: u64,
        refill: u128,
    },
    Traffic {
        contract: ContractId,
        gb: u32,
    },
    Poke(u32),
    Reprice(ContractId),
    Attach(ContractId),
    PeerAddresses(usize),
    /// What only Alice may do: the farmer, and the owner of the sudo key.
    Farmer(FarmersAct),
    Price(u64),
    List(u64),
    Provider(u16),
    ForceClose(ContractId),
}

#[derive(Clone, Debug)]
enum FarmersAct {
    Fee(u64),
    Dedicate(bool),
    Drain,
    CancelDrain,
    AddIp(u8),
    RemoveIp(u32),
}

#[derive(Clone, Debug)]
enum Step {
    Person { bob: bool, act: Act },
    Deployed(ContractId),
    Failed(ContractId),
    Progress(ContractId),
    Released(ContractId),
    Usage { contract: ContractId, bytes: u64 },
    Heartbeat,
    Pass { ms: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let amount = prop_oneof![0..3 * TFT, Just(u128::MAX)];
    let contract = 1u64..12;
    prop_oneof![
        2 => amount.clone().prop_map(Act::Deposit),
        1 => amount.prop_map(Act::Withdraw),
        2 => (900u32..1_100).prop_map(Act::WithdrawDownTo),
        6 => (0u64..5, 0usize..100, 0u8..3, 0u32..3)
            .prop_map(|(cru, body, ips, gb)| Act::Create { cru, body, ips, gb }),
        3 => (contract.clone(), 0u64..5, 0usize..100, 0u8..3)
            .prop_map(|(contract, cru, body, ips)| Act::Update { contract, cru, body, ips }),
        1 => Just(Act::Rent),
        1 => (0u8..3).prop_map(Act::Name),
        2 => contract.clone().prop_map(Act::Cancel),
        1 => contract.clone().prop_map(Act::Complain),
        1 => contract.clone().prop_map(Act::Claim),
        1 => (0u8..4).prop_map(Act::PayOut),
        1 => prop::option::of(20u32..100).prop_map(Act::Refill),
        1 => (prop_oneof![0u64..1_000_000_000, Just(u64::MAX)], 0u128..100 * TFT)
            .prop_map(|(rate, refill)| Act::Limit { rate, refill }),
        1 => (contract.clone(), 0u32..20).prop_map(|(contract, gb)| Act::Traffic { contract, gb }),
        1 => (1u32..5).prop_map(Act::Poke),
        1 => contract.clone().prop_map(Act::Reprice),
        1 => contract.clone().prop_map(Act::Attach),
        1 => (0usize..=256).prop_map(Act::PeerAddresses),
        2 => farmers_act().prop_map(Act::Farmer),
        1 => prop_oneof![Just(0), 10_000u64..1_000_000_000].prop_map(Act::Price),
        1 => (1u64..200_000).prop_map(Act::List),
        1 => (0u16..600).prop_map(Act::Provider),
        1 => contract.prop_map(Act::ForceClose),
    ]
}

fn farmers_act() -> impl Strategy<Value = FarmersAct> {
    prop_oneof![
        1 => any::<u64>().prop_map(FarmersAct::Fee),
        1 => any::<bool>().prop_map(FarmersAct::Dedicate),
        1 => Just(FarmersAct::Drain),
        1 => Just(FarmersAct::CancelDrain),
        4 => (2u8..6).prop_map(FarmersAct::AddIp),
        1 => (1u32..6).prop_map(FarmersAct::RemoveIp),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let contract = 1u64..12;
    prop_oneof![
        12 => (any::<bool>(), act()).prop_map(|(bob, act)| Step::Person { bob, act }),
        5 => contract.clone().prop_map(Step::Deployed),
        1 => contract.clone().prop_map(Step::Failed),
        1 => contract.clone().prop_map(Step::Progress),
        1 => contract.clone().prop_map(Step::Released),
        1 => (contract, 0u64..5_000_000_000).prop_map(|(contract, bytes)| Step::Usage { contract, bytes }),
        2 => Just(Step::Heartbeat),
        3 => (0u64..10 * MINUTE_MS).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn of_size(bytes: usize) -> Body<Vec<u8>> {
    Body::Plain(vec![b' '; bytes])
}

fn by_sudo(inner: impl Into<RuntimeCall>) -> RuntimeCall {
    pallet_sudo::Call::sudo { call: Box::new(inner.into()) }.into()
}

impl Act {
    fn into_call(self, twin: u32) -> RuntimeCall {
        use pallet_grid_contracts::Call as Contract;
        let max_usd_rate = u64::MAX;
        match self {
            Self::Deposit(amount) => pallet_grid_billing::Call::deposit { twin, amount }.into(),
            Self::Withdraw(amount) => pallet_grid_billing::Call::withdraw { amount }.into(),
            Self::WithdrawDownTo(permille) => {
                let Funds { credit, hour, .. } = Funds::of(twin);
                let amount = credit.saturating_sub(hour.scaled(permille.into(), 1_000)).whole();
                pallet_grid_billing::Call::withdraw { amount }.into()
            }
            Self::Create { cru, body, ips, gb } => Contract::create_node_contract {
                node: 1,
                resources: Resources { cru, ..small() },
                body: of_size(body),
                public_ips: ips,
                networks: Default::default(),
                traffic_gb: gb,
                max_usd_rate,
            }
            .into(),
            Self::Update { contract, cru, body, ips } => Contract::update_node_contract {
                contract,
                resources: Resources { cru, ..small() },
                body: of_size(body),
                public_ips: ips,
                networks: Default::default(),
                max_usd_rate,
            }
            .into(),
            Self::Rent => Contract::create_rent_contract { node: 1, max_usd_rate }.into(),
            Self::Name(n) => {
                let name = vec![b'a' + n; 3].try_into().unwrap();
                Contract::create_name_contract { name, max_usd_rate }.into()
            }
            Self::Cancel(contract) => cancel(contract).into(),
            Self::Complain(contract) => {
                Contract::cancel { contract, reason: CancelReason::NotDelivered }.into()
            }
            Self::Claim(contract) => pallet_grid_billing::Call::collect { contract }.into(),
            Self::PayOut(payee) => {
                use pallet_grid_billing::Payee::*;
                let payee = [Farm(1), Farm(9), Foundation, Staking][usize::from(payee)];
                pallet_grid_billing::Call::pay_out { payee }.into()
            }
            Self::Refill(hours) => {
                let refill = hours.map(|hours| pallet_grid_billing::AutoRefill { hours });
                pallet_grid_billing::Call::set_auto_refill { refill }.into()
            }
            Self::Limit { rate, refill } => {
                let limits = pallet_grid_billing::Limits {
                    max_usd_rate: rate,
                    max_extra_fee: rate,
                    refill_per_30_days: refill,
                };
                pallet_grid_billing::Call::set_limits { limits }.into()
            }
            Self::Traffic { contract, gb } => {
                pallet_grid_billing::Call::buy_traffic { contract, gb, max_tft: u128::MAX }.into()
            }
            Self::Poke(twin) => pallet_grid_billing::Call::poke { twin }.into(),
            Self::Reprice(contract) => pallet_grid_contracts::Call::reprice { contract }.into(),
            Self::Attach(contract) => {
                pallet_grid_billing::Call::attach_provider { contract, provider: 1 }.into()
            }
            Self::PeerAddresses(bytes) => {
                let addresses = vec![b'a'; bytes].try_into().unwrap();
                pallet_grid_twins::Call::set_peer_addresses { addresses }.into()
            }
            Self::Farmer(act) => act.into_call(),
            Self::Price(price) => by_sudo(pallet_grid_clock::Call::set_price { price }),
            Self::List(cu) => {
                let mut policy = pallet_grid_billing::Policy::<Runtime>::get().unwrap();
                policy.prices.cu = cu;
                by_sudo(pallet_grid_billing::Call::set_policy { policy })
            }
            Self::Provider(permille) => {
                let account = Eve.to_account_id();
                by_sudo(pallet_grid_billing::Call::add_provider { account, permille })
            }
            Self::ForceClose(contract) => by_sudo(Contract::force_close { contract }),
        }
    }

    /// Whose it is, where it isn't a customer's.
    fn by_alice(&self) -> bool {
        use Act::{Farmer, ForceClose, List, Price, Provider};
        matches!(self, Farmer(_) | Price(_) | List(_) | Provider(_) | ForceClose(_))
    }
}

/// What a twin has and what it needs.
struct Funds {
    credit: ExactTft,
    rates: RateSums,
    /// What an hour of all rates costs at list price.
    hour: ExactTft,
    /// Credit that was deposited in a grace period and that nothing relies on.
    is_idle: bool,
}

impl Funds {
    fn of(twin: TwinId) -> Self {
        let payer = Billing::settled_payer(twin);
        let rates = payer.all_rates();
        let hour = rates.cost_of(stretch(HOUR_MS, Clock::tft_price()), FULL_PRICE);
        Self { credit: payer.credit, rates, hour, is_idle: payer.paused && payer.committed.is_zero() }
    }

    fn cover_an_hour(&self) -> bool {
        self.credit >= self.hour
    }

    /// Asserts that what a twin had `before` its own call isn't less than an hour through that call.
    fn check_since(&self, before: &Self, act: &Act) {
        assert!(self.cover_an_hour() || !before.cover_an_hour(), "less than an hour is left by {act:?}");
        // Whoever had less than that ends contracts and pays for their time, but takes nothing out for anything else.
        let ends = matches!(act, Act::Cancel(_) | Act::Complain(_) | Act::Update { .. });
        let spends = self.rates.total() > before.rates.total() || self.credit < before.credit && !ends;
        assert!(!spends || self.cover_an_hour() || self.is_idle, "less than an hour pays for {act:?}");
    }
}

impl FarmersAct {
    fn into_call(self) -> RuntimeCall {
        use pallet_grid_farms::Call as Farm;
        use pallet_grid_nodes::Call as Node;
        match self {
            Self::Fee(fee) => Node::set_extra_fee { node: 1, fee }.into(),
            Self::Dedicate(dedicated) => Node::set_dedicated { node: 1, dedicated }.into(),
            Self::Drain => {
                let deadline = pallet_grid_clock::GridClockState::<Runtime>::get().now_ms + 2 * MINUTE_MS;
                Node::drain { node: 1, deadline, reason: Default::default() }.into()
            }
            Self::CancelDrain => Node::cancel_drain { node: 1 }.into(),
            Self::AddIp(n) => {
                let v4 = Interface { address: [185, 69, 166, n], prefix: 24, gateway: [185, 69, 166, 1] };
                Farm::add_ip { farm: 1, address: PublicIp { v4, v6: None } }.into()
            }
            Self::RemoveIp(ip) => Farm::remove_ip { ip }.into(),
        }
    }
}

/// Makes a call; one that fails must change nothing.
fn attempt(who: sp_keyring::Sr25519Keyring, what: RuntimeCall) {
    let root = || sp_io::storage::root(sp_core::storage::StateVersion::V1);
    let before = root();
    if call(who, what.clone()).is_err() {
        assert_eq!(before, root(), "a failed call changed something: {what:?}");
    }
}

fn take(machine: &mut Machine, step: Step) {
    // Whether a report is taken isn't asked here: what it leaves behind is.
    let _ = match step {
        Step::Person { bob, act } => {
            let (who, twin) = if bob { (Bob, 2) } else { (Charlie, 3) };
            if act.by_alice() {
                return attempt(Alice, act.into_call(twin));
            }
            let before = Funds::of(twin);
            attempt(who, act.clone().into_call(twin));
            // Anybody may bring a contract to a list that was announced 30 days before.
            if !matches!(act, Act::Reprice(_)) {
                Funds::of(twin).check_since(&before, &act);
            }
            return;
        }
        Step::Pass { ms } => return pass_quickly(ms),
        Step::Deployed(contract) => report(machine.deployed(contract, b"{}")),
        Step::Failed(contract) => report(machine.failed(contract, FailureCode::BodyInvalid)),
        Step::Progress(contract) => report(machine.progress(contract, 1)),
        Step::Released(contract) => report(machine.released(contract)),
        Step::Usage { contract, bytes } => {
            let totals = UsageTotals { received_bytes: bytes, ..Default::default() };
            report(machine.usage(vec![UsageItem { contract, totals }].try_into().unwrap()))
        }
        Step::Heartbeat => report(machine.heartbeat()),
    };
}

/// A chain with a node, on which Bob and Charlie have this credit; takes the steps and checks the invariants after
/// each.
fn take_all(credits: [Balance; 2], steps: Vec<Step>) {
    run(|| {
        farm_with_ticket(1);
        let mut machine = Machine::join(1);
        for (who, credit) in [Bob, Charlie].into_iter().zip(credits) {
            customer(who, credit);
        }
        let issuance = Balances::total_issuance();
        for step in steps {
            take(&mut machine, step);
            check_invariants();
        }
        assert_eq!(Balances::total_issuance(), issuance, "TFT was made or lost");
    });
}

proptest! {
    // More with PROPTEST_CASES=N.
    #![proptest_config(ProptestConfig { cases: sequences(), ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_and_reports_keeps_the_invariants(steps in prop::collection::vec(step(), 1..50)) {
        take_all([10 * TFT, 2 * TFT], steps);
    }

    #[test]
    fn no_call_of_an_owner_takes_credit_below_an_hour(
        credit in TFT / 10..TFT,
        steps in prop::collection::vec(step(), 1..50),
    ) {
        take_all([credit, 2 * credit], steps);
    }
}

fn sequences() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}
