// SPDX-License-Identifier: Apache-2.0
//! One screen on all consoles that says how the node is. Nothing is read from them.

use crate::{lease, system::entries};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::{
    collections::VecDeque,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{sleep, spawn},
    time::Duration,
};

/// The last lines of the agent's log that are shown.
const LINES: usize = 10;
const WIDTH: usize = 300;
const REDRAW_EVERY: Duration = Duration::from_secs(2);
/// Names the image.
const RELEASE: &str = "/etc/zos/release";

/// What the screen says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    pub clock: String,
    pub disk: String,
    pub agent: String,
    log: VecDeque<String>,
}

/// A screen that several threads write on.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Screen>>);

impl Shared {
    pub fn change(&self) -> MutexGuard<'_, Screen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws it again when it has changed, for ever.
    pub fn draw(&self) {
        for console in consoles() {
            silence(&console);
        }
        let shared = self.clone();
        spawn(move || {
            let mut drawn = String::new();
            loop {
                let text = shared.change().text(&lease::addresses(Path::new(lease::FOLDER)));
                if text != drawn {
                    write(&format!("\x1b[2J\x1b[H{text}"));
                    drawn = text;
                }
                sleep(REDRAW_EVERY);
            }
        });
    }
}

impl Screen {
    /// Takes in a line of the agent's log.
    pub fn log(&mut self, line: &str) {
        if self.log.len() == LINES {
            self.log.pop_front();
        }
        self.log.push_back(printable(line));
    }

    fn text(&self, addresses: &[String]) -> String {
        let release = fs::read_to_string(RELEASE).unwrap_or_default();
        let addresses = if addresses.is_empty() { "none yet".into() } else { addresses.join(" ") };
        let rows = [
            ("address", addresses.as_str()),
            ("clock", &self.clock),
            ("disk", &self.disk),
            ("agent", &self.agent),
        ];
        let mut text = format!("Zero-OS {}\r\n\r\n", release.trim());
        for (name, value) in rows {
            text.push_str(&format!("  {name:9} {}\r\n", if value.is_empty() { "-" } else { value }));
        }
        text.push_str(
            "\r\nNobody can log in here. The node's farmer and tenants reach it over the grid.\r\n\r\n",
        );
        self.log.iter().for_each(|line| text.push_str(&format!("{line}\r\n")));
        text
    }
}

/// What programs say may hold codes for the terminal.
fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(WIDTH).collect()
}

/// The kernel's consoles; the screen goes to each.
fn consoles() -> Vec<String> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    active.split_whitespace().map(|name| format!("/dev/{name}")).collect()
}

/// What is typed isn't even echoed.
fn silence(console: &str) {
    let Ok(terminal) = OpenOptions::new().read(true).write(true).open(console) else { return };
    if let Ok(mut modes) = tcgetattr(&terminal) {
        modes.local_modes &= !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        let _ = tcsetattr(&terminal, OptionalActions::Flush, &modes);
        // The settings are those of the last one that has it open.
        std::mem::forget(terminal);
    }
}

/// Writes on all consoles, as far as they take it.
pub fn write(text: &str) {
    for console in consoles() {
        if let Ok(mut terminal) = OpenOptions::new().write(true).open(console) {
            let _ = terminal.write_all(text.as_bytes());
        }
    }
}

/// Whether the machine has an interface for the network.
pub fn has_interface() -> bool {
    entries(Path::new("/sys/class/net")).iter().any(|interface| !interface.ends_with("lo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_has_state_and_the_last_lines_alone() {
        let mut screen = Screen { disk: "/dev/vda, 20 GiB".into(), ..Screen::default() };
        for line in 0..LINES + 3 {
            screen.log(&format!("line {line}\x1b[2J"));
        }
        let text = screen.text(&["10.0.2.15".into()]);
        assert!(
            text.contains("  address   10.0.2.15\r\n  clock     -\r\n  disk      /dev/vda, 20 GiB\r\n"),
            "{text}"
        );
        assert!(!text.contains("line 2[2J") && text.ends_with("line 12[2J\r\n"), "{text}");
    }
}
