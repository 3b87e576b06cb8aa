"""TinyBERT's task distillation through the real entry point, on tiny models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification

from kdrun.config.schema import RunConfig
from kdrun.console import QuietConsole
from kdrun.errors import ModelError
from kdrun.runs import build, runner, teacher_stage
from kdrun.training.progress import ProgressCallback
from kdrun.training.trainer import Trainer, TrainerSettings
from tests.helpers.runs import finish, read_lines, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


def smoke(tmp_path: Path, *overrides: str) -> RunConfig:
    return smoke_config(tmp_path, "method=tinybert_kd", *overrides)


def test_a_run_shows_the_pairs_scores_the_last_phase_and_saves_a_plain_student(tmp_path: Path) -> None:
    result, folder, output = finish(smoke(tmp_path, "student.sizes.hidden_size=16", "optim.steps=6"))
    output = " ".join(output.split())
    assert "hidden states 0–0, 1–2 (0: embeddings), through one learned projection 16 → 32" in output
    assert "attention maps 0–1 (0: first layer)" in output
    assert "student, intermediate step 3: not evaluated in this phase" in output
    records = read_lines(folder / "metrics.jsonl")
    assert {record["phase"] for record in records if "eval" in record} == {"logits"}
    assert [(r["phase"], r["step"]) for r in records if "loss" in r] == [
        *(("intermediate", step) for step in (1, 2, 3)), *(("logits", step) for step in (1, 2, 3)),
    ]  # fmt: skip
    assert all(r["hidden"] > 0 and r["attention"] > 0 for r in records if r["phase"] == "intermediate")
    assert result["steps"] == {"student": 6}
    assert result["checkpoint"]["step"] in (1, 2, 3)
    student = AutoModelForSequenceClassification.from_pretrained(folder / "student")
    assert sum(p.numel() for p in student.parameters()) == result["student"]["params"]
    for name in ("last", "best"):
        with safe_open(folder / "checkpoints" / name / "model.safetensors", "pt") as weights:
            assert set(weights.keys()) == set(student.state_dict())
    assert result["data"]["labels_read"] == 0


def test_the_first_phase_learns_and_the_teacher_stays_as_it_is(tmp_path: Path) -> None:
    config = smoke(tmp_path, "task=rte", "optim.steps=60", "optim.lr=5e-3", "student=layers_of", "student.layers=[1]")
    run = runner.prepare(config, QuietConsole())
    for built in run.roles.values():
        built.model.requires_grad_(False).eval()
    method_instance = build.make_method(run)
    feed = build.make_loader(run, method_instance)
    before = {name: value.clone() for name, value in run.roles["teacher"].model.state_dict().items()}
    states: list[dict[str, Any]] = []

    class Looking(ProgressCallback):
        def on_log(self, record: dict[str, Any], total: int) -> None:
            states.append(record)

    settings, watcher = TrainerSettings(config.optim, 1, log_every=10), Looking(QuietConsole(), "", "", "")
    Trainer(
        method_instance,
        method_instance.phases(method_instance.config, config.optim),
        feed,
        settings,
        run.accelerator,
        lambda: (None, {}),
        watcher,
    ).run()
    after = run.roles["teacher"].model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    first, *_, last = [record for record in states if record["phase"] == "intermediate"]
    assert last["hidden"] < 0.8 * first["hidden"]


def test_unfit_depths_of_built_models_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = smoke(tmp_path, "student.sizes.num_hidden_layers=2", "teacher.sizes.num_hidden_layers=2")
    del config.teacher.sizes["num_hidden_layers"]  # the family's default, 12, is seen once it is built
    config.student.sizes["num_hidden_layers"] = 5
    monkeypatch.setattr(teacher_stage, "prepare_teacher", lambda _: pytest.fail("the teacher was trained first"))
    with pytest.raises(ModelError, match="the student has 5 layers and the teacher 12"):
        runner.run(config, QuietConsole())


def test_another_vocabulary_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must share one vocabulary.*student\.tokenizer=teacher"):
        runner.run(smoke(tmp_path, "student.architecture=roberta", "student.vocab_size=400"), QuietConsole())
