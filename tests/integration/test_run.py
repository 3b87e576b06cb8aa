"""The real entry point on tiny models: files, counts, numbers, errors."""

import io
import json
import math
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from rich.console import Console as RichConsole

from kdrun import registry
from kdrun.cli import main
from kdrun.console import Console
from kdrun.errors import ConfigError, DataError, TrainingError
from kdrun.runs import runner
from kdrun.storage import serialization
from kdrun.storage.ledger import read_runs
from kdrun.training.teacher import finetune
from tests.helpers import forked
from tests.helpers.ledgers import read_ledger
from tests.helpers.runs import finish, read_lines, smoke_config

TASKS = ("sst2", "mnli", "stsb")  # a single text, a pair with two dev splits, a score
SOME = ("kd", "mate_kd")
"""Methods with runs on every kind of task; the others have them in slow tests, and steps in test_every_method.py."""
METHODS = tuple(registry.entries("method"))

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.mark.parametrize(
    ("method", "task"),
    [
        pytest.param(method, task, marks=() if task == "sst2" or method in SOME else pytest.mark.slow)
        for method in METHODS
        for task in TASKS
    ],
)
def test_every_method_on_every_kind_of_task(method: str, task: str, tmp_path: Path) -> None:
    needs = registry.get("method", method).target.requires
    if needs.domains:  # test_meta_kd.py has it on the tasks that fit
        with pytest.raises(ConfigError, match=r"needs a task with domains|no mnli by domain"):
            smoke_config(tmp_path, f"method={method}", f"task={task}")
        return
    if needs.only_text:  # test_extraction.py has its runs
        with pytest.raises(ConfigError, match=f"method={method} learns from answers in text"):
            smoke_config(tmp_path, f"method={method}", f"task={task}")
        return
    if task == "stsb" and not needs.regression:
        with pytest.raises(ConfigError, match="needs classes"):
            smoke_config(tmp_path, f"method={method}", f"task={task}")
        return
    config = smoke_config(tmp_path, f"method={method}", f"task={task}")
    result, folder, console = finish(config)
    on_disk = json.loads((folder / "result.json").read_text())
    assert on_disk == json.loads(json.dumps(serialization.to_plain(result)))
    assert result["data"]["synthetic"] is True
    assert result["steps"]["student"] == (8 if method == "sungen" else 4)  # 4 of the search for weights
    logged = [record for record in read_lines(folder / "metrics.jsonl") if "eval" not in record]
    stretches = Counter((record["phase"], record["role"]) for record in logged)
    # 8 per step, each once per epoch; generator turns, other phases and samples read other rows
    rows_read = min(64, 8 * max(stretches.values()))
    read, unread = ("ood", "train") if needs.data_free else ("train", "ood")
    assert rows_read <= result["data"][f"{read}_rows_read"] <= 64
    assert result["data"][f"{unread}_rows_read"] == 0
    assert result["data"]["labels_read"] == (result["data"]["train_rows_read"] if needs.labels else 0)
    if needs.data_free:  # the teacher alone reads the task
        assert result["data"]["train_rows_read_for_teacher"] == 64
    assert set(result["student"]["metrics"]) == set(config.task.dev_splits)
    assert (result["teacher"] is not None) == needs.teacher
    for key, value in result.items():
        assert value is not None or key in result["reasons"], f"{key} is null without a reason"
    by_phase = Counter(record["phase"] for record in logged)
    steps = [step for count in by_phase.values() for step in range(1, count + 1)]
    assert [record["step"] for record in logged] == steps
    assert len(steps) == sum(result["steps"].values())
    for record in logged:
        terms = {k: v for k, v in record.items() if k not in ("role", "phase", "epoch", "step")}
        assert all(isinstance(v, float) and math.isfinite(v) for v in terms.values()), record
        assert record["loss"] > 0 or record["role"] == "generator"
    rows = read_lines(folder / "predictions.jsonl")
    assert len(rows) == sum(result["data"]["rows"][split] for split in config.task.dev_splits)
    assert "synthetic" in console
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best", "last"}
    assert result["checkpoint"]["selected"] == ("last" if needs.data_free else "best_dev")


def test_a_run_prints_the_path_of_its_report_last(tmp_path: Path) -> None:
    _, folder, console = finish(smoke_config(tmp_path, "report=true"))
    # a long path is wrapped by the console of this test
    assert "".join(console.split()).endswith(f"report:{folder / 'report.html'}")
    page = (folder / "report.html").read_text()
    assert "synthetic" in page
    assert "<script" not in page


def test_saved_student_gives_the_same_predictions_in_a_fresh_process(tmp_path: Path) -> None:
    _, folder, _ = finish(smoke_config(tmp_path, "task=mnli"))
    code = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from kdrun.data.embedded import generate
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
rows = generate("mnli", "dev")
batch = tokenizer(rows.text, rows.text_pair, truncation=True, max_length=48, padding=True, return_tensors="pt")
with torch.inference_mode():
    shares = model(**batch).logits.softmax(-1)
names = [model.config.id2label[i] for i in range(3)]
print(json.dumps([dict(zip(names, row)) for row in shares.tolist()]))
"""
    done = forked.with_libraries().run(code, str(folder / "student"))
    assert done.returncode == 0, done.stderr
    rows = [row for row in read_lines(folder / "predictions.jsonl") if row["split"] == "dev"]
    for row, shares in zip(rows, json.loads(done.stdout), strict=True):
        assert list(shares) == ["entailment", "neutral", "contradiction"]
        assert shares == pytest.approx(row["probabilities"], abs=1e-5)
        assert row["prediction"] == max(row["probabilities"], key=row["probabilities"].__getitem__)


def test_one_seed_gives_one_result_and_methods_share_start_and_order(tmp_path: Path) -> None:
    first, folder, _ = finish(smoke_config(tmp_path))
    again, folder_again, _ = finish(smoke_config(tmp_path))
    other, other_folder, _ = finish(smoke_config(tmp_path, "seed=2"))
    assert first["student"] == again["student"]
    losses = [[r["loss"] for r in read_lines(f / "metrics.jsonl") if "loss" in r] for f in (folder, folder_again)]
    assert losses[0] == losses[1]
    assert losses[0] != [r["loss"] for r in read_lines(other_folder / "metrics.jsonl") if "loss" in r]
    _, plain_folder, _ = finish(smoke_config(tmp_path, "method=finetune"))
    hard = [[r["hard"] for r in read_lines(f / "metrics.jsonl") if "hard" in r] for f in (folder, plain_folder)]
    assert hard[0][0] == pytest.approx(hard[1][0], rel=1e-6)
    assert (folder / "predictions.jsonl").read_text() == (folder_again / "predictions.jsonl").read_text()
    assert other["provenance"]["config_hash"] != first["provenance"]["config_hash"]


def test_soft_weight_zero_is_finetuning(tmp_path: Path) -> None:
    kd, _, _ = finish(smoke_config(tmp_path, "method.soft_weight=0", "method.hard_weight=1"))
    plain, _, _ = finish(smoke_config(tmp_path, "method=finetune"))
    assert kd["student"]["metrics"] == plain["student"]["metrics"]


def test_teacher_is_trained_once_and_its_logits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    finish(smoke_config(tmp_path))
    monkeypatch.setattr(finetune, "_fine_tune", lambda *_: pytest.fail("trained twice"))
    _, _, console = finish(smoke_config(tmp_path, "seed=2"))
    assert "teacher loaded from the cache" in console


def test_different_tokenizers_for_teacher_and_student(tmp_path: Path) -> None:
    result, _, console = finish(smoke_config(tmp_path, "student.architecture=roberta", "student.vocab_size=400"))
    assert result["student"]["metrics"]["dev"]["accuracy"] is not None
    assert "<s>" in console


@pytest.mark.parametrize(("task", "teacher_model"), [("mnli", "t5_smoke"), ("stsb", "t5_smoke"), ("sst2", "smoke")])
def test_a_text_to_text_student_is_a_student(task: str, teacher_model: str, tmp_path: Path) -> None:
    words = ("method=kd", f"task={task}", f"teacher={teacher_model}", "student=t5_smoke", "report=true")
    result, folder, console = finish(smoke_config(tmp_path, *words))
    assert f'AutoModelForSeq2SeqLM.from_pretrained("{folder / "student"}")' in console.replace("\n", "")
    assert "stray" in read_lines(folder / "metrics.jsonl")[0]
    assert (folder / "report.html").is_file()
    assert result["student"]["name"] == "t5 1x32 (scratch)"
    first = read_lines(folder / "predictions.jsonl")[0]
    assert task == "stsb" or math.isclose(sum(first["probabilities"].values()), 1, abs_tol=1e-4)
    assert task != "stsb" or 0 <= first["prediction"] <= 5


def test_an_encoder_learns_from_a_text_to_text_teacher_and_its_vocabulary(tmp_path: Path) -> None:
    words = ("method=kd", "task=rte", "teacher=t5_smoke", "student.tokenizer=teacher")
    result, _, console = finish(smoke_config(tmp_path, *words))
    assert result["student"]["metrics"]["dev"]["accuracy"] is not None
    assert "tokens  [CLS]" in console


def test_layers_of_student(tmp_path: Path) -> None:
    result, _, _ = finish(smoke_config(tmp_path, "student=layers_of", "student.layers=[1]"))
    assert result["student"]["name"].startswith("layers 1 of")
    assert result["compression"] > 1
    alone, _, _ = finish(smoke_config(tmp_path, "method=finetune", "student=layers_of", "student.layers=[1]"))
    assert alone["teacher"] is None


def test_bf16_and_accumulation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    result, _, console = finish(smoke_config(tmp_path, "runtime.precision=bf16", "optim.gradient_accumulation_steps=2"))
    assert result["data"]["train_rows_read"] == 64
    assert "cpu, bf16, 1 thread, seed 1" in console


def test_a_student_that_never_changes_is_reported(tmp_path: Path) -> None:
    _, _, console = finish(smoke_config(tmp_path, "method=finetune", "optim.lr=1e-30", "optim.weight_decay=0"))
    assert "the first step changed no weight of the student" in " ".join(console.split())


def test_a_weak_teacher_is_an_error_with_its_score_and_a_failed_record(tmp_path: Path) -> None:
    config = smoke_config(tmp_path, "teacher.allow_weak=false", "teacher.finetune_optim.steps=1")
    with pytest.raises(TrainingError, match=r"accuracy.*dev.* \d+\.\d %.*allow_weak=true"):
        runner.run(config, Console(RichConsole(file=io.StringIO())))
    (run,) = read_ledger(tmp_path / "out")
    assert run["status"] == "failed"
    assert "allow_weak=true" in run["error"]


def test_an_interrupt_ends_cleanly_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "train_student", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run(smoke_config(tmp_path), Console(RichConsole(file=io.StringIO())))
    (run,) = read_ledger(tmp_path / "out")
    assert run["status"] == "interrupted"


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    text = io.StringIO()
    assert runner.run(smoke_config(tmp_path, "dry_run=true"), Console(RichConsole(file=text))) is None
    assert not (tmp_path / "out").exists()
    assert "dry run" in text.getvalue()


def test_fine_tuned_folder_as_teacher_needs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder, _ = finish(smoke_config(tmp_path))
    monkeypatch.setattr(finetune, "_fine_tune", lambda *_: pytest.fail("it came with a head"))
    result, _, _ = finish(smoke_config(tmp_path, f"teacher.path={folder}/student"))
    assert result["teacher"]["name"] == "student"


def test_gpu_asked_for_and_not_there(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=r"runtime\.device=cuda"):
        runner.run(smoke_config(tmp_path, "runtime.device=cuda"), Console(RichConsole(file=io.StringIO())))


def test_sweep_runs_every_cell_and_ends_with_one_table(tmp_path: Path, shared_cache: Path) -> None:
    words = ["preset=smoke", f"output_dir={tmp_path}/out", "-m", "method=finetune,kd", "task=sst2,stsb"]
    env = {**os.environ, "KDRUN_CACHE": str(shared_cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "140"}
    done = forked.with_libraries().run(forked.KDRUN, *words, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    runs = read_ledger(tmp_path / "out")
    assert sorted((r["method"], r["task"]) for r in runs) == [
        ("finetune", "sst2"), ("finetune", "stsb"), ("kd", "sst2"), ("kd", "stsb"),
    ]  # fmt: skip
    table = done.stdout[done.stdout.index("sweep ") :]
    assert table.count("done") == 4
    (sweep,) = {run["sweep"] for run in runs}
    folders = {tmp_path / "out" / "sweeps" / sweep / run["config_hash"] for run in runs}
    assert {Path(run["run_dir"]) for run in runs} == folders


def test_data_that_cannot_be_read_is_in_the_ledger_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        runner.run(
            smoke_config(tmp_path, "data=folder", f"data.dir={tmp_path}/nowhere"),
            Console(RichConsole(file=io.StringIO())),
        )
    (run,) = read_ledger(tmp_path / "out")
    assert run["status"] == "failed"


def test_control_c_on_a_real_process(tmp_path: Path, shared_cache: Path) -> None:
    env = {**os.environ, "KDRUN_CACHE": str(shared_cache), "HF_HUB_OFFLINE": "1"}
    words = ["preset=smoke", f"output_dir={tmp_path}/out", "optim.steps=1000000", "runtime.eval_every=1000000"]
    child = forked.with_libraries().start(forked.KDRUN, *words, env=env)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/kd/sst2/*/metrics.jsonl")):
        assert time.monotonic() < deadline, "the run never began to train"
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    done = child.finish()
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stdout
    assert "Traceback" not in done.stdout
    (run,) = read_ledger(tmp_path / "out")
    assert run["status"] == "interrupted"


@pytest.mark.usefixtures("run_env")
def test_the_same_student_without_a_teacher_is_trained_after_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["method=kd", "task=sst2", "preset=smoke", "optim.steps=2", "teacher.allow_weak=true", "student_alone=true"]
    assert main.run([*words, f"output_dir={tmp_path}", "report=false"]) == 0
    assert "student alone" in capsys.readouterr().out
    runs = read_runs(tmp_path / "ledger.jsonl")
    assert [(run["method"], run["status"]) for run in runs] == [("kd", "done"), ("finetune", "done")]
    assert main.run([*words, f"output_dir={tmp_path}", "report=false"]) == 0  # the run without a teacher is reused
    assert [run["method"] for run in read_runs(tmp_path / "ledger.jsonl")] == ["kd", "finetune", "kd"]
