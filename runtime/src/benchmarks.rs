// SPDX-License-Identifier: Apache-2.0
//! What `make weights` measures, and what the pallets' benchmarks need of other pallets.

use crate::*;
use codec::Encode;
use configs::oracle::{MAX_FEEDERS, OracleId, PriceKey};
use frame_benchmarking::{account, benchmarking::add_to_whitelist};
use frame_support::traits::fungible::Mutate;
use frame_system::RawOrigin;
use pallet_grid_billing::{
    AutoRefill, AutoRefills, Graces, LEAST_REFILL_HOURS, Limits, OwnerLimits, Payers, PayersByExhaustion,
    PricesAnnouncedAt,
};
use pallet_grid_clock::{
    Bounds, DAYS_KEPT, DailyPrices, DayPrice, GridClockState, PriceBounds, PriceClockState,
};
use pallet_grid_farming::FarmingPolicy;
use pallet_grid_farms::{Interface, PublicIp};
use pallet_grid_nodes::{Drain, Heartbeats, LivenessOf};
use pallet_oracle::{RawValues, TimestampedValue};
use sp_core::{H256, crypto::KeyTypeId, ed25519};
use sp_io::crypto::{ed25519_generate, ed25519_sign};
use sp_runtime::traits::AccountIdConversion;
use tfgrid_primitives::{
    ClockSpan, ContractId, ExactTft, ExhaustionKey, FarmId, Features, GridMillis, KeySignature, NodeId,
    PublicKey, Registration, ReportKind, Resources, TwinId, UnixSeconds, UsdRate,
    farming::{PERIOD_SECONDS, period_of, period_start},
    report::{DetailsPayload, report_bytes},
    ticket::{Isolation, opening_bytes},
    traits::{Clock as _, FarmDirectory, LedgerClock},
    units::{DAY_MS, GIB, HOUR_MS, MONTH_MS, SECOND_MS, TFT, USD},
};

frame_benchmarking::define_benchmarks!(
    [pallet_balances, Balances]
    [pallet_grid_billing, Billing]
    [pallet_grid_clock, Clock]
    [pallet_grid_contracts, Contracts]
    [pallet_grid_farming, Farming]
    [pallet_grid_farms, Farms]
    [pallet_grid_nodes, Nodes]
    [pallet_grid_twins, Twins]
    [pallet_grid_validators, Validators]
);

/// A grid, as far as benchmarks need one.
pub struct Grid;

/// Days with a recorded price.
const PRICE_DAYS: u32 = 60;
/// Enough for all deposits.
const MONEY: Balance = 1_000_000 * TFT;
/// Public IPs of a farm.
const IPS: u8 = 64;
/// How long a ticket is open.
const TICKET_SECONDS: UnixSeconds = 24 * 3_600;

/// A rich account with a twin, another one each time.
fn person() -> (AccountId, TwinId) {
    let account: AccountId = account("person", pallet_grid_twins::LastTwinId::<Runtime>::get(), 0);
    Balances::mint_into(&account, MONEY).expect("TFT can be minted");
    Twins::create(signed(&account), Default::default(), None).expect("it has no twin yet");
    let twin = pallet_grid_twins::LastTwinId::<Runtime>::get();
    (account, twin)
}

fn signed(account: &AccountId) -> RuntimeOrigin {
    RawOrigin::Signed(account.clone()).into()
}

/// A farm of a person's, another one each time.
fn farm() -> (AccountId, FarmId) {
    let (account, twin) = person();
    let name = alloc::format!("farm-{twin}").into_bytes();
    Farms::create(signed(&account), name.try_into().expect("it is short")).expect("the name is new");
    (account, pallet_grid_farms::LastFarmId::<Runtime>::get())
}

fn open_ticket(farm: FarmId, ticket: PublicKey) {
    let farmer = Farms::farmer_account(farm).expect("it has a farmer");
    let expires = Clock::unix_now().saturating_add(TICKET_SECONDS);
    let proof = ed25519_sign(KEYS, &ticket.into(), &opening_bytes(System::block_hash(0), farm));
    let proof = proof.expect("the key was generated");
    Farms::open_ticket(signed(&farmer), farm, ticket, 1, expires, proof).expect("the farmer is rich");
}

const KEYS: KeyTypeId = KeyTypeId(*b"grid");

/// The public half of key `n`.
fn key(n: u8) -> ed25519::Public {
    ed25519_generate(KEYS, Some(alloc::format!("//{n}").into_bytes()))
}

fn sign(n: u8, bytes: &[u8]) -> KeySignature {
    ed25519_sign(KEYS, &key(n), bytes).expect("the key was generated")
}

/// The key of a node that [`node`] made.
fn key_of(node: NodeId) -> u8 {
    node as u8
}

/// A node that has joined a farm with public IPs and was heard from, and its farmer.
fn node() -> (AccountId, NodeId) {
    let (farmer, farm) = farm();
    for host in 0..IPS {
        let of_farm = |host| [185, 69, farm as u8, host];
        let v4 = Interface { address: of_farm(10 + host), prefix: 24, gateway: of_farm(1) };
        Farms::add_ip(signed(&farmer), farm, PublicIp { v4, v6: None }).expect("the address is free");
    }
    let node = pallet_grid_nodes::LastNodeId::<Runtime>::get() + 1;
    let node_key = key(key_of(node)).0;
    open_ticket(farm, node_key);
    let registration = Registration {
        ticket: node_key,
        node_key,
        peer_key: [1; 32],
        encryption_key: [2; 32],
        resources: capacity(),
        isolation: Isolation::Vm,
        valid_until: Clock::unix_now(),
    };
    let nobody = KeySignature::from_raw([0; 64]);
    Nodes::register(RawOrigin::None.into(), registration, nobody, nobody).expect("it can't fail");
    let details =
        DetailsPayload { bytes_per_second: u64::MAX, features: Features::ALL, ..Default::default() };
    pallet_grid_nodes::Details::<Runtime>::insert(node, pallet_grid_nodes::MachineDetails::from(details));
    (farmer, node)
}

/// The same, and it is enrolled: what contracts pay for its addresses and traffic counts.
fn enrolled_node() -> NodeId {
    // Where there is a price to be enrolled at, it is on joining.
    pallet_grid_farming::Policy::<Runtime>::put(FarmingPolicy {
        automatic: true,
        ..FarmingPolicy::standard()
    });
    let day = (Clock::unix_now().saturating_mul(SECOND_MS) / DAY_MS) as u32;
    DailyPrices::<Runtime>::insert(day % DAYS_KEPT, DayPrice { day, price: USD / 20 });
    let (_, node) = node();
    assert!(pallet_grid_farming::Enrolments::<Runtime>::contains_key(node));
    node
}

fn hear(node: NodeId) {
    Heartbeats::<Runtime>::mutate_extant(node, |last| {
        (last.at, last.clock) = (Clock::grid_now(), Clock::price_now());
    });
}

fn hear_all() {
    (1..=pallet_grid_nodes::LastNodeId::<Runtime>::get()).for_each(hear);
}

/// The twin's credit is used up.
fn use_up(twin: TwinId) {
    let before = Payers::<Runtime>::get(twin);
    let mut payer = before;
    payer.change(Clock::now(), |payer| payer.credit = ExactTft::ZERO);
    PayersByExhaustion::<Runtime>::remove(ExhaustionKey::new(before.end, twin));
    PayersByExhaustion::<Runtime>::insert(ExhaustionKey::new(payer.end, twin), ());
    Payers::<Runtime>::insert(twin, payer);
}

/// It is, and the twin is in grace.
fn begin_grace(twin: TwinId) {
    use_up(twin);
    let anybody: AccountId = account("anybody", 0, 0);
    Billing::poke(signed(&anybody), twin).expect("its credit is used up");
    assert!(Graces::<Runtime>::contains_key(twin));
}

fn capacity() -> Resources {
    Resources { cru: 1_024, mru: 4_096 * GIB, sru: 65_536 * GIB, hru: 65_536 * GIB, gpu: 0 }
}

/// Both clocks go on, and nobody notices what is due.
fn pass(ms: GridMillis) {
    PriceClockState::<Runtime>::mutate(|clock| {
        clock.stepped_at_ms = clock.stepped_at_ms.saturating_add(ms);
        clock.since_base_ms = clock.since_base_ms.saturating_add(ms);
        clock.total_ms = clock.total_ms.saturating_add(ms);
    });
    GridClockState::<Runtime>::mutate(|clock| {
        clock.stepped_at_ms = clock.stepped_at_ms.saturating_add(ms);
        clock.now_ms = clock.now_ms.saturating_add(ms);
    });
}

fn set_calendar(now: UnixSeconds) {
    PriceClockState::<Runtime>::mutate(|clock| clock.stepped_at_ms = now.saturating_mul(SECOND_MS));
}

impl pallet_grid_billing::BenchmarkHelper<AccountId> for Grid {
    fn twin() -> (AccountId, TwinId) {
        person()
    }

    fn node() -> (FarmId, NodeId) {
        let node = enrolled_node();
        (pallet_grid_nodes::Nodes::<Runtime>::get(node).expect("it has joined").farm, node)
    }

    fn hear(node: NodeId) {
        hear(node);
    }

    fn start_clocks() {
        Bounds::<Runtime>::put(PriceBounds::default());
        PriceClockState::<Runtime>::mutate(|clock| clock.set_price(USD / 20));
        pass(2 * HOUR_MS);
    }

    fn pass(ms: GridMillis) {
        pass(ms);
    }
}

impl pallet_grid_clock::BenchmarkHelper for Grid {
    fn feed() {
        let feeders: Vec<AccountId> = (0..MAX_FEEDERS).map(|n| account("feeder", n, 0)).collect();
        Feeders::reset_members(RawOrigin::Root.into(), feeders.clone()).expect("they aren't too many");
        let timestamp = 2 * HOUR_MS;
        pallet_timestamp::Now::<Runtime>::put(timestamp);
        let governance = OracleId::get().into_account_truncating();
        for feeder in feeders.into_iter().chain([governance]) {
            let said = TimestampedValue { value: USD, timestamp };
            RawValues::<Runtime>::insert(feeder, PriceKey::TftUsd, said);
        }
    }
}

impl pallet_grid_farms::BenchmarkHelper<AccountId> for Grid {
    fn twin() -> (AccountId, TwinId) {
        person()
    }

    fn ticket() -> PublicKey {
        key(0).0
    }

    fn sign(bytes: &[u8]) -> KeySignature {
        sign(0, bytes)
    }

    fn advance_to(now: UnixSeconds) {
        set_calendar(now);
    }
}

impl pallet_grid_nodes::BenchmarkHelper<AccountId> for Grid {
    fn farm() -> (AccountId, FarmId) {
        farm()
    }

    fn open_ticket(farm: FarmId, ticket: PublicKey) {
        open_ticket(farm, ticket);
    }

    fn pass(ms: GridMillis) {
        pass(ms);
    }

    fn key(n: u8) -> PublicKey {
        key(n).0
    }

    fn sign(n: u8, bytes: &[u8]) -> KeySignature {
        sign(n, bytes)
    }
}

impl pallet_grid_contracts::BenchmarkHelper<AccountId> for Grid {
    fn customer() -> (AccountId, TwinId) {
        let (account, twin) = person();
        let limits = Limits { max_usd_rate: UsdRate::MAX, ..Limits::default() };
        OwnerLimits::<Runtime>::insert(twin, limits);
        Billing::deposit(signed(&account), twin, MONEY / 2).expect("the person is rich");
        // Each block has just written both when its first call begins.
        for clock in [PriceClockState::<Runtime>::hashed_key(), GridClockState::<Runtime>::hashed_key()] {
            add_to_whitelist(clock.to_vec().into());
        }
        (account, twin)
    }

    fn node() -> NodeId {
        enrolled_node()
    }

    fn sign(node: NodeId, kind: ReportKind, sequence: u64, payload: &impl Encode) -> KeySignature {
        let genesis: H256 = System::block_hash(0);
        sign(key_of(node), &report_bytes(genesis, node, kind, sequence, &payload))
    }

    fn pass(ms: GridMillis) {
        pass(ms);
        hear_all();
    }

    fn interrupt(node: NodeId, ms: GridMillis) {
        let from = Clock::price_now();
        <Self as pallet_grid_contracts::BenchmarkHelper<AccountId>>::pass(ms);
        let outage = ClockSpan { from, to: Clock::price_now() };
        LivenessOf::<Runtime>::mutate_extant(node, |live| live.outage = outage);
    }

    fn drain(node: NodeId) {
        let drain = Drain { deadline: Clock::grid_now(), reason: Default::default() };
        pallet_grid_nodes::Nodes::<Runtime>::mutate_extant(node, |node| node.settings.drain = Some(drain));
    }

    fn exhaust(twin: TwinId) {
        let limits =
            Limits { max_usd_rate: UsdRate::MAX, refill_per_30_days: Balance::MAX, ..Limits::default() };
        OwnerLimits::<Runtime>::insert(twin, limits);
        AutoRefills::<Runtime>::insert(twin, AutoRefill { hours: LEAST_REFILL_HOURS });
        use_up(twin);
    }

    fn evict(twin: TwinId) {
        begin_grace(twin);
        Graces::<Runtime>::mutate_extant(twin, |grace| grace.over = true);
    }

    fn wait(twin: TwinId) {
        begin_grace(twin);
        Payers::<Runtime>::mutate(twin, |payer| payer.credit = ExactTft::from_whole(MONEY / 2));
    }

    fn attach_provider(account: &AccountId, contract: ContractId) {
        let (provider, _) = person();
        Billing::add_provider(RawOrigin::Root.into(), provider, 500).expect("governance may");
        let provider = pallet_grid_billing::LastProviderId::<Runtime>::get();
        Billing::attach_provider(signed(account), contract, provider).expect("it has none yet");
    }

    fn announce_prices() {
        pallet_grid_billing::Policy::<Runtime>::mutate(|policy| {
            policy.iter_mut().for_each(|policy| policy.prices.cu *= 2);
        });
        PricesAnnouncedAt::<Runtime>::put(Clock::grid_now());
        GridClockState::<Runtime>::mutate(|clock| clock.now_ms = clock.now_ms.saturating_add(MONTH_MS));
    }
}

impl pallet_grid_farming::BenchmarkHelper<AccountId> for Grid {
    fn node() -> (AccountId, NodeId) {
        let (farmer, node) = node();
        let payload = DetailsPayload { resources: capacity(), ..Default::default() };
        let nobody = KeySignature::from_raw([0; 64]);
        Nodes::report_details(RawOrigin::None.into(), node, 1, payload, nobody).expect("it can't fail");
        // The price at which it is enrolled is the mean of many days. There was none when it joined, or it would
        // have been enrolled at once.
        for day in 0..=PRICE_DAYS {
            DailyPrices::<Runtime>::insert(day, DayPrice { day, price: USD / 20 });
        }
        set_calendar(u64::from(PRICE_DAYS) * DAY_MS / SECOND_MS);
        (farmer, node)
    }

    fn be_up(node: NodeId, now: UnixSeconds) {
        let end = period_start(period_of(Clock::unix_now())).saturating_add(PERIOD_SECONDS - 1);
        let hours = PERIOD_SECONDS.saturating_mul(SECOND_MS) / HOUR_MS;
        pallet_grid_nodes::Uptime::<Runtime>::mutate(node, |up| {
            (0..hours).for_each(|_| up.count(HOUR_MS, end))
        });
        set_calendar(now);
    }
}
