// SPDX-License-Identifier: Apache-2.0
//! `threebot gateway`

use super::nodes::Nodes;
use crate::{cli::Global, output::Answer};
use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Gateway {
    /// List the nodes that publish sites, with the domains of their names; as `node find --gateway`
    List(Nodes),
}

impl Gateway {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let Self::List(mut nodes) = self;
        nodes.gateway = true;
        nodes.run(global).await
    }
}
