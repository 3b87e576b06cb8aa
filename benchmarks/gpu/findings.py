"""Findings of the parts of scripts/gpu_check, in JSON lines and Markdown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.blocks import table

PATIENCE = 6.0
"""Factor of the time limits of a rehearsal, which may run on a busy machine."""
VERDICTS = {True: "passed", False: "FAILED", None: ""}


@dataclass(frozen=True)
class Finding:
    """One checked or measured fact.

    Attributes:
        name: the checked or measured thing.
        value: value found, with its unit.
        target: value that it must have; empty for a fact without a target.
        ok: whether the value meets the target; None for a fact without one.
    """

    name: str
    value: str
    target: str = ""
    ok: bool | None = None


@dataclass(frozen=True)
class Options:
    """Options that every part gets.

    Attributes:
        device: `cuda`, or `cpu` for a rehearsal.
        tiny: small shapes and few repetitions, which rehearse the same code.
    """

    device: str
    tiny: bool

    @property
    def patience(self) -> float:
        """Factor of all time limits."""
        return PATIENCE if self.device == "cpu" else 1.0


class Findings:
    """The findings of a part, each written to a file at once, so that a part that is stopped keeps those it has.

    Args:
        path: JSON lines are appended to it; None prints alone.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def add(self, name: str, value: str, target: str = "", ok: bool | None = None) -> None:
        """Print a finding and append it to the file."""
        finding = Finding(name, value, target, ok)
        print("  ".join(filter(None, (VERDICTS[ok], name, value, target and f"(target {target})"))), flush=True)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(finding)) + "\n")


def read(path: Path) -> list[Finding]:
    """Findings that a part has written; none if it wrote no file."""
    if not path.exists():
        return []
    return [Finding(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def markdown(findings: Sequence[Finding]) -> str:
    """A table of findings."""
    rows = [[f.name, f.value.replace("|", "\\|"), f.target, VERDICTS[f.ok]] for f in findings]
    return table(["check", "value", "target", ""], rows) if rows else "nothing was found before the part ended"


def run_part(description: str, part: Callable[[Options, Findings], None]) -> None:
    """Parse the arguments of a part and run it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to rehearse the script")
    parser.add_argument("--findings", type=Path, help="append the findings to this file")
    args = parser.parse_args()
    part(Options(args.device, args.tiny), Findings(args.findings))
