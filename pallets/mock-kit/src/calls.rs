// SPDX-License-Identifier: Apache-2.0
//! Calls as people and machines make them.

use crate::{AccountId, Armed};
use frame_support::traits::Authorize;
use frame_system::RawOrigin;
use sp_runtime::{
    DispatchError, DispatchResult, StateVersion,
    traits::Dispatchable,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
};
use tfgrid_primitives::Refusal;

/// Dispatches `call` as signed by `who`.
pub fn signed<Call>(who: AccountId, call: Call) -> DispatchResult
where
    Call: Dispatchable<RuntimeOrigin: From<RawOrigin<AccountId>>>,
{
    call.dispatch(RawOrigin::Signed(who).into()).map(drop).map_err(|error| error.error)
}

/// Authorises `call` as the pool does and dispatches it, or returns the refusal of the pool.
#[track_caller]
pub fn report<Call>(call: Call) -> Result<(), Refusal>
where
    Call: Authorize + Dispatchable<RuntimeOrigin: From<RawOrigin<AccountId>>>,
{
    match call.authorize(TransactionSource::External).expect("a call that machines authorise") {
        Ok(_) => {
            call.dispatch(RawOrigin::None.into()).map_err(|error| error.error).unwrap();
            Ok(())
        }
        Err(TransactionValidityError::Invalid(InvalidTransaction::Custom(code))) => {
            Err(Refusal::from_code(code).unwrap())
        }
        Err(other) => panic!("refused without a reason: {other:?}"),
    }
}

/// Asserts that `call` fails with `error`, writes nothing and moves no deadline.
#[track_caller]
pub fn assert_fails(call: impl FnOnce() -> DispatchResult, error: impl Into<DispatchError>) {
    let (root, armed) = (storage_root(), Armed::get());
    assert_eq!(call(), Err(error.into()));
    assert_eq!(root, storage_root(), "a failed call changed something");
    assert_eq!(armed, Armed::get(), "a failed call moved a deadline");
}

fn storage_root() -> Vec<u8> {
    sp_io::storage::root(StateVersion::V1)
}
