// SPDX-License-Identifier: Apache-2.0
//! `threebot plan`

use super::deploy::Wanted;
use crate::{cli::Global, output::Answer};
use anyhow::Result;
use clap::Args;

/// Show what `threebot deploy` would do and what it costs; send nothing
#[derive(Args)]
#[command(after_help = "\
Examples:
  threebot plan -f shop.yaml               an application
  threebot plan -f site.yaml --auto        a deployment on the cheapest node
  threebot plan -f shop.yaml --max-price 0.5 --json")]
pub struct Plan {
    #[command(flatten)]
    wanted: Wanted,
}

impl Plan {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        self.wanted.dry_run(global).await
    }
}
