// SPDX-License-Identifier: Apache-2.0
//! `threebot show`

use crate::{cli::Global, contract, output::Answer, sealing::Identity, session::Session};
use anyhow::Result;
use clap::Args;
use tfgrid_client::{primitives::ContractId, units::parse_id};

/// Show everything about a contract
#[derive(Args)]
pub struct Show {
    /// The contract's id, open or closed lately
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: ContractId,
    #[command(flatten)]
    identity: Identity,
}

impl Show {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.read()?;
        contract::answer(&Session::anonymous(global).await?, self.contract, key.as_ref()).await
    }
}
