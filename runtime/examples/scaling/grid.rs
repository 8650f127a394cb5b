// SPDX-License-Identifier: Apache-2.0
//! A grid of any size: its nodes, payers and contracts, made by the calls that people and machines make.

use crate::{
    chain::{self, Machine},
    database::{Database, Outcome},
};
use codec::Encode;
use frame_support::{
    dispatch::RawOrigin,
    storage::with_storage_layer,
    traits::{Get, fungible::Mutate},
};
use sp_core::{Pair, ed25519};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
    BuildStorage, DispatchResult, MultiSignature, Storage, generic::SignedPayload, traits::Dispatchable,
};
use tfgrid_primitives::{
    ContractId, Registration, Resources,
    units::{DAY_MS, GIB, TFT},
};
use tfgrid_runtime::*;

/// Contracts of a payer, one after the other.
pub const CONTRACTS_OF_PAYER: u32 = 10;
/// The farmer, who runs no contract.
pub const FARMERS_TWIN: u32 = 1;
/// Payers whose contracts share a node.
const PAYERS_OF_NODE: u32 = 10;
/// Payers are made in batches, each of which is stored as a block.
const BATCH: u32 = 1_000;
/// Nodes that one ticket admits.
const NODES_OF_TICKET: u32 = 100;
/// What each person keeps beside its credit, for deposits.
const MONEY: Balance = 1_000 * TFT;
/// The credit of the first person, and how much more each next one has: no two run out in the same block.
const CREDIT: Balance = 5_000 * TFT;
const MORE_CREDIT: Balance = TFT;
/// What the farmer has per node: deposits and bonds.
const FARMERS_MONEY: Balance = 1_000 * TFT;

/// A grid of so many contracts.
#[derive(Clone, Copy)]
pub struct Size {
    pub contracts: u32,
}

impl Size {
    pub fn payers(self) -> u32 {
        self.contracts.div_ceil(CONTRACTS_OF_PAYER)
    }

    /// The contracts of payer `n`.
    fn contracts_of(self, n: u32) -> u32 {
        self.contracts.min(n * CONTRACTS_OF_PAYER) - (n - 1) * CONTRACTS_OF_PAYER
    }

    /// The `n`th of many payers that are spread over all.
    pub fn pick(self, n: u32) -> Payer {
        const GOLDEN: u32 = 0x9E37_79B9;
        Payer(n.wrapping_mul(GOLDEN) % self.payers() + 1)
    }
}

/// A payer; the first is 1.
#[derive(Clone, Copy)]
pub struct Payer(u32);

impl Payer {
    pub fn account(self) -> AccountId {
        let mut bytes = [0xAB; 32];
        bytes[..4].copy_from_slice(&self.0.to_be_bytes());
        bytes.into()
    }

    /// The first of its contracts.
    pub fn contract(self) -> ContractId {
        ContractId::from((self.0 - 1) * CONTRACTS_OF_PAYER + 1)
    }

    /// The node on which its contracts are.
    pub fn node(self) -> u32 {
        (self.0 - 1) / PAYERS_OF_NODE + 1
    }

    pub fn twin(self) -> u32 {
        pallet_grid_twins::TwinByAccount::<Runtime>::get(self.account()).expect("it has a twin")
    }
}

/// A development chain on which no node falls silent while the grid is made.
pub fn genesis() -> Outcome<Storage> {
    let mut genesis = chain::genesis_of(&genesis::DEVELOPMENT.into());
    genesis.initial_intervals.heartbeat_ms = Some(DAY_MS);
    Ok(genesis.build_storage()?)
}

fn key(kind: u8, n: u32) -> ed25519::Pair {
    let mut seed = [kind; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    ed25519::Pair::from_seed(&seed)
}

/// Node `n` with its key.
pub fn machine(n: u32) -> Machine {
    Machine { key: key(2, n), id: n, sequence: 0 }
}

/// Makes a call as the runtime would inside a block.
pub fn dispatch(origin: RuntimeOrigin, call: RuntimeCall) -> DispatchResult {
    with_storage_layer(|| call.dispatch(origin).map(drop).map_err(|failure| failure.error))
}

fn by(who: AccountId, call: impl Into<RuntimeCall>) {
    dispatch(RuntimeOrigin::signed(who), call.into()).expect("the call is as it should be");
}

/// A report, whose checks by the pool are left out.
pub fn reported(call: impl Into<RuntimeCall>) {
    dispatch(RawOrigin::None.into(), call.into()).expect("a report can't fail");
}

/// A transaction that `who` has signed, the `later`th after those of which the chain knows.
pub fn signed(who: Sr25519Keyring, later: u32, call: impl Into<RuntimeCall>) -> UncheckedExtrinsic {
    let account = who.to_account_id();
    let extension = extensions(System::account_nonce(&account) + later);
    let payload = SignedPayload::new(call.into(), extension).expect("it can be signed");
    let signature = MultiSignature::Sr25519(payload.using_encoded(|bytes| who.sign(bytes)));
    let (call, extension, _) = payload.deconstruct();
    UncheckedExtrinsic::new_signed(call, account.into(), signature, extension)
}

/// Time passes until no contract can be cancelled as not delivered any more.
pub fn nothing_is_set_aside() {
    let window = parameters::NotDeliveredWindow::get();
    pallet_grid_clock::GridClockState::<Runtime>::mutate(|clock| clock.now_ms += window);
}

/// Makes a grid of this size.
pub fn fill(database: &mut Database, size: Size) -> Outcome<()> {
    database.advance(|| {
        chain::block(vec![]);
        chain::farm_with_ticket(1);
        let farmer = chain::Alice.to_account_id();
        let money = Balance::from(size.payers() / PAYERS_OF_NODE + NODES_OF_TICKET) * FARMERS_MONEY;
        Balances::mint_into(&farmer, money).expect("it can be minted");
    })?;
    let mut first = 1;
    while first <= size.payers() {
        let last = size.payers().min(first + BATCH - 1);
        database.advance(|| {
            chain::block(vec![]);
            (first..=last).for_each(|n| add(Payer(n), size.contracts_of(n)));
        })?;
        first = last + 1;
    }
    // Without the events of that many calls, which every further one would be added to.
    database.advance(|| chain::block(vec![]))
}

/// A payer with its contracts, and now and then the next node.
fn add(member: Payer, contracts: u32) {
    let who = member.account();
    let credit = CREDIT + Balance::from(member.0) * MORE_CREDIT;
    Balances::mint_into(&who, MONEY + credit).expect("it can be minted");
    let twin = pallet_grid_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    by(who.clone(), twin);
    by(who.clone(), pallet_grid_billing::Call::deposit { twin: member.twin(), amount: credit });
    if !pallet_grid_nodes::Nodes::<Runtime>::contains_key(member.node()) {
        join(member.node());
    }
    let mut machine = machine(member.node());
    for _ in 0..contracts {
        by(who.clone(), chain::create(machine.id, chain::small()));
        let contract = pallet_grid_contracts::LastContractId::<Runtime>::get();
        reported(machine.deployed(contract, b"{}"));
    }
}

/// Node `n`, with room for the contracts of its payers and some more.
fn join(n: u32) {
    let ticket = key(1, n / NODES_OF_TICKET);
    let farm = pallet_grid_farms::LastFarmId::<Runtime>::get();
    if !pallet_grid_farms::Tickets::<Runtime>::contains_key(ticket.public().0) {
        let expires = Timestamp::get() / 1_000 + 86_400;
        by(chain::Alice.to_account_id(), chain::open_ticket(farm, &ticket, NODES_OF_TICKET, expires));
    }
    let machine = machine(n);
    let resources = Resources { cru: 400, mru: 400 * GIB, sru: 4_000 * GIB, ..Resources::ZERO };
    let registration = Registration { resources, ..chain::registration(&ticket, &machine.key) };
    reported(chain::register(registration, &ticket, &machine.key));
    assert!(pallet_grid_nodes::Nodes::<Runtime>::contains_key(n), "ids of nodes ascend");
}
