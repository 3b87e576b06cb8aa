"""Reader of the ledger of an output folder."""

from pathlib import Path
from typing import Any

from kdrun.storage.ledger import LEDGER, read_runs, top_level_runs


def read_ledger(output_dir: Path, sweep: str | None = None) -> list[dict[str, Any]]:
    """The runs of an output folder or of one sweep, without the per-domain runs that another run contains."""
    runs = top_level_runs(read_runs(output_dir / LEDGER))
    return [run for run in runs if sweep is None or run.get("sweep") == sweep]
