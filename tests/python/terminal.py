# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a terminal, as a person does who makes the window larger and then presses Ctrl-C.

    terminal.py COMMAND…

The command shows the terminal's size at its start and whenever it changes. Prints what the terminal shows, and ends
with the command's exit code.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

LIMIT_SECONDS = 30
SMALL, LARGE = (24, 80), (40, 120)


def main():
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    shown = b""
    for size in SMALL, LARGE:
        resize(terminal, size)
        shown = read_until(terminal, b"%d %d" % size, shown)
    os.write(terminal, b"\x03")
    shown = read_until(terminal, None, shown)
    _, status = os.waitpid(child, 0)
    sys.stdout.buffer.write(shown)
    sys.exit(os.waitstatus_to_exitcode(status))


def resize(terminal, size):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def read_until(terminal, text, shown):
    """Reads until the text is shown, or without one until the command has ended."""
    end = time.monotonic() + LIMIT_SECONDS
    while text is None or text not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        if not ready:
            sys.exit(f"{text} isn't shown within {LIMIT_SECONDS} s, but {shown}")
        try:
            read = os.read(terminal, 4096)
        except OSError:
            read = b""
        if not read:
            if text is None:
                return shown
            sys.exit(f"the command has ended without {text}, but with {shown}")
        shown += read
    return shown


if __name__ == "__main__":
    main()
