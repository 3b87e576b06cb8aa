"""`kdrun compare`: compare methods over seeds."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from kdrun.experiments.compare.options import CompareOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdrun.console import Console
    from kdrun.experiments.compare.arms import Arm
    from kdrun.experiments.compare.recorder import Recorder
    from kdrun.experiments.compare.scores import Scores

OPTIONS = CompareOptions
EXAMPLE = "kdrun compare method=kd task=sst2 seeds=3"


def main(args: list[str]) -> int:
    """Compare methods over seeds.

    Runs the baselines and the named methods with seeds 1 … N. For each seed, all methods start from the same student,
    see the same batches and take the same number of student steps. Finished runs with the same config, code and data
    are reused, so a repeated command resumes the comparison. The last table lists the verdicts. All other arguments are
    overrides of the runs: kdrun compare method=kd task=sst2 preset=mini data.dir=GLUE_FOLDER seeds=5

    One key besides method may take several values. Each method then has one arm per value that fits it, named after
    the method, the last part of the key and the value. Values that do not fit a method are reported and left out.
    kdrun compare method=kd task=sst2 method.temperature=1,2,4
    kdrun compare method=kd_ood baselines=[] task=sst2 ood.path=null,RUN_FOLDER
    kdrun compare method=tinybert_kd,meta_kd baselines=[] task=amazon method.domain=all \\
      teacher.domain_strategy=single,meta

    The claims to decide are that every method beats every baseline, or those of claims=, with Holm's correction. One
    sentence per claim tells whether it is supported, contradicted or undecided. With claims= the exit code tells it
    too: 0 all are supported, 1 a run failed, 3 a claim is contradicted, 4 one is undecided and none is contradicted.
    kdrun compare method=mate_kd,kd_augment task=sst2 'claims=[mate_kd>kd,mate_kd>kd_augment]' seeds=5

    With until=decided, seeds are added one by one until each claim is decided or max_seeds is reached, and arms whose
    claims are decided stop first. Wrong verdicts stay as rare as with one look, by a group-sequential rule.
    kdrun compare method=mate_kd task=sst2 'claims=[mate_kd>kd]' until=decided max_seeds=20

    With tune=8 each method, baselines included, first gets eight tuning trials over its shipped space. They choose by
    other rows than those that are reported:
    kdrun compare method=kd task=sst2 evaluation.held_out=2500 tune=8

    A launcher runs the missing runs as jobs; retry=true includes failed ones:
    kdrun compare method=kd task=sst2 seeds=5 hydra/launcher=slurm_cpu
    """
    from kdrun import progress
    from kdrun.cli.subcommands import current_overrides
    from kdrun.cli.verbosity import run_console
    from kdrun.config import options
    from kdrun.console import Console

    args, console = current_overrides(args), Console()
    settings, overrides = options.parse_options(CompareOptions, args, others=True)
    with progress.show_on(run_console()):
        return _compare(settings, overrides, shlex.join(["kdrun", "compare", *args]), console)


def _compare(settings: CompareOptions, overrides: list[str], command: str, console: Console) -> int:
    from kdrun.cli import jobs
    from kdrun.cli.verbosity import run_console
    from kdrun.config import compose
    from kdrun.data.file_checks import check_run_files
    from kdrun.errors import ConfigError
    from kdrun.experiments.compare import display, plan, tuning
    from kdrun.experiments.compare.arms import equalize_budgets, load_rows
    from kdrun.experiments.compare.claims import exit_code, plan_claims
    from kdrun.experiments.compare.metric import check_metric
    from kdrun.experiments.compare.recorder import Recorder
    from kdrun.progress import track
    from kdrun.storage import hub_offline

    _check_seeds(settings)
    started = time.perf_counter()
    launcher, overrides = jobs.split_launcher(overrides)
    with track("checking the configs"):
        if launcher and (problems := compose.validate_overrides(launcher, multirun=True)):
            raise ConfigError(problems)
        arms = plan.plan_arms(list(dict.fromkeys([*settings.baselines, *settings.method])), overrides)
        plan_claims(settings, arms)  # reports all problems of claims=
        check_metric(settings, arms)
        config = arms[0].config(1)
        if settings.tune:
            tuning.check_tuning(arms, config, settings.tune)
        for arm in arms:
            check_run_files(arm.config(1))
    with hub_offline.offline_mode(config.offline), track("reading the data"):
        data = load_rows(arms)
    equalize_budgets(arms, data.student_rows.num_rows, data.rows_by_domain(data.student_rows.name))
    log_console = run_console()  # the verdicts are printed with -q too
    display.print_header(arms, list(range(1, settings.seeds + 1)), data, log_console)
    try:
        searches = tuning.tune_arms(arms, settings, command, launcher, log_console)
        recorder = Recorder(arms, settings, config, data, command, searches, started)
        scores = _run_all(recorder, launcher, log_console)
    except KeyboardInterrupt:
        console.error("stopped; repeat the command to resume")
        raise
    record = recorder.save(scores, console)
    return exit_code(record, settings)


def _check_seeds(settings: CompareOptions) -> None:
    """Check the numbers of seeds of a comparison with until=decided.

    Raises:
        ConfigError: a number is too small.
    """
    from kdrun.errors import ConfigError, Problem
    from kdrun.experiments.compare.options import Until
    from kdrun.experiments.compare.significance import MIN_SEEDS

    if settings.until is Until.seeds:
        return
    problems = []
    if settings.seeds < MIN_SEEDS:
        text = f"seeds={settings.seeds}: with until=decided the first look needs {MIN_SEEDS} seeds or more"
        problems.append(Problem("seeds", settings.seeds, text))
    if settings.max_seeds < settings.seeds:
        text = f"max_seeds={settings.max_seeds} must be at least seeds={settings.seeds}, the seeds of the first look"
        problems.append(Problem("max_seeds", settings.max_seeds, text))
    if problems:
        raise ConfigError(problems)


def _run_all(recorder: Recorder, launcher: list[str], console: Console) -> Scores | None:
    """Run the missing runs of a comparison, until its seeds or its claims are done.

    Returns:
        The scores at the last look; None if the number of seeds is fixed.
    """
    from kdrun.experiments.compare.arms import run_missing
    from kdrun.experiments.compare.claims import plan_claims
    from kdrun.experiments.compare.metric import judged_split
    from kdrun.experiments.compare.options import Until
    from kdrun.experiments.compare.record import read_scores
    from kdrun.experiments.compare.scores import Scores
    from kdrun.experiments.compare.until import Plan, make_looks, run_until_decided

    arms, settings = recorder.arms, recorder.settings

    def run(some_arms: Sequence[Arm], seeds: Sequence[int]) -> None:
        if launcher:
            _run_by_jobs(some_arms, seeds, launcher, console, arms)
        else:
            run_missing(some_arms, seeds, console)

    if settings.until is Until.seeds:
        run(arms, list(range(1, settings.seeds + 1)))
        return None
    scores, config, metric = Scores(), recorder.config, settings.metric or recorder.config.task.headline
    split = judged_split(config, metric)

    def read() -> Scores:
        nonlocal scores
        scores = read_scores(arms, config.task, split, metric, scores)
        return scores

    plan = Plan(arms, plan_claims(settings, arms), settings.margin, make_looks(settings), bool(launcher))
    run_until_decided(plan, run, read, console, lambda: recorder.save_look(scores, console))
    return scores


def _run_by_jobs(
    arms: Sequence[Arm], seeds: Sequence[int], launcher: list[str], console: Console, all_arms: Sequence[Arm] = ()
) -> None:
    """Run the missing runs as jobs of a launcher.

    Raises:
        LaunchError: some runs have not ended.
    """
    from kdrun.cli import jobs
    from kdrun.errors import LaunchError
    from kdrun.experiments.compare.cells import collect, record_runs

    collect(arms, seeds)
    sweep = record_runs(arms, seeds, all_arms)
    jobs.launch_cells(sweep, [*arms[0].overrides, f"sweep={sweep.name}"], launcher, console)
    for arm in arms:
        for seed in seeds:
            arm.failed.pop(seed, None)
    unfinished = collect(arms, seeds)
    if unfinished:
        raise LaunchError(
            f"no verdicts yet, as some runs have not ended ({'; '.join(unfinished)}); {sweep.command} lists them, and "
            "the repeated command continues"
        )
