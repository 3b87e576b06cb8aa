"""Stress kdrun: kill runs, corrupt the cache, start sweeps in parallel, and compare the results byte by byte.

    .venv/bin/python scripts/torture.py kills=100 corruptions=50 sweeps=3 inputs=true method=kd,mate_kd seed=7
    .venv/bin/python scripts/torture.py kills=200 corruptions=50 sweeps=3 --markdown docs/results/reliability.md
    .venv/bin/python scripts/torture.py kills=0 inputs=true --markdown docs/results/reliability.md

kills: runs of the methods (default: all) get a random signal, SIGKILL among them, at a random moment from start to end:
while models are built, while a teacher is fine-tuned, in a step, while a checkpoint, a result or the report is written.
corruptions: bits of cache entries are flipped, files are truncated, files and entries are deleted, also during a run.
sweeps: four processes start the same sweep, and one of them is killed. inputs: the table of invalid input is tried. All
results are compared with undisturbed runs. The script prints the random seed, writes the figures into the document
that is named, and exits with 1 on any difference.
"""

import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.blocks import put, table
from benchmarks.stress import file_corruption, killable_runs
from kdrun import registry
from kdrun.experiments import sweeps
from kdrun.storage import manifest

ROOT = Path(__file__).resolve().parent.parent
UNDISTURBED_SHARE = 0.3
"""Share of the attempts that are not killed, so that every run finishes at last."""
DURING_RUN_SHARE = 0.3
"""Share of the corruptions that happen during a run."""
SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that a run gets; SIGKILL, which leaves no time to save, twice as often."""
AFTER_END = 1.1
"""Latest moment of a signal, in durations of an undisturbed run: also between the last step and the end."""
PROCESSES = 4
"""Processes that start the same sweep."""
INPUTS = "tests/integration/test_bad_inputs.py"
COUNTS = {"kills": 100, "corruptions": 0, "sweeps": 0}


@dataclass
class Figures:
    """Counts of the disturbances and of their outcomes.

    Attributes:
        command: command line of this script.
        kills: kills by method.
        signals: the same by signal.
        runs: runs that were killed, some of them several times.
        corrupted: cache entries by namespace and corruption.
        rebuilt: corrupted entries that were rebuilt with the same bytes.
        sweeps: sweeps that four processes started, one of them killed.
        cells: cells of all sweeps.
        inputs: cases of invalid input that were refused correctly; None if none were tried.
        differences: everything that was not as expected.
    """

    command: str
    kills: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    corrupted: Counter[str] = field(default_factory=Counter)
    rebuilt: int = 0
    sweeps: int = 0
    cells: int = 0
    inputs: int | None = None
    differences: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the rows of the table: disturbance and outcome."""
        if self.runs:
            kills = f"{self.kills.total()} kills in {self.runs} runs ({_listed(self.kills)}; {_listed(self.signals)})"
            yield kills, "every run finished"
        if self.corrupted:
            disturbance = f"{self.corrupted.total()} cache entries corrupted ({_listed(self.corrupted)})"
            yield disturbance, f"{self.rebuilt} rebuilt, byte for byte"
        if self.sweeps:
            disturbance = f"{self.sweeps} sweeps by {PROCESSES} parallel processes, one of them killed"
            yield disturbance, f"{self.cells} cells, each finished once; every line of the ledger complete"
        if self.inputs is not None:
            yield "invalid input", f"{self.inputs} cases behave as expected"
        outcome = f"{len(self.differences)} differences"
        outcome += f": {'; '.join(self.differences)}" if self.differences else ""
        yield "weights, predictions, logs and names of files compared with undisturbed runs", outcome


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def kill_runs(figures: Figures, root: Path, draw: random.Random, kills: int, methods: list[str]) -> None:
    """Cycle through the methods until `kills` runs were killed."""
    with killable_runs.server(root, root / "cache") as server:
        while figures.kills.total() < kills and not figures.differences:
            method = methods[figures.runs % len(methods)]
            figures.runs += 1
            signals, differences = kill_one(method, server, root, draw, kills - figures.kills.total())
            count = signals.total()
            figures.kills[method] += count
            figures.signals += signals
            figures.differences += [f"{method}: {name}" for name in differences]
            outcome = f"differs in {', '.join(differences)}" if differences else "no difference"
            print(f"{method}: killed {count} times, {outcome}")
        if figures.differences:
            print(server.output)


def kill_one(
    method: str, server: killable_runs.Server, root: Path, draw: random.Random, most: int
) -> tuple[Counter[str], list[str]]:
    """Kill and resume one run until it finishes; return the number of kills by signal and the outputs that differ."""
    overrides = killable_runs.overrides(method, root)
    undisturbed, killed = root / f"{method}-whole", root / f"{method}-killed"
    _delete_teacher(root)
    if not undisturbed.exists():
        started = time.monotonic()
        if server.run(*overrides, f"run_dir={undisturbed}"):
            return Counter(), [server.output]
        (root / f"{method}-seconds").write_text(str(time.monotonic() - started))
    seconds = float((root / f"{method}-seconds").read_text())
    shutil.rmtree(killed, ignore_errors=True)
    _delete_teacher(root)
    kills: Counter[str] = Counter()
    while True:
        is_undisturbed = kills.total() == most or draw.random() < UNDISTURBED_SHARE
        after = 0.0 if is_undisturbed else draw.uniform(0.0, AFTER_END * seconds)
        name = draw.choice(SIGNALS)
        number = signal.Signals[name]
        code = server.run(*overrides, f"run_dir={killed}", after=after, with_signal=number)
        if code == 0:
            return kills, killable_runs.differences(killable_runs.outputs(undisturbed), killable_runs.outputs(killed))
        if code not in (-number, 128 + number):
            return kills, [f"exit code {code} after {name}"]
        kills[name] += 1


def _delete_teacher(root: Path) -> None:
    """Delete the cached teachers and their logits, so that the next run fine-tunes the teacher again."""
    for namespace in ("teachers", "logits"):
        shutil.rmtree(root / "cache" / namespace, ignore_errors=True)


def corrupt_entries(figures: Figures, root: Path, draw: random.Random, most: int) -> None:
    """Corrupt entries of every namespace; each run has its own cache."""
    names = list(file_corruption.RUNS)
    for i, name in enumerate(names):
        share, cache = most * (i + 1) // len(names) - most * i // len(names), root / f"cache-{name}"
        if share and not figures.differences:
            with killable_runs.server(root, cache) as server:
                corrupt_one_cache(figures, name, server, root, cache, draw, share)
                if figures.differences:
                    print(server.output)


def corrupt_one_cache(
    figures: Figures,
    name: str,
    server: killable_runs.Server,
    root: Path,
    cache: Path,
    draw: random.Random,
    most: int,
) -> None:
    """Corrupt a few entries, run, and check the outputs and the entries, until `most` entries were corrupted."""
    overrides = [*file_corruption.RUNS[name], *file_corruption.SMALL, f"output_dir={root}/{name}"]
    started = time.monotonic()
    if server.run(*overrides, f"run_dir={root}/{name}/whole"):
        figures.differences.append(f"{name}: the undisturbed run failed")
        return
    seconds, count = time.monotonic() - started, 0
    expected = killable_runs.outputs(root / name / "whole")
    digests = {folder: file_corruption.content_digests(folder) for folder in file_corruption.entry_folders(cache)}
    while count < most and not figures.differences:
        chosen = draw.sample(sorted(digests), min(draw.randint(1, 3), most - count))
        run_dir = root / name / str(count)
        if draw.random() < DURING_RUN_SHARE:
            delete = partial(delete_entries, figures, chosen)
            code = run_while(delete, server, overrides, draw.uniform(0.0, seconds))
            if code not in (0, 1):
                figures.differences.append(f"{name}: exit code {code} after entries were deleted during the run")
        else:
            for folder in chosen:
                corrupt = draw.choice(file_corruption.CORRUPTIONS)
                corrupt(folder, draw)
                figures.corrupted[f"{folder.parent.name} {corrupt.__name__}"] += 1
        count += len(chosen)
        code = server.run(*overrides, f"run_dir={run_dir}")
        differences = (
            [f"exit code {code}"] if code else killable_runs.differences(expected, killable_runs.outputs(run_dir))
        )
        rebuilt = [
            folder
            for folder in chosen
            if not manifest.verify(folder) and file_corruption.content_digests(folder) == digests[folder]
        ]
        figures.rebuilt += len(rebuilt)
        differences += [f"{folder.parent.name} was rebuilt differently" for folder in chosen if folder not in rebuilt]
        figures.differences += [f"{name}: {difference}" for difference in differences]
        names = ", ".join(folder.parent.name for folder in chosen)
        print(f"{name}: corrupted {names}: {differences or 'no difference'}")


def delete_entries(figures: Figures, folders: list[Path]) -> None:
    """Delete entries that a run may be reading."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        figures.corrupted[f"{folder.parent.name} deleted during a run"] += 1


def run_while(act: Callable[[], None], server: killable_runs.Server, overrides: list[str], seconds: float) -> int:
    """Start a run, call `act` after so many seconds, and return the exit code of the run."""
    timer = threading.Timer(seconds, act)
    timer.start()
    code = server.run(*overrides)
    timer.join()
    return code


def sweep_in_parallel(figures: Figures, root: Path, draw: random.Random, count: int) -> None:
    """Start sweeps in several processes, kill one of them, and let the same command complete the sweep."""
    for i in range(count):
        out, cache = root / f"sweep-{i}", root / f"sweep-cache-{i}"
        small = [*file_corruption.SMALL, f"output_dir={out}", "checkpoint.every_seconds=0"]
        overrides = ["-m", *small, "method=finetune,kd", "task=sst2", "seed=1,2,3"]
        after = draw.uniform(1.0, 30.0)
        processes = killable_runs.run_in_parallel([overrides] * PROCESSES, root, cache, after=after)
        codes = [code for code, _ in processes]
        ((code, output),) = killable_runs.run_in_parallel([overrides], root, cache)
        if code or set(codes) - {0, 1, -signal.SIGKILL}:
            figures.differences.append(f"sweep {i}: exit codes {codes}, then {code}")
            print(output)
            return
        (record,) = out.glob("sweeps/*/sweep.json")
        cells = sweeps.cell_statuses(sweeps.find_sweep(out, record.parent.name))
        statuses = [cell["status"] for cell in cells]
        lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
        started = Counter(line["run_id"] for line in lines if line["event"] == "start")
        ended = Counter(line["run_id"] for line in lines if line["event"] == "end" and line["status"] == "done")
        if set(statuses) != {"done"} or len(started) != len(cells) or set(ended.values()) != {1}:
            figures.differences.append(f"sweep {i}: {statuses}, started {started}, ended {ended}")
        if len(list(cache.glob("teachers/*/model.safetensors"))) != 1:
            figures.differences.append(f"sweep {i}: more or fewer than one teacher")
        figures.sweeps, figures.cells = figures.sweeps + 1, figures.cells + len(cells)
        print(f"sweep {i}: {len(cells)} cells done, exit codes {codes}, then {code}")


def refuse_inputs(figures: Figures) -> None:
    """Run the table of input that must be refused."""
    command = [sys.executable, "-m", "pytest", INPUTS, "-o", "addopts="]  # without -q, for the line of counts
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    counts = {outcome: int(count) for count, outcome in re.findall(r"(\d+) (passed|failed|error)", output)}
    figures.inputs = counts.get("passed", 0)
    failed = counts.get("failed", 0) + counts.get("error", 0)
    if failed or not figures.inputs:
        figures.differences.append(f"{failed} cases of input failed" if failed else "no case of input was tried")
        print(output)


def write(figures: Figures, document: Path) -> None:
    """Write the figures into a document; those of inputs alone go into the block `inputs`."""
    rows = [list(row) for row in figures.rows()]
    is_input_alone = not (figures.runs or figures.corrupted or figures.sweeps)
    block = "inputs" if is_input_alone else "torture"
    put(document, block, f"`{figures.command}`\n\n" + table(["disturbance", "outcome"], rows))


def main(args: list[str]) -> int:
    """Apply the requested disturbances."""
    document = None
    if "--markdown" in args:
        place = args.index("--markdown")
        document, args = Path(args[place + 1]), args[:place] + args[place + 2 :]
    options = dict(arg.split("=", 1) for arg in args)
    names = [*COUNTS, "inputs", "method", "seed"]
    if unknown := sorted(set(options) - set(names)):
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    counts = {name: int(options.get(name, default)) for name, default in COUNTS.items()}
    methods = [m for m, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
    methods = options["method"].split(",") if "method" in options else methods
    draw = random.Random(int(options.setdefault("seed", str(int(time.time())))))
    settings = [f"{key}={value}" for key, value in options.items()]
    figures = Figures(shlex.join([".venv/bin/python", "scripts/torture.py", *settings]))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        kill_runs(figures, root, draw, counts["kills"], methods)
        corrupt_entries(figures, root, draw, counts["corruptions"])
        sweep_in_parallel(figures, root, draw, counts["sweeps"])
    if options.get("inputs") == "true":
        refuse_inputs(figures)
    for disturbance, outcome in figures.rows():
        print(f"{disturbance}: {outcome}")
    if document is not None:
        write(figures, document)
    return int(bool(figures.differences))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
