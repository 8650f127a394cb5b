// SPDX-License-Identifier: Apache-2.0
//! `threebot start`

use super::deploy::Waiting;
use crate::{cli::Global, output::Answer, peer::OneMachine};
use anyhow::Result;
use clap::Args;

/// Start a machine that was stopped, has finished, or waits for its next try
///
/// The command ends once the machine runs, or has run as a job: with exit code 1 if the job has failed.
#[derive(Args)]
pub struct Start {
    #[command(flatten)]
    machine: OneMachine,
    #[command(flatten)]
    waiting: Waiting,
}

impl Start {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        self.machine.start(global, &self.waiting).await
    }
}
