// SPDX-License-Identifier: Apache-2.0
//! Where a boot ticket comes from: never from an argument, which everybody on the machine can read.

use anyhow::{Context, Result};
use std::{env, fs, io::ErrorKind, path::Path};
use tfgrid_client::MachineKey;

/// Variable of the environment that holds a ticket.
pub const VARIABLE: &str = "ZOS_TICKET";
/// What stands before a ticket on the kernel's command line.
const PARAMETER: &str = "zos.ticket=";

/// The ticket in `file`, else in the environment, else on the kernel's command line.
///
/// # Errors
/// If it isn't a ticket, or the file can't be read. One that is gone is no error: a ticket is needed once.
pub fn find(file: Option<&Path>) -> Result<Option<MachineKey>> {
    let text = match file {
        Some(file) => read(file)?,
        None => env::var(VARIABLE).ok().or_else(|| {
            let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
            on_command_line(&line).map(Into::into)
        }),
    };
    text.as_deref().map(MachineKey::from_ticket).transpose().context("can't use the boot ticket")
}

fn read(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("can't read the ticket in {}", file.display())),
    }
}

fn on_command_line(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(PARAMETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: &str = "tfgrid-ticket-1:0101010101010101010101010101010101010101010101010101010101010101";

    #[test]
    fn a_file_has_a_ticket_and_a_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ticket");
        assert!(find(Some(&file)).unwrap().is_none(), "it was used and removed");
        fs::write(&file, format!("{TICKET}\n")).unwrap();
        let key = find(Some(&file)).unwrap().unwrap();
        assert_eq!(key.public(), MachineKey::from_seed(&[1; 32]).public());
        fs::write(&file, "no ticket").unwrap();
        let error = format!("{:#}", find(Some(&file)).unwrap_err());
        assert!(error.starts_with("can't use the boot ticket: "), "{error}");
        assert!(find(Some(folder.path())).is_err());
    }

    #[test]
    fn the_kernels_command_line_may_have_one() {
        let line = format!("BOOT_IMAGE=/vmlinuz root=/dev/sda zos.ticket={TICKET} quiet\n");
        assert_eq!(on_command_line(&line), Some(TICKET));
        assert_eq!(on_command_line("root=/dev/sda quiet"), None);
    }
}
