"""The page of one run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from kdrun.formatting import count, duration, number, param_count, percent, plural, with_reason
from kdrun.reporting.html import generated_text, plots, predictions, samples
from kdrun.reporting.html.blocks import Block, Code, Figure, Figures, Folded, Page, Section, Table, Text, Tile, Tiles
from kdrun.reporting.html.curves import GAUGES, Curves, Span, read_curves
from kdrun.reporting.html.plots import Line
from kdrun.reporting.html.run_reader import FinishedRun, get_path
from kdrun.reporting.html.svg import drawing

MOST_FIGURES = 24
MOST_TURNS = 80
PAGE = "report.html"
"""The page of a domain's run, in its folder."""
OTHER_TEXT = {"ood": "out-of-domain", "generated": "generated"}
ROLES = ("guess", "teacher", "student")
NAMES = {"guess": "constant guess", "teacher": "teacher", "student": "student"}


def run_page(run: FinishedRun) -> Page:
    """Everything a run's folder tells."""
    result = run.result
    shown = f"{result['method']} on {result['data']['name']}"
    with drawing():
        sections = [
            Section("verdict", "What was asked, and what came out", _verdict(run)),
            Section("scores", "Scores", _scores(run)),
            _domains(run) if run.parts else Section("curves", "Learning curves", curve_blocks(run)),
            Section("answers", "Teacher against student", predictions.blocks(run)),
            Section("differences", "Where teacher and student differ most", predictions.differences(run)),
        ]
        texts = samples.blocks(run)
    if texts is not None:
        sections.append(Section("gallery", "What the generator wrote", texts))
    left = generated_text.blocks(run)
    if left is not None:
        sections.append(Section("generated", "The text that was left for other runs", left))
    sections += [
        Section("cost", "Cost", _cost(run)),
        Section("config", "Config", [config_block(run)]),
        Section("provenance", "Provenance", [provenance(run)]),
    ]
    subtitle = f"kdrun {_text(result, 'kdrun')}, run {run.folder.resolve().name}"
    return Page(shown, subtitle, run.synthetic, sections)


def _text(record: dict[str, Any], *keys: str) -> str:
    value = get_path(record, *keys)
    return "n/a" if value is None else str(value)


def _verdict(run: FinishedRun) -> list[Block]:
    result = run.result
    metric, split = result["headline"]["metric"], result["headline"]["split"]
    scores = {role: run.score(role) for role in ROLES}
    asked = (
        f"Asked: {result['method']} on {result['data']['name']}, preset {_text(result, 'preset')}, "
        f"seed {_text(result, 'seed')}, data from {_text(result, 'data', 'source')}."
    )
    told = f"{metric} on {split}"
    notes = {"guess": told, "teacher": _who(run, "teacher"), "student": _who(run, "student")}
    tiles = [Tile(NAMES[role], number(scores[role]), notes[role]) for role in ROLES]
    kept = with_reason(percent(get_path(result, "retention")), run.reason("retention"))
    tiles.append(
        Tile("student / teacher", *((kept, told) if len(kept) < 12 else ("n/a", run.reason("retention") or "")))
    )
    made: list[Block] = [Text(asked), Text(_sentence(run, scores), "lead"), Tiles(tiles)]
    made += [Text(text, "warning") for text in _warnings(run, scores)]
    made += _choice(run)
    made.append(
        Text(
            "One run of one seed: how much of a difference is chance, kdrun compare over several seeds tells.", "small"
        )
    )
    return [*made, Code(_text(result, "provenance", "command"))]


def _who(run: FinishedRun, role: str) -> str:
    if not run.result.get(role):
        return run.reason(role) or "no such model took part"
    return f"{_text(run.result, role, 'name')}, {param_count(get_path(run.result, role, 'params'))} parameters"


def _sentence(run: FinishedRun, scores: dict[str, float | None]) -> str:
    result = run.result
    told = f"The student scores {number(scores['student'])} {result['headline']['metric']}"
    told += f" on {result['headline']['split']} of {result['data']['name']}"
    if scores["teacher"] is not None and result["retention"] is not None:
        told += f", {percent(result['retention'])} of its teacher's {number(scores['teacher'])}"
    else:
        told += f"; there is no teacher's score to hold it against ({run.reason('retention') or 'none was measured'})"
    return f"{told}. A constant guess scores {number(scores['guess'])}."


def _warnings(run: FinishedRun, scores: dict[str, float | None]) -> list[str]:
    """What a reader should not overlook."""
    found = []
    student, teacher, guess = scores["student"], scores["teacher"], scores["guess"]
    if student is not None and guess is not None and student <= guess:
        found.append("The student is no better than a constant guess: it has learnt nothing that this score shows.")
    if teacher is not None and guess is not None and teacher <= guess:
        found.append("The teacher is no better than a constant guess: there was nothing to distil.")
    chosen = get_path(run.result, "checkpoint", "split")
    if chosen is not None and chosen == run.result["headline"]["split"]:
        found.append(
            f"The checkpoint was chosen on {chosen}, the split whose scores are shown: they flatter the student."
        )
    return found


def _choice(run: FinishedRun) -> list[Block]:
    """Which split chose the checkpoint, where it is not the one reported."""
    chosen, reported = get_path(run.result, "checkpoint", "split"), run.result["headline"]["split"]
    if chosen is None or chosen == reported:
        return []
    return [Text(f"The checkpoint was chosen on {chosen}; {reported} is reported.", "small")]


def _scores(run: FinishedRun) -> list[Block]:
    metrics = run.result["student"]["metrics"]
    split = run.result["headline"]["split"]
    figures, rows = [], []
    for metric in metrics.get(split, {}):
        values = [(NAMES[role], run.score(role, split, metric), plots.COLOUR_OF[role]) for role in ROLES]
        if not run.result.get("teacher"):
            values = [value for value in values if value[0] != "teacher"]
        figures.append(Figure(plots.bars(f"{metric} on {split}", values), f"{metric} on {split}"))
    for part, scores in metrics.items():
        for metric, value in scores.items():
            top, guess = (run.score(role, part, metric) for role in ("teacher", "guess"))
            why = run.reason("teacher") or run.reason(f"teacher.metrics.{part}.{metric}")
            own = with_reason(number(value), run.reason(f"student.metrics.{part}.{metric}"))
            kept = percent(value / top if value is not None and top else None)
            rows.append([f"{metric} on {part}", number(guess), with_reason(number(top), why), own, kept])
    columns = ["score", "constant guess", "teacher", "student", "student / teacher"]
    return [Figures(figures), Table("All scores", columns, rows)]


def _domains(run: FinishedRun) -> Section:
    """The runs of single domains that this run is made of, in the place of curves, which are theirs."""
    metric, split = run.result["headline"]["metric"], run.result["headline"]["split"]
    rows, links, gone = [], [], []
    for name, part in run.parts.items():
        scores = [run.score(role, split, f"{metric}_{name}") for role in ROLES]
        folder = part["run_dir"]
        rows.append([name, *map(number, scores), percent(part["retention"]), folder])
        there = (run.folder / folder / PAGE).exists()
        links.append(quote(f"{folder}/{PAGE}") if there else "")
        gone += [] if there else [name]
    columns = ["domain", *(NAMES[role] for role in ROLES), "student / teacher", "run's folder"]
    notes = [f"{', '.join(gone)}: no {PAGE}; kdrun report FOLDER makes it."] if gone else []
    told = "A student for each domain: learning curves and checkpoints are on the pages of their runs."
    table = Table(f"{metric} on {split} by domain", columns, rows, notes, links=links)
    return Section("domains", "Domains", [Text(told), table])


def curve_blocks(run: FinishedRun) -> list[Block]:
    """The learning curves: scores and loss terms to see, learning rate and the like folded."""
    found = read_curves(run.metrics)
    if not found.phases:
        return [Text("n/a (metrics.jsonl is missing, or no step was logged).")]
    turns, note = found.turns, ""
    if len(turns) > MOST_TURNS:
        turns, note = [], f" Turns change {len(turns)} times, too often to shade."
    elif turns:
        note = " In colour: turns of another role than the student, by the steps that were logged."
    made: list[Block] = [Text(_phase_note(found) + note)]
    if found.undefined:
        values = plural(found.undefined, "logged value")
        made.append(Text(f"{values} not finite or undefined: missing from the curves.", "warning"))
    figures = [_score_figure(run, found, metric) for metric in found.scores]
    figures += [_term_figure(found, term, turns) for term in found.terms]
    if len(figures) > MOST_FIGURES:
        made.append(Text(f"{MOST_FIGURES} of {len(figures)} curves are shown.", "warning"))
    made.append(Figures(figures[:MOST_FIGURES]))
    gauges = [_figure(GAUGES[name], _lines(lines), found.phases, []) for name, lines in found.gauges.items()]
    return [*made, Folded("Learning rate, gradient norm, speed", blocks=[Figures(gauges)])]


def _phase_note(found: Curves) -> str:
    told = ", ".join(f"{span.name} (to step {span.end:g})" for span in found.phases)
    return f"{'Phase' if len(found.phases) == 1 else 'Phases'}: {told}."


def _lines(lines: dict[str, tuple[list[float], list[float]]]) -> list[Line]:
    return [Line(name, *points, plots.role_colour(name, place)) for place, (name, points) in enumerate(lines.items())]


def _term_figure(found: Curves, term: str, turns: list[Span]) -> Figure:
    lines = found.terms[term]
    roles = "" if len(lines) > 1 else f" ({next(iter(lines))})"
    title = f"Loss{roles}" if term == "loss" else f"{term}{roles}"
    return _figure(title, _lines(lines), found.phases, turns)


def _score_figure(run: FinishedRun, found: Curves, metric: str) -> Figure:
    lines = [Line(split, *points, place) for place, (split, points) in enumerate(found.scores[metric].items())]
    step, mark = get_path(run.result, "checkpoint", "step"), None
    split = get_path(run.result, "checkpoint", "split")
    if get_path(run.result, "checkpoint", "selected") == "best_dev" and metric == run.result["headline"]["metric"]:
        points = dict(zip(*found.scores[metric].get(split, ([], [])), strict=True))
        at = found.phases[-1].start + step if step is not None else None
        mark = (at, points[at], "chosen") if at in points else None
    return _figure(f"Student's {metric}", lines, found.phases, [], mark)


def _figure(title: str, lines: list[Line], phases: list[Span], turns: list[Span], mark: Any = None) -> Figure:
    svg, group = plots.curves(title, lines, phases, turns, mark)
    thinned = f"Each point is the mean of {group} logged ones, the band their range." if group > 1 else ""
    return Figure(svg, title, thinned)


def _cost(run: FinishedRun) -> list[Block]:
    result = run.result
    rate = with_reason(count(get_path(result, "time", "examples_per_s")), "no training step was timed")
    small = with_reason(number(get_path(result, "compression"), 2), run.reason("compression"))
    steps = get_path(result, "steps") or {}
    rows = [
        ["total time", duration(get_path(result, "time", "total_s"))],
        ["time in training steps", duration(get_path(result, "time", "train_s"))],
        ["training examples per second", rate],
        *([f"steps of the {role}", count(taken)] for role, taken in steps.items()),
        ["parameters of the student", count(get_path(result, "student", "params"))],
        ["parameters of the teacher", with_reason(count(get_path(result, "teacher", "params")), run.reason("teacher"))],
        ["compression (teacher's parameters / student's)", small],
        ["training rows read", count(get_path(result, "data", "train_rows_read"))],
        ["labels read", count(get_path(result, "data", "labels_read"))],
        *([f"{told} rows read", count(n)] for kind, told in OTHER_TEXT.items() if (n := _rows_read(run, kind))),
    ]
    return [Table("What the run took", ["", "value"], rows)]


def _rows_read(run: FinishedRun, kind: str) -> int | None:
    return get_path(run.result, "data", f"{kind}_rows_read")


def config_block(run: FinishedRun, title: str = "The whole config, as the run had it") -> Block:
    """The resolved config, folded."""
    if run.config_text is None:
        return Text("n/a (config.yaml is missing).")
    return Folded(title, code=run.config_text)


def provenance(run: FinishedRun) -> Table:
    """What it takes to repeat the run."""
    found = dict(get_path(run.result, "provenance") or {})
    commit, dirty = found.pop("git", None), found.pop("dirty", None)
    code = "n/a (not run from a git checkout)" if commit is None else commit + (" with changes" if dirty else "")
    rows = [["kdrun", _text(run.result, "kdrun")], ["git commit", code]]
    names = {"code": "hash of the sources", "config_hash": "hash of the config", "data_hash": "hash of the data"}
    found = {"code": None} | found
    rows += [[names.get(key, key), "n/a" if value is None else str(value)] for key, value in found.items()]
    return Table("Code, versions, hashes", ["", "value"], rows, has_numbers=False)
