// SPDX-License-Identifier: Apache-2.0
//! `threebot man`

use crate::{cli::Cli, output::Answer};
use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Write a man page for each command into a folder
#[derive(Args)]
#[command(after_help = "\
Example:
  threebot man ~/.local/share/man/man1 && man threebot-node-find")]
pub struct Man {
    /// The folder; made if it isn't there
    folder: PathBuf,
}

impl Man {
    pub fn run(self) -> Result<Answer> {
        write(&self.folder)?;
        let folder = self.folder.display().to_string();
        Ok(Answer::new(format!("the man pages are in {folder}"), json!({ "folder": folder })))
    }
}

fn write(folder: &Path) -> Result<()> {
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("can't write man pages to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("man1")).unwrap();
        for page in ["threebot.1", "threebot-node-find.1", "threebot-key-new.1"] {
            let text = fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
            assert!(text.contains(".TH"), "{page}");
        }
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write(&file).unwrap_err().to_string();
        assert!(error.starts_with("can't write man pages to"), "{error}");
    }
}
