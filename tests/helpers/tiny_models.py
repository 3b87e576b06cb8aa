"""Tiny models of every family on a corpus of a few dozen lines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from kdrun import registry
from kdrun.config.architectures import Architecture
from kdrun.config.model import PretrainedConfig, ScratchConfig
from kdrun.config.task import TaskConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.training import pretraining
from tests.helpers.paths import SHARED

ENCODER_SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SIZES: dict[Architecture, dict[str, Any]] = {
    **dict.fromkeys(Architecture, ENCODER_SIZES),
    Architecture.distilbert: {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    Architecture.gpt2: {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_inner": 32},
    Architecture.t5: {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 3, "num_decoder_layers": 2},
}
FAMILIES = [Architecture.bert, Architecture.distilbert, Architecture.roberta]
"""The encoders that every method takes."""

NOUNS = ("cat", "dog", "horse", "teacher", "student", "garden", "river", "mountain")
VERBS = ("sees", "follows", "remembers", "paints", "crosses")
MNLI = TaskConfig(
    name="mnli",
    text=["premise", "hypothesis"],
    labels=["entailment", "neutral", "contradiction"],
    prompts=["mnli premise:", "hypothesis:"],
    label_words=["entailment", "neutral", "contradiction"],
    metrics=["accuracy"],
    headline="accuracy",
)
STSB = TaskConfig(name="stsb", text=["a", "b"], range=[0, 5], metrics=["pearson"], headline="pearson")


def corpus_lines() -> Iterator[str]:
    for subject in NOUNS:
        for verb in VERBS:
            for thing in NOUNS:
                yield f"The {subject} {verb} the {thing}, and the café's naïve owner is happy."


def tiny_corpus() -> Corpus:
    return Corpus("nouns", True, corpus_lines, lambda: "f" * 64)


def build_context(
    role: str = "student",
    task: TaskConfig = MNLI,
    make_checkpoints: pretraining.MakeCheckpointManager = lambda history, config: None,
    **more: Any,
) -> BuildContext:
    """A context on the CPU whose models are pretrained on the tiny corpus."""
    pretrain = partial(pretraining.pretrain, accelerator=Accelerator(cpu=True), make_checkpoints=make_checkpoints)
    return BuildContext(**{"role": role, "task": task, "corpus": tiny_corpus, "seed": 1, "pretrain": pretrain, **more})


def scratch_config(architecture: Architecture = Architecture.bert, **more: Any) -> ScratchConfig:
    vocab = 400 if architecture.spec.vocabulary == "bpe" else 250
    values = {"sizes": dict(SIZES[architecture]), "vocab_size": vocab, **more}
    return ScratchConfig(name="scratch", architecture=architecture, **values)


def make(config: Any, context: BuildContext) -> ModelBundle:
    return registry.build(context.role, config.name, config, context)


def from_path(folder: Path, context: BuildContext) -> ModelBundle:
    return make(PretrainedConfig(name="pretrained", path=str(folder), hub=""), context)


def embeddings(built: ModelBundle) -> torch.Tensor:
    table = built.model.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    return table


def class_names(built: ModelBundle) -> list[str]:
    config: Any = built.model.config
    return list(config.id2label.values())


def stack(built: ModelBundle) -> torch.nn.ModuleList:
    """The encoder's layers."""
    layers = next(m for n, m in built.model.named_modules() if n.endswith(".layer"))
    assert isinstance(layers, torch.nn.ModuleList)
    return layers


def logits(built: ModelBundle, text: str = "The cat sees the dog", pair: str = "the dog is happy") -> torch.Tensor:
    with torch.no_grad():
        return built.model.eval()(**built.tokenizer(text, pair, return_tensors="pt")).logits[0]


def shared(name: str) -> Path:
    """A model of the shared folder; the test is skipped where it is absent."""
    folder = SHARED / "models" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set KDRUN_SHARED to the folder that holds models/{name}")
    return folder
