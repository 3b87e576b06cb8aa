"""Apply a function to the parts of a corpus in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing.connection import Connection
from types import ModuleType
from typing import TypeVar

from kdrun.errors import DataError

MIN_TASKS = 4
"""Fewer tasks than this take less time than the start of processes."""
MAX_PROCESSES = 32
"""The process that merges the results keeps about this many others busy."""
TASKS_AHEAD = 2
"""Tasks per process that have been started and not yet been merged; bounds memory."""
T = TypeVar("T")
R = TypeVar("R")


def usable_cpus() -> int:
    """The number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(function: Callable[[T], R], tasks: Iterable[T], processes: int | None = None) -> Iterator[R]:
    """Apply a function to tasks and yield the results in the order of the tasks.

    Few tasks are processed here. The processes end with this one, also when it is killed, and on every error.

    Args:
        function: of a module that imports fast, because every process imports the module.
        tasks: read one by one, a few ahead of the result that is yielded.
        processes: by default one per usable CPU.

    Raises:
        DataError: the system ended a process.
    """
    processes = min(usable_cpus(), MAX_PROCESSES) if processes is None else processes
    if processes == 1 or multiprocessing.current_process().daemon:  # daemons may not have children
        yield from map(function, tasks)
        return
    tasks = iter(tasks)
    first = list(islice(tasks, MIN_TASKS))
    if len(first) < MIN_TASKS:
        yield from map(function, first)
        return
    yield from _map_in_processes(function, chain(first, tasks), processes)


def _map_in_processes(function: Callable[[T], R], tasks: Iterable[T], processes: int) -> Iterator[R]:
    context = multiprocessing.get_context("spawn")  # threads of torch and tokenizers do not survive a fork
    reader, writer = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(processes, context, _prepare_worker, (reader,))
    pending: deque[Future[R]] = deque()
    try:
        for task in tasks:
            with _without_main():
                pending.append(executor.submit(function, task))
            if len(pending) == TASKS_AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        executor.shutdown()
    except BrokenProcessPool:
        raise DataError(
            "the system ended a process that reads the corpus, as it does when memory runs out; run the command again "
            "with fewer CPUs, e.g. `taskset -c 0,1 kdrun …`"
        ) from None
    finally:
        writer.close()  # ends processes that still work
        executor.shutdown(cancel_futures=True)
        reader.close()


def _prepare_worker(reader: Connection) -> None:
    """Leave Ctrl-C to the parent, use one thread, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_exit_with_parent, args=(reader,), daemon=True).start()


def _exit_with_parent(reader: Connection) -> None:
    reader.poll(None)  # readable once the parent closes its end, or the system does after the parent's death
    os._exit(1)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, which new processes would run again: the user's script may not be written for that."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
