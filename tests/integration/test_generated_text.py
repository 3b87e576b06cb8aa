"""Generated text of a run: written, described, and used to train other runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdrun import registry
from kdrun.cli import main
from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.data.sources.generated_text import read_generated
from kdrun.errors import ConfigError, DataError
from kdrun.experiments.compare import plan
from kdrun.generation.text_statistics import GeneratedRow
from kdrun.generation.types import GeneratedText
from kdrun.methods.base import Method
from kdrun.reporting.html import report
from kdrun.runs import build, runner
from kdrun.runs.export.generated_text import generate
from kdrun.runs.export.generated_text.generate import RowGenerator
from kdrun.storage.ledger import read_comparisons, read_runs

SMOKE = ["preset=smoke", "report=false", "teacher.allow_weak=true"]
METHODS = [
    name
    for name, entry in registry.entries("method").items()
    if not (entry.target.requires.domains or entry.target.requires.only_text)
]

pytestmark = pytest.mark.usefixtures("run_env")


def run(*words: str) -> Any:
    result = runner.run(compose.load_config([*SMOKE, *words]), QuietConsole())
    assert result is not None
    return result


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A fine-tuned teacher as a folder, and its tokenizer."""
    folder = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        run("method=finetune", f"output_dir={folder}", f"run_dir={folder / 'run'}", "optim.steps=20")
    return folder / "run" / "student"


@pytest.fixture(scope="module")
def zskd_run(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, taught: Path) -> Path:
    """The folder of a run of zskd that left its text."""
    folder = tmp_path_factory.mktemp("left")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        words = [f"teacher.path={taught}", "student.tokenizer=teacher", "generator.tokenizer=teacher"]
        run("method=zskd", *words, f"output_dir={folder}", f"run_dir={folder / 'run'}")
    return folder / "run"


@pytest.fixture
def poisoned(tmp_path: Path) -> list[str]:
    """Words of a run whose training file would end any run that opens it."""
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    rows = "".join(f"the {word} film is fine\t{i % 2}\n" for i, word in enumerate(["old", "new", "long"]))
    (folder / "dev.tsv").write_text(f"sentence\tlabel\n{rows}")
    (folder / "train.tsv").write_bytes(b"sentence\tlabel\n\xff\xfe poison\tneither\n")
    return [f"data.dir={tmp_path / 'glue'}"]


@pytest.fixture
def built(taught: Path) -> tuple[Any, Method, Any]:
    """A run of kd_augment before its training, its method and its rows."""
    words = [f"teacher.path={taught}", "student.tokenizer=teacher", "generator.tokenizer=teacher"]
    run = runner.prepare(compose.load_config([*SMOKE, "method=kd_augment", *words]), QuietConsole())
    method = build.make_method(run)
    return run, method, build.make_loader(run, method)


def test_a_run_leaves_rows_card_and_page(zskd_run: Path) -> None:
    folder, task = zskd_run / "generated", compose.load_config(["task=sst2"]).task
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "card.json", "train.jsonl"]
    assert not list(zskd_run.glob(".generated*"))
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    result, card = json.loads((zskd_run / "result.json").read_text()), json.loads((folder / "card.json").read_text())
    assert len({row["text"] for row in rows}) == len(rows) == 64  # as many as the out-of-domain rows
    assert all(list(row) == ["text", "wanted", "teacher", "source"] for row in rows)
    assert result["generated"]["rows"] == card["file"]["rows"] == 64
    assert result["generated"]["fingerprint"] == read_generated(str(zskd_run), task).fingerprint
    assert result["generated"]["quality"] == card["quality"]
    assert (card["method"], card["task"], card["source"]["split"]) == ("zskd", "sst2", "ood")
    assert (card["source"]["task_rows_read"], card["source"]["task_labels_read"]) == (0, 0)
    counts = card["counts"]
    assert counts["made"] == counts["kept"] + counts["repeated"] + counts["empty"] + counts["unknown"]
    assert "64 rows in `train.jsonl`" in (folder / "README.md").read_text(encoding="utf-8")
    shares = card["quality"]["classes"]
    labels = [max(row["teacher"], key=lambda name, row=row: row["teacher"][name]) for row in rows]
    assert shares["positive"] == pytest.approx(labels.count("positive") / 64)


def test_a_run_killed_after_its_text_was_written_resumes(
    zskd_run: Path, taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"teacher.path={taught}", "student.tokenizer=teacher", "generator.tokenizer=teacher", "method=zskd"]
    words += [f"output_dir={tmp_path}", f"run_dir={tmp_path / 'run'}"]

    def die(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "build_result", die)
        with pytest.raises(RuntimeError, match="killed"):
            run(*words)
    assert (tmp_path / "run" / "generated" / "train.jsonl").exists()
    (tmp_path / "run" / ".generated.tmp").mkdir()  # as of one that died a little earlier
    run(*words)
    rows = [(folder / "generated" / "train.jsonl").read_bytes() for folder in (zskd_run, tmp_path / "run")]
    assert rows[0] == rows[1]
    assert not list((tmp_path / "run").glob(".generated*"))


def test_the_teacher_scored_the_text_as_it_is_written(zskd_run: Path, taught: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(taught).eval()
    tokenizer = AutoTokenizer.from_pretrained(taught)
    rows = [json.loads(line) for line in (zskd_run / "generated" / "train.jsonl").read_text().splitlines()][:20]
    with torch.no_grad():
        batch = tokenizer(
            [row["text"] for row in rows], padding=True, truncation=True, max_length=48, return_tensors="pt"
        )
        expected = model(**batch).logits.softmax(dim=-1)
    probabilities = torch.tensor([[row["teacher"]["negative"], row["teacher"]["positive"]] for row in rows])
    torch.testing.assert_close(probabilities, expected, atol=2e-6, rtol=0)


def test_another_student_learns_from_it_and_the_training_file_stays_shut(
    zskd_run: Path, tmp_path: Path, poisoned: list[str]
) -> None:
    card = zskd_run / "generated" / "card.json"
    copy = tmp_path / "alone.jsonl"  # without its synthetic card: the dev rows here pass for real ones
    copy.write_bytes((card.with_name("train.jsonl")).read_bytes())
    with pytest.raises(DataError, match="generated from synthetic text"):
        run("method=finetune", "data=generated", f"data.path={zskd_run}", *poisoned, f"output_dir={tmp_path}")
    words = ["data=generated", f"data.path={copy}", *poisoned, "student.sizes.hidden_size=16", "generator=none"]
    data = run("method=finetune", *words, f"output_dir={tmp_path}")["data"]
    assert data["rows"] == {"dev": 3, "generated": 64}
    assert (data["train_rows_read"], data["labels_read"], data["train_rows_read_for_teacher"]) == (0, 0, 0)
    assert data["generated_rows_read"] == 32  # 4 steps of 8 rows
    assert data["synthetic"] is False
    with pytest.raises(DataError, match=r"train\.tsv"):
        run("method=finetune", "data=folder", *poisoned, f"output_dir={tmp_path}")


def test_the_result_records_the_origin_of_the_rows(zskd_run: Path, taught: Path, tmp_path: Path) -> None:
    words = ["method=kd", "data=generated", f"data.path={zskd_run}", f"output_dir={tmp_path}"]
    first = run(*words, f"teacher.path={taught}", "student.tokenizer=teacher")
    origin = first["data"]["generated"]
    assert (origin["method"], origin["same_teacher"]) == ("zskd", True)
    assert first["checkpoint"]["selected"] == "last"  # no labeled rows of the task to choose by
    other = run(*words)  # another teacher, which alone reads the task's rows
    assert other["data"]["generated"]["same_teacher"] is False
    assert (other["data"]["train_rows_read"], other["data"]["train_rows_read_for_teacher"]) == (0, 64)
    assert first["provenance"]["data_hash"] == other["provenance"]["data_hash"]


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=() if m in ("kd", "dfkd_t3") else pytest.mark.slow) for m in METHODS]
)
def test_every_method_takes_a_step_on_it(method: str, zskd_run: Path) -> None:
    words = [*SMOKE, f"method={method}", "data=generated", f"data.path={zskd_run}", "dry_run=true"]
    assert runner.run(compose.load_config(words), QuietConsole()) is None


@pytest.mark.slow
def test_one_table_holds_a_student_of_the_corpus_and_one_of_the_text(
    zskd_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "method=kd_ood", "baselines=[]", *SMOKE, f"ood.path=null,{zskd_run}", "seeds=1"]
    assert main.run([*words, f"output_dir={tmp_path}"]) == 0
    record = read_comparisons(tmp_path / "ledger.jsonl")[-1]
    assert [arm["name"] for arm in record["arms"]] == ["kd_ood path=null", "kd_ood path=run"]
    assert record["uneven_steps"] == []
    corpus, text = (json.loads(Path(arm["folders"]["1"], "result.json").read_text())["data"] for arm in record["arms"])
    assert (corpus["ood_rows_read"], text["ood_rows_read"]) == (32, 32)
    assert corpus["generated"] is None
    assert text["generated"]["method"] == "zskd"
    assert "kd_ood path=run" in capsys.readouterr().out


def test_only_methods_that_learn_from_such_text_have_an_arm_for_each() -> None:
    arms = plan.plan_arms(["finetune", "kd_ood", "zskd"], ["preset=smoke", "ood.path=null,x", "generated.rows=9"])
    assert [arm.name for arm in arms] == [
        "finetune",
        "kd_ood path=null",
        "kd_ood path=x",
        "zskd path=null",
        "zskd path=x",
    ]
    assert "generated.rows=9" not in arms[0].overrides
    assert arms[0].left_out[0].startswith("without generated.rows=9: ")
    (single_arm, _) = plan.plan_arms(["finetune", "kd_ood"], ["preset=smoke", "ood.path=x", "ood.rows=5"])
    assert single_arm.overrides == ["method=finetune", "preset=smoke", "ood.rows=5"]
    assert "generated.rows=9" in arms[-1].overrides
    with pytest.raises(ConfigError, match=r"a comparison has one generated\.rows"):
        plan.plan_arms(["zskd"], ["generated.rows=1,2"])


def test_methods_with_data_leave_text_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMOKE, "method=kd_augment", "task=mrpc", "generated.rows=70", f"output_dir={tmp_path}"]
    assert main.run([*words, f"run_dir={tmp_path / 'run'}"]) == 0
    card = json.loads((tmp_path / "run" / "generated" / "card.json").read_text())
    assert (card["file"]["rows"], card["source"]["split"], card["source"]["rows"]) == (70, "train", 64)
    assert card["counts"]["passes"] >= 2
    assert card["source"]["task_rows_read"] == 64
    row = json.loads((tmp_path / "run" / "generated" / "train.jsonl").read_text().splitlines()[0])
    assert list(row) == ["text", "text_pair", "wanted", "teacher", "source"]
    output = " ".join(capsys.readouterr().out.split())
    assert "distinct-1" in output
    assert "kdrun method=finetune task=mrpc preset=smoke data=generated data.path=" in output
    assert 'id="generated"' in report.write_run_report(tmp_path / "run").read_text(encoding="utf-8")
    result = run("method=kd_augment", "task=mrpc", f"output_dir={tmp_path}")
    assert result["generated"] is None
    assert result["reasons"]["generated"] == "only a data-free method leaves text unless generated.rows is set"


def test_a_crash_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(maker: RowGenerator) -> Iterator[GeneratedRow]:
        yield GeneratedRow(("a",), ("b",), np.array([0.5, 0.5]), 0)
        raise OSError("disk full")

    monkeypatch.setattr(generate.RowGenerator, "rows", broken)
    with pytest.raises(OSError, match="disk full"):
        run("method=zskd", f"output_dir={tmp_path}", f"run_dir={tmp_path / 'run'}")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert not any("generated" in name for name in names)
    assert "predictions.jsonl" in names  # what the training gave is there all the same
    assert read_runs(tmp_path / "ledger.jsonl")[-1]["status"] == "failed"


def test_rows_are_a_function_of_the_seed(built: tuple[Any, Method, Any]) -> None:
    run, method, feed = built
    first, second = ([row.texts for row in RowGenerator(run, method, feed, 20).rows()] for _ in range(2))
    assert first == second
    assert len(set(first)) == 20


def test_more_rows_than_sources_take_several_passes(built: tuple[Any, Method, Any]) -> None:
    run, method, feed = built
    maker = RowGenerator(run, method, feed, 150)
    rows = list(maker.rows())
    assert len(rows) == maker.counts.kept == len({row.texts for row in rows}) == 150
    assert maker.counts.passes >= 3  # of 64 rows each
    row = rows[0]
    assert row.source_texts == (run.data.student_rows.row(row.source)["text"],)
    assert row.probabilities.sum() == pytest.approx(1)


def test_a_generator_that_repeats_itself_ends_the_work(
    built: tuple[Any, Method, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, method, feed = built
    tokenizer = run.roles["generator"].tokenizer
    line = tokenizer("the old film")["input_ids"]

    def made_text(batch: Any) -> GeneratedText:
        ids = torch.tensor([line] * len(batch.ids))
        ids[0, 1:-1] = tokenizer.pad_token_id  # nothing between the special tokens
        ids[1, 1] = tokenizer.unk_token_id
        return GeneratedText(ids, ids != tokenizer.pad_token_id, ids != ids, {})

    monkeypatch.setattr(method, "generate_text", made_text)
    maker = RowGenerator(run, method, feed, 50)
    assert [row.texts for row in maker.rows()] == [("the old film",)]
    counts = maker.counts
    assert (counts.made, counts.kept, counts.empty, counts.unknown, counts.repeated) == (64, 1, 1, 1, 61)
    assert counts.passes == 1  # one new text of 64 made: another pass would not be worth its time


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=kd", "generated.rows=5"], "kd_augment, mate_kd, zskd do)"),
        (["method=mate_kd", "task=stsb", "generated.rows=5"], "task=stsb has no classes"),
        (["method=finetune", "data=generated"], "data.path is required"),
        (["method=finetune", "task=stsb", "data=generated", "data.path=x"], "task=stsb has no classes"),
        (["method=meta_kd", "task=amazon", "data=generated", "data.path=x"], "its rows have no domain"),
        (["method=kd", "data=generated", "data.path=x", "data.dev=folder"], "data.dev=folder needs data.dir="),
        (["data=generated", "data.path=x", "data.dev=hub", "data.dir=y"], "data.dir=y belongs to data.dev=folder"),
        (["method=kd", "ood.path=x"], "learns from such text with data=generated data.path="),
        (["method=kd_ood", "ood.path=x", "data=generated", "data.path=x"], "both name the text to learn from"),
    ],
)  # fmt: skip
def test_invalid_combinations_fail_before_anything_loads(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.load_config(words)
    assert message in str(caught.value)


def test_text_in_the_place_of_the_corpus_needs_no_real_corpus() -> None:
    words = ["data=folder", "data.dir=x"]
    with pytest.raises(ConfigError, match="corpus=embedded"):
        compose.load_config(["method=kd_ood", *words])
    compose.load_config(["method=kd_ood", *words, "ood.path=y"])
