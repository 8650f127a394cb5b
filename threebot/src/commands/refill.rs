// SPDX-License-Identifier: Apache-2.0
//! `threebot refill`

use super::funds::Funding;
use crate::{cli::Global, consent::unasked, output::Answer, session::Session};
use anyhow::Result;
use clap::{Args, Subcommand};
use tfgrid_client::api::{self, runtime_types::pallet_grid_billing::types::AutoRefill};

/// The least that a refill buys, in hours of the running costs.
const MIN_HOURS: u32 = 24;

/// Show automatic refills of your credit, or turn them on or off
#[derive(Args)]
pub struct Refill {
    #[command(subcommand)]
    command: Option<RefillCommand>,
}

#[derive(Subcommand)]
enum RefillCommand {
    /// Let your account buy more credit whenever it is used up
    ///
    /// How much it may take in 30 days is a limit that only you can set: `threebot limits --refill TFT`.
    #[command(arg = unasked(), after_help = "\
Example:
  threebot limits --refill 100      at most 100 TFT in 30 days
  threebot refill on --hours 72     three days at a time")]
    On {
        /// How many hours of your running costs each refill buys (24 or more)
        #[arg(long, default_value_t = 72, value_parser = parse_hours)]
        hours: u32,
    },
    /// Let contracts pause when the credit is used up
    #[command(arg = unasked())]
    Off,
}

impl Refill {
    pub async fn run(self, global: &Global) -> Result<Answer> {
        let session = Session::open(global).await?;
        if let Some(command) = self.command {
            let request = match command {
                RefillCommand::On { hours } => Some(AutoRefill { hours }),
                RefillCommand::Off => None,
            };
            session.submit("refill", &api::transactions().billing().set_auto_refill(request)).await?;
        }
        let at = session.grid.finalized().await?;
        let funding = Funding::read(&at, session.twin(&at).await?).await?;
        let mut text = format!("automatic refills: {}", funding.refill_text());
        if funding.refill_is_blocked() {
            text.push_str("\nnothing may be taken yet: allow it with `threebot limits --refill TFT`");
        }
        Ok(Answer::new(text, funding.refill_value()))
    }
}

fn parse_hours(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(hours @ MIN_HOURS..) => Ok(hours),
        Ok(_) => Err(format!("a refill buys {MIN_HOURS} hours or more")),
        Err(error) => Err(format!("{error}: give a whole number of hours, {MIN_HOURS} or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refill_buys_a_day_or_more() {
        assert_eq!((parse_hours("24"), parse_hours("72")), (Ok(24), Ok(72)));
        assert_eq!(parse_hours("23"), Err("a refill buys 24 hours or more".into()));
        assert!(parse_hours("3d").unwrap_err().ends_with("a whole number of hours, 24 or more"));
    }
}
