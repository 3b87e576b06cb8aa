"""Identity of a process that survives changes of the clock."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")
TOLERANCE = 1.0
"""Seconds by which two readings of one process's start may differ."""
MAX_PID = 2**32


def process_facts() -> dict[str, Any]:
    """What a ledger line records of this process: its id, its start in seconds since boot, and the id of the boot.

    The wall clock may be set while a run is active; the time since boot and the id of the boot do not change.
    """
    import psutil

    return {"pid": os.getpid(), "process_started": round(_since_boot(psutil.Process()), 2), "boot": _boot_id()}


def machine_facts() -> dict[str, Any]:
    """Host name, boot and process namespace: where they are equal, process ids mean the same processes."""
    try:
        namespace = os.readlink(PID_NAMESPACE)
    except OSError:  # no /proc
        namespace = None
    return {"host": socket.gethostname(), "boot": _boot_id(), "namespace": namespace}


def is_this_machine(facts: dict[str, Any]) -> bool:
    """Whether a process with these facts, from `machine_facts`, is or was on this machine since its boot."""
    return all(facts.get(key) == value for key, value in machine_facts().items())


def is_alive(run: dict[str, Any]) -> bool:
    """Whether the process of a ledger record still exists; another process may have its id by now.

    Records of older versions lack the start since boot: there, a process that started after the run is another.

    Args:
        run: a record with `started` and, if it was resumed, `resumed`.
    """
    import psutil

    pid, recorded = run.get("pid"), run.get("process_started")
    if not pid:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if recorded is None:
            return process.create_time() <= run.get("resumed", run["started"]) + TOLERANCE
        is_same_boot = run.get("boot") in (None, _boot_id())
        return is_same_boot and abs(_since_boot(process) - recorded) <= TOLERANCE
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, OverflowError):
        return False


def _since_boot(process: Any) -> float:
    import psutil

    # both depend on the clock in the same way, so that it cancels
    return process.create_time() - psutil.boot_time()


def _boot_id() -> str | None:
    return BOOT_ID.read_text(encoding="ascii").strip() if BOOT_ID.exists() else None
