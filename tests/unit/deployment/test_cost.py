"""Costs of models: counts, operations, turns of the timing, cards and their reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdrun.cli import main
from kdrun.config.architectures import Architecture
from kdrun.deployment import cost, flops, peak_memory, timing
from kdrun.deployment.saved_model import load_saved
from kdrun.errors import DataError
from kdrun.models.bundle import ModelBundle
from kdrun.storage.cost_card import COST, read_cost, student_cost
from tests.helpers.saved_students import TEXTS, finish_run, save_run
from tests.helpers.tiny_models import SIZES, build_context, make, scratch_config

WIDTH, INNER, LAYERS = 16, 32, 3


def scratch(architecture: Architecture = Architecture.bert) -> ModelBundle:
    return make(scratch_config(architecture), build_context(max_length=64))


def test_operations_of_a_bert_are_those_of_its_matrix_products() -> None:
    bundle = scratch()
    length, outputs = 7, 3
    batch = {"input_ids": torch.ones(1, length, dtype=torch.long)}
    before = bundle.model.config._attn_implementation
    actual = flops.count_flops(bundle.model, lambda: bundle.model(**batch))
    layer = length * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER) + 2 * length * length * WIDTH
    assert actual == 2 * (LAYERS * layer + WIDTH * WIDTH + WIDTH * outputs)
    assert bundle.model.config._attn_implementation == before == "sdpa"


@pytest.mark.parametrize("architecture", [a for a in Architecture if not a.spec.is_text_to_text])
def test_operations_of_every_family_grow_with_the_text(architecture: Architecture) -> None:
    model = scratch(architecture).model
    short, longer = (flops.count_flops(model, lambda n=n: model(input_ids=torch.full((1, n), 5))) for n in (4, 8))
    assert 0 < short < longer


def test_parameters_without_embeddings_leave_out_tables_of_which_a_token_reads_one_row() -> None:
    bundle = scratch()
    config = bundle.model.config
    tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size) * WIDTH
    total = sum(parameter.numel() for parameter in bundle.model.parameters())
    assert flops.params_without_embeddings(bundle.model) == total - tables
    assert flops.weight_bytes(bundle.model) == 4 * total


def test_models_take_turns_on_the_same_rows() -> None:
    bundle = scratch()
    texts = [(f"the cat sees {'the dog ' * (i % 5)}", "it") for i in range(70)]
    subject = cost.bundle_subject(bundle, texts, 64)
    calls: list[tuple[str, tuple[int, ...]]] = []

    def recorder(name: str) -> timing.Run:
        return lambda batch: calls.append((name, tuple(batch["input_ids"].shape)))

    order = np.argsort(subject.tokens.lengths, kind="stable")
    timings, rows = timing.time_models({n: (recorder(n), subject.tokens) for n in "ab"}, order, rounds=2)
    assert rows == 70
    assert [len(timings[name].latencies) for name in "ab"] == [140, 140]
    of_a, of_b = ([shape for name, shape in calls if name == one] for one in "ab")
    assert of_a == of_b
    turns = [name for i, (name, _) in enumerate(calls) if i == 0 or calls[i - 1][0] != name]
    assert turns == ["a", "b", "a", "b", "a"]  # warm-up, then a–b, then b–a
    assert timings["a"].rows_per_s > 0
    assert timings["a"].percentile_ms(95) >= timings["a"].percentile_ms(50) >= 0


def test_a_run_with_its_export_gives_one_card_that_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finish_run(save_run(tmp_path / "run"))
    monkeypatch.setattr(cost, "measure_peak_memory", lambda *args: (300, 200))
    assert main.run(["cost", str(run), "rounds=1", "format=json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    card = read_cost(run / COST)
    assert printed == {str(run): card}
    assert "cannot be built again" in card["reasons"]["models.teacher"]
    student = card["models"]["student"]
    saved = load_saved(run)
    assert student["bytes"] == (run / "student" / "model.safetensors").stat().st_size
    assert student["params"] == sum(parameter.numel() for parameter in saved.model.parameters())
    assert (student["peak_memory"], student["library_memory"]) == (300, 200)
    assert student["tokens_per_row"] == np.sort(saved.tokenize(TEXTS * 10).lengths)[20]
    figures = student_cost(card)
    assert figures is not None
    assert figures["latency_p50_ms"] == student["latency_p50_ms"]
    assert main.run(["cost", str(run), "rounds=1", "save=false"]) == 0
    out = capsys.readouterr().out
    assert "student: " in out
    assert "vector instructions" in out


def test_several_runs_share_one_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (finish_run(save_run(tmp_path / name)) for name in ("one", "two"))
    plain = tmp_path / "two" / "student"
    monkeypatch.setattr(cost, "measure_peak_memory", lambda *args: "no process")
    assert main.run(["cost", str(first), str(second), str(plain), "rounds=1"]) == 0
    cards = [read_cost(run / COST) for run in (first, second)]
    assert cards[0]["measured"] == cards[1]["measured"]
    for card in cards:
        assert list(card["models"]) == ["student"]
        assert card["models"]["student"]["peak_memory"] is None
        assert card["reasons"]["models.student.peak_memory"] == "no process"
    assert not (plain / COST).exists()


@pytest.mark.parametrize(
    ("args", "problem"),
    [([], "name run directories"), (["missing"], "missing: no such folder"), (["plain"], "name at least one run")],
)
def test_paths_without_a_run_are_refused(
    args: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_run(tmp_path / "run").joinpath("student").rename(tmp_path / "plain")
    assert main.run(["cost", *args, "rounds=1"]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"machine": None}, {"models": {"student": {}}}, {"rows": -1}])
def test_a_card_of_another_form_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / COST).write_text(json.dumps({"measured": "x", "rounds": 1, "rows": 1, "reasons": {}} | change))
    with pytest.raises(DataError, match=r"cost\.json was not written by kdrun"):
        read_cost(tmp_path / COST)


@pytest.mark.slow
def test_peak_memory_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "num_hidden_layers": 2,
        "hidden_size": 512,
        "intermediate_size": 4096,
        "num_attention_heads": 2,
    }
    small, large = save_run(tmp_path / "small"), save_run(tmp_path / "large", "bert", **sizes)
    batch = {name: [[1] * 8] * 4 for name in ("input_ids", "attention_mask")}
    peaks = []
    for run in (small, large):
        values = peak_memory.measure_peak_memory(run / "student", "classifier", batch, 1)
        assert isinstance(values, tuple)
        peak, libraries = values
        assert 0 < libraries < peak
        peaks.append(peak)
    weights = (large / "student" / "model.safetensors").stat().st_size
    assert peaks[1] - peaks[0] > 0.7 * weights
    assert "failed" in str(peak_memory.measure_peak_memory(tmp_path / "nothing", "classifier", batch, 1))


def test_sizes_of_the_tests() -> None:
    assert SIZES[Architecture.bert]["hidden_size"] == WIDTH
    assert SIZES[Architecture.bert]["intermediate_size"] == INNER
