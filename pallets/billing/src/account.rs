// SPDX-License-Identifier: Apache-2.0
//! The ledger account of a contract, from its opening to its end.
//!
//! ```text
//! open ──start──► charged ──suspend──► suspended ──start──► charged ── … ──close──►
//!  rates committed         rates charged          rates committed
//! ```
//!
//! In each state a price may be *proposed*: what both versions reserve beyond the present price is committed
//! beside. `accept` makes it the price, `reject` leaves the present one.

use codec::{Decode, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use tfgrid_primitives::{
    Accrual, Charge, ClockSpan, ExactTft, FarmId, FundedClocks, GridMillis, NodeId, Payer, PriceTime,
    ProviderId, Rates, TwinId, UsdAmount,
    fixed::mul_div,
    ledger::Earned,
    refund::ChargeHistory,
    traits::{ContractPrice, PaidUse, Parties},
};

use crate::Allowance;

/// A contract in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct LedgerAccount {
    /// The twin that pays.
    pub payer: TwinId,
    /// The farm that earns the farmer's share; without one the foundation does.
    pub farm: Option<FarmId>,
    /// The node that serves the contract.
    pub node: Option<NodeId>,
    /// The solution provider that shares in the foundation's part.
    pub provider: Option<ProviderId>,
    /// What the contract costs.
    pub price: ContractPrice,
    /// The price that awaits the node's answer.
    pub proposal: Option<Proposal>,
    /// Whether its rates are charged; otherwise they are committed.
    pub is_charged: bool,
    /// Grid time at which it was charged first.
    pub started_at: Option<GridMillis>,
    /// Its place on the payer's clocks.
    pub accrual: Accrual,
    /// What it was charged for traffic and for what was reserved but didn't run, in 1e-10 USD: no part of what it costs
    /// at least.
    pub apart_usd: UsdAmount,
    /// What was paid for the wait that lasts, in 1e-10 USD; apart, too.
    pub wait_usd: UsdAmount,
    /// What it has earned up to its last settlement and nobody has collected.
    pub uncollected: Earned,
    /// The public traffic and addresses in that, with what was paid for them, the farmer's share included.
    pub uses: PaidUse,
    /// What refunds must know of its past.
    pub history: ChargeHistory,
}

/// A price that awaits the node's answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Proposal {
    /// What the contract costs once its node has deployed the pending version.
    pub price: ContractPrice,
    /// What both versions reserve beyond the present price.
    pub more: Rates,
}

impl LedgerAccount {
    /// An account that isn't charged yet.
    pub(crate) fn open(parties: Parties, price: ContractPrice) -> Self {
        let Parties { payer, farm, node } = parties;
        Self {
            payer,
            farm,
            node,
            provider: None,
            price,
            proposal: None,
            is_charged: false,
            started_at: None,
            accrual: Accrual::default(),
            apart_usd: 0,
            wait_usd: 0,
            uncollected: Earned::default(),
            uses: PaidUse::default(),
            history: ChargeHistory::default(),
        }
    }

    /// What is committed for a proposal, until the node has answered.
    pub fn proposed_more(&self) -> Rates {
        self.proposal.as_ref().map_or(Rates::ZERO, |proposal| proposal.more)
    }

    /// What it has earned and nobody has collected, on the clocks of a settled payer.
    pub fn earned(&self, clocks: &FundedClocks) -> Earned {
        if !self.is_charged {
            return self.uncollected;
        }
        self.uncollected.plus(&self.accrual.earned(self.price.rates, clocks))
    }

    /// What it has been charged in all, on the clocks of a settled payer.
    pub fn charge(&self, clocks: &FundedClocks) -> Charge {
        if self.is_charged { self.accrual.charge(self.price.rates, clocks) } else { self.accrual.charged }
    }

    /// Books what it earned up to now, on the clocks of a settled payer.
    pub(crate) fn settle(&mut self, clocks: &FundedClocks) {
        if !self.is_charged {
            return;
        }
        let rates = self.price.rates;
        let ms = clocks.full_ms.saturating_sub(self.accrual.settled_at.full_ms);
        let lately = self.accrual.settle(rates, clocks);
        self.uncollected = self.uncollected.plus(&lately);
        let ips = lately.shared.scaled(self.price.ip_usd.into(), rates.usd.into());
        self.uses.ip_ms = self.uses.ip_ms.saturating_add(ms.saturating_mul(self.price.public_ips.into()));
        // The addresses may have been priced by a dearer list than the rates.
        self.uses.ip_tft = self.uses.ip_tft.saturating_add(ips.min(lately.shared));
    }

    /// Is charged from now on; all before is settled, and so is the payer.
    pub(crate) fn start(&mut self, payer: &Payer, now: GridMillis) {
        self.is_charged = true;
        self.started_at.get_or_insert(now);
        self.history = ChargeHistory::starting(self.price.rates, payer.settled_at.clock);
        self.accrual.settled_at = payer.funded;
    }

    /// Costs `price` from its settlement at `now` on. Returns the rates before.
    pub(crate) fn change_price(&mut self, price: ContractPrice, now: PriceTime) -> Rates {
        let old = core::mem::replace(&mut self.price, price).rates;
        self.history.record_rates(old, now);
        old
    }

    /// Has earned what traffic was drawn from its allowance.
    pub(crate) fn earn_traffic(&mut self, drawn: &Allowance) {
        self.uncollected.shared = self.uncollected.shared.saturating_add(drawn.tft);
        self.accrual.charged = self.accrual.charged.plus(&Charge { tft: drawn.tft, usd: drawn.usd });
        self.apart_usd = self.apart_usd.saturating_add(drawn.usd);
        self.uses.traffic_bytes = self.uses.traffic_bytes.saturating_add(drawn.bytes);
        self.uses.traffic_tft = self.uses.traffic_tft.saturating_add(drawn.tft);
    }

    /// Takes `back` of what nobody has collected off its charge, and off its addresses in proportion, rounded
    /// down: farming mints rather too little for them than too much.
    pub(crate) fn give_back(&mut self, back: &Earned) {
        if *back == Earned::default() {
            return;
        }
        let before = self.uncollected_capacity().shared;
        let rest = before.saturating_sub(back.shared);
        let ip_ms = mul_div(self.uses.ip_ms.into(), rest.raw(), before.raw());
        self.uses.ip_ms = u64::try_from(ip_ms).unwrap_or(self.uses.ip_ms);
        self.uses.ip_tft = self.uses.ip_tft.scaled(rest.raw(), before.raw());
        self.uncollected = self.uncollected.minus(back);
        self.accrual.charged = self.accrual.charged.less(back.total());
        self.apart_usd = self.apart_usd.min(self.accrual.charged.usd);
    }

    /// What its settled payer was charged for it while its node served nobody, as far as nobody has collected
    /// it ([`tfgrid_primitives::refund`]).
    pub(crate) fn unserved(&self, silence: ClockSpan, payer: &Payer) -> Earned {
        if !self.is_charged {
            return Earned::default();
        }
        let unserved = self.history.charged_within(silence, payer);
        unserved.least_cost(self.price.rates, &self.history).at_most(&self.uncollected_capacity())
    }

    /// What it has earned and nobody has collected, without traffic: what was used isn't given back.
    pub(crate) fn uncollected_capacity(&self) -> Earned {
        let shared = self.uncollected.shared.saturating_sub(self.uses.traffic_tft);
        Earned { shared, ..self.uncollected }
    }

    /// What a complaint may give back: all that nobody has collected, but the traffic that was used and `minimum`.
    pub(crate) fn refundable(&self, minimum: ExactTft) -> Earned {
        let capacity = self.uncollected_capacity();
        capacity.within(capacity.total().saturating_sub(minimum))
    }

    /// Whether it was charged through a silence of its node that is over, and nothing was given back yet.
    pub(crate) fn ran_through(&self, silence: ClockSpan) -> bool {
        self.is_charged && self.history.since < silence.to
    }
}
