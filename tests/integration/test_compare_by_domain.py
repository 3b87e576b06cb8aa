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
class Outcome:
    """A finished comparison: folder, record, arms of each attempt, output of the last one."""

    folder: Path
    record: dict[str, Any]
    ran: list[list[str]]
    output: str

    @property
    def pooled_dir(self) -> Path:
        """The folder of the run of all domains."""
        return Path(self.record["arms"][1]["folders"]["1"])

    def result(self) -> dict[str, Any]:
        """The result of that run."""
        return json.loads((self.pooled_dir / "result.json").read_text())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Outcome]:
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
        output = io.StringIO()
        for attempt in range(3):
            ran.append([])
            with contextlib.redirect_stdout(output := io.StringIO()):
                if attempt:
                    assert compare.main(words) == 0
                else:
                    with pytest.raises(KeyboardInterrupt):
                        compare.main(words)
        (record,) = read_comparisons(folder / "ledger.jsonl")
        yield Outcome(folder, record, ran, output.getvalue())


def test_a_stopped_comparison_resumes_in_the_interrupted_domain(outcome: Outcome) -> None:
    assert outcome.ran == [["one student", "all", "books", "dvd", "electronics"], ["all", "electronics", "kitchen"], []]
    places = [part["run_dir"] for part in outcome.result()["domains"].values()]
    assert places == [f"domains/{domain}" for domain in DOMAINS]
    for place, domain in zip(places, DOMAINS, strict=True):
        assert json.loads((outcome.pooled_dir / place / "result.json").read_text())["data"]["name"].startswith(
            f"amazon/{domain}"
        )


def test_runs_of_single_domains_count_within_their_whole(outcome: Outcome) -> None:
    everything = read_runs(outcome.folder / "ledger.jsonl")
    states = [(run["method"], run["status"]) for run in read_ledger(outcome.folder)]
    assert states == [("finetune", "done"), ("tinybert_kd", "done")]
    wholes = [run["run_id"] for run in everything if run["group"] is None]
    parts = [run["group"] for run in everything if run["group"] is not None]
    assert parts == [wholes[1]] * 4
    listings = [
        ledger_query.ledger_runs(ledger_query.RunFilters(output_dir=str(outcome.folder), parts=parts))
        for parts in (False, True)
    ]
    assert [len(listing) for listing in listings] == [2, 6]
    assert len(index_page.entries_of_output(outcome.folder, None)) == 2
    (outcome.folder / "ledger.jsonl").rename(outcome.folder / "gone.jsonl")
    try:  # without a ledger the folders are looked through
        assert len(index_page.entries_of_output(outcome.folder / "tinybert_kd" / "amazon", None)) == 1
    finally:
        (outcome.folder / "gone.jsonl").rename(outcome.folder / "ledger.jsonl")


def test_predictions_are_in_the_order_of_the_whole_split(outcome: Outcome) -> None:
    predictions = [
        [json.loads(line) for line in (Path(arm["folders"]["1"]) / "predictions.jsonl").read_text().splitlines()]
        for arm in outcome.record["arms"]
    ]
    keys = ("id", "split", "domain", "text", "gold")
    one, each = ([[row[key] for key in keys] for row in rows] for rows in predictions)
    assert len(one) == 720 + 800
    assert one == each
    right = [row["prediction"] == row["gold"] for row in predictions[1] if row["split"] == "test"]
    assert sum(right) / 800 == pytest.approx(outcome.record["arms"][1]["mean"])


def test_arms_have_one_budget_and_scores_by_domain(outcome: Outcome) -> None:
    finetune, tinybert = outcome.record["arms"]
    assert (finetune["steps"], tinybert["steps"]) == ({"student": 8}, {"student": 8})  # 2 for each of four
    assert outcome.record["uneven_steps"] == []
    metrics = outcome.result()["student"]["metrics"]["test"]
    for domain in DOMAINS:
        assert tinybert["by_domain"][domain] == {"mean": metrics[f"accuracy_{domain}"], "sd": None}
    assert (finetune["teacher"], finetune["domain"], tinybert["domain"]) == (None, None, "all")
    teacher = tinybert["teacher"]
    assert (teacher["lessons"], list(teacher["by_domain"])) == ("mixed", DOMAINS)
    assert outcome.record["teacher"] == {"name": teacher["name"], "score": teacher["score"]}
    assert tinybert["kept"] == pytest.approx(tinybert["mean"] / teacher["score"])


def test_the_screen_shows_teachers_next_to_students_by_domain(outcome: Outcome) -> None:
    table = outcome.output[outcome.output.index("test accuracy by domain") :].split("verdicts")[0]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["teacher mixed", "finetune", "tinybert_kd"]
    mean = outcome.record["arms"][1]["mean"]
    assert rows[2][-1] == f"{mean:.4f}"


def test_the_page_of_all_domains_leads_to_theirs(outcome: Outcome) -> None:
    parts = outcome.result()["domains"]
    for domain in DOMAINS[:3]:
        report.write_run_report(outcome.pooled_dir / parts[domain]["run_dir"])
    html = report.write_run_report(outcome.pooled_dir).read_text()
    for domain in DOMAINS[:3]:
        address = f"{parts[domain]['run_dir']}/report.html"
        assert f'<a href="{address}">{domain}</a>' in html
        assert (outcome.pooled_dir / address).exists()
    assert "kitchen: no report.html" in html
    assert 'id="curves"' not in html
    assert "Learning curves" in report.write_run_report(outcome.pooled_dir / parts["books"]["run_dir"]).read_text()


def test_the_page_of_the_comparison_has_the_domains(outcome: Outcome) -> None:
    (place,) = outcome.folder.glob("compare/amazon/*")
    html = report.write_comparison_report(place).read_text()
    assert "accuracy on test by domain" in html
    assert '<th scope="row">teacher mixed</th>' in html
    assert "tinybert_kd: one student per domain; the curves are on the pages of their runs." in html.replace("B: ", "")
