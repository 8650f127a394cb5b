// SPDX-License-Identifier: Apache-2.0
//! A grid of any size: as many twins, nodes and contracts, made by the calls that people and machines make.

use crate::{
    chain::{self, Machine},
    database::{Database, Outcome},
};
use frame_support::{dispatch::RawOrigin, storage::with_storage_layer, traits::fungible::Mutate};
use sp_core::{ed25519, Pair};
use sp_runtime::{traits::Dispatchable, BuildStorage, DispatchResult, Storage};
use tfgrid_primitives::units::{DAY_MS, TFT};
use tfgrid_runtime::*;

/// Calls are made in batches, each of which is stored as a block.
const BATCH: u32 = 1_000;
/// Nodes that one ticket admits.
const NODES_OF_TICKET: u32 = 100;
/// What each person keeps beside its credit, for deposits.
const MONEY: Balance = 100 * TFT;
/// The credit of the first person, and how much more each next one has: no two run out in the same block.
const CREDIT: Balance = 500 * TFT;
const MORE_CREDIT: Balance = TFT / 10;
/// What the farmer has per node: deposits and bonds.
const FARMERS_MONEY: Balance = 1_000 * TFT;

/// A development chain on which no node falls silent while the grid is made.
pub fn genesis() -> Outcome<Storage> {
    let mut genesis = chain::genesis_of(&genesis::DEVELOPMENT.into());
    genesis.initial_intervals.heartbeat_ms = Some(DAY_MS);
    Ok(genesis.build_storage()?)
}

/// Person `n`, who owns contract `n` on node `n`; the first is 1.
pub fn person(n: u32) -> AccountId {
    let mut bytes = [0xAB; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes.into()
}

fn key(kind: u8, n: u32) -> ed25519::Pair {
    let mut seed = [kind; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    ed25519::Pair::from_seed(&seed)
}

/// Makes a call as the runtime would inside a block.
pub fn dispatch(origin: RuntimeOrigin, call: RuntimeCall) -> DispatchResult {
    with_storage_layer(|| call.dispatch(origin).map(drop).map_err(|failure| failure.error))
}

fn by(who: AccountId, call: impl Into<RuntimeCall>) {
    dispatch(RuntimeOrigin::signed(who), call.into()).expect("the call is as it should be");
}

/// A report, whose checks by the pool are left out.
fn reported(call: impl Into<RuntimeCall>) {
    dispatch(RawOrigin::Authorized.into(), call.into()).expect("a report can't fail");
}

/// Makes a grid of `size` twins with credit, nodes, and deployed contracts.
pub fn fill(database: &mut Database, size: u32) -> Outcome<()> {
    database.advance(|| {
        chain::block(vec![]);
        chain::farm_with_ticket(1);
        let farmer = chain::Alice.to_account_id();
        let money = Balance::from(size + NODES_OF_TICKET) * FARMERS_MONEY;
        Balances::mint_into(&farmer, money).expect("it can be minted");
    })?;
    let mut first = 1;
    while first <= size {
        let last = size.min(first + BATCH - 1);
        database.advance(|| {
            chain::block(vec![]);
            (first..=last).for_each(add);
        })?;
        first = last + 1;
    }
    Ok(())
}

/// Person, node and contract `n`.
fn add(n: u32) {
    let who = person(n);
    let credit = CREDIT + Balance::from(n) * MORE_CREDIT;
    Balances::mint_into(&who, MONEY + credit).expect("it can be minted");
    let twin = pallet_twins::Call::create { peer_keys: Default::default(), encryption_key: None };
    by(who.clone(), twin);
    let twin = pallet_twins::TwinByAccount::<Runtime>::get(&who).expect("it has a twin");
    by(who.clone(), pallet_billing::Call::deposit { twin, amount: credit });

    let ticket = key(1, n / NODES_OF_TICKET);
    let farm = pallet_farms::LastFarmId::<Runtime>::get();
    if !pallet_farms::Tickets::<Runtime>::contains_key(ticket.public().0) {
        let expires = Timestamp::get() / 1_000 + 86_400;
        let (ticket, nodes) = (ticket.public().0, NODES_OF_TICKET);
        by(chain::Alice.to_account_id(), pallet_farms::Call::open_ticket { farm, ticket, nodes, expires });
    }
    let machine = key(2, n);
    reported(chain::register(chain::registration(&ticket, &machine), &ticket, &machine));
    let id = pallet_nodes::NodeByKey::<Runtime>::get(machine.public().0).expect("it has joined");
    let mut machine = Machine { key: machine, id, sequence: 0 };

    by(who, chain::create(id, chain::small()));
    let contract = pallet_contracts::LastContractId::<Runtime>::get();
    reported(machine.deployed(contract, b"{}"));
}
