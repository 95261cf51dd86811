"""Shutdown of `make dev`."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from programs import accepts_connections
from stack import STOP_TIMEOUT, SUCCESS, VALID, Stack, program, start

PROC = Path("/proc")


def processes() -> dict[int, int]:
    """All running processes and their parents, without zombies."""
    found = {}
    for directory in PROC.glob("[0-9]*"):
        try:
            # The name before them is in parentheses, and may contain any character.
            state, parent = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # It has exited since it was listed.
        if state != "Z":
            found[int(directory.name)] = int(parent)
    return found


def descendants(ancestor: int) -> set[int]:
    """All direct and indirect child processes."""
    parents = processes()
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


@pytest.mark.skipif(not PROC.exists(), reason="lists processes in /proc")
def test_ctrl_c_stops_all_processes():
    # Without the supervisor of the other tests, which would stop remaining processes.
    process, ports = start(program())
    started = set()
    try:
        stack = Stack.of(process, ports)
        # The first request starts a function's process.
        for path in VALID:
            assert stack.call(path).status_code == SUCCESS[path]
        started = descendants(process.pid)
        commands = [(PROC / str(pid) / "cmdline").read_text().replace("\0", " ") for pid in started]
        for part in ("moto_server.py", "debug/mint-token", "debug/create-source"):
            assert any(part in command for command in commands), f"{part} is not among {commands}"

        # Like a terminal: to the foreground process group, which does not include the functions.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=STOP_TIMEOUT) == 0
        assert started & processes().keys() == set()
        assert [name for name, port in ports.items() if accepts_connections(port)] == []
    finally:
        process.kill()
        for pid in started & processes().keys():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
