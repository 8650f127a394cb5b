// SPDX-License-Identifier: Apache-2.0
//! All that runs in the boot image beside the node agent, its engine and what these call: the first process, its
//! child that keeps everything going, and what the DHCP client calls. There is no shell to fall back to.

mod console;
mod disk;
mod lease;
mod power;
mod root;
mod settings;
mod supervise;
mod system;
mod wrapper;

use anyhow::Result;
use rustix::{
    process::{WaitOptions, wait},
    system::{RebootCommand, reboot},
};
use std::{env, path::Path, process::Command, thread::sleep, time::Duration};

/// Where the image has this program.
const PROGRAM: &str = "/usr/sbin/zos-init";
/// The name under which the DHCP client calls it.
const LEASE: &str = "zos-lease";
const SUPERVISE: &str = "supervise";
/// Time to read on the console why the machine starts anew.
const REBOOT_AFTER: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let mut words = env::args();
    let path = words.next().unwrap_or_default();
    match path.rsplit('/').next() {
        Some(LEASE) => return lease::apply(env::vars(), Path::new(lease::FOLDER)),
        Some(wrapper::NAME) => return wrapper::run(words),
        _ => {}
    }
    if words.next().as_deref() == Some(SUPERVISE) {
        return supervise::run();
    }
    anyhow::ensure!(std::process::id() == 1, "zos-init is the first process of the boot image");
    if Path::new(root::IMAGE).exists() {
        return root::switch();
    }
    first_process()
}

/// Collects the processes that others have left. What can fail is in a child.
fn first_process() -> Result<()> {
    system::mount_all()?;
    let supervisor = Command::new(PROGRAM).arg(SUPERVISE).spawn()?.id();
    while let Ok(ended) = wait(WaitOptions::empty()) {
        if ended.is_some_and(|(pid, _)| pid.as_raw_nonzero().get().unsigned_abs() == supervisor) {
            break;
        }
    }
    console::write("\r\nZero-OS can't go on, as told above. It starts anew in 10 seconds.\r\n");
    sleep(REBOOT_AFTER);
    rustix::fs::sync();
    Ok(reboot(RebootCommand::Restart)?)
}
