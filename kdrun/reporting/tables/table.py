"""Build the table that the options of `kdrun table` select.

Nothing here imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kdrun.config.options import parse_options
from kdrun.errors import ConfigError, DataError, did_you_mean
from kdrun.reporting import ledger_query
from kdrun.reporting.tables import comparisons, domains, generated_text, means
from kdrun.reporting.tables.options import AXES, ELSEWHERE, TableKind, TableOptions
from kdrun.reporting.tables.render import Format, TextTable, text


def make_table(settings: TableOptions) -> TextTable:
    """The table that some words ask for.

    Raises:
        ConfigError: the words do not fit each other or the runs.
        DataError: there is nothing to show.
    """
    if settings.of is not TableKind.means:
        return _make_comparison_table(settings)
    problems = list(_misplaced(settings))
    if problems:
        raise ConfigError(problems)
    found = ledger_query.read(settings)
    chosen = ledger_query.filter_runs(found, settings)
    if not chosen:
        raise DataError(ledger_query.explain_no_match(found, settings))
    wanted = means.MeansSpec(
        settings.rows, settings.cols, settings.metric, settings.split, settings.digits, settings.paper
    )
    return means.make_table(chosen, wanted)


def _misplaced(settings: TableOptions) -> Iterator[str]:
    """What is wrong with the axes."""
    for key in ("rows", "cols"):
        for name in getattr(settings, key):
            if name not in AXES:
                yield f"{key}={name}: no such axis{did_you_mean(name, AXES)} (allowed: {', '.join(AXES)})"
    for name, count in Counter([*settings.rows, *settings.cols]).items():
        if count > 1:
            yield f"rows= and cols= name {name} twice; an axis stands in one place"
    if not settings.rows:
        yield f"rows= is empty; name at least one of {', '.join(AXES)}"


def _make_comparison_table(settings: TableOptions) -> TextTable:
    unfit = [key for key in ("seed", "status", "metric", "split") if getattr(settings, key)]
    unfit += ["paper"] if settings.paper and settings.of is not TableKind.domains else []
    if unfit:
        name = ", ".join(unfit)
        raise ConfigError([f"of={settings.of.value} shows comparisons as they were made; leave out {name}"])
    found = _comparisons(settings)
    if not found:
        where = " ".join(str(path) for path in ledger_query.ledgers(settings))
        raise DataError(f"no comparison in {where} fits; `kdrun compare method=kd seeds=5` makes one")
    if settings.of is TableKind.domains:
        if not any(map(domains.names, found)):
            raise DataError("none of these comparisons is on a task by domain; kdrun compare task=amazon makes one")
        return domains.make_table(found, settings.method, settings.digits, beside=settings.paper)
    if settings.of is TableKind.text:
        if not any(map(generated_text.rows, found)):
            raise DataError("no run of these comparisons left text behind; kdrun compare method=dfkd_t3 makes some")
        return generated_text.make_table(found, settings.method, settings.digits)
    made = comparisons.verdicts if settings.of is TableKind.verdicts else comparisons.arms
    return made(found, settings.method, settings.digits)


def _comparisons(settings: TableOptions) -> list[dict[str, Any]]:
    """The comparisons that fit the filters that a comparison can fit."""
    oldest = ledger_query.since(settings.since)
    return [
        one
        for one in ledger_query.comparisons(settings)
        if one["started"] >= oldest
        and (not settings.task or one["task"] in settings.task)
        and (not settings.preset or one["preset"] in settings.preset)
        and (not settings.experiment or ledger_query.value_of(one, "experiment") in settings.experiment)
        and (not settings.method or any(comparisons.method_of(arm) in settings.method for arm in one["arms"]))
    ]


def markdown(words: list[str]) -> str:
    """The Markdown of the table that some words ask for, as a block of a document has it.

    Raises:
        ConfigError: a word that a block cannot have.
    """
    unfit = [word for word in words if word.partition("=")[0] in ELSEWHERE]
    if unfit:
        raise ConfigError([f"{word}: not in a block of a document" for word in unfit])
    return text(make_table(parse_options(TableOptions, words)[0]), Format.markdown)
