// SPDX-License-Identifier: Apache-2.0
//! `threebot start`

use crate::{cli::Global, output::Answer, peer::OneMachine};
use anyhow::Result;
use clap::Args;
use tfgrid_client::peer::protocol::Ask;

/// Start a machine that was stopped, has finished, or waits for its next try
#[derive(Args)]
pub struct Start {
    #[command(flatten)]
    machine: OneMachine,
}

impl Start {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        self.machine.tell(global, |workload| Ask::Start { workload }, "starts").await
    }
}
