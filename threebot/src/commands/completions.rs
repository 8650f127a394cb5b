// SPDX-License-Identifier: Apache-2.0
//! `threebot completions`

use crate::{
    cli::Cli,
    output::{Answer, print_raw},
};
use anyhow::Result;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot::{Bash, Fish, Zsh, generate};

/// Print a script that completes command lines
#[derive(Args)]
#[command(after_help = "\
Examples:
  source <(threebot completions bash)
  threebot completions zsh > ~/.zfunc/_threebot
  threebot completions fish > ~/.config/fish/completions/threebot.fish")]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub fn run(self) -> Result<Answer> {
        print_raw(&self.script())
    }

    fn script(&self) -> Vec<u8> {
        let (mut script, mut command) = (Vec::new(), Cli::command());
        match self.shell {
            Shell::Bash => generate(Bash, &mut command, "threebot", &mut script),
            Shell::Zsh => generate(Zsh, &mut command, "threebot", &mut script),
            Shell::Fish => generate(Fish, &mut command, "threebot", &mut script),
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_a_script_with_all_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(Completions { shell }.script()).unwrap();
            for word in ["threebot", "public-config", "max-price"] {
                assert!(script.contains(word), "{word}");
            }
        }
    }
}
