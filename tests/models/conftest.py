"""Tiny models of three encoder families and T5 on a corpus of a few dozen lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun import registry
from kdrun.config import Architecture, PretrainedConfig, ScratchConfig
from kdrun.data.config import TaskConfig
from kdrun.data.corpus import Corpus
from kdrun.models.built import BuildContext, Built

SIZES: dict[Architecture, dict[str, Any]] = {
    Architecture.bert: {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    Architecture.distilbert: {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    Architecture.roberta: {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    Architecture.t5: {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 3, "num_decoder_layers": 2},
}
FAMILIES = [Architecture.bert, Architecture.distilbert, Architecture.roberta]
"""The encoders."""

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


@pytest.fixture
def corpus() -> Corpus:
    return Corpus("nouns", True, corpus_lines, lambda: "f" * 64)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, no hub, one thread."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def context(corpus: Corpus) -> Callable[..., BuildContext]:
    def make(role: str = "student", task: TaskConfig = MNLI, **more: Any) -> BuildContext:
        return BuildContext(role, task, more.pop("corpus", lambda: corpus), more.pop("seed", 1), **more)

    return make


def scratch_config(architecture: Architecture = Architecture.bert, **more: Any) -> ScratchConfig:
    vocab = 400 if architecture is Architecture.roberta else 250
    given = {"sizes": dict(SIZES[architecture]), "vocab_size": vocab, **more}
    return ScratchConfig(name="scratch", architecture=architecture, **given)


def make(config: Any, context: BuildContext) -> Built:
    return registry.build(context.role, config.name, config, context)


def from_path(folder: Path, context: BuildContext) -> Built:
    return make(PretrainedConfig(name="pretrained", path=str(folder), hub=""), context)


def embeddings(built: Built) -> torch.Tensor:
    table = built.model.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    return table


def class_names(built: Built) -> list[str]:
    config: Any = built.model.config
    return list(config.id2label.values())


def stack(built: Built) -> torch.nn.ModuleList:
    """The encoder's layers."""
    found = next(m for n, m in built.model.named_modules() if n.endswith(".layer"))
    assert isinstance(found, torch.nn.ModuleList)
    return found


def logits(built: Built, text: str = "The cat sees the dog", pair: str = "the dog is happy") -> torch.Tensor:
    with torch.no_grad():
        return built.model.eval()(**built.tokenizer(text, pair, return_tensors="pt")).logits[0]


def shared(name: str) -> Path:
    """A model of the shared folder; the test is skipped where it is absent."""
    root = Path(os.environ.get("KDRUN_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    folder = root / "models" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set KDRUN_SHARED to the folder that holds models/{name}")
    return folder
