"""Comparison of one student per domain with one student for all, interrupted and resumed."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli.commands import compare
from kdrun.reporting import ledger_query
from kdrun.reporting.html import index_page, report
from kdrun.runs import runner
from kdrun.storage.ledger import read_comparisons, read_runs
from tests.helpers.ledgers import read_ledger

WORDS = ["task=amazon", "method.domain=all", "teacher.domain_strategy=mixed", "preset=smoke", "optim.steps=2"]
WORDS += ["teacher.finetune_optim.steps=2", "teacher.allow_weak=true", "report=false"]
DOMAINS = ["books", "dvd", "electronics", "kitchen"]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Made:
    """What the comparison left: its folder, its record, what each attempt ran, and what the last one printed."""

    folder: Path
    record: dict[str, Any]
    ran: list[list[str]]
    shown: str

    @property
    def whole(self) -> Path:
        """The folder of the run of all domains."""
        return Path(self.record["arms"][1]["folders"]["1"])

    def result(self) -> dict[str, Any]:
        """The result of that run."""
        return json.loads((self.whole / "result.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Made]:
    """A comparison that is stopped in its third domain, repeated, and repeated once more."""
    folder, real = tmp_path_factory.mktemp("domains"), runner.run
    ran: list[list[str]] = []

    def stops(config: Any, *rest: Any) -> Any:
        domain = getattr(config.method, "domain", None) or "one student"
        ran[-1].append(domain)
        if len(ran) == 1 and domain == "electronics":
            raise KeyboardInterrupt
        return real(config, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(runner, "run", stops)
        words = ["method=tinybert_kd", "baselines=finetune", "seeds=1", *WORDS, f"output_dir={folder}"]
        shown = io.StringIO()
        for attempt in range(3):
            ran.append([])
            with contextlib.redirect_stdout(shown := io.StringIO()):
                if attempt:
                    assert compare.main(words) == 0
                else:
                    with pytest.raises(KeyboardInterrupt):
                        compare.main(words)
        (record,) = read_comparisons(folder / "ledger.jsonl")
        yield Made(folder, record, ran, shown.getvalue())


def test_a_stopped_comparison_goes_on_with_the_domain_that_it_was_stopped_in(made: Made) -> None:
    assert made.ran == [["one student", "all", "books", "dvd", "electronics"], ["all", "electronics", "kitchen"], []]
    places = [part["run_dir"] for part in made.result()["domains"].values()]
    assert places == [f"domains/{domain}" for domain in DOMAINS]
    for place, domain in zip(places, DOMAINS, strict=True):
        assert json.loads((made.whole / place / "result.json").read_text())["data"]["name"].startswith(
            f"amazon/{domain}"
        )


def test_runs_of_single_domains_count_within_their_whole(made: Made) -> None:
    everything = read_runs(made.folder / "ledger.jsonl")
    told = [(run["method"], run["status"]) for run in read_ledger(made.folder)]
    assert told == [("finetune", "done"), ("tinybert_kd", "done")]
    wholes = [run["run_id"] for run in everything if run["group"] is None]
    parts = [run["group"] for run in everything if run["group"] is not None]
    assert parts == [wholes[1]] * 4
    shown = [
        ledger_query.ledger_runs(ledger_query.RunFilters(output_dir=str(made.folder), parts=parts))
        for parts in (False, True)
    ]
    assert [len(found) for found in shown] == [2, 6]
    assert len(index_page.entries_of_output(made.folder, None)) == 2
    (made.folder / "ledger.jsonl").rename(made.folder / "gone.jsonl")
    try:  # without a ledger the folders are looked through
        assert len(index_page.entries_of_output(made.folder / "tinybert_kd" / "amazon", None)) == 1
    finally:
        (made.folder / "gone.jsonl").rename(made.folder / "ledger.jsonl")


def test_predictions_are_in_the_order_of_the_whole_split(made: Made) -> None:
    read = [
        [json.loads(line) for line in (Path(arm["folders"]["1"]) / "predictions.jsonl").read_text().splitlines()]
        for arm in made.record["arms"]
    ]
    keys = ("id", "split", "domain", "text", "gold")
    one, each = ([[row[key] for key in keys] for row in rows] for rows in read)
    assert len(one) == 720 + 800
    assert one == each
    right = [row["prediction"] == row["gold"] for row in read[1] if row["split"] == "test"]
    assert sum(right) / 800 == pytest.approx(made.record["arms"][1]["mean"])


def test_arms_have_one_budget_and_scores_by_domain(made: Made) -> None:
    finetune, tinybert = made.record["arms"]
    assert (finetune["steps"], tinybert["steps"]) == ({"student": 8}, {"student": 8})  # 2 for each of four
    assert made.record["uneven_steps"] == []
    metrics = made.result()["student"]["metrics"]["test"]
    for domain in DOMAINS:
        assert tinybert["by_domain"][domain] == {"mean": metrics[f"accuracy_{domain}"], "sd": None}
    assert (finetune["teacher"], finetune["domain"], tinybert["domain"]) == (None, None, "all")
    teacher = tinybert["teacher"]
    assert (teacher["lessons"], list(teacher["by_domain"])) == ("mixed", DOMAINS)
    assert made.record["teacher"] == {"name": teacher["name"], "score": teacher["score"]}
    assert tinybert["kept"] == pytest.approx(tinybert["mean"] / teacher["score"])


def test_the_screen_shows_teachers_beside_students_by_domain(made: Made) -> None:
    table = made.shown[made.shown.index("test accuracy by domain") :].split("verdicts")[0]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["teacher mixed", "finetune", "tinybert_kd"]
    mean = made.record["arms"][1]["mean"]
    assert rows[2][-1] == f"{mean:.4f}"


def test_the_page_of_all_domains_leads_to_theirs(made: Made) -> None:
    parts = made.result()["domains"]
    for domain in DOMAINS[:3]:
        report.write_run_report(made.whole / parts[domain]["run_dir"])
    html = report.write_run_report(made.whole).read_text()
    for domain in DOMAINS[:3]:
        address = f"{parts[domain]['run_dir']}/report.html"
        assert f'<a href="{address}">{domain}</a>' in html
        assert (made.whole / address).exists()
    assert "kitchen: no report.html" in html
    assert 'id="curves"' not in html
    assert "Learning curves" in report.write_run_report(made.whole / parts["books"]["run_dir"]).read_text()


def test_the_page_of_the_comparison_has_the_domains(made: Made) -> None:
    (place,) = made.folder.glob("compare/amazon/*")
    html = report.write_comparison_report(place).read_text()
    assert "accuracy on test by domain" in html
    assert '<th scope="row">teacher mixed</th>' in html
    assert "tinybert_kd: one student per domain; the curves are on the pages of their runs." in html.replace("B: ", "")
