# SPDX-License-Identifier: Apache-2.0
"""Writes a text with an editor of the kind of `vi` in a terminal, as a person does, and leaves it.

    editor.py TEXT COMMAND…

Prints what the terminal shows, and ends with the command's exit code.
"""

import os
import pty
import sys

from terminal import SMALL, read_until, resize


def main():
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    resize(terminal, SMALL)
    shown = read_until(terminal, b"1/1", b"")
    os.write(terminal, b"i" + sys.argv[1].encode() + b"\x1b")
    shown = read_until(terminal, b"[Modified]", shown)
    os.write(terminal, b":wq\r")
    shown = read_until(terminal, None, shown)
    _, status = os.waitpid(child, 0)
    sys.stdout.buffer.write(shown)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
