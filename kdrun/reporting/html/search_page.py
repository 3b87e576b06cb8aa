"""The page of a search."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kdrun.formatting import NOT_MEASURED, first_line, number, percent, plural, points
from kdrun.reporting.html import plots
from kdrun.reporting.html.blocks import (
    Block,
    Code,
    Figure,
    Figures,
    Page,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    VerdictLine,
    Verdicts,
)
from kdrun.reporting.html.run_reader import COMPARISON, read_comparison
from kdrun.reporting.html.svg import MUTED, PAPER, SERIES, drawing, to_svg
from kdrun.reporting.tables.searches import counts_text, ranked, search_notes
from kdrun.storage.search_record import SearchRecord, TrialRecord, read_search

HISTORY = "A dot is a finished trial, a hollow one a pruned trial at its last score; the line is the best score so far."
SLICES = "Each dot is a finished trial. Trials differ in all keys at once, so a slope may come from another key."


def search_page(folder: Path) -> Page:
    """Build the page of a search's folder.

    Raises:
        DataError: the folder holds no search, or a file is broken.
    """
    record = read_search(folder)
    with drawing():
        sections = [
            Section("result", "Result", _result(record, folder)),
            Section("history", "History", _history(record)),
            Section("keys", "Keys", [*_importances(record), *_slices(record)]),
        ]
    sections += [
        Section("trials", "Trials", [_trials(record)]),
        Section("provenance", "Provenance", _provenance(record)),
    ]
    data = record["data_name"] or record["task"]
    title = f"{record['method']} on {data}, {plural(len(record['trials']), 'trial')}"
    return Page(title, f"kdrun {record['kdrun']}, search {record['name']}", record["synthetic"], sections)


def _best(record: SearchRecord) -> TrialRecord | None:
    return next((trial for trial in record["trials"] if trial["number"] == record["best"]), None)


def _result(record: SearchRecord, folder: Path) -> list[Block]:
    best, score = _best(record), f"{record['split']} {record['metric']}"
    question = f"Which values give the best {score}, with seed {record['seed']} and preset {record['preset']}?"
    blocks: list[Block] = [Text(question, "lead")]
    if best is None:
        return [*blocks, Text(f"n/a (no trial finished: {counts_text(record)}).")]
    tiles = [Tile(f"best {score}", percent(best["score"]), f"trial {best['number']} of {len(record['trials'])}")]
    tiles += [Tile(key, value) for key, value in best["values"].items()]
    blocks += [Tiles(tiles), Text(f"Trials: {counts_text(record)}.")]
    return [*blocks, *_comparison(record, folder)]


def _comparison(record: SearchRecord, folder: Path) -> list[Block]:
    """The verdict on the best values against the default ones, over fresh seeds."""
    path = _find(record["comparison"], folder)
    if path is None:
        reason = "not compared" if record["comparison"] is None else f"{record['comparison']} is missing"
        return [Text(f"Best against default values over fresh seeds: n/a ({reason}).")]
    comparison = read_comparison(path)
    verdicts = [VerdictLine(pair["word"], _pair_text(pair, comparison)) for pair in comparison["pairs"]]
    seeds = [str(seed) for seed in comparison["seeds"]]
    rows = [
        [arm["name"], percent(arm["mean"]), percent(arm["sd"]), *(percent(arm["scores"].get(seed)) for seed in seeds)]
        for arm in comparison["arms"]
    ]
    columns = ["arm", "mean", "standard deviation", *(f"seed {seed}" for seed in seeds)]
    caption = f"{comparison['metric']} on {comparison['split']}, fresh seeds"
    notes = [*search_notes(comparison), f"From {path / COMPARISON}."]
    return [Verdicts(verdicts), Table(caption, columns, rows, notes)]


def _find(name: str | None, folder: Path) -> Path | None:
    """The folder of a comparison as written, or below a parent of the search's folder; None if it is missing."""
    if name is None:
        return None
    bases = (Path(), *folder.resolve().parents)
    return next((base / name for base in bases if (base / name / COMPARISON).is_file()), None)


def _pair_text(pair: dict[str, Any], comparison: dict[str, Any]) -> str:
    text = f"{pair['a']} against {pair['b']}: {points(pair['difference'])} points of {comparison['metric']}"
    if pair["interval"]:
        text += f", interval {points(pair['interval'][0])} to {points(pair['interval'][1])}"
    return f"{text}, {plural(pair['seeds'], 'seed')}; {pair['reason']}." if pair.get("reason") else f"{text}."


def _history(record: SearchRecord) -> list[Block]:
    finished = [(t["number"], t["score"]) for t in record["trials"] if t["score"] is not None]
    if not finished:
        return [Text("n/a (no trial finished).")]
    stopped = [trial for trial in record["trials"] if trial["state"] == "pruned" and trial["evaluations"]]
    pruned = [(trial["number"], trial["evaluations"][-1][1]) for trial in stopped]
    figure, axes = plots.canvas(240, width=plots.WIDE)
    best = list(accumulate([score for _, score in finished], max))
    ends = [*(n for n, _ in finished), record["trials"][-1]["number"]]
    axes.step(ends, [*best, best[-1]], where="post", color=SERIES[1], linewidth=1.4)
    axes.plot(*zip(*finished, strict=True), "o", color=SERIES[0], markersize=5, markeredgewidth=0)
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "o", markersize=5, markerfacecolor=PAPER, markeredgecolor=MUTED)
    axes.set_xlabel("trial")
    plots.number_axes(axes, whole=True)
    plots.label_ticks(axes.yaxis)
    score = f"{record['split']} {record['metric']}"
    label = (
        f"Scores of {len(finished)} finished and {len(pruned)} pruned trials: {score} {percent(finished[0][1])} at "
        f"trial {finished[0][0]}, best {percent(best[-1])}."
    )
    return [Figures([Figure(to_svg(figure, label), f"{score} by trial", HISTORY, wide=True)])]


def _importances(record: SearchRecord) -> list[Block]:
    importances = record["importances"]
    if importances is None:
        return [Text(f"Importance of the keys: n/a ({record['no_importances']}).")]
    values = [(key, share, 0) for key, share in importances.items()]
    number_of = sum(trial["state"] == "finished" for trial in record["trials"])
    caption = f"fANOVA of Optuna on {plural(number_of, 'finished trial')}: with few trials a rough estimate."
    title = "share of each key in the variance of the scores"
    return [Figures([Figure(plots.bars(title, values, width=plots.WIDE), title, caption, wide=True)])]


def _slices(record: SearchRecord) -> list[Block]:
    """Score against the value of each key."""
    finished = [trial for trial in record["trials"] if trial["score"] is not None]
    if len(finished) < 2:
        return []
    figures = [Figure(_slice(record, key, finished), key, record["space"][key]) for key in record["space"]]
    return [Figures(figures), Text(SLICES, "small")]


def _slice(record: SearchRecord, key: str, finished: list[TrialRecord]) -> Markup:
    texts = [trial["values"].get(key, "") for trial in finished]
    scores = [trial["score"] for trial in finished]
    figure, axes = plots.canvas(200)
    numbers = _numbers(texts)
    if numbers is None or record["space"][key].startswith("choice"):
        names = sorted(set(texts))
        axes.plot([names.index(text) for text in texts], scores, "o", color=SERIES[0], alpha=0.6, markeredgewidth=0)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    else:
        axes.plot(numbers, scores, "o", color=SERIES[0], alpha=0.6, markeredgewidth=0)
        if record["space"][key].startswith("log"):
            axes.set_xscale("log")
            _log_ticks(axes, min(numbers), max(numbers))
        else:
            plots.number_axes(axes)
    axes.set_xlabel(key)
    plots.label_ticks(axes.yaxis)
    best = max(range(len(texts)), key=lambda place: scores[place] or 0.0)
    return to_svg(figure, f"Scores by {key}: best {percent(scores[best])} at {texts[best]}.")


def _log_ticks(axes: Any, low: float, high: float) -> None:
    """Label both ends and the middle of a logarithmic axis; one of less than a decade would have no label."""
    from matplotlib.ticker import NullLocator

    values = sorted({low, (low * high) ** 0.5, high})
    axes.set_xticks(values)
    axes.set_xticklabels([f"{value:.2g}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())


def _numbers(texts: list[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None


def _trials(record: SearchRecord) -> Table:
    keys = list(record["space"])
    rows = []
    for trial in ranked(record):
        note = first_line(trial["error"]) if trial["error"] else ""
        if trial["state"] == "pruned" and trial["evaluations"]:
            share, last = trial["evaluations"][-1]
            note = f"{percent(last)} at {share:g} %"
        if trial["repeats"] is not None:
            note = f"values of trial {trial['repeats']}{f'; {note}' if note else ''}"
        values = [trial["values"].get(key, NOT_MEASURED) for key in keys]
        score, seconds = percent(trial["score"]), number(trial["seconds"], 0)
        rows.append([str(trial["number"]), trial["state"], *values, score, seconds, note or "—"])
    columns = ["trial", "state", *keys, f"{record['split']} {record['metric']}", "time (s)", "note"]
    return Table("Trials, the best first", columns, rows, num_text_columns=2)


def _provenance(record: SearchRecord) -> list[Block]:
    space = [[key, text] for key, text in record["space"].items()]
    runs = [[str(t["number"]), t["cell"] or NOT_MEASURED, t["run_dir"] or NOT_MEASURED] for t in record["trials"]]
    facts = [
        ["kdrun", record["kdrun"]],
        ["hash of the sources", record["code"]],
        ["overrides of all runs", " ".join(record["overrides"])],
        ["pruning", "by the median of finished trials" if record["prune"] else "none"],
    ]
    return [
        Table("Space", ["key", "range"], space, has_numbers=False),
        Table("Code and overrides", ["", "value"], facts, has_numbers=False),
        Table("Runs", ["trial", "cell", "folder"], runs, has_numbers=False),
        Code(record["command"] or NOT_MEASURED),
    ]
