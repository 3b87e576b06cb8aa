"""`kdrun table`: print, update or publish tables."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path

from kdrun.config.options import parse_options
from kdrun.errors import ConfigError, DataError
from kdrun.formatting import escape_control, plural
from kdrun.reporting import ledger_query
from kdrun.reporting.tables import markdown_blocks, publish
from kdrun.reporting.tables.options import TableOptions
from kdrun.reporting.tables.render import Format, print_table, render
from kdrun.reporting.tables.table import make_table, markdown, selected_comparisons
from kdrun.storage import ledger
from kdrun.storage.files import write_atomic

OPTIONS = TableOptions


def main(args: list[str]) -> int:
    """Finished runs as a table: mean ± standard deviation over seeds.

    kdrun table rows=method cols=task                        runs of the ledger in ./outputs
    kdrun table of=verdicts format=markdown                  verdicts of kdrun compare
    kdrun table of=claims                                    claims of the papers against these comparisons
    kdrun table of=agreement                                 agreement with the teacher, and retention of its score
    kdrun table of=domains paper=true                        scores by domain, of teachers and students
    kdrun table of=text method=dfkd_t3                       statistics of the text that the runs exported
    kdrun table update=README.md,docs/results.md check=true  check whether the tables of these files are up to date
    kdrun table export=results.jsonl task=sst2               publish ledger lines without folders of this machine

    A cell never mixes data, presets, budgets, models, code or anything else that is recorded: runs that differ go into
    separate rows, and the difference is named.
    """
    options, _ = parse_options(TableOptions, args)
    keys = {arg.partition("=")[0] for arg in args}
    problems = []
    if options.check and not options.update:
        problems.append("check=true needs update=FILE: it checks whether the tables of FILE are up to date")
    if options.update and keys - {"update", "check"}:
        others = ", ".join(sorted(keys - {"update", "check"}))
        problems.append(f"update= takes the options from the blocks of the file; leave out {others}")
    if problems:
        raise ConfigError(problems)
    if options.update:
        return _update([Path(name) for name in options.update], check=options.check)
    if options.export is not None:
        return _export(options, Path(options.export))
    table = make_table(options)
    if options.format is Format.terminal:
        print_table(table)
        return 0
    print(render(table, options.format))
    if options.format is Format.csv:
        print("\n".join(table.notes), file=sys.stderr)
    return 0


def _update(paths: list[Path], *, check: bool) -> int:
    """Regenerate the blocks of all files first, so that an error changes no file."""
    regenerated = {path: markdown_blocks.regenerate_blocks(path, markdown) for path in paths}
    stale_blocks = [(path, block) for path, (_, blocks) in regenerated.items() for block in blocks if block.differs]
    for path, (text, blocks) in regenerated.items():
        num_stale = sum(block.differs for block in blocks)
        if num_stale and not check:
            write_atomic(path, text)
        print(f"{path}: {plural(len(blocks), 'table')}, {num_stale} {'out of date' if check else 'updated'}")
    if not (check and stale_blocks):
        return 0
    for path, block in stale_blocks:
        command = escape_control(shlex.join(["kdrun", "table", *block.args]))
        print(f"{path}:{block.line}: differs from its ledger: {command}", file=sys.stderr)
    files = ",".join(dict.fromkeys(str(path) for path, _ in stale_blocks))
    print(f"to update: {shlex.join(['kdrun', 'table', f'update={files}'])}", file=sys.stderr)
    return 1


def _export(options: TableOptions, path: Path) -> int:
    runs = ledger_query.ledger_runs(options)
    selected = list(ledger_query.whole_records(ledger_query.filter_runs(runs, options)))
    finished = [run for run in selected if run["status"] != ledger.Status.running.value]
    comparisons = [] if options.seed or options.status else selected_comparisons(options)
    if not finished and not comparisons:
        raise DataError(
            "all runs are still running"
            if selected
            else f"nothing to publish: {ledger_query.explain_no_match(runs, options)}"
        )
    replaced, num_others = publish.merge_into(path, [*finished, *comparisons])
    counts = Counter(run["status"] for run in finished)
    statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(
        f"{path}: {len(finished)} runs ({statuses}) and {len(comparisons)} comparisons; {replaced} replace older lines"
    )
    print(f"  {num_others} other lines of the file are unchanged")
    if len(finished) < len(selected):
        print(f"  {len(selected) - len(finished)} still running, left out")
    if options.seed or options.status:
        print("  comparisons are left out: seed= and status= do not apply to them")
    return 0
