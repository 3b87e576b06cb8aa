"""Every long activity of a run reports its progress."""

from pathlib import Path

import pytest

from kdrun import progress
from tests.helpers.runs import finish, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")

COMMON = {"reading the data", "building the models", "building the vocabulary from the corpus", "reading the corpus"}
COMMON |= {"computing the hash of the corpus", "tokenizing dev", "scoring", "teacher, train"}

SIZES = "{d_model: 16, d_kv: 8, num_heads: 2, d_ff: 16, num_layers: 1, num_decoder_layers: 1}"
EXTRACTION = ["task=conll2003", "preset=t5_writer", "task.answer_tokens=6", "data.max_train_rows=64"]
EXTRACTION += [f"teacher.sizes={SIZES}", "teacher.finetune_optim.steps=2", "teacher.finetune_optim.batch_size=8"]
EXTRACTION += [f"student.sizes={SIZES}", "optim.steps=3", "optim.batch_size=8", "teacher.allow_weak=true"]


@pytest.mark.parametrize(
    ("overrides", "labels"),
    [
        (["method=kd", "task=sst2", "report=true"], {"tokenizing train", "student, train", "writing the report"}),
        (
            ["method=tinybert_kd", "task=sst2", "method.teacher_states=keep"],
            {"student, intermediate", "computing the teacher's hidden states"},
        ),
        (["method=zskd", "task=sst2"], {"tokenizing ood", "student, train", "generating text"}),
        (["method=kd", *EXTRACTION], {"writing answers", "student, train"}),
    ],
)
def test_each_activity_of_a_run_is_shown(
    overrides: list[str], labels: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = dict[str, bool]()
    open_activity = progress.ProgressDisplay.open

    def record(
        self: progress.ProgressDisplay, label: str, total: int | None, unit: str, completed: int
    ) -> progress.Activity:
        shown[label] = total is not None
        return open_activity(self, label, total, unit, completed)

    monkeypatch.setattr(progress.ProgressDisplay, "open", record)
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    finish(smoke_config(tmp_path, *overrides))
    is_extraction = "writing answers" in labels  # such models are not scored by logits
    assert (COMMON | labels) - set(shown) == ({"scoring"} if is_extraction else set())
    assert all(shown[label] for label in shown if label.startswith(("tokenizing", "student", "teacher", "scoring")))
