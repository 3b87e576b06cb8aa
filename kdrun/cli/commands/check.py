"""`kdrun check`: preflight checks of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class CheckOptions:
    """No options: all arguments of `kdrun check` are overrides of the run."""


OPTIONS = CheckOptions
EXAMPLE = "kdrun check method=kd task=sst2"


def main(overrides: list[str]) -> int:
    """Check a run without training the student.

    Builds everything, fine-tunes (or loads) and evaluates the teacher, takes one step of each turn on the longest
    rows, and prints the checks that passed and failed, with remedies. Takes the overrides of a run, e.g.
    kdrun check method=kd task=sst2 preset=mini data.dir=GLUE_FOLDER
    """
    from kdrun import progress
    from kdrun.cli.subcommands import current_overrides
    from kdrun.cli.verbosity import run_console
    from kdrun.config import compose, user_configs
    from kdrun.console import Console
    from kdrun.data.file_checks import check_run_files

    console, config = run_console(), compose.load_config(current_overrides(overrides))
    check_run_files(config)
    with progress.show_on(console), progress.track("loading PyTorch and transformers"):
        from kdrun.runs import runner
    checks = runner.preflight(config, console)
    console = Console()  # the result is printed with -q too
    used = [(f"your {choice.axis}={choice.name}", str(choice.path)) for choice in user_configs.used_by(overrides)]
    rows = [(f"{'passed' if check.ok else 'FAILED'}  {check.name}", check.value) for check in checks]
    console.key_values(f"check of {config.method.name} on {config.task.name}, preset {config.preset}", [*used, *rows])
    failed = [check for check in checks if not check.ok]
    for check in failed:
        console.warning(f"{check.name}: {check.remedy}")
    console.print(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
    return int(bool(failed))
