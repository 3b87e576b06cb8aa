"""Extraction tasks through the real entry point: files, counts, data-free baseline, errors."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kdrun import registry
from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.console import QuietConsole
from kdrun.data import entities
from kdrun.errors import ConfigError, DataError, ModelError, TrainingError
from kdrun.runs import build, runner
from kdrun.training.teacher import answers
from tests.helpers.embedded_rows import fewer_rows
from tests.helpers.runs import finish, read_lines

FIT = ("finetune", "kd", "gkd", "kd_ood", "dfkd_t3")
UNFIT = [name for name, entry in registry.entries("method").items() if not entry.target.requires.extraction]
SIZES = "{d_model: 16, d_kv: 8, num_heads: 2, d_ff: 16, num_layers: 1, num_decoder_layers: 1}"
SENTENCE = "Ann B-PER\nLee I-PER\nleft O\nRome B-LOC\n\n"

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture(scope="module", autouse=True)
def few_dev_rows() -> Iterator[None]:
    """Few sentences in dev and test: writing answers takes long."""
    with fewer_rows("conll2003", dev=12, test=16):
        yield


def words(tmp_path: Path, *more: str) -> list[str]:
    return [
        "task=conll2003", "preset=t5_writer", "report=false", f"output_dir={tmp_path}/out", "task.answer_tokens=6",
        f"teacher.sizes={SIZES}", "teacher.finetune_optim.steps=2", "teacher.finetune_optim.batch_size=8",
        "teacher.allow_weak=true", f"student.sizes={SIZES}", "optim.steps=3", "optim.batch_size=8",
        f"generator.sizes={SIZES}", "generator.pretrain.steps=0",
        "data.max_train_rows=64", "ood.rows=32", "runtime.log_every=1", *more,
    ]  # fmt: skip


def tiny(tmp_path: Path, *more: str) -> RunConfig:
    return compose.load_config(words(tmp_path, *more))


@pytest.mark.parametrize("method", [pytest.param(m, marks=[pytest.mark.slow] * (m == "gkd")) for m in FIT])
def test_a_run_leaves_texts_scores_and_a_model_that_writes(method: str, tmp_path: Path) -> None:
    result, folder, console = finish(tiny(tmp_path, f"method={method}", "report=true"))
    needs = registry.get("method", method).target.requires
    assert result["headline"] == {"metric": "entity_f1", "split": "test"}
    assert set(result["student"]["metrics"]) == {"dev", "test"}
    assert result["guess"]["test"]["entity_f1"] == 0.0
    assert result["data"]["train_rows_read"] == (0 if needs.data_free else 24)
    assert result["data"]["labels_read"] == (24 if needs.labels else 0)
    # what writes text from the rows reads them too
    assert result["data"]["ood_rows_read"] == {"kd_ood": 24, "dfkd_t3": 32}.get(method, 0)
    assert (result["teacher"] is not None) == needs.teacher
    rows = read_lines(folder / "predictions.jsonl")
    assert [row["split"] for row in rows] == ["dev"] * 12 + ["test"] * 16
    assert all(isinstance(row[key], str) for row in rows for key in ("gold", "prediction", "written"))
    assert ("teacher_prediction" in rows[0]) == needs.teacher
    test_rows = [row for row in rows if row["split"] == "test"]
    scores = entities.score([row["gold"] for row in test_rows], [row["prediction"] for row in test_rows])
    assert scores == result["student"]["metrics"]["test"]
    logged = [record for record in read_lines(folder / "metrics.jsonl") if "eval" not in record]
    terms = {
        "finetune": {"hard"},
        "kd": {"hard", "soft"},
        "gkd": set(),
        "kd_ood": {"soft"},
        "dfkd_t3": {"soft", "pseudo"},
    }[method]
    logged = [record for record in logged if record["role"] == "student"]
    assert all(terms <= record.keys() and record["loss"] > 0 for record in logged)
    assert "did not end within task.answer_tokens=6 " in console
    assert "AutoModelForSeq2SeqLM.from_pretrained" in console
    assert ("text generated at step" in console) == (method == "dfkd_t3")
    page = (folder / "report.html").read_text()
    assert ("writes</span>" in page) == (method == "dfkd_t3")
    assert "Entities of test by type" in page
    assert "organization" in page
    assert "Traceback" not in page


def test_teacher_logits_equal_a_forward_pass_at_the_labeled_tokens(tmp_path: Path) -> None:
    run = runner.prepare(tiny(tmp_path, "method=kd"), QuietConsole())
    for built in run.roles.values():
        built.model.requires_grad_(False).eval()
    feed = build.make_loader(run, build.make_method(run))
    batch = feed.load_batch(feed.epoch_batches(4, 1, "train", 0)[0], "train", 0)
    assert batch.labels is not None
    assert batch.teacher_logits is not None
    with torch.no_grad():
        plain = run.roles["teacher"].model(**batch.inputs["teacher"]).logits
    labeled = batch.labels != -100
    torch.testing.assert_close(batch.teacher_logits[labeled], plain[labeled])
    assert bool(batch.teacher_logits[~labeled].isnan().all())
    assert batch.teacher_logits.grad_fn is None
    run.config.teacher.top_k = 7
    kept = build.make_loader(run, build.make_method(run)).load_batch(batch.ids.numpy(), "train", 0)
    assert set(kept.inputs) == {"student"}
    assert kept.teacher_logits is not None
    top = plain[labeled].log_softmax(-1).topk(7)
    torch.testing.assert_close(kept.teacher_logits[labeled].gather(1, top.indices), top.values, rtol=1e-3, atol=1e-3)
    assert torch.equal(kept.teacher_logits.isnan(), batch.teacher_logits.isnan())


def test_teacher_answers_are_decoded_once_and_are_no_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tiny(tmp_path, "method=kd_ood")
    run = runner.prepare(config, QuietConsole(), "", None)
    caplog.set_level(logging.INFO, "kdrun")
    table, teacher = run.tokens("teacher")["train"], run.roles["teacher"]
    first = answers.cached_answers(teacher, table, run.evaluator)
    again = answers.cached_answers(teacher, table, run.evaluator)
    assert first == again
    assert len(first) == 32
    assert len([message for message in caplog.messages if "32 training rows" in message]) == 1
    feed = build.make_loader(run, build.make_method(run))
    batch = feed.load_batch(feed.epoch_batches(4, 1, "train", 0)[0], "train", 0)
    assert batch.labels is None
    assert feed.num_labels_seen == 0
    with pytest.raises(DataError, match="data-free"):
        _ = run.data.train


def test_data_free_runs_and_students_of_their_text_do_not_open_the_training_file(tmp_path: Path) -> None:
    _, folder, _ = finish(tiny(tmp_path, "method=finetune"))
    data = tmp_path / "conll2003"
    data.mkdir()
    (data / "train.txt").write_bytes(b"\xff poison")
    for name in ("dev", "test"):
        (data / f"{name}.txt").write_text(SENTENCE)
    (tmp_path / "corpus.txt").write_text("".join(f"The {n} people went to the town.\n" for n in range(60)))
    more = ["data=folder", f"data.dir={tmp_path}", "corpus=folder", f"corpus.dir={tmp_path}/corpus.txt"]
    more += [f"teacher.path={folder / 'student'}", "student.tokenizer=teacher"]
    read_counts = ("train_rows_read", "labels_read", "train_rows_read_for_teacher")
    for method in ("kd_ood", "dfkd_t3"):
        result, folder, _ = finish(tiny(tmp_path, f"method={method}", *more))
        data = result["data"]
        assert [data[key] for key in read_counts] == [0, 0, 0]
        assert data["synthetic"] is False
    result, _, _ = finish(tiny(tmp_path, "method=kd", "data=generated", f"data.path={folder}", *more[1:]))
    data = result["data"]
    assert [data[key] for key in read_counts] == [0, 0, 0]
    assert data["generated"]["method"] == "dfkd_t3"
    with pytest.raises(DataError, match=r"train\.txt is not UTF-8"):
        runner.run(tiny(tmp_path, "method=kd", *more), QuietConsole())


def test_a_teacher_without_entities_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"teacher.*entity_f1.*dev.* 0\.0 %.* 0\.0 %"):
        runner.run(tiny(tmp_path, "method=kd", "teacher.allow_weak=false"), QuietConsole())


@pytest.mark.parametrize("method", UNFIT)
def test_unsupported_methods_are_an_error(method: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"method={method} works with a class or a score.*finetune, gkd, kd, kd_ood"):
        tiny(tmp_path, f"method={method}")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["teacher=smoke"], r"teacher\.architecture=bert.*task="),
        (["student=smoke"], r"student\.architecture=bert: .* take preset=t5_writer"),
        (["data=hub"], "data=hub has no task=conll2003"),
        (["data=generated", "data.path=x", "data.dev=hub"], "data=hub has no task=conll2003"),
    ],
)
def test_invalid_combinations_fail_before_anything_loads(more: list[str], message: str, tmp_path: Path) -> None:
    chosen = {word.partition("=")[0] for word in more}
    overrides = [
        word for word in words(tmp_path, "method=kd") if not word.startswith(tuple(f"{c}.sizes" for c in chosen))
    ]
    with pytest.raises(ConfigError, match=message):
        compose.load_config([*overrides, *more])


def test_a_student_with_another_vocabulary_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="compared token by token"):
        runner.run(tiny(tmp_path, "method=kd", "student.vocab_size=300"), QuietConsole())


def test_check_passes(tmp_path: Path) -> None:
    checks = runner.preflight(tiny(tmp_path, "method=kd"), QuietConsole())
    failed = [check for check in checks if not check.ok]
    assert failed == []
    assert any(check.value == "person, location, organization, miscellaneous" for check in checks)


@pytest.mark.slow
def test_a_comparison_judges_entities(tmp_path: Path) -> None:
    from kdrun.cli.commands import compare

    overrides = [word for word in words(tmp_path) if not word.startswith("report=")]
    assert compare.main([*overrides, "method=kd", "baselines=finetune", "seeds=2"]) == 0
    (folder,) = (tmp_path / "out" / "compare" / "conll2003").iterdir()
    record = json.loads((folder / "comparison.json").read_text())
    assert record["metric"] == "entity_f1"
    (pair,) = record["pairs"]
    assert pair["interval"] is not None
    assert (folder / "report.html").read_text().count("entity_f1") > 2
