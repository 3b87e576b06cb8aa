"""Run a command line once, however many processes torchrun started."""

from __future__ import annotations

from collections.abc import Callable

from kdrun import ranks


def run_in_first_process(run: Callable[[list[str]], int], args: list[str]) -> int:
    """Run a command line in the first process; the others compute the runs that it starts in them.

    Args:
        run: runs a command line, returns its exit code.
        args: the command line.
    """
    number, count = ranks.started_as()
    if count == 1:
        return run(args)
    from kdrun.runs import launch, member

    if number > 0:
        return member.follow_first()
    code = run(args)
    launch.dismiss_members()
    return code
