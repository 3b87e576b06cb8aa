"""The page of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import duration, number, percent, plural, shorten
from kdrun.reporting.html import agreement, arms, plots
from kdrun.reporting.html.arms import config_blocks, curve_blocks, key, make_arms, measures
from kdrun.reporting.html.blocks import Block, Figure, Figures, Folded, Page, Section, Table, Text
from kdrun.reporting.html.plots import Row
from kdrun.reporting.html.run_reader import RESULT, FinishedRun, find_folder, get_path, read_run
from kdrun.reporting.html.svg import drawing
from kdrun.storage.ledger import LEDGER, read_runs, top_level_runs

DEPTHS = ("*", "*/*", "*/*/*")
DOMAINS = "domains"
"""Folder inside a run of all domains that holds the runs of each."""
MOST_RUNS = 400
MOST_OPEN = 24
MOST_CURVES = 8
MOST_WORDS = 5


@dataclass(frozen=True)
class Entry:
    """A run in the list: its id, how it ended, what result.json or the ledger says, its folder if it is there."""

    name: str
    status: str
    told: dict[str, Any]
    run: FinishedRun | None

    @property
    def group(self) -> tuple[str, str, str]:
        """What scores must share to stand in one plot: data, metric, split."""
        headline = self.told["headline"]
        return data_name(self.told), headline["metric"], headline["split"]

    def score(self, role: str) -> float | None:
        """The headline score of teacher or student."""
        _, metric, split = self.group
        return get_path(self.told, role, "metrics", split, metric)


def data_name(told: dict[str, Any]) -> str:
    """The data's name in a result or a line of the ledger; synthetic data is called so."""
    name = get_path(told, "data", "name") or get_path(told, "data_name") or told["task"]
    return f"{name} (synthetic)" if is_synthetic(told) and "synthetic" not in name else name


def is_synthetic(told: dict[str, Any]) -> bool:
    """Whether a result or a line of the ledger is of synthetic data; the embedded data is."""
    return bool(
        get_path(told, "data", "synthetic") or get_path(told, "synthetic") or get_path(told, "source") == "embedded"
    )


def of_folders(folders: Sequence[Path]) -> list[Entry]:
    """Run folders, each of which holds a result."""
    runs = [read_run(folder) for folder in folders]
    return [Entry(run.folder.resolve().name, "done", run.result, run) for run in runs]


def of_output(folder: Path, sweep: str | None) -> list[Entry]:
    """The runs of an output folder by its ledger, or, where there is none, the run folders below.

    Raises:
        DataError: there are no runs, or none of this sweep.
    """
    ledger = folder / LEDGER
    if not ledger.exists():
        found = sorted(path.parent for depth in DEPTHS for path in folder.glob(f"{depth}/{RESULT}"))
        found = [path for path in found if not _is_part(path)]
        if not found or sweep is not None:
            lack = f"no {LEDGER}" + ("" if sweep else f", and no run folders with {RESULT} below it")
            raise DataError(f"{folder} has {lack}: name a run's folder, a comparison's folder or an output folder")
        return of_folders(found)
    records = top_level_runs(read_runs(ledger))
    wanted = [record for record in records if sweep is None or record.get("sweep") == sweep]
    if not wanted:
        sweeps = sorted({str(record["sweep"]) for record in records if record.get("sweep")})
        hint = f"{did_you_mean(sweep, sweeps)} (there are: {', '.join(sweeps[-8:]) or 'none'})" if sweep else ""
        raise DataError(f"{ledger} has no runs{f' of sweep={sweep}' if sweep else ''}{hint}")
    return [_entry(record, folder) for record in wanted]


def _is_part(folder: Path) -> bool:
    """Whether a run's folder lies in that of a run of all domains, which has its numbers too."""
    return folder.parent.name == DOMAINS and (folder.parents[1] / "config.yaml").exists()


def _entry(record: dict[str, Any], folder: Path) -> Entry:
    found = find_folder(record["run_dir"], folder) if record["status"] == "done" else None
    run = read_run(found) if found else None
    return Entry(record["run_id"], record["status"], run.result if run else record, run)


def index_page(entries: list[Entry], title: str) -> Page:
    """A page that lists runs and shows those on the same data, metric and split together."""
    done = [entry for entry in entries if entry.status == "done"]
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in done:
        groups.setdefault(entry.group, []).append(entry)
    states = ", ".join(f"{sum(e.status == s for e in entries)} {s}" for s in dict.fromkeys(e.status for e in entries))
    intro = f"{plural(len(entries), 'run')}: {states}. They are shown side by side as they are, without a verdict:"
    intro += " kdrun compare runs methods over seeds on one budget and says what is chance."
    with drawing():
        sections = [Section("runs", "What was run", [Text(intro, "lead"), *_missing(entries), *_table(entries)])]
        for place, (group, members) in enumerate(groups.items(), start=1):
            name, metric, split = group
            blocks = _group_blocks(members, metric, split)
            made = any(is_synthetic(entry.told) for entry in members)
            sections.append(Section(f"group-{place}", f"{name}: {metric} on {split}", blocks, made))
        if done:
            sections.append(Section("about", "About the measures", [Text(agreement.ECE_DEFINITION)]))
    synthetic = all(is_synthetic(entry.told) for entry in entries)
    return Page(title, "kdrun, several runs", synthetic, sections)


def _missing(entries: list[Entry]) -> list[Block]:
    gone = [entry.name for entry in entries if entry.status == "done" and entry.run is None]
    if not gone:
        return []
    names = f"{', '.join(gone[:6])}{' …' if len(gone) > 6 else ''}"
    text = f"{plural(len(gone), 'run folder')} gone ({names}): their scores are from the ledger, the rest is n/a."
    return [Text(text, "warning")]


def _table(entries: list[Entry]) -> list[Block]:
    rows = []
    for entry in entries[-MOST_RUNS:]:
        told = entry.told
        row = [
            entry.name,
            told["method"],
            data_name(told),
            *(_cell(told.get(key)) for key in ("preset", "seed")),
            entry.status,
        ]
        if entry.status == "done":
            _, metric, split = entry.group
            kept = percent(get_path(told, "retention"))
            scores = [number(entry.score("teacher")), number(entry.score("student")), kept]
            row += [f"{metric} on {split}", *scores, duration(get_path(told, "time", "total_s"))]
        else:
            row += ["n/a"] * 5
        rows.append(row)
    columns = ["run", "method", "data", "preset", "seed", "status", "score", "teacher", "student", "kept", "time"]
    notes = [f"{e.name}: {e.status}, {shorten(str(e.told['error']), 300)}" for e in entries if e.told.get("error")]
    if len(entries) > MOST_RUNS:
        notes.insert(0, f"The last {MOST_RUNS} of {len(entries)} runs are shown.")
    table = Table("Runs", columns, rows, notes, words=7)
    return [table] if len(rows) <= MOST_OPEN else [Folded(f"All {len(entries)} runs", blocks=[table])]


def _cell(value: Any) -> str:
    return "n/a" if value is None else str(value)


def _group_blocks(members: list[Entry], metric: str, split: str) -> list[Block]:
    named = _named(members)
    arms = make_arms([(_cut(words), [e.run for e in entries if e.run]) for words, entries in named.items()])
    rows, table = [], []
    for arm, entries in zip(arms, named.values(), strict=True):
        values = [score for entry in entries if (score := entry.score("student")) is not None]
        if values:
            rows.append(Row(arm.label, values, fmean(values), None, arm.colour))
        tops = {score for entry in entries if (score := entry.score("teacher")) is not None}
        seeds = ", ".join(_cell(entry.told.get("seed")) for entry in entries)
        shown = number(fmean(values)) if values else "n/a"
        table.append(
            [arm.full, seeds, shown, *(number(f(values) if values else None) for f in (min, max)), _tops(tops)]
        )
    made: list[Block] = key(arms)
    if rows:
        svg = plots.dots(f"{metric} on {split}", rows, None)
        made.append(Figures([Figure(svg, f"{metric} on {split}", "A dot is a run, the diamond their mean.")]))
    columns = ["setting", "seeds", "mean", "lowest", "highest", "teacher"]
    made.append(Table(f"{metric} on {split}", columns, table, words=2))
    if len(arms) <= MOST_CURVES:
        made += curve_blocks(arms, metric, split)
    else:
        made.append(Text(f"Learning curves: n/a ({len(arms)} settings; up to {MOST_CURVES} fit into a plot)."))
    if any(arm.runs for arm in arms):
        made += measures(arms)
    return made + config_blocks(arms)[: 1 if len(arms) > 1 else 0]


def _tops(scores: set[float]) -> str:
    return " to ".join(number(value) for value in sorted({min(scores), max(scores)})) if scores else "n/a"


def _named(members: list[Entry]) -> dict[tuple[str, ...], list[Entry]]:
    """Runs by their setting: the method, and what runs of that method differ in beside the seed."""
    configs = [arms.compared_values(entry.run.config) if entry.run else {} for entry in members]
    mates: dict[str, list[dict[str, str]]] = {}
    for entry, config in zip(members, configs, strict=True):
        mates.setdefault(entry.told["method"], []).append(config)
    keys = {name: arms.differing([config for config in found if config]) for name, found in mates.items()}
    found: dict[tuple[str, ...], list[Entry]] = {}
    for entry, own in zip(members, configs, strict=True):
        method = entry.told["method"]
        words = [f"{key}={own[key]}" for key in keys[method] if key in own] if own else ["(folder gone)"]
        found.setdefault((method, *words), []).append(entry)
    return found


def _cut(words: tuple[str, ...]) -> str:
    """The words of a setting, where there are many only the first; the table of keys holds them all."""
    more = f" … ({len(words) - MOST_WORDS} more keys)" if len(words) > MOST_WORDS else ""
    return " ".join(words[:MOST_WORDS]) + more
