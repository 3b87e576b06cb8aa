"""The page of a comparison."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from kdrun.formatting import NOT_MEASURED, duration, join_words, named_rows, percent, plural
from kdrun.reporting.html import agreement, pareto, samples
from kdrun.reporting.html.arms import (
    COST_COLUMNS,
    RunGroup,
    agreement_blocks,
    config_blocks,
    cost_row,
    curve_blocks,
    make_arms,
    row_blocks,
)
from kdrun.reporting.html.blocks import (
    Block,
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
from kdrun.reporting.html.comparison_result import pair_row, result_blocks
from kdrun.reporting.html.interval_plots import differences
from kdrun.reporting.html.run_reader import FinishedRun, find_folder, get_path, read_comparison, read_run
from kdrun.reporting.html.svg import drawing
from kdrun.reporting.tables import comparisons, domains, generated_text, metric_format, searches
from kdrun.reporting.tables.claims import asked_claims, pair_sentence
from kdrun.reporting.tables.published_values import TAGS

MAX_TITLE = 60


def comparison_page(folder: Path) -> Page:
    """Build the page of a comparison's folder, including the run folders that still exist.

    Raises:
        DataError: the folder holds no comparison, or a file is broken.
    """
    record = read_comparison(folder)
    arms, missing = _arms(record, folder)
    with drawing():
        sections = [
            Section("verdict", "Result", result_blocks(record, arms)),
            Section("reading", "How to read it", _reading(record, missing)),
            Section("scores", "Scores", _scores(record, arms)),
            Section("curves", "Learning curves", _curves(arms, record)),
            Section(
                "answers",
                "Teacher and student",
                [*agreement_blocks(arms), Text(agreement.ECE_DEFINITION, "small")],
            ),
            Section("differences", "Where the arms differ most", row_blocks(arms)),
        ]
        scores = {arm["name"]: arm["mean"] for arm in record["arms"]}
        is_score = not metric_format.is_lower_better(record["metric"])  # the front of the plot has the highest scores
        against_cost = pareto.pareto_blocks(arms, scores, record["metric"]) if is_score else []
    galleries = _galleries(arms)
    if galleries:
        sections.append(Section("gallery", "Generated samples", galleries))
    statistics = generated_text.statistic_rows(record)
    if statistics:
        figures = Table("Statistics of the text", generated_text.COLUMNS, statistics, [generated_text.NOTE])
        sections.append(Section("generated", "Exported generated text", [figures]))
    sections += [
        Section("cost", "Cost", [_cost(record, arms), *against_cost]),
        Section("config", "Config", [_arm_overrides(record), *config_blocks(arms)]),
        Section("provenance", "Provenance", _provenance(record, missing)),
    ]
    version, comparison_id = record.get("kdrun"), record.get("comparison_id")
    subtitle = f"kdrun {version or NOT_MEASURED}, comparison {comparison_id or folder.name}"
    return Page(f"{_title_names(record)} on {_data(record)}", subtitle, bool(record.get("synthetic")), sections)


def _title_names(record: dict[str, Any]) -> str:
    """Join the names of the arms; long names become methods with the number of their settings."""
    names = join_words([arm["name"] for arm in record["arms"]])
    if len(names) <= MAX_TITLE:
        return names
    methods = Counter(comparisons.method_of(arm) for arm in record["arms"])
    return join_words([f"{name} ({plural(n, 'setting')})" if n > 1 else name for name, n in methods.items()])


def _data(record: dict[str, Any]) -> str:
    return record.get("data_name") or record["task"]


def _arms(record: dict[str, Any], folder: Path) -> tuple[list[RunGroup], list[str]]:
    """Return the arms with the runs whose folders exist, and the missing folders."""
    arms: dict[str, list[FinishedRun]] = {}
    missing = []
    for arm in record["arms"]:
        runs = arms.setdefault(arm["name"], [])
        for name in (arm.get("folders") or {}).values():
            run_dir = find_folder(name, folder)
            if run_dir is None:
                missing.append(name)
            else:
                runs.append(read_run(run_dir))
    return make_arms(list(arms.items())), missing


def _reading(record: dict[str, Any], missing: list[str]) -> list[Block]:
    """Explain question, ties, intervals and limits of the result."""
    seeds = record.get("seeds") or []
    metric, split, margin = record["metric"], record["split"], record.get("margin")
    question = (
        f"Which of {join_words([arm['name'] for arm in record['arms']])} gives the better student on "
        f"{_data(record)} by {metric} on {split}, over {plural(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), "
        f"preset {record.get('preset') or NOT_MEASURED}, student {record.get('student') or NOT_MEASURED}?"
    )
    blocks: list[Block] = [Text(question)]
    if margin is not None:
        tie = metric_format.margin(metric, margin)
        note = f"TIES: the interval is within {tie}. INCONCLUSIVE: these seeds do not decide."
        if record.get("claims") is not None:
            note = (
                "A claim that one arm is better than another is supported if it BEATS the other, and contradicted if "
                f"it LOSES or TIES. {note}"
            )
        blocks.append(Text(note))
    methods = dict.fromkeys(method for pair in record["pairs"] if (method := pair.get("how")))
    blocks += [Text(text) for text in metric_format.unit_notes([metric])]
    blocks += [Text(f"Intervals: {method}.") for method in methods]
    if ties := [pair for pair in record["pairs"] if pair.get("tie_test")]:
        texts = join_words([_tie_test(pair, metric) for pair in ties])
        blocks.append(Text(f"TIES is corrected for several claims apart from BEATS and LOSES: {texts}."))
    return blocks + [Text(text, "warning") for text in _warnings(record, missing)]


def _tie_test(pair: dict[str, Any], metric: str) -> str:
    """Name the interval that decides TIES where it is not the one shown."""
    ends = ", ".join(metric_format.difference(metric, end) for end in pair["tie_test"]["interval"])
    return f"{pair['a']} − {pair['b']} by [{ends}] ({100 * pair['tie_test']['confidence']:.3g} %)"


def _warnings(record: dict[str, Any], missing: list[str]) -> list[str]:
    warnings = list(record.get("uneven_steps") or [])
    for arm in record["arms"]:
        for seed, error in (arm.get("failed") or {}).items():
            warnings.append(f"{arm['name']}, seed {seed} failed: {error}")
    chosen_on = record.get("chosen_on")
    if chosen_on is not None:
        if chosen_on == record["split"]:
            consequence = ", which is also the split reported: the scores of every arm are optimistic"
        else:
            consequence = f"; {named_rows(record['split'], record.get('rows_text'))} is reported"
        warnings.append(f"Checkpoints were chosen on {chosen_on}{consequence}.")
    if not record.get("finished", True):
        warnings.append("This comparison is not finished: decided claims stay decided, the others are open.")
    warnings += searches.search_notes(record)
    if missing:
        warnings.append(
            f"{plural(len(missing), 'run folder')} missing ({', '.join(missing[:6])}{' …' if len(missing) > 6 else ''})"
            ": scores are from the comparison's record; curves, predictions and configs are those of the other runs."
        )
    return warnings


def _scores(record: dict[str, Any], arms: list[RunGroup]) -> list[Block]:
    """Show the scores as tables, and the pairs that are no claims."""
    return [_score_table(record, arms), *_domain_tables(record), *_other_pairs(record, arms)]


def _other_pairs(record: dict[str, Any], arms: list[RunGroup]) -> list[Block]:
    """Show the differences of the pairs that the comparison was not asked about."""
    claims = {frozenset((claim.a, claim.b)) for claim in asked_claims(record)}
    others = [pair for pair in record["pairs"] if frozenset((pair["a"], pair["b"])) not in claims]
    if not others:
        return []
    title = f"other differences of {record['metric']} on {record['split']}"
    labels = {arm.name: arm.label for arm in arms}
    rows = [row for pair in others if (row := pair_row(pair, labels)) is not None]
    blocks: list[Block] = []
    if rows:
        unit = metric_format.difference_unit(record["metric"])
        caption = f"Mean difference over the seeds in {unit}, with its interval; gray: the margin of a tie."
        plot = differences(title, rows, record.get("margin"), record["metric"])
        blocks.append(Figures([Figure(plot, title, caption)]))
    note = "Pairs that the comparison was not asked about; their intervals are not corrected for several pairs."
    return [*blocks, Text(note, "small"), Folded("Their verdicts", blocks=[_verdict_lines(others, record)])]


def _verdict_lines(pairs: list[dict[str, Any]], record: dict[str, Any]) -> Verdicts:
    return Verdicts([VerdictLine(pair["word"], pair_sentence(pair, record)) for pair in pairs])


def _score_table(record: dict[str, Any], arms: list[RunGroup]) -> Table:
    seeds = [str(seed) for seed in record.get("seeds") or []]
    rows = []
    for arm, group in zip(record["arms"], arms, strict=True):
        scores = [arm["mean"], arm["sd"], *(arm["scores"].get(seed) for seed in seeds)]
        mean, sd, *values = (metric_format.score(record["metric"], score) for score in scores)
        rows.append([group.full_name, mean, sd, percent(arm.get("kept")), *values])
    teacher, teachers = record.get("teacher"), comparisons.distinct_teachers(record)
    single = [teacher] if teacher else []
    for model in teachers if len(teachers) > 1 else single:
        name = f"teacher ({model['name']})" if len(teachers) < 2 else f"teacher {_owners(record, model)}"
        rows.append([name, metric_format.score(record["metric"], model["score"]), *["—"] * (2 + len(seeds))])
    columns = ["arm", "mean", "standard deviation", "retention", *(f"seed {seed}" for seed in seeds)]
    notes = [] if teacher else ["Retention: n/a (no teacher)."]
    return Table(f"{record['metric']} on {record['split']}", columns, rows, notes)


def _owners(record: dict[str, Any], teacher: dict[str, Any]) -> str:
    """Name a teacher by its training set, its name and its arms."""
    key = comparisons.teacher_key(teacher)
    names = [
        arm["name"] for arm in record["arms"] if arm.get("teacher") and comparisons.teacher_key(arm["teacher"]) == key
    ]
    name = f"{teacher['lessons']} ({teacher['name']})" if teacher["lessons"] else f"({teacher['name']})"
    return f"{name} of {join_words(names)}"


def _domain_tables(record: dict[str, Any]) -> list[Block]:
    """Show teachers and arms by domain, with the published values where there are any."""
    names, rows, tags = domains.domain_names(record), [], {}
    for row in domains.domain_rows(record):
        values = [*(row.by_domain[name] for name in names), row.mean]
        rows.append([row.name, *(metric_format.score_sd(record["metric"], mean, sd) for mean, sd in values)])
        published = [domains.published_value(record, row, name) for name in names]
        if any(published):
            cells = (f"{value.value} %" if value else NOT_MEASURED for value in published)
            rows.append([f"{row.name}, published", *cells, "—"])
            tags |= dict.fromkeys(value.tag for value in published if value)
    if not rows:
        return []
    notes = ["Means over seeds ± standard deviations; mean: the unweighted mean over the domains."]
    if tags:
        sources = "; ".join(TAGS[tag] for tag in tags)
        notes.append(f"published: values of the paper, with its own models and budget ({sources}).")
    return [Table(f"{record['metric']} on {record['split']} by domain", ["", *names, "mean"], rows, notes)]


def _curves(arms: list[RunGroup], record: dict[str, Any]) -> list[Block]:
    """Plot the reported split if it was evaluated during training, otherwise the split that chose the checkpoint."""
    logged = {split for arm in arms for run in arm.runs for line in run.metrics for split in line.get("eval", ())}
    chosen_on = record.get("chosen_on")
    split = record["split"] if record["split"] in logged or chosen_on is None else chosen_on
    per_domain = [arm.full_name for arm in arms if any(run.parts for run in arm.runs)]
    note = f"{join_words(per_domain)}: one student per domain; the curves are on the pages of their runs."
    blocks = curve_blocks(arms, record["metric"], split) if len(per_domain) < len(arms) else []
    return [*([Text(note)] if per_domain else []), *blocks]


def _galleries(arms: list[RunGroup]) -> list[Block]:
    galleries: list[Block] = []
    for arm in arms:
        gallery = samples.blocks(arm.runs[0]) if arm.runs else None
        if gallery is not None:
            galleries.append(Folded(f"{arm.name}, seed {arm.runs[0].result.get('seed', NOT_MEASURED)}", blocks=gallery))
    return galleries


def _cost(record: dict[str, Any], arms: list[RunGroup]) -> Table:
    pairs = zip(record["arms"], arms, strict=True)
    rows = [cost_row(arm, entry.get("seconds"), entry.get("steps")) for entry, arm in pairs]
    note = f"The comparison took {duration(record.get('seconds'))}. Times and speeds are means per run."
    firsts = [(arm, arm.runs[0].reason("compression")) for arm in arms if arm.runs]
    notes = [f"{arm.full_name}: compression n/a ({reason})." for arm, reason in firsts if reason]
    return Table("Cost of the runs", COST_COLUMNS, rows, [note, *notes])


def _arm_overrides(record: dict[str, Any]) -> Table:
    rows = [[arm["name"], " ".join(arm.get("words") or []) or NOT_MEASURED] for arm in record["arms"]]
    return Table("Overrides of each arm", ["arm", "overrides"], rows, has_numbers=False)


def _provenance(record: dict[str, Any], missing: list[str]) -> list[Block]:
    names = {"kdrun": "kdrun", "code": "hash of the sources", "comparison_id": "comparison", "command": "command"}
    rows = [[name, str(record.get(key) or NOT_MEASURED)] for key, name in names.items()]
    runs = []
    for arm in record["arms"]:
        for seed, name in (arm.get("folders") or {}).items():
            run_id = get_path(arm, "runs", seed) or NOT_MEASURED
            runs.append([f"{arm['name']}, seed {seed}", str(run_id), f"{name} (missing)" if name in missing else name])
    return [
        Table("Code and command", ["", "value"], rows, has_numbers=False),
        Table("Runs", ["arm", "run", "folder"], runs, has_numbers=False),
    ]
