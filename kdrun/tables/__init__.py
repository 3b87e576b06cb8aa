"""`kdrun table`: finished runs and comparisons as tables, in documents and as published ledger lines.

Nothing here imports torch.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from kdrun import runs as ledger
from kdrun.errors import ConfigError, DataError, nearest
from kdrun.results import write_atomic
from kdrun.settings import setting
from kdrun.tables import blocks, domains, made_text, means, publish, verdicts
from kdrun.tables.render import Format, Sheet, show, text
from kdrun.verbs import parse


class Of(Enum):
    """What a table is of."""

    means = "means"
    verdicts = "verdicts"
    arms = "arms"
    domains = "domains"
    text = "text"


AXES = ["method", "task", "student", "teacher", "preset", "seed", "settings"]
"""What rows and columns can stand for; `settings` is what was typed beyond the others."""
ELSEWHERE = ("update", "export", "check", "format", "since")
"""Words that a table inside a document cannot have: it is Markdown, and the same tomorrow."""


@dataclass
class Settings(ledger.Filters):
    """Words of `kdrun table`."""

    rows: list[str] = setting(["method"], f"what the rows are: {', '.join(AXES)}")
    cols: list[str] = setting(["task"], "what the columns are: the same choice")
    of: Of = setting(Of.means, "means over seeds; or the verdicts, arms, domains or made text of kdrun compare")
    metric: str | None = setting(None, "null is each task's headline metric")
    split: str | None = setting(None, "null is the headline's split")
    digits: int = setting(1, "decimals of a percentage", ge=0, le=6)
    paper: bool = setting(False, "published values beside, where the method, task, metric and split are the same")
    format: Format = setting(Format.terminal, "how the table is written; csv: values in percent, one line a cell")
    update: list[str] = setting([], "Markdown files whose blocks <!-- kdrun table WORDS --> are made anew")
    check: bool = setting(False, "with update: change nothing; exit code 1 when a block differs")
    export: str | None = setting(None, "a file to publish the chosen runs and comparisons in, without folder names")


def main(words: list[str]) -> int:
    """Finished runs as a table: mean ± standard deviation over seeds.

    kdrun table rows=method cols=task                        what the ledger of ./outputs says
    kdrun table of=verdicts format=markdown                  what kdrun compare found
    kdrun table of=domains paper=true                        the same domain by domain, teachers beside students
    kdrun table of=text method=dfkd_t3                       what the text is like that its runs left behind
    kdrun table update=README.md,docs/results.md check=true  are the tables of these files up to date?
    kdrun table export=results.jsonl task=sst2               ledger lines for others, without folders of this machine

    A cell never mixes data, presets, budgets, models, code or anything else that is known to differ: such runs come
    into rows of their own, and the difference is named.
    """
    settings, _ = parse(Settings, words)
    given = {word.partition("=")[0] for word in words}
    problems = []
    if settings.check and not settings.update:
        problems.append("check=true goes with update=FILE: it looks whether the tables of FILE are up to date")
    if settings.update and given - {"update", "check"}:
        others = ", ".join(sorted(given - {"update", "check"}))
        problems.append(f"update= takes its words from the blocks of the file; leave out {others}")
    if problems:
        raise ConfigError(problems)
    if settings.update:
        return _update([Path(name) for name in settings.update], check=settings.check)
    if settings.export is not None:
        return _export(settings, Path(settings.export))
    made = sheet(settings)
    if settings.format is Format.terminal:
        show(made)
        return 0
    print(text(made, settings.format))
    if settings.format is Format.csv:
        print("\n".join(made.notes), file=sys.stderr)
    return 0


def sheet(settings: Settings) -> Sheet:
    """The table that some words ask for.

    Raises:
        ConfigError: the words do not fit each other or the runs.
        DataError: there is nothing to show.
    """
    if settings.of is not Of.means:
        return _of_comparisons(settings)
    problems = list(_misplaced(settings))
    if problems:
        raise ConfigError(problems)
    found = ledger.read(settings)
    chosen = ledger.choose(found, settings)
    if not chosen:
        raise DataError(ledger.nothing(found, settings))
    wanted = means.Wanted(
        settings.rows, settings.cols, settings.metric, settings.split, settings.digits, settings.paper
    )
    return means.sheet(chosen, wanted)


def _misplaced(settings: Settings) -> Iterator[str]:
    """What is wrong with the axes."""
    for key in ("rows", "cols"):
        for name in getattr(settings, key):
            if name not in AXES:
                yield f"{key}={name}: no such axis{nearest(name, AXES)} (allowed: {', '.join(AXES)})"
    for name, count in Counter([*settings.rows, *settings.cols]).items():
        if count > 1:
            yield f"rows= and cols= name {name} twice; an axis stands in one place"
    if not settings.rows:
        yield f"rows= is empty; name at least one of {', '.join(AXES)}"


def _of_comparisons(settings: Settings) -> Sheet:
    unfit = [key for key in ("seed", "status", "metric", "split") if getattr(settings, key)]
    unfit += ["paper"] if settings.paper and settings.of is not Of.domains else []
    if unfit:
        name = ", ".join(unfit)
        raise ConfigError([f"of={settings.of.value} shows comparisons as they were made; leave out {name}"])
    found = _comparisons(settings)
    if not found:
        where = " ".join(str(path) for path in ledger.ledgers(settings))
        raise DataError(f"no comparison in {where} fits; `kdrun compare method=kd seeds=5` makes one")
    if settings.of is Of.domains:
        if not any(map(domains.names, found)):
            raise DataError("none of these comparisons is on a task by domain; kdrun compare task=amazon makes one")
        return domains.sheet(found, settings.method, settings.digits, beside=settings.paper)
    if settings.of is Of.text:
        if not any(map(made_text.rows, found)):
            raise DataError("no run of these comparisons left text behind; kdrun compare method=dfkd_t3 makes some")
        return made_text.sheet(found, settings.method, settings.digits)
    made = verdicts.verdicts if settings.of is Of.verdicts else verdicts.arms
    return made(found, settings.method, settings.digits)


def _comparisons(settings: Settings) -> list[dict[str, Any]]:
    """The comparisons that fit the filters that a comparison can fit."""
    oldest = ledger.since(settings.since)
    return [
        one
        for one in ledger.comparisons(settings)
        if one["started"] >= oldest
        and (not settings.task or one["task"] in settings.task)
        and (not settings.preset or one["preset"] in settings.preset)
        and (not settings.experiment or ledger.value_of(one, "experiment") in settings.experiment)
        and (not settings.method or any(verdicts.method_of(arm) in settings.method for arm in one["arms"]))
    ]


def markdown(words: list[str]) -> str:
    """The Markdown of the table that some words ask for, as a block of a document has it.

    Raises:
        ConfigError: a word that a block cannot have.
    """
    unfit = [word for word in words if word.partition("=")[0] in ELSEWHERE]
    if unfit:
        raise ConfigError([f"{word}: not in a block of a document" for word in unfit])
    return text(sheet(parse(Settings, words)[0]), Format.markdown)


def _update(paths: list[Path], *, check: bool) -> int:
    """Make the blocks of all files first, so that an error changes none of them."""
    made = {path: blocks.regenerate(path, markdown) for path in paths}
    differ = [(path, block) for path, (_, found) in made.items() for block in found if block.differs]
    for path, (new, found) in made.items():
        stale = [block for block in found if block.differs]
        count = f"{len(found)} {'table' if len(found) == 1 else 'tables'}"
        if stale and not check:
            write_atomic(path, new)
        print(f"{path}: {count}, {len(stale)} {'not up to date' if check else 'written anew'}")
    if not (check and differ):
        return 0
    for path, block in differ:
        print(f"{path}:{block.line}: differs from what its ledger says: kdrun table {block.words}", file=sys.stderr)
    files = ",".join(dict.fromkeys(str(path) for path, _ in differ))
    print(f"make anew: {shlex.join(['kdrun', 'table', f'update={files}'])}", file=sys.stderr)
    return 1


def _export(settings: Settings, path: Path) -> int:
    found = ledger.read(settings)
    chosen = ledger.choose(found, settings)
    over = [run for run in chosen if run["status"] != ledger.Status.running.value]
    compared = [] if settings.seed or settings.status else _comparisons(settings)
    if not over and not compared:
        raise DataError(f"nothing to publish: {ledger.nothing(found, settings)}" if not chosen else "all are running")
    replaced, kept = publish.write(path, [*over, *compared])
    counts = Counter(run["status"] for run in over)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{path}: {len(over)} runs ({told}) and {len(compared)} comparisons; {replaced} of them replace older lines")
    print(f"  {kept} other lines of the file stay")
    if len(over) < len(chosen):
        print(f"  {len(chosen) - len(over)} still running, left out")
    if settings.seed or settings.status:
        print("  comparisons are left out: they are over all their seeds, whatever seed= and status= choose")
    return 0
