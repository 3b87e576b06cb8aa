"""The page of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdrun.errors import DataError, did_you_mean
from kdrun.formatting import NOT_MEASURED, duration, percent, plural, shorten
from kdrun.reporting.html import agreement, arms, plots
from kdrun.reporting.html.arms import agreement_blocks, color_key, config_blocks, curve_blocks, make_arms
from kdrun.reporting.html.blocks import Block, Figure, Figures, Folded, Page, Section, Table, Text
from kdrun.reporting.html.interval_plots import Row, dots
from kdrun.reporting.html.pareto import pareto_blocks
from kdrun.reporting.html.run_reader import RESULT, FinishedRun, find_folder, get_path, log_unreadable, read_run
from kdrun.reporting.html.svg import drawing
from kdrun.reporting.tables.grouping import STUDENT, Key, describe_difference, fewest_keys
from kdrun.storage.ledger import LEDGER, read_runs, top_level_runs

DEPTHS = ("*", "*/*", "*/*/*")
DOMAINS = "domains"
"""Folder inside a run over all domains that holds the runs of the single domains."""
MAX_RUNS = 400
MAX_OPEN = 24
MAX_CURVES = 8


@dataclass(frozen=True)
class Entry:
    """A run of the list.

    Attributes:
        name: id of the run.
        status: how the run ended.
        record: content of result.json, or the ledger line if the folder is missing.
        run: the run's folder; None if the folder is missing or the run did not finish.
    """

    name: str
    status: str
    record: Mapping[str, Any]
    run: FinishedRun | None

    @property
    def group(self) -> tuple[str, str, str]:
        """Data, metric and split: scores are plotted together only if these are equal."""
        headline = self.record["headline"]
        return data_name(self.record), headline["metric"], headline["split"]

    def score(self, role: str) -> float | None:
        """Return the headline score of teacher or student."""
        _, metric, split = self.group
        return get_path(self.record, role, "metrics", split, metric)


def data_name(record: Mapping[str, Any]) -> str:
    """Return the name of the data in a result or ledger line, marked if synthetic."""
    name = get_path(record, "data", "name") or record.get("data_name") or record["task"]
    return f"{name} (synthetic)" if is_synthetic(record) and "synthetic" not in name else name


def is_synthetic(record: Mapping[str, Any]) -> bool:
    """Return whether a result or ledger line belongs to synthetic data; embedded data is synthetic."""
    return bool(get_path(record, "data", "synthetic") or record.get("synthetic") or record.get("source") == "embedded")


def entries_of_folders(folders: Sequence[Path]) -> list[Entry]:
    """Read run folders that hold a result."""
    runs = [read_run(folder) for folder in folders]
    return [Entry(run.folder.resolve().name, "done", run.result, run) for run in runs]


def entries_of_output(folder: Path, sweep: str | None) -> list[Entry]:
    """Read the runs of an output folder from its ledger, or from the run folders below it.

    Raises:
        DataError: the folder has no runs, or none of this sweep.
    """
    ledger = folder / LEDGER
    if not ledger.exists():
        run_dirs = sorted(path.parent for depth in DEPTHS for path in folder.glob(f"{depth}/{RESULT}"))
        run_dirs = [path for path in run_dirs if not _is_part(path)]
        if not run_dirs or sweep is not None:
            problem = f"no {LEDGER}" + ("" if sweep else f", and no run folders with {RESULT} below it")
            raise DataError(f"{folder} has {problem}: name a run's folder, a comparison's folder or an output folder")
        return entries_of_folders(run_dirs)
    records = top_level_runs(read_runs(ledger))
    selected = [record for record in records if sweep is None or record.get("sweep") == sweep]
    if not selected:
        sweeps = sorted({str(record["sweep"]) for record in records if record.get("sweep")})
        hint = f"{did_you_mean(sweep, sweeps)} (there are: {', '.join(sweeps[-8:]) or 'none'})" if sweep else ""
        raise DataError(f"{ledger} has no runs{f' of sweep={sweep}' if sweep else ''}{hint}")
    return [_entry(record, folder) for record in selected]


def _is_part(folder: Path) -> bool:
    """Return whether a run's folder is inside that of a run over all domains, which reports its numbers."""
    return folder.parent.name == DOMAINS and (folder.parents[1] / "config.yaml").exists()


def _entry(record: dict[str, Any], folder: Path) -> Entry:
    run_dir = find_folder(record["run_dir"], folder) if record["status"] == "done" and record.get("run_dir") else None
    try:
        run = read_run(run_dir) if run_dir else None
    except DataError as error:
        log_unreadable(error)
        run = None
    return Entry(record["run_id"], record["status"], run.result if run else record, run)


def index_page(entries: list[Entry], title: str) -> Page:
    """Build a page that lists runs and plots together those with the same data, metric and split."""
    finished = [entry for entry in entries if entry.status == "done"]
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in finished:
        groups.setdefault(entry.group, []).append(entry)
    states = ", ".join(f"{sum(e.status == s for e in entries)} {s}" for s in dict.fromkeys(e.status for e in entries))
    intro = f"{plural(len(entries), 'run')}: {states}. The runs are shown side by side without a verdict:"
    intro += " kdrun compare runs methods with equal budgets over seeds and tests the differences."
    with drawing():
        sections = [Section("runs", "Runs", [Text(intro, "lead"), *_missing(entries), *_table(entries)])]
        for place, (group, members) in enumerate(groups.items(), start=1):
            name, metric, split = group
            blocks = _group_blocks(members, metric, split)
            has_synthetic = any(is_synthetic(entry.record) for entry in members)
            sections.append(Section(f"group-{place}", f"{name}: {metric} on {split}", blocks, has_synthetic))
        if finished:
            sections.append(Section("about", "Measures", [Text(agreement.ECE_DEFINITION)]))
    synthetic = all(is_synthetic(entry.record) for entry in entries)
    return Page(title, "kdrun, several runs", synthetic, sections)


def _missing(entries: list[Entry]) -> list[Block]:
    missing = [entry.name for entry in entries if entry.status == "done" and entry.run is None]
    if not missing:
        return []
    names = f"{', '.join(missing[:6])}{' …' if len(missing) > 6 else ''}"
    text = f"{plural(len(missing), 'run folder')} missing ({names}): scores are from the ledger, the rest is n/a."
    return [Text(text, "warning")]


def _table(entries: list[Entry]) -> list[Block]:
    rows = []
    for entry in entries[-MAX_RUNS:]:
        record = entry.record
        row = [
            entry.name,
            record["method"],
            data_name(record),
            *(_cell(record.get(key)) for key in ("preset", "seed")),
            entry.status,
        ]
        if entry.status == "done":
            _, metric, split = entry.group
            retention = percent(record.get("retention"))
            scores = [percent(entry.score("teacher")), percent(entry.score("student")), retention]
            row += [f"{metric} on {split}", *scores, duration(get_path(record, "time", "total_s"))]
        else:
            row += [NOT_MEASURED] * 5
        rows.append(row)
    columns = ["run", "method", "data", "preset", "seed", "status", "score", "teacher", "student", "retention", "time"]
    notes = [f"{e.name}: {e.status}, {shorten(str(e.record['error']), 300)}" for e in entries if e.record.get("error")]
    if len(entries) > MAX_RUNS:
        notes.insert(0, f"The last {MAX_RUNS} of {len(entries)} runs are shown.")
    table = Table("Runs", columns, rows, notes, num_text_columns=7)
    return [table] if len(rows) <= MAX_OPEN else [Folded(f"All {len(entries)} runs", blocks=[table])]


def _cell(value: Any) -> str:
    return NOT_MEASURED if value is None else str(value)


def _group_blocks(members: list[Entry], metric: str, split: str) -> list[Block]:
    entries_by_setting = _by_setting(members)
    names = _setting_names(entries_by_setting)
    runs = ([entry.run for entry in entries if entry.run] for entries in entries_by_setting.values())
    arms = make_arms(list(zip(names, runs, strict=True)))
    rows, table = [], []
    for arm, entries in zip(arms, entries_by_setting.values(), strict=True):
        values = [score for entry in entries if (score := entry.score("student")) is not None]
        if values:
            rows.append(Row(arm.label, values, fmean(values), None, arm.color))
        teacher_scores = {score for entry in entries if (score := entry.score("teacher")) is not None}
        seeds = ", ".join(_cell(entry.record.get("seed")) for entry in entries)
        mean = percent(fmean(values) if values else None)
        table.append(
            [
                arm.full_name,
                seeds,
                mean,
                *(percent(f(values) if values else None) for f in (min, max)),
                _score_range(teacher_scores),
            ]
        )
    blocks: list[Block] = color_key(arms)
    if rows:
        title = f"{metric} on {split}"
        svg = dots(title, rows, None, metric, width=plots.WIDE)
        blocks.append(Figures([Figure(svg, title, "Dots are runs; the diamond is their mean.", wide=True)]))
    means: dict[str, float | None] = {
        arm.name: fmean(values)
        for arm, entries in zip(arms, entries_by_setting.values(), strict=True)
        if (values := [score for entry in entries if (score := entry.score("student")) is not None])
    }
    columns = ["setting", "seeds", "mean", "lowest", "highest", "teacher"]
    blocks.append(Table(f"{metric} on {split}", columns, table, num_text_columns=2))
    if len(arms) <= MAX_CURVES:
        blocks += curve_blocks(arms, metric, split)
    else:
        blocks.append(Text(f"Learning curves: n/a ({len(arms)} settings; a plot shows at most {MAX_CURVES})."))
    if any(arm.runs for arm in arms):
        blocks += agreement_blocks(arms)
    blocks += pareto_blocks(arms, means, f"{metric} on {split}")
    return blocks + config_blocks(arms)[: 1 if len(arms) > 1 else 0]


def _score_range(scores: set[float]) -> str:
    return " to ".join(percent(value) for value in sorted({min(scores), max(scores)})) if scores else NOT_MEASURED


def _by_setting(members: list[Entry]) -> dict[tuple[str, ...], list[Entry]]:
    """Group runs by the method and by the config values that differ between runs of that method, except the seed."""
    configs = [arms.compared_values(entry.run.config) if entry.run else {} for entry in members]
    configs_by_method: dict[str, list[dict[str, str]]] = {}
    for entry, config in zip(members, configs, strict=True):
        configs_by_method.setdefault(entry.record["method"], []).append(config)
    keys = {
        name: arms.differing_keys([config for config in same_method if config])
        for name, same_method in configs_by_method.items()
    }
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry, config in zip(members, configs, strict=True):
        method = entry.record["method"]
        setting = [f"{key}={config[key]}" for key in keys[method] if key in config] if config else ["(folder missing)"]
        groups.setdefault((method, *setting), []).append(entry)
    return groups


def _setting_names(entries_by_setting: Mapping[tuple[str, ...], Sequence[Entry]]) -> list[str]:
    """Return short, unique names: the method, and the fewest facts that tell its settings apart."""
    facts: dict[tuple[str, ...], dict[Key, str | None]] = {}
    by_method: dict[str, list[dict[Key, str | None]]] = {}
    for setting, entries in entries_by_setting.items():
        method, *values = setting
        facts[setting] = {STUDENT: get_path(entries[0].record, "student", "name")}
        facts[setting] |= {("setting", key): text for key, _, text in (value.partition("=") for value in values)}
        by_method.setdefault(method, []).append(facts[setting])
    keys = {method: fewest_keys([settings]) for method, settings in by_method.items()}
    names = (f"{setting[0]} {describe_difference(keys[setting[0]], facts[setting])}" for setting in entries_by_setting)
    return [name.rstrip() for name in names]
