"""Check and measure kdrun on a GPU in less than 8 minutes; called by scripts/gpu_check.

    scripts/gpu_check                          all parts on the GPU; results in $OUT, or else in gpu_check/
    scripts/gpu_check --output FOLDER --only throughput
    scripts/gpu_check --device cpu --tiny      rehearse the script without a GPU, in a minute

Parts run one after another, each in its own process with its own time limit. results.json and results.md are written
after each part; a part that fails or is stopped keeps its findings, and the next one runs. Exit code: 0 if every check
passed, 1 if one failed, 2 if a part crashed or was stopped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu import findings
from benchmarks.gpu.findings import Finding

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"correctness": 120.0, "throughput": 140.0, "whole_run": 90.0, "waits": 60.0, "processes": 50.0}
"""Seconds that each part may take: 460 in all, so that the start fits into 8 minutes too."""
RESULTS = "results"


@dataclass
class Part:
    """A part that has run.

    Attributes:
        name: of the part.
        seconds: that it took.
        end: how it ended: `finished`, `stopped after … s`, or `exit code …` with the end of its messages.
        found: its findings.
    """

    name: str
    seconds: float
    end: str
    found: list[Finding] = field(default_factory=list)


def run(name: str, options: list[str], limit: float) -> Part:
    """Run a part in its own process; after its time limit, stop the process and those that it started."""
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "findings.jsonl", Path(folder) / "log"
        command = [sys.executable, "-m", f"benchmarks.gpu.{name}", *options, "--findings", str(path)]
        started = time.perf_counter()
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = process.wait(timeout=limit)
                end = "finished" if code == 0 else f"exit code {code}: {_tail(log)}"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                end = f"stopped after {limit:g} s"
        return Part(name, time.perf_counter() - started, end, findings.read(path))


def _tail(log: Path) -> str:
    return " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-600:]


def machine(device: str) -> dict[str, Any]:
    """The machine and its packages; versions below those that pyproject.toml demands are marked."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if device == "cuda" else []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = {}
    for requirement in project["dependencies"]:
        name, bound = re.split(r"(?=[><=])", requirement, maxsplit=1)
        versions[name] = _version(name, bound)
    return {
        "device": device,
        "gpus": gpus,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "packages": versions,
    }


def _version(name: str, bound: str) -> str:
    """The installed version of a package, marked if it is older than the lower bound."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing; collect it with scripts/gpu_wheels"
    lowest = re.search(r">=([\d.]+)", bound)
    is_older = lowest is not None and _numbers(version) < _numbers(lowest[1])
    return f"{version} (pyproject.toml demands {bound})" if is_older else version


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def write(folder: Path, machine_facts: dict[str, Any], parts: list[Part]) -> None:
    """Write results.json and results.md."""
    content = {"machine": machine_facts, "parts": [asdict(part) for part in parts]}
    (folder / f"{RESULTS}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / f"{RESULTS}.md").write_text(markdown(machine_facts, parts), encoding="utf-8")


def markdown(facts: dict[str, Any], parts: list[Part]) -> str:
    """The results for people: the machine, then one table per part."""
    packages, gpus = facts["packages"], ", ".join(facts["gpus"]) or "no GPU: a rehearsal on the CPU"
    lines = [f"{gpus}; Python {facts['python']}, torch {packages['torch']}, transformers {packages['transformers']}"]
    lines += [f"\n{name}: {version}" for name, version in packages.items() if "(" in version or "missing" in version]
    for part in parts:
        lines += [f"\n## {part.name}\n", findings.markdown(part.found)]
        lines += [f"\n{part.seconds:.0f} s; {part.end}"]
    return "\n".join(lines) + "\n"


def exit_code(parts: list[Part]) -> int:
    """2 if a part crashed or was stopped, 1 if a check failed, else 0."""
    if any(part.end != "finished" for part in parts):
        return 2
    return int(any(finding.ok is False for part in parts for finding in part.found))


def main() -> int:
    """Run the selected parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to rehearse the script")
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="a part to run; may be repeated")
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("OUT", "gpu_check")), help="folder")
    args = parser.parse_args()
    facts = machine(args.device)
    if args.device == "cuda" and not facts["gpus"]:
        print("gpu_check: torch finds no GPU; --device cpu --tiny rehearses the script", file=sys.stderr)
        return 2
    missing = [name for name, version in facts["packages"].items() if version.startswith("missing")]
    if missing:
        names = " ".join(missing)
        print(f"gpu_check: not installed: {names}; collect wheels with scripts/gpu_wheels {names}", file=sys.stderr)
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    options, parts = ["--device", args.device, *(["--tiny"] if args.tiny else [])], []
    for name in args.only or PARTS:
        parts.append(run(name, options, PARTS[name] * findings.Options(args.device, args.tiny).patience))
        write(args.output, facts, parts)
        print(f"{name}: {parts[-1].seconds:.0f} s, {parts[-1].end}", flush=True)
    print(markdown(facts, parts))
    return exit_code(parts)


if __name__ == "__main__":
    sys.exit(main())
