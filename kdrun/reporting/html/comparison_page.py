"""The page of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdrun.formatting import duration, join_words, number, percent, plural, signed
from kdrun.reporting.html import agreement, plots, samples
from kdrun.reporting.html.arms import (
    COST_COLUMNS,
    RunGroup,
    config_blocks,
    cost_row,
    curve_blocks,
    key,
    make_arms,
    measures,
    row_blocks,
)
from kdrun.reporting.html.blocks import (
    Block,
    Code,
    Figure,
    Figures,
    Folded,
    Page,
    Section,
    Table,
    Text,
    VerdictLine,
    Verdicts,
)
from kdrun.reporting.html.plots import Row
from kdrun.reporting.html.run_reader import FinishedRun, find_folder, get_path, read_comparison, read_run
from kdrun.reporting.html.svg import drawing
from kdrun.reporting.tables import comparisons, domains, generated_text
from kdrun.reporting.tables.published_values import TAGS


def comparison_page(folder: Path) -> Page:
    """Everything a comparison's folder tells, and the folders of its runs where they are still there.

    Raises:
        DataError: the folder holds no comparison, or a file is broken.
    """
    record = read_comparison(folder)
    arms, gone = _arms(record, folder)
    with drawing():
        sections = [
            Section("verdict", "What was asked, and the verdict", _verdict(record, gone)),
            Section("scores", "Scores", _scores(record, arms)),
            Section("curves", "Learning curves", _curves(arms, record)),
            Section(
                "answers",
                "Teacher against student",
                [*measures(arms), Text(agreement.ECE_DEFINITION, "small")],
            ),
            Section("differences", "Where the arms differ most", row_blocks(arms)),
        ]
    galleries = _galleries(arms)
    if galleries:
        sections.append(Section("gallery", "What the generators wrote", galleries))
    made = generated_text.rows(record)
    if made:
        figures = Table("Figures of the text", generated_text.COLUMNS, made, [generated_text.NOTE])
        sections.append(Section("generated", "The text that was left for other runs", [figures]))
    sections += [
        Section("cost", "Cost", [_cost(record, arms)]),
        Section("config", "Config", [_words(record), *config_blocks(arms)]),
        Section("provenance", "Provenance", _provenance(record, gone)),
    ]
    names = join_words([arm["name"] for arm in record["arms"]])
    subtitle = (
        f"kdrun {get_path(record, 'kdrun') or 'n/a'}, comparison {get_path(record, 'comparison_id') or folder.name}"
    )
    return Page(f"{names} on {_data(record)}", subtitle, bool(get_path(record, "synthetic")), sections)


def _data(record: dict[str, Any]) -> str:
    return get_path(record, "data_name") or record["task"]


def _arms(record: dict[str, Any], folder: Path) -> tuple[list[RunGroup], list[str]]:
    """The arms with the runs whose folders are there, and the folders that are gone."""
    arms: dict[str, list[FinishedRun]] = {}
    gone = []
    for arm in record["arms"]:
        runs = arms.setdefault(arm["name"], [])
        for name in arm["folders"].values():
            found = find_folder(name, folder)
            if found is None:
                gone.append(name)
            else:
                runs.append(read_run(found))
    return make_arms(list(arms.items())), gone


def _verdict(record: dict[str, Any], gone: list[str]) -> list[Block]:
    seeds = get_path(record, "seeds") or []
    metric, split, margin = record["metric"], record["split"], get_path(record, "margin")
    asked = (
        f"Asked: which of {join_words([arm['name'] for arm in record['arms']])} gives the better student on "
        f"{_data(record)} by {metric} on {split}, over {plural(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), "
        f"preset {get_path(record, 'preset') or 'n/a'}, student {get_path(record, 'student') or 'n/a'}?"
    )
    verdicts = [VerdictLine(pair["word"], _sentence(pair, record)) for pair in record["pairs"]]
    found: list[Block] = [Text(asked, "lead"), Verdicts(verdicts)]
    if not verdicts:
        found.append(Text("No pair was compared: it takes two arms with finished runs."))
    if margin is not None:
        told = f"TIES: the interval lies within ±{number(margin)}. INCONCLUSIVE: these seeds cannot tell."
        found.append(Text(told, "small"))
    hows = dict.fromkeys(how for pair in record["pairs"] if (how := get_path(pair, "how")))
    found += [Text(f"Intervals: {how}.", "small") for how in hows]
    found += [Text(text, "warning") for text in _warnings(record, gone)]
    return [*found, Code(get_path(record, "command") or "n/a")]


def _sentence(pair: dict[str, Any], record: dict[str, Any]) -> str:
    verb = {"BEATS": "beats", "TIES": "ties with", "LOSES": "loses to"}.get(pair["word"], "against")
    told = f"{pair['a']} {verb} {pair['b']}: difference {signed(pair['difference'])} {record['metric']}"
    if pair["interval"] is None:
        told += f", interval n/a ({plural(pair['seeds'], 'seed')} in common)"
    else:
        low, high = pair["interval"]
        told += f", {_confidence(record)} interval {signed(low)} to {signed(high)}, {plural(pair['seeds'], 'seed')}"
    needed, reason = get_path(pair, "seeds_needed"), get_path(pair, "reason")
    told += f"; {reason}" if reason else ""
    return f"{told}. About {plural(needed, 'seed')} would tell." if needed else f"{told}."


def _confidence(record: dict[str, Any]) -> str:
    share = get_path(record, "confidence")
    return "n/a" if share is None else f"{100 * share:g} %"


def _warnings(record: dict[str, Any], gone: list[str]) -> list[str]:
    found = list(get_path(record, "uneven_steps") or [])
    for arm in record["arms"]:
        for seed, error in (get_path(arm, "failed") or {}).items():
            found.append(f"{arm['name']}, seed {seed} failed: {error}")
    chosen = get_path(record, "chosen_on")
    if chosen is not None:
        same, apart = ", the split reported, so the scores flatter every arm", f"; {record['split']} is reported"
        found.append(f"Checkpoints were chosen on {chosen}{same if chosen == record['split'] else apart}.")
    if gone:
        found.append(
            f"{plural(len(gone), 'run folder')} gone ({', '.join(gone[:6])}{' …' if len(gone) > 6 else ''}): "
            "their scores are in the comparison's record; curves, predictions and configs are of the others."
        )
    return found


def _scores(record: dict[str, Any], arms: list[RunGroup]) -> list[Block]:
    labels = {arm.name: arm.label for arm in arms}
    confidence, teacher = get_path(record, "confidence"), get_path(record, "teacher")
    rows = []
    for place, arm in enumerate(record["arms"]):
        values = [value for value in arm["scores"].values() if value is not None]
        if values:
            around = agreement.interval(values, confidence) if confidence is not None else None
            rows.append(Row(labels[arm["name"]], values, arm["mean"], around, place))
    title = f"{record['metric']} on {record['split']}"
    figures = []
    if rows:
        line = ("teacher", teacher["score"]) if teacher and teacher["score"] is not None else None
        caption = (
            f"A dot is a seed, the diamond their mean, the line the {_confidence(record)} interval of that mean "
            "(Student's t; none below two seeds). An interval much wider than the scores spread runs off the edge."
        )
        figures.append(Figure(plots.dots(title, rows, line), title, caption))
    pairs = [_pair_row(pair, labels) for pair in record["pairs"] if pair["difference"] is not None]
    if pairs:
        caption = (
            f"Mean difference over the seeds with its {_confidence(record)} interval; grey: within the margin of a tie."
        )
        svg = plots.differences(f"differences of {title}", pairs, get_path(record, "margin"))
        figures.append(Figure(svg, "differences", caption))
    made: list[Block] = [Figures(figures)] if figures else [Text("n/a (no run finished).")]
    return [*key(arms), *made, _score_table(record, arms), *_domain_tables(record)]


def _pair_row(pair: dict[str, Any], labels: dict[str, str]) -> Row:
    interval = (pair["interval"][0], pair["interval"][1]) if pair["interval"] else None
    return Row(f"{labels[pair['a']]} − {labels[pair['b']]}", [], pair["difference"], interval)


def _score_table(record: dict[str, Any], arms: list[RunGroup]) -> Table:
    seeds = [str(seed) for seed in get_path(record, "seeds") or []]
    rows = []
    for arm, shown in zip(record["arms"], arms, strict=True):
        values = [number(arm["scores"].get(seed)) for seed in seeds]
        rows.append([shown.full, number(arm["mean"]), number(arm["sd"]), percent(get_path(arm, "kept")), *values])
    teacher, own = get_path(record, "teacher"), comparisons.teachers(record)
    for one in own if len(own) > 1 else [teacher] if teacher else []:
        named = f"teacher ({one['name']})" if len(own) < 2 else f"teacher {_owners(record, one)}"
        rows.append([named, number(one["score"]), *["—"] * (2 + len(seeds))])
    columns = ["arm", "mean", "standard deviation", "share of the teacher", *(f"seed {seed}" for seed in seeds)]
    notes = [] if teacher else ["Share of the teacher: n/a (no teacher took part)."]
    return Table(f"{record['metric']} on {record['split']}", columns, rows, notes)


def _owners(record: dict[str, Any], teacher: dict[str, Any]) -> str:
    """Whose teacher it is: how it learnt, its name and its arms."""
    key = comparisons.teacher_key(teacher)
    names = [arm["name"] for arm in record["arms"] if arm["teacher"] and comparisons.teacher_key(arm["teacher"]) == key]
    told = f"{teacher['lessons']} ({teacher['name']})" if teacher["lessons"] else f"({teacher['name']})"
    return f"{told} of {join_words(names)}"


def _domain_tables(record: dict[str, Any]) -> list[Block]:
    """Teachers and arms domain by domain, where the task has domains; with the paper's values where it has them."""
    names, rows, tags = domains.names(record), [], {}
    for row in domains.rows(record):
        values = [*(row.by_domain[name] for name in names), row.mean]
        rows.append([row.name, *(number(mean) + (f" ± {number(sd)}" if sd is not None else "") for mean, sd in values)])
        known = [domains.published(record, row, name) for name in names]
        if any(known):
            rows.append([f"{row.name}, published", *(f"{value.value} %" if value else "n/a" for value in known), "—"])
            tags |= dict.fromkeys(value.tag for value in known if value)
    if not rows:
        return []
    notes = ["Means over seeds ± standard deviations; mean: the plain mean over the domains."]
    if tags:
        told = "; ".join(TAGS[tag] for tag in tags)
        notes.append(f"published: the paper's, with its own models and budget ({told}).")
    return [Table(f"{record['metric']} on {record['split']} by domain", ["", *names, "mean"], rows, notes)]


def _curves(arms: list[RunGroup], record: dict[str, Any]) -> list[Block]:
    """Curves of the split reported where it was scored while training, else of the one that chose the checkpoint."""
    logged = {split for arm in arms for run in arm.runs for line in run.metrics for split in line.get("eval", ())}
    chosen = get_path(record, "chosen_on")
    split = record["split"] if record["split"] in logged or chosen is None else chosen
    split_up = [arm.full for arm in arms if any(run.parts for run in arm.runs)]
    told = f"{join_words(split_up)}: a student for each domain, whose curves are on the pages of their runs."
    made = curve_blocks(arms, record["metric"], split) if len(split_up) < len(arms) else []
    return [*([Text(told)] if split_up else []), *made]


def _galleries(arms: list[RunGroup]) -> list[Block]:
    made: list[Block] = []
    for arm in arms:
        found = samples.blocks(arm.runs[0]) if arm.runs else None
        if found is not None:
            made.append(Folded(f"{arm.name}, seed {arm.runs[0].result.get('seed', 'n/a')}", blocks=found))
    return made


def _cost(record: dict[str, Any], arms: list[RunGroup]) -> Table:
    told = zip(record["arms"], arms, strict=True)
    rows = [cost_row(arm, get_path(of, "seconds"), get_path(of, "steps")) for of, arm in told]
    note = f"The comparison took {duration(get_path(record, 'seconds'))}. Times and speed are means over an arm's runs."
    firsts = [(arm, arm.runs[0].reason("compression")) for arm in arms if arm.runs]
    notes = [f"{arm.full}: compression n/a ({reason})." for arm, reason in firsts if reason]
    return Table("What the runs took", COST_COLUMNS, rows, [note, *notes])


def _words(record: dict[str, Any]) -> Table:
    rows = [[arm["name"], " ".join(get_path(arm, "words") or []) or "n/a"] for arm in record["arms"]]
    return Table("The words that make each arm", ["arm", "words"], rows, has_numbers=False)


def _provenance(record: dict[str, Any], gone: list[str]) -> list[Block]:
    names = {"kdrun": "kdrun", "code": "hash of the sources", "comparison_id": "comparison", "command": "command"}
    rows = [[name, str(get_path(record, key) or "n/a")] for key, name in names.items()]
    runs = []
    for arm in record["arms"]:
        for seed, name in arm["folders"].items():
            run_id = get_path(arm, "runs", seed) or "n/a"
            runs.append([f"{arm['name']}, seed {seed}", str(run_id), f"{name} (gone)" if name in gone else name])
    return [
        Table("Code and command", ["", "value"], rows, has_numbers=False),
        Table("Runs", ["arm", "run", "folder"], runs, has_numbers=False),
    ]
