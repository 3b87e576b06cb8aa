"""Weights divided among processes: same gradients, steps, scores and checkpoints."""

from typing import Any

import pytest
import torch
from torch import nn

from kdrun import ranks, sharding
from kdrun.errors import TrainingError
from kdrun.models import placement
from kdrun.models.bundle import ModelBundle
from kdrun.training.step_checks import check_evenly_divided
from tests.helpers.processes import run_together
from tests.helpers.sharded_training import Student, stop_after_three_steps, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sharding")
    whole = train(folder / "whole", divide=False)
    stop_after_three_steps(folder / "whole", folder / "whole_stopped")
    divided = run_together("tests.helpers.sharded_training:train_divided", 2, folder)
    stop_after_three_steps(folder / "divided", folder / "divided_stopped")
    resumed = train(folder / "divided_stopped", divide=False)
    return {"whole": whole, "divided": divided, "resumed": resumed}


def assert_same(values: dict[str, Any], expected: dict[str, Any], num_steps: int) -> None:
    for key in ("norms", "losses"):
        assert values[key] == pytest.approx(expected[key][-num_steps:], rel=1e-5)
    assert values["scores"] == pytest.approx(expected["scores"][-num_steps:], rel=1e-5)
    assert values["logits"] == pytest.approx(expected["logits"], rel=1e-5)
    assert values["weights"].keys() == expected["weights"].keys()
    for name, weight in values["weights"].items():
        torch.testing.assert_close(torch.tensor(weight), torch.tensor(expected["weights"][name]), atol=1e-6, rtol=1e-5)


def test_divided_student_equals_the_whole_one(runs: dict[str, Any]) -> None:
    (first, _), (second, _) = runs["divided"]
    assert_same(first, runs["whole"], 6)
    assert first["changed"] == [True]
    assert second["weights"] == {}
    assert second["scores"] == first["scores"]
    assert second["logits"] == first["logits"]


def test_each_process_holds_a_part(runs: dict[str, Any]) -> None:
    shapes = [list(p.shape) for p in Student().parameters()]
    parts = [run[0]["parts"] for run in runs["divided"]]
    assert [[a[0] + b[0], *a[1:]] for a, b in zip(*parts, strict=True)] == shapes
    assert [0] in parts[1]  # the bias of the head has one entry


def test_checkpoints_fit_divided_and_whole_students(runs: dict[str, Any]) -> None:
    assert_same(runs["resumed"], runs["whole"], 3)
    assert_same(runs["divided"][0][1], runs["whole"], 3)


def test_processes_repeat_the_first_item_to_take_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for rank in range(3):
        monkeypatch.setattr(ranks, "_world", ranks.World(rank, 3))
        shares.append(ranks.share_evenly("abcde"))
    assert shares == [(["a", "d"], 2), (["b", "e"], 2), (["c", "a"], 1)]
    assert ranks.share_evenly([]) == ([], 0)


def test_one_process_keeps_whole_weights() -> None:
    student: Any = Student()
    placement.place(ModelBundle(student, None, "tiny", "", True), torch.device("cpu"), "student", divide=True)  # type: ignore[arg-type]
    assert not sharding.is_sharded(student)
    weights = dict(student.named_parameters())
    assert sharding.gather(weights) == weights


def test_whole_weights_next_to_divided_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    divided, whole = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    divided.full_tensor = lambda: divided  # type: ignore[attr-defined]
    check_evenly_divided([{"params": [divided]}], "train", "student")
    with pytest.raises(TrainingError, match=r"'train'.*student.*runtime\.shard=none"):
        check_evenly_divided([{"params": [divided]}, {"params": [whole]}], "train", "student")
