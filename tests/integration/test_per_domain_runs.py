"""Plain methods on a task with domains, from the entry point to every page."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console as RichConsole

from kdrun.cli import main
from kdrun.cli.commands import compare, report
from kdrun.cli.explain import display, lookup
from kdrun.config import compose
from kdrun.console import Console
from kdrun.experiments.compare import significance
from kdrun.runs import runner
from kdrun.storage import ledger
from tests.helpers.embedded_rows import fewer_rows
from tests.helpers.runs import Finished, finish, read_lines

SMOKE = ["task=amazon", "preset=smoke", "teacher.allow_weak=true"]
DOMAINS = ("books", "dvd", "electronics", "kitchen")
SCORES = ["accuracy", *(f"accuracy_{domain}" for domain in DOMAINS)]


@pytest.fixture(scope="module", autouse=True)
def few_dev_rows() -> Iterator[None]:
    """Ten rows per domain and class in dev, twenty in test."""
    with fewer_rows("amazon", dev=80, test=160):
        yield


def finish_domains(tmp_path: Path, *overrides: str) -> Finished:
    return finish(compose.load_config([*SMOKE, f"output_dir={tmp_path}", f"run_dir={tmp_path}/run", *overrides]))


@pytest.mark.usefixtures("run_env")
def test_one_student_on_all_domains_chooses_on_dev_and_reports_test(tmp_path: Path) -> None:
    result, folder, console = finish_domains(tmp_path, "method=kd")
    assert result["headline"] == {"metric": "accuracy", "split": "test"}
    assert result["checkpoint"]["split"] == "dev"
    assert result["checkpoint"]["note"] == "the scores reported are of test, which was scored once, at the end"
    assert "(chosen on dev, test reported)" in console
    for role in ("student", "teacher"):
        for split in ("dev", "test"):
            scores = result[role]["metrics"][split]
            assert list(scores) == SCORES
            assert scores["accuracy"] == pytest.approx(np.mean([scores[name] for name in SCORES[1:]]))
    of_test = [result[role]["metrics"]["test"]["accuracy"] for role in ("student", "teacher")]
    assert result["retention"] == pytest.approx(of_test[0] / of_test[1])
    assert result["data"]["rows_by_domain"]["train"] == dict.fromkeys(DOMAINS, 16)
    assert result["data"]["rows_by_domain"]["test"] == dict.fromkeys(DOMAINS, 40)
    assert "domains  train: books 16, dvd 16, electronics 16, kitchen 16; dev: books 20" in console
    assert "test accuracy_kitchen" in console
    # test is not looked at before the end
    scored = [line["eval"] for line in read_lines(folder / "metrics.jsonl") if "eval" in line]
    assert scored
    assert all(list(splits) == ["dev"] for splits in scored)


@pytest.mark.usefixtures("run_env")
def test_predictions_say_their_domain_and_give_the_scores_again(tmp_path: Path) -> None:
    result, folder, _ = finish_domains(tmp_path, "method=finetune", "report=false")
    rows = read_lines(folder / "predictions.jsonl")
    assert {split: sum(row["split"] == split for row in rows) for split in ("dev", "test")} == {"dev": 80, "test": 160}
    for domain in DOMAINS:
        domain_rows = [row for row in rows if (row["split"], row["domain"]) == ("test", domain)]
        right = np.mean([row["gold"] == row["prediction"] for row in domain_rows])
        assert len(domain_rows) == 40
        assert right == pytest.approx(result["student"]["metrics"]["test"][f"accuracy_{domain}"])


@pytest.mark.usefixtures("run_env")
def test_the_page_of_a_run_tells_of_both_splits_and_of_each_domain(tmp_path: Path) -> None:
    _, folder, _ = finish_domains(tmp_path, "method=kd")
    page = (folder / "report.html").read_text()
    assert "accuracy on test of amazon (synthetic)" in page
    assert "The checkpoint was chosen on dev; test is reported." in page
    assert "scores are optimistic" not in page
    assert "accuracy_electronics on test" in page
    assert "chosen" in page.split("Learning curves")[1]


@pytest.mark.usefixtures("run_env")
def test_a_comparison_pairs_on_the_split_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([*SMOKE, f"output_dir={tmp_path}", "method=kd", "seeds=1"]) == 0
    output = capsys.readouterr().out
    (record,) = ledger.read_comparisons(tmp_path / "ledger.jsonl")
    assert (record["split"], record["chosen_on"], record["metric"], record["rows"]) == ("test", "dev", "accuracy", 160)
    assert record["guess"] == 0.5
    assert record["how"] == record["pairs"][0]["how"] == significance.HOW_BY_DOMAIN
    assert "dev chose the checkpoint; test (160 rows) is reported" in output
    for arm in record["arms"]:
        for seed, folder in arm["folders"].items():
            comparison = json.loads((Path(folder) / "result.json").read_text())
            assert arm["scores"][seed] == comparison["student"]["metrics"]["test"]["accuracy"]
    page = next(tmp_path.rglob("compare/amazon/*/report.html")).read_text()
    assert "Checkpoints were chosen on dev; test is reported." in page
    assert main.run(["table", "of=verdicts", f"output_dir={tmp_path}"]) == 0
    table_output = capsys.readouterr().out
    assert "Percent on test" in table_output
    assert "Checkpoint of amazon (synthetic): chosen on dev, test reported." in table_output
    assert main.run(["table", "rows=method", "cols=task", "metric=accuracy_dvd", f"output_dir={tmp_path}"]) == 0
    table_output = capsys.readouterr().out
    assert "accuracy_dvd" in table_output
    assert "Checkpoint: best_dev on dev, test reported." in table_output
    assert report.main([next(iter(record["arms"][0]["folders"].values()))]) == 0


@pytest.mark.usefixtures("run_env")
def test_check_counts_the_rows_of_each_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "method=kd", *SMOKE, f"output_dir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    assert "train: books 16, dvd 16, electronics 16, kitchen 16; dev: books 20" in " ".join(output.split())


def test_the_card_of_a_task_tells_its_domains_and_the_split_reported() -> None:
    def card_text(name: str) -> str:
        (card,) = lookup.find_cards(name)
        text = io.StringIO()
        display.print_card(card, RichConsole(file=text, width=300))
        return " ".join(text.getvalue().split())

    amazon, mnli = card_text("task=amazon"), card_text("task=mnli")
    assert "domains books, dvd, electronics, kitchen" in amazon
    assert "train 6480, dev 720, test 800; dev chooses, test is reported" in amazon
    assert "columns at the hub" not in amazon
    assert "official rows train 392702, dev 9815, dev_mismatched 9832 domains fiction" in mnli
    assert "with splits train 353432, dev 39270, test 9815; dev chooses, test is reported" in mnli


@pytest.mark.usefixtures("run_env")
def test_the_real_thing_is_offered_where_it_is(tmp_path: Path) -> None:
    text, words = io.StringIO(), ["method=finetune", "task=amazon", "dry_run=true", f"output_dir={tmp_path}"]
    runner.run(compose.load_config(words), Console(RichConsole(file=text, width=200)))
    assert "preset=mini" in text.getvalue()
    assert "preset=paper" not in text.getvalue(), "the hub has no such rows"


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(("task", "place"), [("amazon", "FOLDER_WITH_amazon_reviews"), ("rte", "GLUE_FOLDER")])
def test_the_command_for_the_real_thing_names_the_folder_it_needs(task: str, place: str, tmp_path: Path) -> None:
    text = io.StringIO()
    small = ["optim.steps=2", "data.max_train_rows=16", f"output_dir={tmp_path}", "dry_run=true"]
    assert runner.run(compose.load_config([f"task={task}", *small]), Console(RichConsole(file=text, width=200))) is None
    assert f"preset=mini data.dir={place} " in text.getvalue()
