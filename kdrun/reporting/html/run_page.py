"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kdrun.formatting import (
    NOT_MEASURED,
    count,
    duration,
    named_rows,
    number,
    param_count,
    percent,
    plural,
    with_reason,
)
from kdrun.reporting.html import generated_text, pareto, plots, predictions, samples
from kdrun.reporting.html.blocks import Block, Code, Figure, Figures, Folded, Page, Section, Table, Text, Tile, Tiles
from kdrun.reporting.html.curves import GAUGES, Curves, Span, read_curves
from kdrun.reporting.html.plots import Line
from kdrun.reporting.html.run_reader import FinishedRun, get_path
from kdrun.reporting.html.svg import drawing

MAX_FIGURES = 24
MAX_TURNS = 80
PAGE = "report.html"
"""Page of a domain's run, inside its folder."""
OTHER_TEXT = {"ood": "out-of-domain", "generated": "generated"}
ROLES = ("guess", "teacher", "student")
NAMES = {"guess": "majority baseline", "teacher": "teacher", "student": "student"}


def run_page(run: FinishedRun) -> Page:
    """Build the page of a run's folder."""
    result = run.result
    title = f"{result['method']} on {result['data']['name']}"
    with drawing():
        sections = [
            Section("verdict", "Configuration and result", _verdict(run)),
            Section("scores", "Scores", _scores(run)),
            _domains(run) if run.parts else Section("curves", "Learning curves", curve_blocks(run)),
            Section("answers", "Teacher and student", predictions.blocks(run)),
            Section("differences", "Where teacher and student differ most", predictions.difference_blocks(run)),
        ]
        texts = samples.blocks(run)
    if texts is not None:
        sections.append(Section("gallery", "Generated samples", texts))
    exported = generated_text.blocks(run)
    if exported is not None:
        sections.append(Section("generated", "Exported generated text", exported))
    sections += [
        Section("cost", "Cost", _cost(run)),
        Section("config", "Config", [config_block(run)]),
        Section("provenance", "Provenance", [provenance_table(run)]),
    ]
    subtitle = f"kdrun {_text(result, 'kdrun')}, run {run.folder.resolve().name}"
    return Page(title, subtitle, run.synthetic, sections)


def _text(record: Mapping[str, Any], *keys: str) -> str:
    value = get_path(record, *keys)
    return NOT_MEASURED if value is None else str(value)


def _verdict(run: FinishedRun) -> list[Block]:
    result = run.result
    metric, split = result["headline"]["metric"], result["headline"]["split"]
    scores = {role: run.score(role) for role in ROLES}
    setting = (
        f"{result['method']} on {result['data']['name']}, preset {_text(result, 'preset')}, "
        f"seed {_text(result, 'seed')}, data from {_text(result, 'data', 'source')}."
    )
    headline = f"{metric} on {split}"
    notes = {"guess": headline, "teacher": _model_name(run, "teacher"), "student": _model_name(run, "student")}
    tiles = [Tile(NAMES[role], percent(scores[role]), notes[role]) for role in ROLES]
    retention = with_reason(percent(result.get("retention")), run.reason("retention"))
    if len(retention) < 12:
        tiles.append(Tile("retention (student / teacher)", retention, headline))
    else:
        tiles.append(Tile("retention (student / teacher)", NOT_MEASURED, run.reason("retention") or ""))
    blocks: list[Block] = [Text(setting), Text(_sentence(run, scores), "lead"), Tiles(tiles)]
    blocks += [Text(text, "warning") for text in _warnings(run, scores)]
    blocks += _choice(run)
    blocks.append(
        Text(
            "This is one run with one seed; kdrun compare over several seeds distinguishes differences from chance.",
            "small",
        )
    )
    return [*blocks, Code(_text(result, "provenance", "command"))]


def _model_name(run: FinishedRun, role: str) -> str:
    if not run.result.get(role):
        return run.reason(role) or "the run has no such model"
    return f"{_text(run.result, role, 'name')}, {param_count(get_path(run.result, role, 'params'))} parameters"


def _sentence(run: FinishedRun, scores: dict[str, float | None]) -> str:
    result = run.result
    text = f"The student scores {percent(scores['student'])} {result['headline']['metric']}"
    text += f" on {result['headline']['split']} of {result['data']['name']}"
    if scores["teacher"] is not None and result["retention"] is not None:
        text += f", {percent(result['retention'])} of its teacher's {percent(scores['teacher'])}"
    else:
        text += f"; retention n/a ({run.reason('retention') or 'the teacher has no score'})"
    return f"{text}. The majority baseline scores {percent(scores['guess'])}."


def _warnings(run: FinishedRun, scores: dict[str, float | None]) -> list[str]:
    """Return warnings about the scores and the checkpoint."""
    warnings = []
    student, teacher, baseline = scores["student"], scores["teacher"], scores["guess"]
    if student is not None and baseline is not None and student <= baseline:
        warnings.append("The student is no better than the majority baseline.")
    if teacher is not None and baseline is not None and teacher <= baseline:
        warnings.append("The teacher is no better than the majority baseline: it is too weak to distill from.")
    chosen_on = run.checkpoint["split"]
    if chosen_on is not None and chosen_on == run.result["headline"]["split"]:
        warnings.append(
            f"The checkpoint was chosen on {chosen_on}, which is also the split reported: the scores are optimistic."
        )
    return warnings


def _choice(run: FinishedRun) -> list[Block]:
    """Name the split that chose the checkpoint, unless it is the split reported."""
    headline = run.result["headline"]
    chosen_on, reported = run.checkpoint["split"], named_rows(headline["split"], headline.get("rows"))
    if chosen_on == headline["split"]:
        return []
    if chosen_on is None:
        return [Text(f"Reported: {reported}.", "small")] if headline.get("rows") else []
    return [Text(f"The checkpoint was chosen on {chosen_on}; {reported} is reported.", "small")]


def _scores(run: FinishedRun) -> list[Block]:
    metrics = run.result["student"]["metrics"]
    split = run.result["headline"]["split"]
    figures, is_wide = [], len(metrics.get(split, {})) == 1
    for metric in metrics.get(split, {}):
        values = [(NAMES[role], run.score(role, split, metric), plots.ROLE_COLORS[role]) for role in ROLES]
        if not run.result.get("teacher"):
            values = [value for value in values if value[0] != "teacher"]
        svg = plots.bars(f"{metric} on {split}", values, width=plots.WIDE if is_wide else plots.WIDTH)
        figures.append(Figure(svg, f"{metric} on {split}", wide=is_wide))
    extra = run.result.get("extra", {})
    tables = [_score_table(run, "All scores", [part for part in metrics if part not in extra])]
    if extra:
        note = "Nothing was trained on or chosen by these rows."
        tables.append(_score_table(run, "Extra evaluation", [part for part in metrics if part in extra], [note]))
    return [Figures(figures), *tables]


def _score_table(run: FinishedRun, title: str, splits: Sequence[str], notes: Sequence[str] = ()) -> Table:
    """Return the scores of baseline, teacher and student on some splits."""
    rows = []
    for part in splits:
        for metric, value in run.result["student"]["metrics"][part].items():
            teacher_score, baseline = (run.score(role, part, metric) for role in ("teacher", "guess"))
            reason = run.reason("teacher") or run.reason(f"teacher.metrics.{part}.{metric}")
            student_score = with_reason(percent(value), run.reason(f"student.metrics.{part}.{metric}"))
            retention = percent(value / teacher_score if value is not None and teacher_score else None)
            rows.append(
                [
                    f"{metric} on {part}",
                    percent(baseline),
                    with_reason(percent(teacher_score), reason),
                    student_score,
                    retention,
                ]
            )
    columns = ["score", "majority baseline", "teacher", "student", "retention"]
    return Table(title, columns, rows, list(notes))


def _domains(run: FinishedRun) -> Section:
    """List the runs of the single domains in place of the curves, which are on their pages."""
    metric, split = run.result["headline"]["metric"], run.result["headline"]["split"]
    rows, links, missing = [], [], []
    for name, part in run.parts.items():
        scores = [run.score(role, split, f"{metric}_{name}") for role in ROLES]
        folder = part["run_dir"]
        rows.append([name, *map(percent, scores), percent(part["retention"]), folder])
        has_page = (run.folder / folder / PAGE).exists()
        links.append(quote(f"{folder}/{PAGE}") if has_page else "")
        missing += [] if has_page else [name]
    columns = ["domain", *(NAMES[role] for role in ROLES), "retention", "run folder"]
    notes = [f"{', '.join(missing)}: no {PAGE}; kdrun report FOLDER writes it."] if missing else []
    intro = "One student per domain: learning curves and checkpoints are on the pages of their runs."
    table = Table(f"{metric} on {split} by domain", columns, rows, notes, links=links)
    return Section("domains", "Domains", [Text(intro), table])


def curve_blocks(run: FinishedRun) -> list[Block]:
    """Plot scores and loss terms; learning rate, gradient norm and speed are folded."""
    curves = read_curves(run.metrics)
    if not curves.phases:
        return [Text("n/a (metrics.jsonl is missing, or no step was logged).")]
    turns, note = curves.turns, ""
    if len(turns) > MAX_TURNS:
        turns, note = [], f" Turns change {len(turns)} times, too often to shade."
    elif turns:
        note = " In color: turns of roles other than the student, by logged steps."
    blocks: list[Block] = [Text(_phase_note(curves) + note)]
    if curves.undefined:
        values = plural(curves.undefined, "logged value")
        blocks.append(Text(f"{values} not finite or undefined, so missing from the curves.", "warning"))
    figures = [_score_figure(run, curves, metric) for metric in curves.scores]
    figures += [_term_figure(curves, term, turns) for term in curves.terms]
    if len(figures) > MAX_FIGURES:
        blocks.append(Text(f"{MAX_FIGURES} of {len(figures)} curves are shown.", "warning"))
    blocks.append(Figures(figures[:MAX_FIGURES]))
    gauges = [_figure(GAUGES[name], _lines(lines), curves.phases, []) for name, lines in curves.gauges.items()]
    return [*blocks, Folded("Learning rate, gradient norm, speed", blocks=[Figures(gauges)])]


def _phase_note(curves: Curves) -> str:
    names = ", ".join(f"{span.name} (to step {span.end:g})" for span in curves.phases)
    return f"{'Phase' if len(curves.phases) == 1 else 'Phases'}: {names}."


def _lines(lines: dict[str, tuple[list[float], list[float]]]) -> list[Line]:
    return [Line(name, *points, plots.role_color(name, place)) for place, (name, points) in enumerate(lines.items())]


def _term_figure(curves: Curves, term: str, turns: list[Span]) -> Figure:
    lines = curves.terms[term]
    roles = "" if len(lines) > 1 else f" ({next(iter(lines))})"
    title = f"Loss{roles}" if term == "loss" else f"{term}{roles}"
    return _figure(title, _lines(lines), curves.phases, turns)


def _score_figure(run: FinishedRun, curves: Curves, metric: str) -> Figure:
    lines = [Line(split, *points, place) for place, (split, points) in enumerate(curves.scores[metric].items())]
    mark, step = None, run.checkpoint["step"]
    if run.checkpoint["selected"] == "best_dev" and metric == run.result["headline"]["metric"]:
        points = dict(zip(*curves.scores[metric].get(run.checkpoint["split"] or "", ([], [])), strict=True))
        at = curves.phases[-1].start + step if step is not None else None
        mark = (at, points[at], "chosen") if at in points else None
    return _figure(f"Student's {metric}", lines, curves.phases, [], mark, in_percent=True)


def _figure(
    title: str, lines: list[Line], phases: list[Span], turns: list[Span], mark: Any = None, *, in_percent: bool = False
) -> Figure:
    svg, group = plots.curves(title, lines, phases, turns, mark, in_percent=in_percent)
    thinned = f"Each point is the mean of {group} logged values; the band is their range." if group > 1 else ""
    return Figure(svg, title, thinned)


def _cost(run: FinishedRun) -> list[Block]:
    result = run.result
    time = run.time
    rate = with_reason(count(time and time["examples_per_s"]), "no training step was timed")
    compression = with_reason(number(result.get("compression"), 2), run.reason("compression"))
    steps, teacher = result.get("steps") or {}, result["teacher"]
    rows = [
        ["total time", duration(time and time["total_s"])],
        ["time in training steps", duration(time and time["train_s"])],
        ["training examples per second", rate],
        *([f"steps of the {role}", count(num_steps)] for role, num_steps in steps.items()),
        ["parameters of the student", count(result["student"]["params"])],
        ["parameters of the teacher", with_reason(count(teacher and teacher["params"]), run.reason("teacher"))],
        ["compression (teacher's parameters / student's)", compression],
        ["training rows read", count(result["data"].get("train_rows_read"))],
        ["labels read", count(result["data"].get("labels_read"))],
        *(
            [f"{name} rows read", count(num_rows)]
            for source, name in OTHER_TEXT.items()
            if (num_rows := _rows_read(run, source))
        ),
    ]
    return [Table("Cost of the run", ["", "value"], rows), *pareto.cost_blocks(run)]


def _rows_read(run: FinishedRun, source: str) -> int | None:
    return get_path(run.result, "data", f"{source}_rows_read")


def config_block(run: FinishedRun, title: str = "The resolved config of the run") -> Block:
    """Show the resolved config, folded."""
    if run.config_text is None:
        return Text("n/a (config.yaml is missing).")
    return Folded(title, code=run.config_text)


def provenance_table(run: FinishedRun) -> Table:
    """Show code, versions and hashes of the run."""
    record: dict[str, Any] = dict(run.result.get("provenance") or {})
    commit, dirty = record.pop("git", None), record.pop("dirty", None)
    code = "n/a (not run from a git checkout)" if commit is None else commit + (" with changes" if dirty else "")
    rows = [["kdrun", _text(run.result, "kdrun")], ["git commit", code]]
    names = {"code": "hash of the sources", "config_hash": "hash of the config", "data_hash": "hash of the data"}
    record = {"code": None} | record
    rows += [[names.get(key, key), NOT_MEASURED if value is None else str(value)] for key, value in record.items()]
    return Table("Code, versions, hashes", ["", "value"], rows, has_numbers=False)
