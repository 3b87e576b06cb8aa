"""Scale, rows, models and training steps that all cases share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, BertConfig, RobertaConfig

from kdrun.config.optim import OptimConfig
from kdrun.config.task import TaskConfig
from kdrun.data.loader import BatchLoader
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import Method
from kdrun.methods.phases import Phase
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.phase_runner import PhaseRunner
from kdrun.training.trainer import Trainer, TrainerSettings

SST2_LENGTHS = [3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 27, 33, 66]
"""Quantiles 0, 0.05 … 1 of the WordPiece tokens of SST-2's training rows."""

ENDLESS = 10**6
"""Steps of a phase that no measurement exhausts."""

TASK = TaskConfig(
    name="sst2", labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy", domains=["x", "y"]
)


def sizes(layers: int, width: int, heads: int) -> dict[str, int]:
    """Return the sizes of an encoder whose inner width is four times its width."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }


@dataclass
class Scale:
    """Sizes and device of all cases, set by scripts/bench.py."""

    name: str = "small"
    vocab: int = 30522
    batch: int = 32
    max_length: int = 128
    rows: int = 4096
    texts: int = 67349
    """Rows of the tokenization cases: as many as SST-2 has."""
    mask_rate: float = 0.3
    family: type[BertConfig | RobertaConfig] = BertConfig
    large: dict[str, int] = field(default_factory=lambda: sizes(4, 256, 4))
    """Teacher and student of the adversarial cases, teacher of the other cases."""
    small: dict[str, int] = field(default_factory=lambda: sizes(2, 128, 2))
    """Student of the other cases."""
    encoder: dict[str, int] = field(default_factory=lambda: sizes(6, 384, 12))
    """Model whose share of the machine's peak is measured."""
    writer: dict[str, int] = field(
        default_factory=lambda: {
            "d_model": 256, "d_ff": 1024, "d_kv": 32, "num_heads": 8, "num_layers": 3, "num_decoder_layers": 3,
        }
    )  # fmt: skip
    """The T5 generator."""
    student: dict[str, int] | None = None
    """Student and generator of the adversarial cases, if smaller than the teacher."""
    device: str = "cpu"
    precision: str = "fp32"

    @property
    def pad_id(self) -> int:
        """The padding token."""
        return 1 if self.family is RobertaConfig else 0

    @property
    def mask_id(self) -> int:
        """The mask token."""
        return self.vocab - 1 if self.family is RobertaConfig else 103

    @property
    def special(self) -> torch.Tensor:
        """Tokens that are never generated."""
        ids = [0, 1, 2, 3, self.mask_id] if self.family is RobertaConfig else [0, 100, 101, 102, 103]
        return torch.tensor(ids, device=self.device)


SCALE = Scale()


def scale_to(name: str) -> None:
    """Set the scale: `small`, or `roberta` for RoBERTa-large and DistilRoBERTa with random weights."""
    scale = Scale()
    if name == "roberta":
        scale = replace(
            scale, name=name, vocab=50265, family=RobertaConfig, large=sizes(24, 1024, 16), small=sizes(6, 768, 12),
            student=sizes(6, 768, 12), encoder=sizes(24, 1024, 16),
        )  # fmt: skip
    for key, value in vars(scale).items():
        if key not in ("device", "precision"):
            setattr(SCALE, key, value)


@dataclass(frozen=True)
class Side:
    """One side of a case: `run(n)` takes n steps, `steps` of them per round."""

    run: Callable[[int], None]
    steps: int


@dataclass(frozen=True)
class Case:
    """A measurement of kdrun and a reference; `target` is the expected ratio or time."""

    name: str
    reference: str
    make: Callable[[str], Side]
    target: str = ""


def rows(count: int | None = None, length: int | None = None) -> tuple[TokenizedSplit, np.ndarray]:
    """Draw random tokens in rows as long as SST-2's (or all of one length), and random labels."""
    random, count = np.random.default_rng(0), count or SCALE.rows
    lengths = np.interp(random.random(count), np.linspace(0, 1, 21), SST2_LENGTHS).astype(int)
    if length is not None:
        lengths = np.full(count, length)
    first, last = (0, 2) if SCALE.family is RobertaConfig else (101, 102)
    texts = [
        [first, *random.integers(1000, SCALE.mask_id if first == 0 else SCALE.vocab, n - 2), last] for n in lengths
    ]
    lists = {"input_ids": pa.array([list(map(int, text)) for text in texts], pa.list_(pa.int32()))}
    if SCALE.family is BertConfig:
        lists["token_type_ids"] = pa.array([[0] * len(text) for text in texts], pa.list_(pa.int8()))
    return TokenizedSplit(pa.table(lists), SCALE.pad_id, 0, "bench"), random.integers(0, 2, count).astype(np.int64)


def model(shape: Mapping[str, int], head: str = "classifier", attention: str = "sdpa") -> nn.Module:
    """Build a model with random weights, frozen: a `classifier`, or a `generator` with a language-model head."""
    torch.manual_seed(0)
    positions = max(SCALE.max_length, 512) + 2
    config = SCALE.family(
        vocab_size=SCALE.vocab,
        pad_token_id=SCALE.pad_id,
        max_position_embeddings=positions,
        **shape,  # type: ignore[arg-type]
    )
    auto = AutoModelForMaskedLM if head == "generator" else AutoModelForSequenceClassification
    with torch.device(SCALE.device):  # a GPU draws the weights of a large model many times faster than the CPU
        network = auto.from_config(config, attn_implementation=attention)
    return network.to(SCALE.device).requires_grad_(False).eval()


def accelerator() -> Accelerator:
    """Create an accelerator with the device and the precision of the scale.

    Accelerate has one precision per process. Cases with both precisions run in one process, so autocast is replaced.
    """
    instance = Accelerator(cpu=SCALE.device == "cpu")
    if SCALE.precision == "bf16":
        instance.autocast = partial(torch.autocast, SCALE.device, torch.bfloat16)  # type: ignore[method-assign]
    return instance


def in_loop(make: Callable[[], Method], phase: Phase, loader: BatchLoader, steps: int) -> Side:
    """Build steps of a phase in kdrun's training loop, which continues from round to round."""
    runners: list[PhaseRunner] = []
    own_accelerator = accelerator()  # with the current precision of the scale

    def run(count: int) -> None:
        if not runners:
            endless = replace(phase, steps=ENDLESS, evaluated=True)
            settings = TrainerSettings(OptimConfig(lr=1e-5, warmup_ratio=0.0), 0, log_every=ENDLESS, eval_every=ENDLESS)
            trainer = Trainer(
                make(), [endless], loader, settings, own_accelerator, lambda: (None, {}), TrainerCallback()
            )
            trainer.context.method.on_phase_start(endless)
            runners.append(PhaseRunner(trainer.context, endless, trainer.evaluate, trainer.checkpoint_if_due))
        runners[0].total = runners[0].step + count
        runners[0].run()

    return Side(run, steps)


def random_batches(seed: int) -> Iterator[np.ndarray]:
    """Yield row numbers of batches in random order."""
    random = np.random.default_rng(seed)
    while True:
        yield random.integers(0, SCALE.rows, SCALE.batch)


def on_device(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Move a batch to the device of the models."""
    return {name: value.to(SCALE.device) for name, value in batch.items()}
