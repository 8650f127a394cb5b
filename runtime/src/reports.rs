// SPDX-License-Identifier: Apache-2.0
//! Checks the reports of machines, which come as bare extrinsics: `docs/FORMATS.md` §3 says why.

use crate::{Runtime, RuntimeCall};
use frame_support::{pallet_prelude::TransactionSource, traits::Authorize};
#[expect(deprecated, reason = "nothing else checks bare extrinsics")]
use sp_runtime::traits::ValidateUnsigned;
use sp_runtime::transaction_validity::{TransactionValidity, TransactionValidityError};

/// Checks a bare call with what its `#[pallet::authorize]` names, in the pool and again in a block. A call without that
/// is left to its pallet. Nothing else may authorise reports: `frame_system::AuthorizeCall` among the transaction
/// extensions would let general transactions in, which their calls refuse too late.
pub struct BareReports;

#[expect(deprecated, reason = "nothing else checks bare extrinsics")]
impl ValidateUnsigned for BareReports {
    type Call = RuntimeCall;

    fn validate_unsigned(source: TransactionSource, call: &RuntimeCall) -> TransactionValidity {
        match call.authorize(source) {
            Some(checked) => checked.map(|(valid, _)| valid),
            None => Runtime::validate_unsigned(source, call),
        }
    }

    fn pre_dispatch(call: &RuntimeCall) -> Result<(), TransactionValidityError> {
        match call.authorize(TransactionSource::InBlock) {
            Some(checked) => checked.map(drop),
            None => Runtime::pre_dispatch(call),
        }
    }
}
