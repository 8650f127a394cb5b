// SPDX-License-Identifier: Apache-2.0
//! Fees. They are burned: nobody gains by filling blocks.
//!
//! A fee is `(weight ÷ 30 ns + 20 × bytes) × multiplier`, in 1e-7 TFT. Bytes are what every node keeps: a day of
//! blocks that are full of them costs more than 10,000 USD at 0.05 USD per TFT, before the multiplier moves.
//! The multiplier rises by up to 1.9 % a block while blocks are more than a quarter full, of weight or of bytes,
//! so that full blocks double the fee in two minutes; empty ones halve it in six.

use crate::*;
use frame_support::{
    dispatch::{DispatchClass, DispatchResult},
    storage::with_transaction,
    traits::{ConstU8, fungible::Inspect},
    weights::{Weight, WeightToFeeCoefficient, WeightToFeeCoefficients, WeightToFeePolynomial},
};
use pallet_transaction_payment::{
    FungibleAdapter, Multiplier, MultiplierUpdate, OnChargeTransaction, TxCreditHold,
};
use sp_runtime::{
    DispatchError, FixedPointNumber, Perbill, Perquintill, TransactionOutcome,
    traits::{Convert, DispatchInfoOf, One, PostDispatchInfoOf, Saturating},
    transaction_validity::TransactionValidityError,
};

/// What a byte of a transaction costs before the multiplier, in 1e-7 TFT.
pub const BYTE_FEE: Balance = 20;
/// Above this part of a block, the multiplier rises.
const TARGET_FULLNESS: Perquintill = Perquintill::from_percent(25);
/// By this part of the distance to the target the multiplier moves in a block.
const ADJUSTMENT_DIVISOR: u128 = 40;
/// The most that the multiplier becomes.
const MAX_MULTIPLIER: u128 = 1_000;

/// One unit (1e-7 TFT) for every 30 ns of a call: a simple one of some 0.3 ms costs about 0.001 TFT.
pub struct WeightToFee;

impl WeightToFeePolynomial for WeightToFee {
    type Balance = Balance;

    fn polynomial() -> WeightToFeeCoefficients<Balance> {
        [WeightToFeeCoefficient {
            coeff_integer: 0,
            coeff_frac: Perbill::from_rational(1u32, 30_000u32),
            negative: false,
            degree: 1,
        }]
        .into_iter()
        .collect()
    }
}

/// The fee for bytes, which the SDK gives as the time of a weight, with the multiplier that it applies to weight
/// alone.
pub struct LengthToFee;

impl frame_support::weights::WeightToFee for LengthToFee {
    type Balance = Balance;

    fn weight_to_fee(length: &Weight) -> Balance {
        let fee = BYTE_FEE.saturating_mul(length.ref_time().into());
        TransactionPayment::next_fee_multiplier().saturating_mul_int(fee)
    }
}

/// Moves the multiplier with what is fuller of a block: the weight of people's calls, or its bytes.
pub struct FeeAdjustment;

impl FeeAdjustment {
    fn fullness() -> Perquintill {
        let limits = <Runtime as frame_system::Config>::BlockWeights::get();
        let normal = limits.get(DispatchClass::Normal).max_total.unwrap_or(limits.max_block);
        let weight = *System::block_weight().get(DispatchClass::Normal);
        let by_weight = Perquintill::from_rational(weight.ref_time(), normal.ref_time().max(1));
        let lengths = <Runtime as frame_system::Config>::BlockLength::get();
        let max_length = u64::from(*lengths.max.get(DispatchClass::Normal)).max(1);
        let by_length = Perquintill::from_rational(u64::from(System::block_size()), max_length);
        by_weight.max(by_length)
    }
}

impl Convert<Multiplier, Multiplier> for FeeAdjustment {
    fn convert(previous: Multiplier) -> Multiplier {
        let (fullness, divisor) = (Self::fullness(), ADJUSTMENT_DIVISOR);
        let step = |distance: Perquintill| {
            let part = Multiplier::from(distance).saturating_mul(previous);
            Multiplier::from_inner(part.into_inner() / divisor)
        };
        let next = if fullness > TARGET_FULLNESS {
            previous.saturating_add(step(fullness - TARGET_FULLNESS))
        } else {
            previous.saturating_sub(step(TARGET_FULLNESS - fullness))
        };
        next.clamp(Self::min(), Self::max())
    }
}

impl MultiplierUpdate for FeeAdjustment {
    fn min() -> Multiplier {
        Multiplier::one()
    }

    fn max() -> Multiplier {
        Multiplier::saturating_from_integer(MAX_MULTIPLIER)
    }

    fn target() -> Perquintill {
        TARGET_FULLNESS
    }

    fn variability() -> Multiplier {
        Multiplier::saturating_from_rational(1, ADJUSTMENT_DIVISOR)
    }
}

/// Takes fees of the signer's account. Where that is empty, the fee of a call that only releases what is its
/// signer's comes out of that: whoever has credit or a contract gets at them without being sent TFT first.
pub struct FeesOrRelease;

type FromAccount = FungibleAdapter<Balances, ()>;

impl FeesOrRelease {
    /// Lets the call release so much beforehand that the account can pay `fee`.
    fn release(who: &AccountId, call: &RuntimeCall, fee: Balance) -> DispatchResult {
        let needed = fee.saturating_add(<Balances as Inspect<_>>::minimum_balance());
        let missing = needed.saturating_sub(<Balances as Inspect<_>>::balance(who));
        match call {
            RuntimeCall::Contracts(pallet_grid_contracts::Call::cancel { contract, .. }) => {
                Contracts::release_in_advance(who, *contract, missing)
            }
            RuntimeCall::Billing(pallet_grid_billing::Call::withdraw { .. }) => {
                Billing::withdraw_in_advance(who, missing)
            }
            _ => Err(DispatchError::Unavailable),
        }
    }
}

impl TxCreditHold<Runtime> for FeesOrRelease {
    type Credit = <FromAccount as TxCreditHold<Runtime>>::Credit;
}

impl OnChargeTransaction<Runtime> for FeesOrRelease {
    type LiquidityInfo = <FromAccount as OnChargeTransaction<Runtime>>::LiquidityInfo;
    type Balance = Balance;

    fn withdraw_fee(
        who: &AccountId,
        call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        fee: Balance,
        tip: Balance,
    ) -> Result<Self::LiquidityInfo, TransactionValidityError> {
        <FromAccount as OnChargeTransaction<Runtime>>::can_withdraw_fee(who, call, info, fee, tip)
            .or_else(|unpaid| Self::release(who, call, fee).map_err(|_| unpaid))?;
        <FromAccount as OnChargeTransaction<Runtime>>::withdraw_fee(who, call, info, fee, tip)
    }

    fn can_withdraw_fee(
        who: &AccountId,
        call: &RuntimeCall,
        info: &DispatchInfoOf<RuntimeCall>,
        fee: Balance,
        tip: Balance,
    ) -> Result<(), TransactionValidityError> {
        let can_pay =
            || <FromAccount as OnChargeTransaction<Runtime>>::can_withdraw_fee(who, call, info, fee, tip);
        can_pay().or_else(|unpaid| {
            with_transaction(|| {
                let released = Self::release(who, call, fee).map_err(|_| unpaid);
                TransactionOutcome::Rollback(Ok::<_, DispatchError>(released.and_then(|()| can_pay())))
            })
            .unwrap_or(Err(unpaid))
        })
    }

    fn correct_and_deposit_fee(
        who: &AccountId,
        info: &DispatchInfoOf<RuntimeCall>,
        post_info: &PostDispatchInfoOf<RuntimeCall>,
        corrected_fee: Balance,
        tip: Balance,
        taken: Self::LiquidityInfo,
    ) -> Result<(), TransactionValidityError> {
        <FromAccount as OnChargeTransaction<Runtime>>::correct_and_deposit_fee(
            who,
            info,
            post_info,
            corrected_fee,
            tip,
            taken,
        )
    }

    #[cfg(feature = "runtime-benchmarks")]
    fn endow_account(who: &AccountId, amount: Balance) {
        <FromAccount as OnChargeTransaction<Runtime>>::endow_account(who, amount);
    }

    #[cfg(feature = "runtime-benchmarks")]
    fn minimum_balance() -> Balance {
        <FromAccount as OnChargeTransaction<Runtime>>::minimum_balance()
    }
}

impl pallet_transaction_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type OnChargeTransaction = FeesOrRelease;
    type OperationalFeeMultiplier = ConstU8<5>;
    type WeightToFee = WeightToFee;
    type LengthToFee = LengthToFee;
    type FeeMultiplierUpdate = FeeAdjustment;
    type WeightInfo = weights::extensions::Weights;
}
