"""Paths that tests read from."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Top of the repository."""

SHARED = Path(os.environ.get("KDRUN_SHARED") or ROOT.parent / "shared")
"""Real data and small pretrained models, next to the repository; tests that need them skip where they are absent."""
