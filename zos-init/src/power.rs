// SPDX-License-Identifier: Apache-2.0
//! The power button, the watchdog, and an orderly end.

use crate::{console, disk, settings, system::entries};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, getpid, kill_process},
    system::{RebootCommand, reboot},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// An event of an input device: seconds, microseconds, kind, code and value.
const EVENT_BYTES: usize = 24;
const KEY: u16 = 1;
const POWER: u16 = 116;
const PRESSED: i32 = 1;
/// Less than half of what watchdogs wait at least.
const PET_EVERY: Duration = Duration::from_secs(5);
/// Time for a new image to prove itself.
const PROVES_WITHIN: Duration = Duration::from_secs(600);
/// Time for processes to end by themselves.
const END_WITHIN: Duration = Duration::from_secs(10);

/// By this file, the agent knows that its engine has lost nothing.
const ENDED_IN_ORDER: &str = "ended-in-order";

static ENDS: AtomicBool = AtomicBool::new(false);

/// Switches the machine off when its button is pressed. Other keys are ignored.
pub fn watch_button() {
    for device in entries(Path::new("/dev/input")) {
        let is_event = device.file_name().is_some_and(|name| name.to_string_lossy().starts_with("event"));
        if let (true, Ok(mut file)) = (is_event, File::open(device)) {
            spawn(move || {
                let mut event = [0; EVENT_BYTES];
                while file.read_exact(&mut event).is_ok() {
                    if is_power_button(&event) {
                        stop(RebootCommand::PowerOff);
                    }
                }
            });
        }
    }
}

fn is_power_button(event: &[u8; EVENT_BYTES]) -> bool {
    let [.., k0, k1, c0, c1, v0, v1, v2, v3] = *event;
    let (kind, code) = (u16::from_ne_bytes([k0, k1]), u16::from_ne_bytes([c0, c1]));
    (kind, code, i32::from_ne_bytes([v0, v1, v2, v3])) == (KEY, POWER, PRESSED)
}

/// Lets the hardware start a machine anew that hangs.
pub fn pet_watchdog() {
    if let Ok(mut watchdog) = OpenOptions::new().write(true).open("/dev/watchdog") {
        spawn(move || {
            while watchdog.write_all(b".").is_ok() {
                sleep(PET_EVERY);
            }
        });
    }
}

/// Starts the machine anew, with the image before this one, unless this one proves itself in time. Only the boot loader
/// and memory are needed for that.
pub fn watch_trial() {
    if Path::new(settings::TRIAL).exists() {
        spawn(|| {
            sleep(PROVES_WITHIN);
            if Path::new(settings::TRIAL).exists() {
                console::write("\r\nThis image has not proven itself: the one before it starts.\r\n");
                stop(RebootCommand::Restart);
            }
        });
    }
}

/// Whether the machine ends: nothing is started any more.
pub fn ends() -> bool {
    ENDS.load(Ordering::Relaxed)
}

/// Ends all processes, writes everything to the disk and leaves.
pub fn stop(how: RebootCommand) {
    console::write("\r\nZero-OS ends.\r\n");
    ENDS.store(true, Ordering::Relaxed);
    let is_in_order = end_all(others, END_WITHIN);
    sleep(END_WITHIN / 100);
    rustix::fs::sync();
    if is_in_order {
        // Without it, the agent takes the end for a power cut.
        let _ = fs::write(Path::new(disk::FOLDER).join(ENDED_IN_ORDER), "");
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if target.starts_with("/run/") || target.starts_with(disk::FOLDER) {
            let _ = unmount(target, UnmountFlags::empty());
        }
    }
    rustix::fs::sync();
    // It returns only if the kernel refuses; then the watchdog or the farmer is left.
    let _ = reboot(how);
}

/// Ends these processes; answers whether all of them ended by themselves.
fn end_all(running: impl Fn() -> Vec<Pid>, within: Duration) -> bool {
    signal_all(&running(), Signal::TERM);
    let begun = Instant::now();
    while begun.elapsed() < within && !running().is_empty() {
        sleep(within / 100);
    }
    let left = running();
    signal_all(&left, Signal::KILL);
    left.is_empty()
}

fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// All processes beside the first and this one; threads of the kernel have no program.
fn others() -> Vec<Pid> {
    let own = [1, getpid().as_raw_nonzero().get()];
    let numbers =
        entries(Path::new("/proc")).into_iter().filter(|entry| fs::read_link(entry.join("exe")).is_ok());
    let numbers = numbers.filter_map(|entry| entry.file_name()?.to_str()?.parse().ok());
    numbers.filter(|number| !own.contains(number)).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::RefCell,
        process::{Command, Stdio},
    };

    #[test]
    fn an_end_is_in_order_unless_something_is_killed() {
        for (first, is_in_order) in [("true", true), ("trap '' TERM", false)] {
            let script = format!("{first}; echo; exec sleep 1000");
            let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            let child = RefCell::new(child);
            let running = || {
                let mut child = child.borrow_mut();
                let has_ended = child.try_wait().unwrap().is_some();
                if has_ended { Vec::new() } else { vec![Pid::from_child(&child)] }
            };
            assert_eq!(end_all(running, Duration::from_secs(1)), is_in_order, "{first}");
            child.into_inner().wait().unwrap();
        }
    }

    #[test]
    fn the_agent_looks_for_the_mark_of_an_orderly_end() {
        let agent = include_str!("../../zos-agent/src/drivers/dockerd.rs");
        assert!(agent.contains(&format!("ENDED_IN_ORDER: &str = {ENDED_IN_ORDER:?};")));
    }

    #[test]
    fn only_the_power_button_that_is_pressed_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut event = [7; EVENT_BYTES];
            event[16..18].copy_from_slice(&kind.to_ne_bytes());
            event[18..20].copy_from_slice(&code.to_ne_bytes());
            event[20..].copy_from_slice(&value.to_ne_bytes());
            is_power_button(&event)
        };
        assert!(event(1, 116, 1));
        assert!(!event(1, 116, 0) && !event(1, 28, 1) && !event(4, 116, 1));
    }
}
