import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdrun import rng, signals
from kdrun.config.architectures import Architecture
from kdrun.config.model import PretrainConfig
from kdrun.config.runtime import CheckpointConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.errors import ModelError, TrainingError
from kdrun.models import families, masked_lm, pretraining
from kdrun.models.bundle import BuildContext
from kdrun.signals import StopRequested
from kdrun.storage import checkpoint_files
from kdrun.storage.checkpoint_manager import CheckpointManager
from tests.helpers.tiny_models import FAMILIES, MNLI, STSB, corpus_lines, embeddings, make, scratch_config

Context = Callable[..., BuildContext]
BRIEF = PretrainConfig(steps=6, batch_size=8, max_length=24, lr=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_gets_the_pretrained_body_and_a_new_head(family: Architecture, context: Context) -> None:
    plain = make(scratch_config(family), context())
    told: list[str] = []
    torch.manual_seed(2)
    before = torch.get_rng_state()
    config = scratch_config(family, pretrain=BRIEF)
    built = make(config, context(log=told.append))
    assert torch.equal(torch.get_rng_state(), before)
    assert told == ["student: 6 steps of pretraining on nouns, once"]
    assert built.name.endswith("(scratch, 6 steps of pretraining)")
    assert built.notes[0].startswith("pretrained on nouns: 6 steps, loss ")
    ours, theirs = built.model.state_dict(), plain.model.state_dict()
    for name, tensor in ours.items():
        is_head = not name.startswith(f"{built.model.base_model_prefix}.") or ".pooler." in name
        assert torch.equal(tensor, theirs[name]) == is_head or "LayerNorm" in name or "bias" in name

    again = make(config, context(log=told.append))
    assert len(told) == 1
    assert again.fingerprint == built.fingerprint


def test_pretraining_learns_and_is_reproducible(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = scratch_config(pretrain=PretrainConfig(steps=60, batch_size=16, max_length=24, lr=5e-3))
    generators = []
    for number in range(2):
        monkeypatch.setenv("KDRUN_CACHE", str(tmp_path_factory.mktemp(f"cache{number}")))
        generators.append(make(config, context("generator")))
    assert generators[0].fingerprint == generators[1].fingerprint
    words = generators[0].notes[0].split()
    first, last = float(words[words.index("loss") + 1]), float(words[words.index("to") + 1])
    assert last < first - 1


@pytest.mark.parametrize("family", [Architecture.bert, Architecture.t5])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_an_interrupted_pretraining_goes_on_to_the_same_weights(
    how: str, family: Architecture, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scratch_config(family, pretrain=BRIEF)
    whole = make(config, context("generator"))
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    # whoever is killed has what was due, whoever is stopped saves first
    options = CheckpointConfig(every_seconds=0 if how == "killed" else 1e9)
    keeper, told = (
        CheckpointManager(tmp_path / "checkpoints" / "pretraining", options.every_seconds, options.keep_last, print),
        list[str](),
    )
    at, clip = 4, nn.utils.clip_grad_norm_

    def interrupt(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            if how == "killed":
                raise RuntimeError("killed")
            os.kill(os.getpid(), signal.SIGUSR1)
        return clip(*given)

    calls: list[int] = []
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", interrupt)
    with pytest.raises(RuntimeError if how == "killed" else StopRequested), signals.handle_signals():
        make(config, context("generator", checkpoints=keeper))
    resumed = make(config, context("generator", checkpoints=keeper, log=told.append))
    done = at - 1 if how == "killed" else at
    assert told[-1] == f"generator: its pretraining goes on after step {done}"
    assert len(calls) == at + BRIEF.steps - done
    assert (resumed.fingerprint, resumed.notes) == (whole.fingerprint, whole.notes)
    assert not keeper.place.exists()


def test_a_checkpoint_of_another_pretraining_is_passed_over(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = CheckpointManager(tmp_path / "checkpoints" / "pretraining", 0, 2, print)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "delete_checkpoints", lambda *_, **__: None)
        make(scratch_config(pretrain=replace(BRIEF, lr=2e-3)), context(checkpoints=keeper))
    assert keeper.place.exists()
    told: list[str] = []
    built = make(scratch_config(pretrain=BRIEF), context(checkpoints=keeper, log=told.append))
    assert not any("goes on" in line for line in told)
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    assert built.fingerprint == make(scratch_config(pretrain=BRIEF), context()).fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_a_generator_is_the_language_model_itself(family: Architecture, context: Context) -> None:
    generator = make(scratch_config(family, pretrain=BRIEF), context("generator"))
    batch = generator.tokenizer("the cat sees the dog", return_tensors="pt")
    with torch.no_grad():
        whole = generator.model(**batch).logits
        part = families.mlm_head(generator.model)(generator.model.base_model(**batch)[0])
    assert whole.shape[-1] == len(generator.tokenizer)
    torch.testing.assert_close(part, whole)
    table = embeddings(generator)
    output = generator.model.get_output_embeddings()
    assert output is not None
    assert output.weight is table


def test_an_untrained_generator_is_warned_of(context: Context) -> None:
    (note,) = make(scratch_config(), context("generator")).notes
    assert "random weights" in note
    assert "generator.pretrain.steps=300" in note


def test_one_body_serves_all_tasks(context: Context) -> None:
    told: list[str] = []
    for task in (MNLI, STSB):
        make(scratch_config(pretrain=BRIEF), context(task=task, log=told.append))
    assert len(told) == 1
    make(scratch_config(pretrain=BRIEF), context(seed=2, log=told.append))
    assert len(told) == 2


def test_a_loss_that_is_not_finite_stops(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_lm.MaskedLMObjective, "loss", lambda *_: torch.tensor(math.nan, requires_grad=True))
    with pytest.raises(TrainingError, match=r"of the student is nan at step 0; lower student\.pretrain\.lr=0\.001"):
        make(scratch_config(pretrain=BRIEF), context())


def test_too_few_positions_for_pretraining(context: Context) -> None:
    config = scratch_config(pretrain=PretrainConfig(steps=1, max_length=64))
    config.sizes["max_position_embeddings"] = 32
    with pytest.raises(ModelError, match=r"embeddings=32 is too small for student\.pretrain\.max_length=64"):
        make(config, context(max_length=16))


def test_masking_follows_80_10_10_and_spares_special_tokens() -> None:
    ids = torch.randint(5, 100, (200, 50), generator=rng.stream(0, "test"))
    ids[:, 0], ids[:, -1] = 2, 0
    maskable = ids >= 5
    words = torch.arange(5, 100)
    changed, targets = masked_lm.mask_tokens(ids, maskable, 0.3, 4, words, rng.stream(1, "mask"))
    chosen = targets != -100
    assert not chosen[:, [0, -1]].any()
    assert torch.equal(targets[chosen], ids[chosen])
    assert torch.equal(changed[~chosen], ids[~chosen])
    rate = chosen.sum() / maskable.sum()
    assert rate.item() == pytest.approx(0.3, abs=0.02)
    masked = (changed[chosen] == 4).float().mean().item()
    kept = (changed[chosen] == ids[chosen]).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)
    assert changed[chosen].min() >= 4


def test_a_batch_always_has_a_target() -> None:
    ids = torch.tensor([[2, 7, 3]])
    _, targets = masked_lm.mask_tokens(ids, ids == 7, 1e-9, 4, torch.tensor([7, 8]), rng.stream(0, "mask"))
    assert targets.tolist() == [[-100, 7, -100]]


def test_an_epoch_reads_every_line_once_in_buckets_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 1000)
    batches = list(pretraining._epoch(lengths, 8, 1, "test", 0))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    spread = np.mean([lengths[b].max() - lengths[b].min() for b in batches])
    assert spread < 5
    other = list(pretraining._epoch(lengths, 8, 1, "test", 1))
    assert not all(np.array_equal(a, b) for a, b in zip(batches, other, strict=True))


def test_only_needed_lines_are_read(context: Context) -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield next(corpus_lines())

    tokenizer = make(scratch_config(), context()).tokenizer
    corpus = Corpus("endless", True, endless, lambda: "e" * 64)
    batches = list(pretraining._batches(corpus, tokenizer, BRIEF, context()))
    assert len(batches) == 6
    assert taken <= 48
