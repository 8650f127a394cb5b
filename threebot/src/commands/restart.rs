// SPDX-License-Identifier: Apache-2.0
//! `threebot restart`

use crate::{cli::Global, output::Answer, peer::OneMachine};
use anyhow::Result;
use clap::Args;
use tfgrid_client::peer::protocol::Ask;

/// Stop a machine if it runs, and let its node start it again
#[derive(Args)]
pub struct Restart {
    #[command(flatten)]
    machine: OneMachine,
}

impl Restart {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        self.machine.tell(global, |workload| Ask::Restart { workload }, "starts again").await
    }
}
