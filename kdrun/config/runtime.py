"""Runtime, checkpoint and tracker sections: they change speed and logging, not results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting


class Precision(Enum):
    """Arithmetic of training and evaluation; weights and losses stay in fp32 either way."""

    fp32 = "fp32"
    bf16 = "bf16"


class Device(Enum):
    """Where to run; `auto` takes the best one present and the run says which."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class CheckpointSelection(Enum):
    """Which checkpoint becomes the result: the best on the dev split, or the last."""

    best_dev = "best_dev"
    last = "last"


class Tracker(Enum):
    """Where metrics go beside metrics.jsonl, through Accelerate."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


@dataclass
class RuntimeConfig:
    """Speed and logging: changes how a run is carried out, not what it computes beyond rounding."""

    device: Device = setting(Device.auto, "where to run")
    precision: Precision = setting(Precision.fp32, "arithmetic of the models")
    threads: int | None = setting(None, "CPU threads; null leaves torch's choice", gt=0)
    deterministic: bool = setting(False, "refuse operations whose result may differ from run to run (GPU: slower)")
    compile: bool = setting(
        False, "torch.compile the models' layers: half a minute and more at the start, then somewhat faster steps"
    )
    log_every: int = setting(20, "optimizer steps between lines of metrics.jsonl", gt=0)
    eval_every: int | None = setting(
        None, "optimizer steps between evaluations; null is once an epoch, at most 20 times a phase", gt=0
    )
    eval_batch_size: int = setting(256, "examples per evaluation batch", gt=0)


@dataclass
class CheckpointConfig:
    """Checkpoints that a run can go on from (`kdrun resume=RUN_FOLDER`); they change nothing that it computes."""

    every_seconds: float = setting(300.0, "seconds of training between them; 0 saves after every step", ge=0)
    keep_last: int = setting(2, "how many, in case the newest is damaged", gt=0)
