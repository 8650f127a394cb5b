// SPDX-License-Identifier: Apache-2.0
//! `threebot stop`

use crate::{cli::Global, output::Answer, peer::OneMachine};
use anyhow::Result;
use clap::Args;
use tfgrid_client::peer::protocol::Ask;

/// Stop a machine until `threebot start`, also over restarts of its node; it costs as much as before
#[derive(Args)]
pub struct Stop {
    #[command(flatten)]
    machine: OneMachine,
}

impl Stop {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        self.machine.tell(global, |workload| Ask::Stop { workload }, "stops, and stays stopped").await
    }
}
