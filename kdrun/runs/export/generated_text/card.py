"""Data-set card of generated text."""

from __future__ import annotations

from typing import Any

from kdrun.data.loader import BatchLoader
from kdrun.data.sources.generated_text import FILE
from kdrun.reporting.generated_text import STATISTICS, format_statistic
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.runs.provenance import provenance
from kdrun.storage.serialization import to_plain
from kdrun.version import __version__

FORMAT = 1
"""Number of the format of rows and card."""


def card_content(
    run: PreparedRun,
    teacher: TeacherResult,
    loader: BatchLoader,
    counts: dict[str, int],
    quality: dict[str, Any],
    file: dict[str, Any],
    examples: dict[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """The content of card.json.

    Args:
        run: the run that made the text.
        teacher: that scored the text.
        loader: what it was made of.
        counts: what became of the texts that were made.
        quality: the figures of `kdrun.generation.text_statistics.measure`.
        file: of the rows: how many, checksum, fingerprint as a split.
        examples: rows of each class.
    """
    config, lessons = run.config, run.data.student_rows
    settings = ("method", "generator", "ood", "corpus")
    return {
        "kdrun": __version__,
        "format": FORMAT,
        "task": config.task.name,
        "task_name": run.data.display_name,
        "labels": config.task.classes,
        "answered": run.evaluator.task_type.generates_text,
        "synthetic": run.data.synthetic or lessons.synthetic,
        "method": config.method.name,
        "seed": config.seed,
        "teacher": {
            "name": run.roles["teacher"].name,
            "fingerprint": run.roles["teacher"].fingerprint,
            "metrics": teacher.scores,
        },
        "generator": run.roles["generator"].name,
        "source": {
            "split": lessons.name,
            "origin": lessons.origin,
            "rows": lessons.num_rows,
            "fingerprint": lessons.fingerprint,
            "task_rows_read": loader.num_rows_seen("train"),
            "task_labels_read": loader.num_labels_seen,
        },
        "settings": {name: to_plain(getattr(config, name)) for name in settings},
        "counts": counts,
        "quality": quality,
        "examples": examples,
        "file": {**file, "name": FILE},
        "provenance": provenance(config, run.data.fingerprint, run.command),
    }


def card_markdown(card: dict[str, Any]) -> str:
    """The card as a page for people, in Markdown."""
    counts, source, task = card["counts"], card["source"], card["task"]
    answered = "the `answer` that the teacher writes, " if card["answered"] else ""
    kind = " The text is synthetic: it goes back to text that a grammar made." if card["synthetic"] else ""
    return f"""# Generated text for {card["task_name"]}

{card["file"]["rows"]} rows in `{card["file"]["name"]}`, made by kdrun {card["kdrun"]} with `method={card["method"]}`, \
scored by the teacher {card["teacher"]["name"]}.{kind}
Nobody wrote or checked these texts: a label is what the teacher finds most probable, right or wrong.

    {card["provenance"]["command"]}

One JSON object a line: the text (and `text_pair`), the class it was `wanted` to be of (null where none was asked \
for), the `teacher`'s probability of each class, {answered}and the `source` row it was \
made of. Another student learns from it:

    kdrun method=finetune task={task} data=generated data.path=THIS_FOLDER

## How it was made

- Made of {source["rows"]} rows of the split `{source["split"]}` ({source["origin"]}) by the generator \
{card["generator"]}, seed {card["seed"]}.
- Of the task's own training rows {source["task_rows_read"]} were read for it, and {source["task_labels_read"]} labels.
- Texts made: {counts["made"]} (passes over the source rows: {counts["passes"]}). Dropped of them: \
{counts["repeated"]} repeated, {counts["empty"]} empty, {counts["unknown"]} with an unknown word.

## Figures

| | made | source |
|---|---:|---:|
{_table(card["quality"])}

n/a: not measured, because the method asks for no class, or the texts are of one word. All settings: `card.json`.

## Examples

{_examples(card["examples"])}
"""


def _table(quality: dict[str, Any]) -> str:
    rows = [
        f"| {told} | {format_statistic(quality, key)} | {format_statistic(quality, of_source)} |"
        for key, of_source, told in STATISTICS
    ]
    return "\n".join(rows)


def _examples(examples: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for name, rows in examples.items():
        lines += [f"{name}:", ""]
        lines += [f"- {row['teacher'][name]:.2f}  `{_plain(row)}`{_answer(row)}" for row in rows] or ["- none"]
        lines.append("")
    return "\n".join(lines).rstrip()


def _plain(row: dict[str, Any]) -> str:
    """The text of a row in a line of Markdown, where a back quote would end it."""
    return " | ".join(row[key] for key in ("text", "text_pair") if key in row).replace("`", "'")


def _answer(row: dict[str, Any]) -> str:
    """What the teacher writes of it, likewise."""
    return " → `{}`".format(row["answer"].replace("`", "'")) if "answer" in row else ""
