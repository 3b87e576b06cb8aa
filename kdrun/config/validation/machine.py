"""Rules about processes, threads and memory of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kdrun import processor, ranks
from kdrun.config.model import BagOfWordsStudentConfig, ScratchConfig
from kdrun.config.schema import RunConfig
from kdrun.errors import Problem
from kdrun.formatting import num_bytes, plural

MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
PROCESS_COUNTS = ("WORLD_SIZE", *MPI_SIZES, "SLURM_STEP_NUM_TASKS")
"""Environment variables in which launchers name the number of processes: torchrun and accelerate, MPI, Slurm."""
THREADS_PER_CORE = 16
"""More threads than this per core only wait for each other, and OpenMP crashes at some number above."""
MAX_DEVICES = 16
"""Most processes on a machine with fewer cores; GPUs are counted when torch is loaded."""
WIDTHS, INNER_WIDTHS = ("hidden_size", "d_model", "dim"), ("intermediate_size", "d_ff", "hidden_dim")
BYTES_PER_PARAMETER = 4


def machine_problems(config: RunConfig) -> Iterator[Problem]:
    """Problems with the environment of this process and with sizes that the machine cannot hold."""
    yield from _process_problems(config)
    cores = processor.usable_cores()
    most = THREADS_PER_CORE * cores
    threads = config.runtime.threads
    if threads is not None and threads > most:
        text = f"runtime.threads={threads}: this process may use {plural(cores, 'core')}; use at most {most} threads"
        yield Problem("runtime.threads", threads, text)
    if config.cost_card and config.runtime.compile:
        text = (
            "cost_card=true measures models as they are saved, and runtime.compile=true compiles the teacher; leave "
            "one out, and use kdrun cost RUN_DIR afterward"
        )
        yield Problem("cost_card", True, text)
    for role in ("teacher", "student", "generator"):
        section = getattr(config, role)
        if isinstance(section, ScratchConfig) and section.path is None:
            sizes = f"vocab_size={section.vocab_size} and sizes={dict(section.sizes)}"
            yield from _memory_problems(f"{role}.sizes", sizes, least_parameters(section))
        elif isinstance(section, BagOfWordsStudentConfig) and section.path is None:
            parameters = section.buckets * config.task.num_outputs
            yield from _memory_problems("student.buckets", f"buckets={section.buckets}", parameters)


def repeated_run_problems() -> Iterator[Problem]:
    """Processes that srun or mpirun started, each of which would repeat one run; those of a sweep share its cells."""
    if ranks.started_as()[1] > 1:
        return
    for name in PROCESS_COUNTS:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 1:
            text = (
                f"{name}={value}: {value} processes were started, and each would repeat the whole run; start one "
                f"process with runtime.devices={value}, or start them with torchrun (or: env -u {name} kdrun …)"
            )
            yield Problem(None, value, text)
            return


def _process_problems(config: RunConfig) -> Iterator[Problem]:
    """More processes than cores, than torchrun started, or than the student's steps have micro-batches."""
    devices, started, cores = config.runtime.devices, ranks.started_as()[1], processor.usable_cores()
    if devices > max(cores, MAX_DEVICES):
        yield Problem(
            "runtime.devices", devices, f"runtime.devices={devices}: this process may use {plural(cores, 'core')}"
        )
    if started > 1 and devices not in (1, started):
        text = f"runtime.devices={devices}, but torchrun started {started} processes; leave runtime.devices out"
        yield Problem("runtime.devices", devices, text)
    count, optim = max(devices, started), config.optim
    accumulate, key = optim.gradient_accumulation_steps, "optim.gradient_accumulation_steps"
    if count > accumulate:
        smaller = max(1, optim.batch_size * accumulate // count)
        text = (
            f"{key}={accumulate}: {count} processes share the micro-batches of a step, so each needs at least one; "
            f"with optim.batch_size={smaller} {key}={count} a step has {smaller * count} examples "
            f"(now {optim.batch_size * accumulate})"
        )
        yield Problem(key, accumulate, text)


def _memory_problems(key: str, sizes: str, parameters: int) -> Iterator[Problem]:
    """A model whose weights alone exceed the machine's memory; checked before anything of its size is built.

    Args:
        key: of the sizes.
        sizes: settings that decide the number of parameters.
        parameters: at least as many.
    """
    import psutil

    memory = psutil.virtual_memory().total
    if parameters * BYTES_PER_PARAMETER > memory:
        text = (
            f"{key.partition('.')[0]}: {sizes} make at least {parameters:.2g} parameters, "
            f"{num_bytes(parameters * BYTES_PER_PARAMETER)} in fp32, and this machine has {num_bytes(memory)}; use "
            "smaller sizes"
        )
        yield Problem(key, parameters, text)


def least_parameters(section: ScratchConfig) -> int:
    """A lower bound of the number of parameters: embeddings, attention and feed-forward layers of the given sizes."""
    width, inner = _size(section, WIDTHS), _size(section, INNER_WIDTHS)
    depth = _size(section, section.architecture.spec.depth_keys)
    return section.vocab_size * width + depth * (4 * width + 2 * inner) * width


def _size(section: ScratchConfig, names: tuple[str, ...]) -> int:
    """The first of these sizes that the section sets; 1 if it sets none, as then the family's default holds."""
    values = [section.sizes[name] for name in names if isinstance(section.sizes.get(name), int)]
    return max(1, *values) if values else 1
