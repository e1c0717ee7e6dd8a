"""Processes told apart for certain: a pid alone is re-used, a pid with its start time is not."""

import os
import signal
import time
from pathlib import Path


def start_time(pid):
    """Clock ticks after boot at which the process began; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def identity(pid):
    return {"pid": pid, "start": start_time(pid)}


def is_alive(who):
    """Whether exactly the process of identity() still runs."""
    return who["start"] is not None and start_time(who["pid"]) == who["start"]


def children(pid):
    """Pids of the direct children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def wait_until(condition, seconds):
    """Polls; says whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(who, signals=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), seconds=20):
    """Ends one process, gently first; never a process that merely has the same pid."""
    for number in signals:
        if not is_alive(who):
            return
        try:
            os.kill(who["pid"], number)
        except ProcessLookupError:
            return
        if wait_until(lambda: not is_alive(who), seconds):
            return
    raise RuntimeError(f"process {who['pid']} does not end")
