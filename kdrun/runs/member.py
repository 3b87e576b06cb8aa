"""Entry point of the processes that compute a run together.

`python -m kdrun.runs.member FOLDER` is started by `kdrun.runs.launch`; FOLDER holds the run's job. No process composes
a config: the job carries the config that the starting process composed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from rich.console import Console as RichConsole

from kdrun import progress, ranks, signals
from kdrun.config.schema import RunConfig
from kdrun.console import Console, log_to
from kdrun.errors import KdrunError, describe
from kdrun.formatting import escape_control
from kdrun.runs import launch
from kdrun.runs.launch import Job
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage import hub_offline
from kdrun.storage.serialization import to_plain
from kdrun.storage.typed_json import decode

PARENT_CHECK_SECONDS = 0.2


def main(folder: Path) -> int:
    """Take part in the run of a folder's job.

    Returns:
        The exit code: 0 if the run ended as planned, 128 plus a signal's number, 1 after an error.
    """
    _end_with_parent()
    job: Job = decode((folder / launch.JOB).read_bytes())
    is_first, code = ranks.started_as()[0] == 0, 0
    try:
        with signals.handle_signals():
            if is_first:
                launch.write_outcome(folder, {"result": to_plain(_lead(job))})
            else:
                follow()
    except KeyboardInterrupt as stop:
        launch.write_outcome(folder, {"stopped": signals.exit_code(stop) - 128})
        code = signals.exit_code(stop)  # not 0: torchrun then ends processes that wait for this one
    except Exception as error:  # noqa: BLE001 - the process that started this one raises it
        code = 1
        if not isinstance(error, KdrunError):
            traceback.print_exc()
        launch.write_outcome(folder, describe(error))
    if is_first and ranks.size() > 1:
        launch.dismiss_members()
    return code


def _lead(job: Job) -> object:
    from kdrun.runs import runner

    console, config = Console(), job.config
    with hub_offline.offline_mode(config.offline), log_to(console), progress.show_on(console):
        return runner.compute(config, console, RunDirectory.attach(config, Path(job.run_dir)))


def follow_first() -> int:
    """Follow the first process under an outer torchrun.

    Returns:
        The exit code.
    """
    try:
        with signals.handle_signals():
            follow()
    except KeyboardInterrupt as stop:
        return signals.exit_code(stop)
    except KdrunError as error:
        sys.stderr.write(f"process {ranks.started_as()[0]}: error: {escape_control(str(error))}\n")
        return error.code
    return 0


def follow() -> None:
    """Compute the runs that the first process starts, until it has no further one.

    Raises:
        Exception: an error of this process that the first one does not share.
    """
    ranks.join()
    number = 0
    while (job := decode(ranks.receive(launch.run_key(number)))) is not None:
        try:
            _follow_run(job)
        except (Exception, KeyboardInterrupt) as error:
            is_stop = isinstance(error, KeyboardInterrupt)
            try:  # an error of every process ends the run, not the processes
                ranks.receive(launch.failed_key(number), launch.STOP_SECONDS if is_stop else launch.GRACE_SECONDS)
            except (TimeoutError, KdrunError):
                pass
            else:
                ranks.post(launch.left_key(number, ranks.rank()), "")
                number += 1
                continue
            raise
        number += 1


def _follow_run(job: Job) -> None:
    from kdrun.runs import runner

    config: RunConfig = job.config
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(RichConsole(file=nowhere))
        with hub_offline.offline_mode(config.offline), log_to(console):
            runner.load_and_execute(config, console, job.command, RunDirectory.attach(config, Path(job.run_dir)))


def _end_with_parent() -> None:
    """Kill this process as soon as the process that started it ends, so that none outlives the run's lock."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
