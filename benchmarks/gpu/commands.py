"""Run `kdrun` in a separate process with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.findings import Findings


def kdrun(args: Sequence[str], cache: Path, findings: Findings, most_seconds: float) -> bool:
    """Run `kdrun` with these arguments, and add a finding with the time, or with the end of its messages.

    Returns:
        Whether the command succeeded.
    """
    names = [arg for arg in args if str(cache.parent) not in arg]
    started = time.perf_counter()
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "kdrun", *args],
            env={**os.environ, "KDRUN_CACHE": str(cache)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=most_seconds,
        )
        ok, message = finished.returncode == 0, " ".join((finished.stderr or finished.stdout).split())[-300:]
    except subprocess.TimeoutExpired:
        ok, message = False, f"stopped after {most_seconds:g} s"
    value = f"{time.perf_counter() - started:.3g} s" if ok else message
    findings.add(f"kdrun {' '.join(names)}", value, "exit code 0", ok)
    return ok
