// SPDX-License-Identifier: Apache-2.0
//! `threebot show`

use crate::{cli::Global, contract, output::Answer, sealing::read_identity, session::Session};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use tfgrid_client::{primitives::ContractId, units::parse_id};

/// Show everything about a contract
#[derive(Args)]
pub struct Show {
    /// The contract's id, open or closed lately
    #[arg(value_parser = parse_id::<ContractId>)]
    contract: ContractId,
    /// File with an age secret key, as age-keygen writes it: shows a sealed deployment in clear
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Show {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let key = self.identity.map(|file| read_identity(&file)).transpose()?;
        contract::answer(&Session::anonymous(global).await?, self.contract, key.as_ref()).await
    }
}
