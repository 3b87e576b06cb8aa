"""Write labeled text with a language model, or import text written elsewhere."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from kdrun import progress
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.console import Console, log_to
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.files import dataset_files
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.data.written_text import WrittenRow, save_rows
from kdrun.errors import ConfigError
from kdrun.formatting import plural
from kdrun.generation import written_text
from kdrun.models import text_limits
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.language_model import load_language_model
from kdrun.storage import hub_offline
from kdrun.training.accelerator import make_accelerator

ATTEMPTS = 20
"""Most texts per requested row; a model whose texts all end badly would go on forever."""


class WriteSettings(Protocol):
    """The options of `kdrun write`, `kdrun.cli.commands.write.WriteOptions`."""

    model: str | None
    revision: str | None
    rows: int
    max_new_tokens: int
    min_words: int
    top_p: float
    temperature: float
    batch_size: int
    seed: int
    input: str | None
    source: str | None
    license: str | None


def write_rows(
    config: RunConfig,
    console: Console,
    settings: WriteSettings,
    prompts: Mapping[str, str],
    output: Path,
    command: str,
) -> None:
    """Let a language model write rows of each class, and save them with a card.

    Args:
        config: gives the task and the device.
        console: where to print.
        settings: of the command.
        prompts: by class.
        output: a new folder.
        command: command line, for the card.

    Raises:
        KdrunError: the model cannot be loaded, or writes no text that can be used.
    """
    assert settings.model is not None
    with hub_offline.offline_mode(config.offline), log_to(console), progress.show_on(console):
        with progress.track("loading the language model"):
            bundle = load_language_model(settings.model, settings.revision, _context(config, settings))
        _check_room(bundle, prompts, settings.max_new_tokens)
        bundle.model.to(make_accelerator(config, None).device)
        console.key_values(f"write {config.task.name}", [("model", bundle.name), ("output", str(output))])
        for note in bundle.notes:
            console.note(note)
        counts: dict[str, int] = {}
        facts = _facts(settings, bundle.name, prompts, command) | {"counts": counts}
        facts["writer"] = {"fingerprint": bundle.fingerprint, "model": settings.model, "revision": settings.revision}
        card = save_rows(output, _written(bundle, config.task, settings, prompts, counts), facts, config.task)
    _print_card(console, card, output)


def import_rows(
    config: RunConfig,
    console: Console,
    settings: WriteSettings,
    prompts: Mapping[str, str] | None,
    output: Path,
    command: str,
) -> None:
    """Save the labeled rows of a file, written elsewhere, with a card.

    Args:
        config: gives the task and the file, as `data.train`.
        console: where to print.
        settings: of the command.
        prompts: by class, where they are known.
        output: a new folder.
        command: command line, for the card.

    Raises:
        KdrunError: the rows have problems, which are named with their lines.
    """
    try:
        data = dataset_files.load_own_data(config.data, config.task)
    except ConfigError as error:  # data.dev is the same file
        raise ConfigError(list(dict.fromkeys(map(str, error.problems)))) from None
    task, split = data.task, data.splits["train"]
    for note in split.notes:
        console.note(note)
    columns = [split.table.column(name).to_pylist() for name in TEXT_COLUMNS[: len(task.text)]]
    labels = (task.labels[index] for index in split.labels())
    rows = (WrittenRow(tuple(texts), label) for *texts, label in zip(*columns, labels, strict=True))
    facts = _facts(settings, settings.source or "an unknown source", prompts, command)
    facts["counts"] = {"imported": split.num_rows}
    facts["writer"] = {"file": settings.input}
    _print_card(console, save_rows(output, rows, facts, task), output)


def _check_room(bundle: ModelBundle, prompts: Mapping[str, str], max_new_tokens: int) -> None:
    """Check that a prompt and its continuation fit into the model's positions.

    Raises:
        ConfigError: they do not.
    """
    limit = text_limits.position_limit(bundle.model.config, bundle.tokenizer)
    longest = max(len(bundle.tokenizer(prompt)["input_ids"]) for prompt in prompts.values())
    if limit is not None and longest + max_new_tokens > limit:
        text = f"max_new_tokens={max_new_tokens}: {bundle.name} has room for {limit} tokens, and the longest prompt has"
        raise ConfigError([f"{text} {longest}; set max_new_tokens={max(1, limit - longest)}, or shorten the prompt"])


def _context(config: RunConfig, settings: WriteSettings) -> BuildContext:
    return BuildContext("generator", config.task, _no_corpus, settings.seed, max_length=settings.max_new_tokens)


def _no_corpus() -> Corpus:
    raise AssertionError("a language model is loaded, not trained")


def _written(
    bundle: ModelBundle,
    task: TaskConfig,
    settings: WriteSettings,
    prompts: Mapping[str, str],
    counts: dict[str, int],
) -> Iterator[WrittenRow]:
    """The rows of one class after the other; `counts` gets the numbers of texts by outcome."""
    outcomes, seen = Counter[str](), set[str]()
    sampling = written_text.Sampling(
        settings.max_new_tokens, settings.top_p, settings.temperature, settings.batch_size, settings.seed
    )
    with progress.track("writing", settings.rows, "rows") as activity:
        for index, label in enumerate(task.labels):
            missing = (settings.rows + index) // len(task.labels)
            attempts = ATTEMPTS * missing
            batches = written_text.continuations(bundle.model, bundle.tokenizer, prompts[label], label, sampling)
            while missing > 0 and attempts > 0:
                for continuation in next(batches):
                    text = written_text.complete_text(continuation, settings.min_words)
                    outcome = "unusable" if not text else "repeated" if text in seen else "kept"
                    attempts -= 1
                    if outcome == "kept" and not missing:
                        continue  # the rest of the last batch
                    outcomes[outcome] += 1
                    if outcome == "kept":
                        seen.add(text)
                        missing -= 1
                        activity.advance(1)
                        yield WrittenRow((text,), label)
    counts |= {name: outcomes[name] for name in ("kept", "unusable", "repeated")}


def _facts(settings: WriteSettings, name: str, prompts: Mapping[str, str] | None, command: str) -> dict[str, Any]:
    """Content of the card about the writer."""
    names = ("model", "revision", "rows", "max_new_tokens", "min_words", "top_p", "temperature", "batch_size", "seed")
    names = ("input", "source") if settings.input is not None else names
    return {
        "generator": name,
        "seed": settings.seed,
        "license": settings.license,
        "prompts": None if prompts is None else dict(prompts),
        "settings": {key: getattr(settings, key) for key in names},
        "provenance": {"command": command},
    }


def _print_card(console: Console, card: Mapping[str, Any], output: Path) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in card["rows_by_class"].items())
    console.print(f"{plural(card['file']['rows'], 'row')} ({counts}) and card.json: {output}")
    if dropped := {name: count for name, count in card["counts"].items() if name not in ("kept", "imported") and count}:
        console.print(f"dropped: {', '.join(f'{count} {name}' for name, count in dropped.items())}")
    few = [name for name, count in card["rows_by_class"].items() if not count]
    if few:
        console.warning(f"no rows of {', '.join(few)}: change the prompt, or min_words=, or write more rows")
    steps = [
        (
            "train",
            shlex.join(["kdrun", f"task={card['task']}", "method=finetune", "data=generated", f"data.path={output}"]),
        ),
        ("distill", shlex.join(["kdrun", f"task={card['task']}", "method=kd_ood", f"ood.path={output}"])),
    ]
    console.key_values("next", steps)
