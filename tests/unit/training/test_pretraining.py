"""Pretraining: learning, resume, reuse and errors."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdrun import signals
from kdrun.config.architectures import Architecture
from kdrun.config.model import PretrainConfig
from kdrun.config.optim import OptimConfig
from kdrun.errors import ModelError, TrainingError
from kdrun.models import families, masked_lm
from kdrun.signals import StopRequested
from kdrun.storage import checkpoint_files
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.training.pretraining import MakeCheckpointManager, PretrainingUpdateRule
from tests.helpers.tiny_models import FAMILIES, MNLI, STSB, build_context, embeddings, make, scratch_config

pytestmark = pytest.mark.usefixtures("isolated")

BRIEF = PretrainConfig(steps=6, batch_size=8, max_length=24, lr=1e-3)


def checkpoints_in(folder: Path, every_seconds: float) -> MakeCheckpointManager:
    return lambda history, config: CheckpointManager(folder, every_seconds, 2, history, config, save_final=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_gets_the_pretrained_body_and_a_new_head(
    family: Architecture, caplog: pytest.LogCaptureFixture
) -> None:
    plain = make(scratch_config(family), build_context())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    config = scratch_config(family, pretrain=BRIEF)
    bundle = make(config, build_context())
    assert torch.equal(torch.get_rng_state(), before)
    assert caplog.messages == ["student: 6 steps of pretraining on nouns, once"]
    assert bundle.name.endswith("(scratch, 6 steps of pretraining)")
    assert bundle.notes[0].startswith("pretrained on nouns: 6 steps, loss ")
    weights, plain_weights = bundle.model.state_dict(), plain.model.state_dict()
    for name, tensor in weights.items():
        is_head = not name.startswith(f"{bundle.model.base_model_prefix}.") or ".pooler." in name
        assert torch.equal(tensor, plain_weights[name]) == is_head or "LayerNorm" in name or "bias" in name

    again = make(config, build_context())
    assert len(caplog.messages) == 1
    assert again.fingerprint == bundle.fingerprint


def test_pretraining_learns_and_is_reproducible(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = scratch_config(pretrain=PretrainConfig(steps=60, batch_size=16, max_length=24, lr=5e-3))
    generators = []
    for number in range(2):
        monkeypatch.setenv("KDRUN_CACHE", str(tmp_path_factory.mktemp(f"cache{number}")))
        generators.append(make(config, build_context("generator")))
    assert generators[0].fingerprint == generators[1].fingerprint
    words = generators[0].notes[0].split()
    first, last = float(words[words.index("loss") + 1]), float(words[words.index("to") + 1])
    assert last < first - 1


@pytest.mark.parametrize("family", [Architecture.bert, Architecture.t5])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_an_interrupted_pretraining_resumes_to_the_same_weights(
    how: str, family: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = scratch_config(family, pretrain=BRIEF)
    undisturbed = make(config, build_context("generator"))
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    folder = tmp_path / "checkpoints" / "pretraining"
    # a killed run has the checkpoints that were due, a stopped one saves before it ends
    context = build_context("generator", make_checkpoints=checkpoints_in(folder, 0 if how == "killed" else 1e9))
    at, clip_factor = 4, PretrainingUpdateRule.clip_factor

    def interrupt(self: PretrainingUpdateRule, norm: float, clip_norm: float) -> float:
        calls.append(1)
        if len(calls) == at:
            if how == "killed":
                raise RuntimeError("killed")
            os.kill(os.getpid(), signal.SIGUSR1)
        return clip_factor(self, norm, clip_norm)

    calls: list[int] = []
    monkeypatch.setattr(PretrainingUpdateRule, "clip_factor", interrupt)
    with pytest.raises(RuntimeError if how == "killed" else StopRequested), signals.handle_signals():
        make(config, context)
    resumed = make(config, context)
    completed = at - 1 if how == "killed" else at
    assert caplog.messages[-1] == f"generator: pretraining resumes after step {completed}"
    assert len(calls) == at + BRIEF.steps - completed
    assert (resumed.fingerprint, resumed.notes) == (undisturbed.fingerprint, undisturbed.notes)
    assert not folder.exists()


def test_a_checkpoint_of_another_pretraining_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoints" / "pretraining"
    context = build_context(make_checkpoints=checkpoints_in(folder, 0))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "delete_checkpoints", lambda *_, **__: None)
        make(scratch_config(pretrain=replace(BRIEF, lr=2e-3)), context)
    assert folder.exists()
    bundle = make(scratch_config(pretrain=BRIEF), context)
    assert not any("resumes" in message for message in caplog.messages)
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    assert bundle.fingerprint == make(scratch_config(pretrain=BRIEF), build_context()).fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_a_generator_is_the_whole_language_model(family: Architecture) -> None:
    generator = make(scratch_config(family, pretrain=BRIEF), build_context("generator"))
    batch = generator.tokenizer("the cat sees the dog", return_tensors="pt")
    with torch.no_grad():
        full_logits = generator.model(**batch).logits
        part = families.mlm_head(generator.model)(generator.model.base_model(**batch)[0])
    assert full_logits.shape[-1] == len(generator.tokenizer)
    torch.testing.assert_close(part, full_logits)
    output = generator.model.get_output_embeddings()
    assert output is not None
    assert output.weight is embeddings(generator)


def test_an_untrained_generator_has_a_note() -> None:
    (note,) = make(scratch_config(), build_context("generator")).notes
    assert "random weights" in note
    assert "generator.pretrain.steps=300" in note


def test_one_body_serves_all_tasks(caplog: pytest.LogCaptureFixture) -> None:
    for task in (MNLI, STSB):
        make(scratch_config(pretrain=BRIEF), build_context(task=task))
    assert len(caplog.messages) == 1
    make(scratch_config(pretrain=BRIEF), build_context(seed=2))
    assert len(caplog.messages) == 2


def test_a_loss_that_is_not_finite_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = torch.tensor(math.nan, requires_grad=True)
    monkeypatch.setattr(masked_lm.MaskedLMObjective, "loss", lambda *_: (loss, 1))
    with pytest.raises(TrainingError, match=r"nan.*student\.pretrain\.lr=0\.001"):
        make(scratch_config(pretrain=BRIEF), build_context())


def test_too_few_positions_for_pretraining() -> None:
    config = scratch_config(pretrain=PretrainConfig(steps=1, max_length=64))
    config.sizes["max_position_embeddings"] = 32
    with pytest.raises(ModelError, match=r"embeddings=32 is too small for student\.pretrain\.max_length=64"):
        make(config, build_context(max_length=16))


def test_the_schedule_is_a_trapezoid() -> None:
    rule, optim = PretrainingUpdateRule(), OptimConfig(lr=1.0, warmup_ratio=0.2)
    rates = [rule.learning_rate(optim, step, 10) for step in range(10)]
    assert rates == pytest.approx([1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


@pytest.mark.parametrize("clip_norm", [0.3, 1.0, 5.0])
def test_gradients_are_clipped_as_in_pytorch(clip_norm: float) -> None:
    weight = torch.nn.Parameter(torch.randn(7, generator=torch.Generator().manual_seed(1)))
    weight.grad = weight.detach() / 3
    gradient = weight.grad.clone()
    norm = float(torch.nn.utils.clip_grad_norm_([weight], clip_norm))
    assert torch.equal(gradient * PretrainingUpdateRule().clip_factor(norm, clip_norm), weight.grad)


def test_a_step_is_that_of_pytorchs_adamw() -> None:
    layers = [torch.nn.Linear(3, 3, dtype=torch.float32) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    optim = OptimConfig(lr=0.1, weight_decay=0.5)
    by_rule = PretrainingUpdateRule().make_optimizer([layers[0]], optim)
    plain = torch.optim.AdamW(
        [{"params": [layers[1].weight], "weight_decay": 0.5}, {"params": [layers[1].bias], "weight_decay": 0.0}], lr=0.1
    )
    for layer, optimizer in zip(layers, (by_rule, plain), strict=True):
        layer(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(layers[0].parameters(), layers[1].parameters(), strict=True))
