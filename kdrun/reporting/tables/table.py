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
from kdrun.reporting.tables import agreement, claim_table, comparisons, costs, domains, generated_text, means
from kdrun.reporting.tables.options import AXES, NOT_IN_BLOCKS, TableKind, TableOptions
from kdrun.reporting.tables.render import Format, TextTable, render


def make_table(options: TableOptions) -> TextTable:
    """Build the table that the options select.

    Raises:
        ConfigError: the options contradict each other or the runs.
        DataError: there is nothing to show.
    """
    if options.of not in (TableKind.means, TableKind.costs):
        return _make_comparison_table(options)
    problems = list(_axis_problems(options))
    if problems:
        raise ConfigError(problems)
    runs = ledger_query.ledger_runs(options)
    selected = ledger_query.filter_runs(runs, options)
    if not selected:
        raise DataError(ledger_query.explain_no_match(runs, options))
    if options.of is TableKind.costs:
        return _make_cost_table(list(ledger_query.whole_records(selected)), options)
    spec = means.MeansSpec(options.rows, options.cols, options.metric, options.split, options.digits, options.paper)
    return means.make_table(list(ledger_query.whole_records(selected)), spec)


def _make_cost_table(selected: list[dict[str, Any]], options: TableOptions) -> TextTable:
    excluded = [key for key in ("metric", "split") if getattr(options, key)] + (["paper"] if options.paper else [])
    if excluded:
        raise ConfigError([f"of=costs shows the headline score of each run; leave out {', '.join(excluded)}"])
    table = costs.make_table(selected, options.digits)
    if not table.rows:
        raise DataError("none of these runs has measured costs; cost_card=true measures them at the end of a run")
    return table


def _axis_problems(options: TableOptions) -> Iterator[str]:
    """Yield the problems of the axes."""
    for key in ("rows", "cols"):
        for name in getattr(options, key):
            if name not in AXES:
                yield f"{key}={name}: no such axis{did_you_mean(name, AXES)} (allowed: {', '.join(AXES)})"
    for name, count in Counter([*options.rows, *options.cols]).items():
        if count > 1:
            yield f"rows= and cols= name {name} twice; each axis may be named once"
    if not options.rows:
        yield f"rows= is empty; name at least one of {', '.join(AXES)}"


def _make_comparison_table(options: TableOptions) -> TextTable:
    excluded = [key for key in ("seed", "status", "metric", "split") if getattr(options, key)]
    excluded += ["paper"] if options.paper and options.of is not TableKind.domains else []
    if excluded:
        names = ", ".join(excluded)
        raise ConfigError([f"of={options.of.value} shows whole comparisons; leave out {names}"])
    records = selected_comparisons(options)
    if not records:
        where = " ".join(str(path) for path in ledger_query.ledgers(options))
        raise DataError(f"no comparison in {where} matches; `kdrun compare method=kd seeds=5` runs one")
    if options.of is TableKind.claims:
        if options.short:
            return claim_table.make_short_table(records, options.method)
        return claim_table.make_table(records, options.method, options.digits)
    if options.of is TableKind.agreement:
        if not any(map(agreement.has_rows, records)):
            raise DataError(
                "no comparison on real data is by agreement or of a data-free method; "
                "kdrun compare metric=agreement method=zskd baselines=kd_ood runs one"
            )
        return agreement.make_table(records, options.method, options.digits)
    if options.of is TableKind.domains:
        if not any(map(domains.domain_names, records)):
            raise DataError("none of these comparisons is on a task by domain; kdrun compare task=amazon runs one")
        return domains.make_table(records, options.method, options.digits, with_published=options.paper)
    if options.of is TableKind.text:
        if not any(map(generated_text.statistic_rows, records)):
            raise DataError("no run of these comparisons exported text; the runs of kdrun compare method=dfkd_t3 do")
        return generated_text.make_table(records, options.method, options.digits)
    build = comparisons.verdict_table if options.of is TableKind.verdicts else comparisons.arm_table
    return build(records, options.method, options.digits)


def selected_comparisons(options: TableOptions) -> list[dict[str, Any]]:
    """Return the comparisons that match the filters that apply to comparisons."""
    oldest = ledger_query.earliest_start(options.since)
    return [
        record
        for record in ledger_query.ledger_comparisons(options)
        if record["started"] >= oldest
        and (not options.task or record["task"] in options.task)
        and (not options.preset or record["preset"] in options.preset)
        and (not options.experiment or ledger_query.experiment_of(record) in options.experiment)
        and (not options.method or any(comparisons.method_of(arm) in options.method for arm in record["arms"]))
    ]


def markdown(args: list[str]) -> str:
    """Return the Markdown of a table for a block of a document.

    Raises:
        ConfigError: an option that a block cannot have.
    """
    excluded = [arg for arg in args if arg.partition("=")[0] in NOT_IN_BLOCKS]
    if excluded:
        raise ConfigError([f"{arg}: not allowed in a block of a document" for arg in excluded])
    return render(make_table(parse_options(TableOptions, args)[0]), Format.markdown)
