"""Share work and exchange values between the processes of a run.

`torchrun` starts the processes and numbers them by `RANK` and `WORLD_SIZE`; without these there is one process, and
everything here is free. Micro-batches and evaluation batches are shared as wholes, never split. So every random stream
stays a function of (seed, purpose, number of the batch), and no result depends on the number of processes.

Two channels connect the processes. Collective exchanges (`gather`, `from_first`, `sum_tensors`) need every process at
the same place of the program. Messages (`post`, `receive`) go through torchrun's key-value store, and their sender does
not wait. By messages the first process starts runs in the others. The processes must trust their network, since
torch.distributed exchanges objects as pickles (SECURITY.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from kdrun.errors import ProcessError, describe, restore
from kdrun.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor, distributed
else:
    torch, distributed = lazy_module("torch"), lazy_module("torch.distributed")

T = TypeVar("T")
BUCKET_BYTES = 25 * 2**20
"""Size of the buffers in which tensors are summed."""
PATIENCE = timedelta(days=7)
"""How long a process waits for another, which may be training a teacher; a process that ended is noticed at once."""

MESSAGES = "kdrun"
"""Beginning of the messages' keys; torch.distributed uses the same store."""
POLL_SECONDS = 0.05
"""Seconds between two looks for a message."""


@dataclass
class World:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        objects: group that exchanges objects and tensors of the CPU; None while the process is alone.
        store: key-value store of the messages; None while the process is alone.
        num_acts: number of times that the first process has acted for all.
    """

    rank: int = 0
    size: int = 1
    objects: Any = None
    store: Any = None
    num_acts: int = 0


_world = World()


def started_as() -> tuple[int, int]:
    """Rank and number of processes that torchrun gave this process; (0, 1) without torchrun."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    return (int(rank), int(size)) if rank.isdecimal() and size.isdecimal() else (0, 1)


def rank() -> int:
    """Number of this process, from 0."""
    return _world.rank


def size() -> int:
    """Number of processes that compute together; 1 before `join` and inside `alone`."""
    return _world.size


def is_first() -> bool:
    """Whether this process writes the files of the run and prints."""
    return _world.rank == 0


def join() -> None:
    """Connect to the other processes that torchrun started, once per process.

    Objects and tensors of the CPU go through gloo, tensors of a GPU through NCCL.

    Raises:
        ProcessError: the processes do not find each other.
    """
    number, count = started_as()
    if count == 1 or _world.size > 1:
        return
    from torch.distributed.rendezvous import rendezvous

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        store, number, count = next(iter(rendezvous("env://", timeout=PATIENCE)))
        if not distributed.is_initialized():
            distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
        objects = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ProcessError(f"the {count} processes of torchrun cannot connect: {error}") from error
    _world.rank, _world.size, _world.objects = number, distributed.get_world_size(), objects
    _world.store = store


def leave() -> None:
    """Disconnect from the other processes."""
    global _world
    if _world.size > 1:
        _world = World()
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Let this process do inside the context what all processes would otherwise share."""
    global _world
    before, _world = _world, World()
    try:
        yield
    finally:
        _world = before


def share(items: Sequence[T]) -> list[T]:
    """The items that are this process's part: every `size()`-th."""
    return list(items[_world.rank :: _world.size])


def share_evenly(items: Sequence[T]) -> tuple[list[T], int]:
    """As `share`, but as many items in every process, for work that all must do together.

    Returns:
        The items, and how many of them are this process's part; after these the first item of all is repeated.
    """
    part = share(items)
    return part + list(items[:1]) * (-(-len(items) // _world.size) - len(part)), len(part)


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Explain a failed exchange: another process ended."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessError(
            f"process {_world.rank} of {_world.size} lost the others ({str(error).splitlines()[0]}); one of them "
            "ended, and its own message says why"
        ) from error


def from_first(value: T) -> T:
    """The first process's value, on every process."""
    if _world.size == 1:
        return value
    box = [value]
    with _peer_errors():
        distributed.broadcast_object_list(box, src=0, group=_world.objects)
    return box[0]


def by_first(act: Callable[[], T]) -> T:
    """The value of a function that only the first process calls; every process raises its error."""
    if _world.size == 1:
        return act()
    value, error = None, None
    key, _world.num_acts = f"act/{_world.num_acts}", _world.num_acts + 1
    if _world.rank == 0:
        try:
            with alone():
                value = act()
        except Exception as raised:  # noqa: BLE001 - raised again below
            error = raised
        post(key, "")
    else:
        receive(key)  # the others handle signals while they wait, which they cannot in an exchange
    raise_first_error(error)
    return from_first(value)  # pyright: ignore[reportReturnType]


def raise_first_error(error: Exception | None) -> None:
    """Raise the error of the first process that has one, in every process.

    Args:
        error: this process's; None if it has none.

    Raises:
        Exception: this process's own, or the KdrunError that describes another process's.
    """
    found = gather(None if error is None else describe(error))
    first = next((number for number, item in enumerate(found) if item is not None), None)
    if first is None:
        return
    if error is not None and first == _world.rank:
        raise error
    raise restore(found[first] or {})


def gather(value: T) -> list[T]:
    """Every process's value, by rank, on every process."""
    if _world.size == 1:
        return [value]
    values: list[Any] = [None] * _world.size
    with _peer_errors():
        distributed.all_gather_object(values, value, group=_world.objects)
    return values


def gather_vectors(vector: Tensor) -> Tensor:
    """Every process's vector of numbers on the CPU, [processes, length], on every process."""
    if _world.size == 1:
        return vector[None]
    rows = [torch.empty_like(vector) for _ in range(_world.size)]
    with _peer_errors():
        distributed.all_gather(rows, vector, group=_world.objects)
    return torch.stack(rows)


def sum_tensors(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one dtype and device over all processes, in place."""
    if _world.size == 1 or not tensors:
        return
    group = _world.objects if tensors[0].device.type == "cpu" else None
    pending: list[tuple[Any, Tensor, list[Tensor]]] = []
    with _peer_errors():
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            pending.append((distributed.all_reduce(flat, group=group, async_op=True), flat, bucket))
        for work, flat, bucket in pending:
            work.wait()
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket, num_bytes = [], 0
    for tensor in tensors:
        bucket.append(tensor)
        num_bytes += tensor.numel() * tensor.element_size()
        if num_bytes >= BUCKET_BYTES:
            yield bucket
            bucket, num_bytes = [], 0
    if bucket:
        yield bucket


def post(key: str, value: str) -> None:
    """Leave a message for the other processes."""
    _world.store.set(f"{MESSAGES}/{key}", value)


def receive(key: str, timeout: float | None = None) -> str:
    """The message of another process, once it is there; in between, signals are handled.

    Args:
        key: of the message.
        timeout: seconds to wait; None for any time.

    Raises:
        TimeoutError: no message came in time.
        ProcessError: the store is gone, because torchrun ended.
    """
    started, full_key = time.monotonic(), f"{MESSAGES}/{key}"
    try:
        while not _world.store.check([full_key]):
            if timeout is not None and time.monotonic() - started > timeout:
                raise TimeoutError(key)
            time.sleep(POLL_SECONDS)
        return _world.store.get(full_key).decode()
    except RuntimeError as error:  # DistNetworkError among others
        raise ProcessError(f"process {_world.rank} of {_world.size} lost the first one: {error}") from error
