"""Do to runs, to the cache and to sweeps what happens to them in the world, and see that nothing is lost or wrong.

    .venv/bin/python scripts/torture.py kills=100 corruptions=50 sweeps=3 inputs=true method=kd,mate_kd seed=7
    .venv/bin/python scripts/torture.py kills=200 corruptions=50 sweeps=3 --markdown docs/results/reliability.md
    .venv/bin/python scripts/torture.py kills=0 inputs=true --markdown docs/results/reliability.md

Kills runs of the named methods (all of them by default) at moments drawn at random: while models are built, a teacher
is fine-tuned, in a step, while a checkpoint or a result is written. Flips bits in entries of the cache, cuts and
deletes them, also under a run. Starts four processes at one sweep and kills one. Tries out input that must be refused.
Each time what is left is compared to the byte with what is left undisturbed. Says which seed drew it all, writes the
figures between the marks of a document if one is named, and exits with 1 if anything differs.
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
from kdrun import registry
from kdrun.experiments import sweeps
from kdrun.storage import manifest
from tests.helpers import file_corruption, killable_runs

ROOT = Path(__file__).resolve().parent.parent


LEFT_ALONE = 0.3
"""Share of the attempts that are, so that a run comes to its end."""
UNDER_A_RUN = 0.3
"""Share of the harm that is done while a run is at work."""
AT_ONCE = 4
INPUTS = "tests/integration/test_bad_inputs.py"
COUNTS = {"kills": 100, "corruptions": 0, "sweeps": 0}


@dataclass
class Figures:
    """What was done and what came of it.

    Attributes:
        command: that did it.
        kills: by method.
        runs: that were killed, perhaps several times each.
        harmed: entries of the cache, by kind and harm.
        rebuilt: of these, made again with the bytes they had.
        sweeps: carried out by four processes at once, one of them killed.
        cells: of all sweeps.
        inputs: cases of input that were refused as they should be; None where none were tried.
        differs: what was not as it should be.
    """

    command: str
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    harmed: Counter[str] = field(default_factory=Counter)
    rebuilt: int = 0
    sweeps: int = 0
    cells: int = 0
    inputs: int | None = None
    differs: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Of the table: what was done, and what came of it."""
        whole = f"{len(self.differs)} differences" + (f": {'; '.join(self.differs)}" if self.differs else "")
        if self.runs:
            yield (
                f"{self.kills.total()} kills in {self.runs} runs ({_told(self.kills)})",
                "every run went on to its end",
            )
        if self.harmed:
            told = f"{self.rebuilt} made again, byte for byte"
            yield f"{self.harmed.total()} entries of the cache harmed ({_told(self.harmed)})", told
        if self.sweeps:
            done = f"{self.sweeps} sweeps by {AT_ONCE} processes at once, one of them killed"
            yield done, f"{self.cells} cells, each finished once; every line of the ledger whole"
        if self.inputs is not None:
            yield "input that cannot be run", f"{self.inputs} cases behave as they should"
        yield "compared with undisturbed runs: weights, answers, logs", whole


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def kill_runs(figures: Figures, root: Path, draw: random.Random, kills: int, methods: list[str]) -> None:
    """Go round the methods until so many runs were killed."""
    with killable_runs.server(root, root / "cache") as server:
        while figures.kills.total() < kills and not figures.differs:
            method = methods[figures.runs % len(methods)]
            figures.runs += 1
            count, differs = kill_one(method, server, root, draw, kills - figures.kills.total())
            figures.kills[method] += count
            figures.differs += [f"{method}: {name}" for name in differs]
            print(f"{method}: killed {count} times, {'differs in ' + ', '.join(differs) if differs else 'the same'}")
        if figures.differs:
            print(server.shown)


def kill_one(
    method: str, server: killable_runs.Server, root: Path, draw: random.Random, most: int
) -> tuple[int, list[str]]:
    """Kill one run until it comes to its end; how often that was, and what differs."""
    words = killable_runs.words(method, root)
    whole, killed = root / f"{method}-whole", root / f"{method}-killed"
    _forget_teacher(root)
    if not whole.exists():
        started = time.monotonic()
        if server.run(*words, f"run_dir={whole}"):
            return 0, [server.shown]
        (root / f"{method}-seconds").write_text(str(time.monotonic() - started))
    seconds = float((root / f"{method}-seconds").read_text())
    shutil.rmtree(killed, ignore_errors=True)
    _forget_teacher(root)
    count = 0
    while True:
        is_left_alone = count == most or draw.random() < LEFT_ALONE
        after = 0.0 if is_left_alone else draw.uniform(0.0, seconds)
        code = server.run(*words, f"run_dir={killed}", after=after)
        count += code == -signal.SIGKILL
        if code == 0:
            return count, killable_runs.unlike(killable_runs.left_by(whole), killable_runs.left_by(killed))
        if code != -signal.SIGKILL:
            return count, [f"exit code {code}"]


def _forget_teacher(root: Path) -> None:
    """Empty this part of the cache, so that the teacher is fine-tuned in the next run too."""
    for part in ("teachers", "logits"):
        shutil.rmtree(root / "cache" / part, ignore_errors=True)


def harm_entries(figures: Figures, root: Path, draw: random.Random, most: int) -> None:
    """Harm entries of every kind, in caches of which each is that of one run."""
    names = list(file_corruption.RUNS)
    for i, name in enumerate(names):
        share, place = most * (i + 1) // len(names) - most * i // len(names), root / f"cache-{name}"
        if share and not figures.differs:
            with killable_runs.server(root, place) as server:
                harm_one(figures, name, server, root, place, draw, share)
                if figures.differs:
                    print(server.shown)


def harm_one(
    figures: Figures,
    name: str,
    server: killable_runs.Server,
    root: Path,
    place: Path,
    draw: random.Random,
    most: int,
) -> None:
    """Harm some entries, run, and look at the run and at the entries, until so many were harmed."""
    words = [*file_corruption.RUNS[name], *file_corruption.SMALL, f"output_dir={root}/{name}"]
    started = time.monotonic()
    if server.run(*words, f"run_dir={root}/{name}/whole"):
        figures.differs.append(f"{name} does not run")
        return
    seconds, done = time.monotonic() - started, 0
    wanted = killable_runs.left_by(root / name / "whole")
    made = {folder: file_corruption.content(folder) for folder in file_corruption.entries(place)}
    while done < most and not figures.differs:
        chosen = draw.sample(sorted(made), min(draw.randint(1, 3), most - done))
        run_dir = f"run_dir={root}/{name}/{done}"
        if draw.random() < UNDER_A_RUN:
            server_code = run_while(partial(gone, figures, chosen), server, words, draw.uniform(0.0, seconds))
            if server_code not in (0, 1):
                figures.differs.append(f"{name}: exit code {server_code} where entries were deleted under it")
        else:
            for folder in chosen:
                told = draw.choice(file_corruption.WAYS)
                told(folder, draw)
                figures.harmed[f"{folder.parent.name} {told.__name__}"] += 1
        done += len(chosen)
        code = server.run(*words, run_dir)
        differs = (
            killable_runs.unlike(wanted, killable_runs.left_by(root / name / run_dir.rpartition("/")[2]))
            if not code
            else []
        )
        differs += [f"exit code {code}"] * bool(code)
        same = [
            folder
            for folder in chosen
            if not manifest.verify(folder) and file_corruption.content(folder) == made[folder]
        ]
        figures.rebuilt += len(same)
        differs += [f"{folder.parent.name} is not what it was" for folder in chosen if folder not in same]
        figures.differs += [f"{name}: {one}" for one in differs]
        print(f"{name}: harmed {', '.join(folder.parent.name for folder in chosen)}: {differs or 'the same'}")


def gone(figures: Figures, folders: list[Path]) -> None:
    """Delete entries that a run may be reading."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        figures.harmed[f"{folder.parent.name} deleted under a run"] += 1


def run_while(act: Callable[[], None], server: killable_runs.Server, words: list[str], seconds: float) -> int:
    """Carry out a run and act when it is so many seconds old; its exit code."""
    timer = threading.Timer(seconds, act)
    timer.start()
    code = server.run(*words)
    timer.join()
    return code


def sweep_at_once(figures: Figures, root: Path, draw: random.Random, count: int) -> None:
    """Sweeps by several processes, of which one is killed; the same command then does what is left."""
    for i in range(count):
        out, place = root / f"sweep-{i}", root / f"sweep-cache-{i}"
        small = [*file_corruption.SMALL, f"output_dir={out}", "checkpoint.every=0"]
        words = ["-m", *small, "method=finetune,kd", "task=sst2", "seed=1,2,3"]
        found = killable_runs.at_once([words] * AT_ONCE, root, place, after=draw.uniform(1.0, 30.0))
        ((code, shown),) = killable_runs.at_once([words], root, place)
        if code or {one for one, _ in found} - {0, 1, -signal.SIGKILL}:
            figures.differs.append(f"sweep {i}: exit codes {[one for one, _ in found]}, then {code}")
            print(shown)
            return
        (record,) = out.glob("sweeps/*/sweep.json")
        cells = sweeps.cell_statuses(sweeps.find_sweep(out, record.parent.name))
        lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
        started = Counter(line["run_id"] for line in lines if line["event"] == "start")
        ended = Counter(line["run_id"] for line in lines if line["event"] == "end" and line["status"] == "done")
        if {cell["status"] for cell in cells} != {"done"} or len(started) != len(cells) or set(ended.values()) != {1}:
            figures.differs.append(f"sweep {i}: {[cell['status'] for cell in cells]}, started {started}, ended {ended}")
        if len(list(place.glob("teachers/*/model.safetensors"))) != 1:
            figures.differs.append(f"sweep {i}: not one teacher")
        figures.sweeps, figures.cells = figures.sweeps + 1, figures.cells + len(cells)
        print(f"sweep {i}: {len(cells)} cells done, exit codes {[one for one, _ in found]}, then {code}")


def refuse_inputs(figures: Figures) -> None:
    """Run the table of input that must be refused."""
    command = [sys.executable, "-m", "pytest", INPUTS, "-o", "addopts="]  # with the line that counts
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|error)", shown)}
    figures.inputs = counts.get("passed", 0)
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if bad or not figures.inputs:
        figures.differs.append(f"{bad} cases of input behave otherwise" if bad else "no case of input was tried")
        print(shown)


def write(figures: Figures, document: Path) -> None:
    """Put the figures into a document: those of input alone have a block of their own."""
    rows = [list(row) for row in figures.rows()]
    is_input_alone = not (figures.runs or figures.harmed or figures.sweeps)
    put(
        document,
        "inputs" if is_input_alone else "torture",
        f"`{figures.command}`\n\n" + table(["done", "came of it"], rows),
    )


def main(words: list[str]) -> int:
    """Carry out what is asked for."""
    document = None
    if "--markdown" in words:
        place = words.index("--markdown")
        document, words = Path(words[place + 1]), words[:place] + words[place + 2 :]
    given = dict(word.split("=", 1) for word in words)
    unknown = set(given) - {*COUNTS, "inputs", "method", "seed"}
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join([*COUNTS, 'inputs', 'method', 'seed'])}")
    counts = {name: int(given.get(name, number)) for name, number in COUNTS.items()}
    every = [m for m, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
    seed = given.setdefault("seed", str(int(time.time())))
    draw = random.Random(int(seed))
    shown = [f"{key}={value}" for key, value in given.items()]
    figures = Figures(shlex.join([".venv/bin/python", "scripts/torture.py", *shown]))
    with TemporaryDirectory() as place:
        root = Path(place)
        kill_runs(figures, root, draw, counts["kills"], given["method"].split(",") if "method" in given else every)
        harm_entries(figures, root, draw, counts["corruptions"])
        sweep_at_once(figures, root, draw, counts["sweeps"])
    if given.get("inputs") == "true":
        refuse_inputs(figures)
    for done, came in figures.rows():
        print(f"{done}: {came}")
    if document is not None:
        write(figures, document)
    return int(bool(figures.differs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
