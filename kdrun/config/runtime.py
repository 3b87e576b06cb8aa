"""Runtime, checkpoint and tracker sections: speed and logging, not results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting


class Precision(Enum):
    """Arithmetic of training and evaluation; weights and losses stay in fp32 either way.

    `auto` is bf16 where the run's device computes it natively, else fp32. A composed config has the result.
    """

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Device(Enum):
    """Device to run on; `auto` takes the best one present, which the run reports."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Shard(Enum):
    """Models whose weights are divided among the processes of a run, so that each process keeps a part."""

    none = "none"
    teacher = "teacher"
    student = "student"
    both = "both"

    @property
    def roles(self) -> frozenset[str]:
        """Roles of these models."""
        return frozenset({"none": (), "both": ("teacher", "student")}.get(self.value, (self.value,)))


class CheckpointSelection(Enum):
    """Checkpoint that becomes the result: the best on the dev split, or the last."""

    best_dev = "best_dev"
    last = "last"


class Tracker(Enum):
    """Destination of metrics besides metrics.jsonl, through Accelerate."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


@dataclass
class RuntimeConfig:
    """Speed and logging: these settings change no result beyond rounding."""

    device: Device = setting(Device.auto, "device to run on")
    precision: Precision = setting(
        Precision.auto, "arithmetic of the models; auto is bf16 where the processor or GPU has it, else fp32"
    )
    devices: int = setting(1, "processes that train together, one per device; on a CPU they share its cores", gt=0)
    shard: Shard = setting(
        Shard.none, "models too large for one device: each of the processes keeps a part of their weights (FSDP2)"
    )
    threads: int | None = setting(
        None, "CPU threads of a process; null uses torch's default, at most the cores that the process may use", gt=0
    )
    deterministic: bool = setting(False, "refuse operations with results that may differ from run to run (GPU: slower)")
    compile: bool = setting(
        False, "torch.compile the models' layers: half a minute and more at the start, then somewhat faster steps"
    )
    log_every: int = setting(20, "optimizer steps between lines of metrics.jsonl", gt=0)
    eval_every: int | None = setting(
        None, "optimizer steps between evaluations; null is once per epoch, at most 20 times per phase", gt=0
    )
    eval_batch_size: int = setting(256, "examples per evaluation batch", gt=0)


@dataclass
class CheckpointConfig:
    """Checkpoints to resume a run from (`kdrun resume=RUN_DIR`); they change no result."""

    every_seconds: float = setting(300.0, "seconds of training between checkpoints; 0 saves after every step", ge=0)
    keep_last: int = setting(2, "number of checkpoints kept, in case the newest is damaged", gt=0)
