"""`kdrun tune`: search for the best values of config keys."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kdrun.experiments.tune.options import TuneOptions

if TYPE_CHECKING:
    from kdrun.console import Console
    from kdrun.experiments.tune.plan import SearchPlan
    from kdrun.storage.search_record import SearchRecord

OPTIONS = TuneOptions
EXAMPLE = "kdrun tune method=kd task=sst2 trials=20"
SPACE = "space="


def main(args: list[str]) -> int:
    """Search for the best values of config keys.

    Draws the values of each trial with Optuna, trains it like a cell of a sweep, and keeps the best by the dev score.
    Then trains the best and the default values with fresh seeds and prints the verdict of kdrun compare. A repeated
    command resumes; several processes with the same command share the trials. All other arguments are overrides of the
    runs: kdrun tune method=mate_kd task=sst2 preset=mini space='{optim.lr: log[1e-5, 1e-3]}' trials=50

    A space names keys and ranges: KEY: [low, high] for numbers between the ends, log[low, high] on a logarithmic scale,
    int[low, high] for whole numbers, choice[a, b] or [a, b, c] for some values.
    """
    from kdrun import progress
    from kdrun.cli.subcommands import current_overrides
    from kdrun.cli.verbosity import run_console
    from kdrun.config import options
    from kdrun.console import Console
    from kdrun.errors import ConfigError
    from kdrun.experiments.tune.plan import check_installed, plan_search

    spaces = [arg.removeprefix(SPACE) for arg in args if arg.startswith(SPACE)]
    others = current_overrides([arg for arg in args if not arg.startswith(SPACE)])
    settings, overrides = options.parse_options(TuneOptions, others, others=True)
    if len(spaces) > 1:
        raise ConfigError([f"space is given {len(spaces)} times; write one space with all keys"])
    with progress.show_on(run_console()):
        with progress.track("checking the space"):
            plan = plan_search(
                overrides,
                spaces[0] if spaces and spaces[0] != "null" else None,
                trials=settings.trials,
                seed=settings.seed,
                prune=settings.prune,
                name=settings.sweep,
                command=shlex.join(["kdrun", "tune", *args]),
            )
        check_installed()
        return _tune(plan, settings, Console())


def _tune(plan: SearchPlan, settings: TuneOptions, console: Console) -> int:
    from kdrun.cli.verbosity import run_console
    from kdrun.data.file_checks import check_run_files
    from kdrun.experiments.tune import confirm, display, search, standing
    from kdrun.storage.claims import Claim, HeldError

    log_console = run_console()  # the verdict is printed with -q too
    check_run_files(plan.config)
    display.print_header(plan, log_console)
    try:
        record = search.run_search(plan, log_console)
    except KeyboardInterrupt:
        console.error("stopped; repeat the command to resume")
        raise
    if not standing.has_ended(record):
        numbers = ", ".join(str(trial["number"]) for trial in standing.unended(record))
        console.print(f"trial {numbers} of this search runs in another process, which finishes the search")
        return 0
    if record["best"] is None:
        return _no_best(plan, record, console)
    claim = Claim(plan.folder / ".comparison.lock")
    try:
        claim.acquire(timeout=0)
    except HeldError:
        console.print("another process of this search compares the best values with the default")
        return 0
    try:
        folder, complete = None, True
        if settings.seeds and not standing.best_overrides(record):
            console.print(f"the default values have the best {plan.split} {plan.metric}: nothing to compare")
        elif settings.seeds:
            folder, complete = confirm.compare_with_default(
                plan, record, settings.seeds, settings.margin, console, log_console
            )
        record = search.finish_record(plan, folder)
        display.print_search(record, console)
        display.write_report(plan, console)
    finally:
        claim.release(forever=True)
    return int(not complete)


def _no_best(plan: SearchPlan, record: SearchRecord, console: Console) -> int:
    """Print the result of a search without a finished trial; returns the exit code."""
    from kdrun.experiments.tune import display, search

    record = search.finish_record(plan, None)
    display.print_search(record, console)
    display.write_report(plan, console)
    errors = [trial["error"] for trial in record["trials"] if trial["error"]]
    console.error(f"no trial finished; the first error: {errors[0] if errors else 'none was recorded'}")
    return 1
