"""`kdrun table`: print, update or publish tables."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

from kdrun.config.options import parse_options
from kdrun.errors import ConfigError, DataError
from kdrun.formatting import plural
from kdrun.reporting import ledger_query
from kdrun.reporting.tables import markdown_blocks, publish
from kdrun.reporting.tables.options import TableOptions
from kdrun.reporting.tables.render import Format, show, text
from kdrun.reporting.tables.table import _comparisons, make_table, markdown
from kdrun.storage import ledger
from kdrun.storage.files import write_atomic

OPTIONS = TableOptions


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
    settings, _ = parse_options(TableOptions, words)
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
    made = make_table(settings)
    if settings.format is Format.terminal:
        show(made)
        return 0
    print(text(made, settings.format))
    if settings.format is Format.csv:
        print("\n".join(made.notes), file=sys.stderr)
    return 0


def _update(paths: list[Path], *, check: bool) -> int:
    """Make the blocks of all files first, so that an error changes none of them."""
    made = {path: markdown_blocks.regenerate_blocks(path, markdown) for path in paths}
    differ = [(path, block) for path, (_, found) in made.items() for block in found if block.differs]
    for path, (new, found) in made.items():
        stale = [block for block in found if block.differs]
        count = plural(len(found), "table")
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


def _export(settings: TableOptions, path: Path) -> int:
    found = ledger_query.read(settings)
    chosen = ledger_query.filter_runs(found, settings)
    over = [run for run in chosen if run["status"] != ledger.Status.running.value]
    compared = [] if settings.seed or settings.status else _comparisons(settings)
    if not over and not compared:
        raise DataError(
            f"nothing to publish: {ledger_query.explain_no_match(found, settings)}" if not chosen else "all are running"
        )
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
