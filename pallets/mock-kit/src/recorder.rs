// SPDX-License-Identifier: Apache-2.0
//! A trace of the calls of farming hooks.

use core::marker::PhantomData;
use frame_support::{parameter_types, weights::Weight};
use tfgrid_primitives::{
    NodeId,
    traits::{FarmedNode, FarmedNodes, FarmingPeriods, OnPaidUse, PaidUse},
};

/// A call of [`FarmingPeriods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarmingEvent {
    /// `joined`
    Joined,
    /// `heard`
    Heard,
    /// `changed`
    Changed,
    /// `left`
    Left,
}

parameter_types! {
    /// The calls of [`FarmingPeriods`], each with what farming could read of the node at that moment.
    pub static Recorded: Vec<(FarmingEvent, NodeId, Option<FarmedNode>)> = vec![];
    /// The calls of [`OnPaidUse`].
    pub static Counted: Vec<(NodeId, PaidUse)> = vec![];
}

/// Records calls in [`Recorded`] and [`Counted`]. `Nodes` is what farming reads nodes from.
pub struct Recorder<Nodes = ()>(PhantomData<Nodes>);

impl<Nodes: FarmedNodes> Recorder<Nodes> {
    fn record(event: FarmingEvent, node: NodeId) {
        Recorded::mutate(|recorded| recorded.push((event, node, Nodes::describe(node))));
    }
}

impl<Nodes: FarmedNodes> FarmingPeriods for Recorder<Nodes> {
    fn joined(node: NodeId) {
        Self::record(FarmingEvent::Joined, node);
    }

    fn heard(node: NodeId) {
        Self::record(FarmingEvent::Heard, node);
    }

    fn changed(node: NodeId) {
        Self::record(FarmingEvent::Changed, node);
    }

    fn left(node: NodeId) {
        Self::record(FarmingEvent::Left, node);
    }

    fn weight_of_joining() -> Weight {
        Weight::zero()
    }

    fn weight_of_telling() -> Weight {
        Weight::zero()
    }

    fn weight_of_leaving() -> Weight {
        Weight::zero()
    }
}

impl<Nodes> OnPaidUse for Recorder<Nodes> {
    fn on_paid_use(node: NodeId, paid: PaidUse) {
        Counted::mutate(|counted| counted.push((node, paid)));
    }
}

pub(crate) fn reset() {
    Recorded::take();
    Counted::take();
}
