"""What all cases share: the size that everything is measured at, rows, models, and a step of kdrun's own loop."""

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
"""Steps of a phase that no measurement comes to the end of."""

TASK = TaskConfig(
    name="sst2", labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy", domains=["x", "y"]
)


def sizes(layers: int, width: int, heads: int) -> dict[str, int]:
    """The sizes of an encoder whose inner width is four times its width."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }


@dataclass
class Scale:
    """How large everything is, and where it runs; one for all cases, set by scripts/bench.py."""

    name: str = "small"
    vocab: int = 30522
    batch: int = 32
    max_length: int = 128
    rows: int = 4096
    texts: int = 67349
    """Rows of the tokenisation cases: as many as SST-2 has."""
    mask_rate: float = 0.3
    family: type[BertConfig | RobertaConfig] = BertConfig
    large: dict[str, int] = field(default_factory=lambda: sizes(4, 256, 4))
    """Teacher and student of the adversarial cases, teacher of the others."""
    small: dict[str, int] = field(default_factory=lambda: sizes(2, 128, 2))
    """Student of the other cases."""
    encoder: dict[str, int] = field(default_factory=lambda: sizes(6, 384, 12))
    """The model whose share of the machine's peak is measured."""
    writer: dict[str, int] = field(
        default_factory=lambda: {
            "d_model": 256, "d_ff": 1024, "d_kv": 32, "num_heads": 8, "num_layers": 3, "num_decoder_layers": 3,
        }
    )  # fmt: skip
    """The T5 that writes."""
    student: dict[str, int] | None = None
    """Student and generator of the adversarial cases, where they are smaller than the teacher."""
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
        """Tokens that are never made."""
        found = [0, 1, 2, 3, self.mask_id] if self.family is RobertaConfig else [0, 100, 101, 102, 103]
        return torch.tensor(found, device=self.device)


SCALE = Scale()


def scale_to(name: str) -> None:
    """Set the size: `small`, or `roberta` for RoBERTa-large, which teaches DistilRoBERTa (weights are random)."""
    made = Scale()
    if name == "roberta":
        made = replace(
            made, name=name, vocab=50265, family=RobertaConfig, large=sizes(24, 1024, 16), small=sizes(6, 768, 12),
            student=sizes(6, 768, 12), encoder=sizes(24, 1024, 16),
        )  # fmt: skip
    for key, value in vars(made).items():
        if key not in ("device", "precision"):
            setattr(SCALE, key, value)


@dataclass(frozen=True)
class Side:
    """One side of a case: `run(n)` takes n steps, `steps` of them a round."""

    run: Callable[[int], None]
    steps: int


@dataclass(frozen=True)
class Case:
    """Something that is measured: kdrun beside a reference; `target` is what its ratio (or its time) should be."""

    name: str
    reference: str
    make: Callable[[str], Side]
    target: str = ""


def rows(count: int | None = None, length: int | None = None) -> tuple[TokenizedSplit, np.ndarray]:
    """Random tokens in rows as long as SST-2's (or all of one length), and random labels."""
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
    """A model with random weights, frozen: a `classifier`, or a `generator` with its language-model head."""
    torch.manual_seed(0)
    positions = max(SCALE.max_length, 512) + 2
    config = SCALE.family(
        vocab_size=SCALE.vocab,
        pad_token_id=SCALE.pad_id,
        max_position_embeddings=positions,
        **shape,  # type: ignore[arg-type]
    )
    auto = AutoModelForMaskedLM if head == "generator" else AutoModelForSequenceClassification
    made = auto.from_config(config, attn_implementation=attention)
    return made.to(SCALE.device).requires_grad_(False).eval()


def accelerator() -> Accelerator:
    """Device and arithmetic of the scale.

    Accelerate has one precision a process; cases of both stand side by side here, so autocast is put in by hand.
    """
    made = Accelerator(cpu=SCALE.device == "cpu")
    if SCALE.precision == "bf16":
        made.autocast = partial(torch.autocast, SCALE.device, torch.bfloat16)  # type: ignore[method-assign]
    return made


def in_loop(make: Callable[[], Method], phase: Phase, feed: BatchLoader, steps: int) -> Side:
    """Steps of a phase as kdrun's loop takes them, from one round to the next, as in a training that goes on."""
    begun: list[PhaseRunner] = []
    own = accelerator()  # of the arithmetic that is asked for now

    def run(count: int) -> None:
        if not begun:
            endless = replace(phase, steps=ENDLESS, evaluated=True)
            settings = TrainerSettings(OptimConfig(lr=1e-5, warmup_ratio=0.0), 0, log_every=ENDLESS, eval_every=ENDLESS)
            loop = Trainer(make(), [endless], feed, settings, own, lambda: (None, {}), TrainerCallback())
            loop.context.method.on_phase_start(endless)
            begun.append(PhaseRunner(loop.context, endless, loop.evaluate, loop.checkpoint_if_due))
        begun[0].total = begun[0].step + count
        begun[0].run()

    return Side(run, steps)


def random_batches(seed: int) -> Iterator[np.ndarray]:
    """Row numbers of batches in random order."""
    random = np.random.default_rng(seed)
    while True:
        yield random.integers(0, SCALE.rows, SCALE.batch)


def on_device(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch where the models are."""
    return {name: value.to(SCALE.device) for name, value in batch.items()}
