"""How `make dev` ends."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from programs import accepts_connections
from stack import GOOD, PROGRAM, STOP_TIMEOUT, SUCCESS, Stack, start

PROC = Path("/proc")


def processes() -> dict[int, int]:
    """Every process that runs, and its parent. One that has ended and is only still listed does not run."""
    found = {}
    for directory in PROC.glob("[0-9]*"):
        try:
            # The name before it is in parentheses, and may hold anything.
            state, parent = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # It has ended since it was listed.
        if state != "Z":
            found[int(directory.name)] = int(parent)
    return found


def below(ancestor: int) -> set[int]:
    """All processes that a process has started, and those that they have started."""
    parents = processes()
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


@pytest.mark.skipif(not PROC.exists(), reason="looks for processes where Linux has them")
def test_ctrl_c_ends_everything_and_leaves_no_process_behind():
    # Without the guard that the other tests have around it, which would end what the stack forgets.
    process, ports = start(PROGRAM)
    started = set()
    try:
        stack = Stack.of(process, ports)
        # A function's process is started with its first request.
        for path in GOOD:
            assert stack.good(path).status_code == SUCCESS[path]
        started = below(process.pid)
        commands = [(PROC / str(pid) / "cmdline").read_text().replace("\0", " ") for pid in started]
        for part in ("moto_server.py", "target/debug/mint-token", "target/debug/create-source"):
            assert any(part in command for command in commands), f"{part} is not among {commands}"

        # As a terminal does it: the foreground's whole group, which the functions are not in.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=STOP_TIMEOUT) == 0
        assert started & processes().keys() == set()
        assert [name for name, port in ports.items() if accepts_connections(port)] == []
    finally:
        process.kill()
        for pid in started & processes().keys():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
