// SPDX-License-Identifier: Apache-2.0
//! From the kernel's first file system, in memory, to the read-only one that holds the system.

use crate::{PROGRAM, settings};
use anyhow::{Context, Result};
use rustix::{
    fs::Mode,
    ioctl::{IntegerSetter, ioctl},
    mount::{MountFlags, mount, mount_move},
    process::{chdir, chroot},
    system::finit_module,
};
use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::Path,
    process::Command,
};

/// The system, as squashfs.
pub const IMAGE: &str = "/root.squashfs";
/// Drivers for it, in the order of their names.
const MODULES: &str = "/modules";
const LOOP: &str = "/dev/loop0";
const ROOT: &str = "/root";
/// `LOOP_SET_FD` of the kernel's `linux/loop.h`.
const LOOP_SET_FD: u32 = 0x4C00;

/// Goes on as the first process of the system in the image. Any error ends the first process, and the kernel starts
/// the machine anew.
pub fn switch() -> Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(target)?;
        // The kernel may have mounted /dev itself.
        let _ = mount(kind, target, kind, MountFlags::NOSUID, None);
    }
    let mut modules: Vec<_> = fs::read_dir(MODULES)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    modules.sort();
    for module in modules {
        finit_module(File::open(&module)?, c"", 0)
            .with_context(|| format!("can't load {}", module.display()))?;
    }
    let (image, device) = (File::open(IMAGE)?, File::open(LOOP)?);
    attach(&device, &image).context("can't attach the system to a loop device")?;
    fs::create_dir_all(ROOT)?;
    mount(LOOP, ROOT, "squashfs", MountFlags::RDONLY, None).context("can't mount the system")?;
    fs::remove_file(IMAGE)?;
    for target in ["/proc", "/sys", "/dev"] {
        mount_move(target, format!("{ROOT}{target}"))?;
    }
    let run = format!("{ROOT}/run");
    mount("tmpfs", &run, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    settings::keep(Path::new("/"), &Path::new(ROOT).join(settings::FOLDER.trim_start_matches('/')))?;
    chdir(ROOT)?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Err(Command::new(PROGRAM).exec()).context("can't run the first process")
}

#[allow(unsafe_code)]
fn attach(device: &File, image: &File) -> rustix::io::Result<()> {
    // SAFETY: this call of the loop driver takes a file descriptor as its integer, and that one is open.
    unsafe { ioctl(device, IntegerSetter::<LOOP_SET_FD>::new_usize(image.as_raw_fd() as usize)) }
}
