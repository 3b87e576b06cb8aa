"""The page of one run."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import DataError
from kdrun.reporting.html import report
from kdrun.reporting.html import samples as html_samples
from kdrun.reporting.html.predictions import blocks
from kdrun.reporting.html.run_page import curve_blocks
from kdrun.reporting.html.run_reader import read_run
from kdrun.reporting.html.svg import drawing
from tests.helpers.finished_runs import Parsed, lines, metrics, predictions, result, samples, scores

MakeRun = Callable[..., Path]
NASTY = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


def page(folder: Path) -> Parsed:
    return Parsed(report.write_run_report(folder).read_text(encoding="utf-8"))


def test_sections_of_a_run(make_run: MakeRun) -> None:
    parsed = page(make_run(texts=samples()))
    ids = [section["id"] for section in parsed.all("section")]
    assert ids == ["verdict", "scores", "curves", "answers", "differences", "gallery", "cost", "config", "provenance"]
    lead = "The student scores 84.0 % accuracy on dev of SST-2, 90.3 % of its teacher's 93.0 %."
    assert lead in parsed.text
    assert "majority baseline scores 50.0 %" in parsed.text
    assert "checkpoint was chosen on dev" in parsed.text
    assert "dev 40 90.0 %" in parsed.text  # agreement
    assert "only the teacher correct 4 10.0 %" in parsed.text
    assert "Guo et al. 2017" in parsed.text
    assert "steps of the student 60" in parsed.text
    assert "f5dbc92 with changes" in parsed.text
    assert "temperature: 2.0" in parsed.text
    assert "synthetic" not in parsed.text


def test_the_page_is_self_contained_and_accessible(make_run: MakeRun) -> None:
    parsed = page(make_run(texts=samples()))
    (policy,) = [m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not parsed.all("script")
    assert all(value.startswith(("#", "data:")) for name in ("src", "href") for value in parsed.values(name))
    assert not re.search(r"@import|url\((?!#)|https?:", parsed.html)
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    assert {*parsed.values("aria-labelledby"), *(h[1:] for h in parsed.values("href") if h.startswith("#"))} <= set(ids)
    plots = parsed.all("svg")
    assert len(plots) == 8  # bars, accuracy, two loss terms, three gauges, calibration
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    assert all(box.get("tabindex") == "0" for box in parsed.all("div") if box.get("class") == "scroll")
    headings = [int(tag[1]) for tag, _ in parsed.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == 1
    assert headings.count(1) == 1


def test_data_is_escaped_everywhere(make_run: MakeRun) -> None:
    values = json.loads(json.dumps(result(method=NASTY, preset=NASTY)).replace('"dev"', json.dumps(NASTY)))
    values["data"]["name"] = values["student"]["name"] = values["teacher"]["name"] = NASTY
    rows = predictions(split=NASTY, text=NASTY, text_pair=NASTY)
    for row in rows:
        row["gold"] = NASTY if row["gold"] == "positive" else row["gold"]
    log = [{**line, "phase": NASTY} | ({"role": NASTY, NASTY: 0.5} if "role" in line else {}) for line in metrics()]
    texts = [{**sample, "original": NASTY, "changed": [0]} for sample in samples(text=NASTY)]
    parsed = page(make_run(log=log, answers=rows, texts=texts, generator="'x'", **values))
    assert not parsed.all("script")
    assert not parsed.all("img")
    assert not [attrs for _, attrs in parsed.tags if any(name.startswith("on") for name in attrs)]
    assert parsed.text.count("<script>alert('x')</script>") > 50


def test_the_page_explains_a_missing_teacher(make_run: MakeRun) -> None:
    reason = "method=finetune uses no teacher"
    rows = [{k: v for k, v in row.items() if not k.startswith("teacher")} for row in predictions()]
    reasons = dict.fromkeys(("teacher", "retention", "compression"), reason)
    absent: dict[str, Any] = {"teacher": None, "retention": None, "compression": None, "reasons": reasons}
    parsed = page(make_run(answers=rows, method="finetune", **absent))
    assert f"Teacher and student: n/a ({reason})." in parsed.text
    assert f"retention n/a ({reason})" in parsed.text
    assert f"compression (teacher's parameters / student's) n/a ({reason})" in parsed.text
    assert "Where teacher and student differ most n/a" in parsed.text
    assert "Gold label against student on dev" in parsed.text
    assert "student, ECE" in parsed.text


def test_nulls_have_their_reason(make_run: MakeRun) -> None:
    reasons = {"student.metrics.dev.mcc": "undefined: the predictions are constant"}
    student = {"name": "s", "params": 7, "metrics": {"dev": {"accuracy": 0.5, "mcc": None}}}
    parsed = page(make_run(student=student, reasons=reasons))
    assert "mcc on dev n/a n/a n/a (undefined: the predictions are constant) n/a" in parsed.text
    assert "The student is no better than the majority baseline" in parsed.text


def test_synthetic_data_is_marked_at_every_table_and_plot(make_run: MakeRun) -> None:
    data = {"name": "sst2 (synthetic)", "source": "embedded", "synthetic": True}
    parsed = page(make_run(data=data, texts=samples()))
    assert "no number here is a score on a published data set" in parsed.text
    marks = [span for span in parsed.all("span") if span.get("class") == "synthetic"]
    tables = 6  # scores, agreement, correct predictions, two matrices, cost
    cards = 4 + 20 + 3  # scores on top, examples, samples
    assert len(marks) == len(parsed.all("figure")) + tables + cards


def test_scores_are_scattered_instead(make_run: MakeRun) -> None:
    parsed = page(make_run(answers=scores()))
    assert "Gold against student on dev" in parsed.text
    assert "Teacher against student on dev" in parsed.text
    assert "no probabilities" in parsed.text
    assert "largest distance of their scores" in parsed.text
    with drawing():
        html_blocks = blocks(read_run(make_run("many", answers=scores(2000))))
    assert "One row in 3 of 2000" in str(html_blocks)


def test_gallery_marks_changed_words_and_shows_both_models(make_run: MakeRun) -> None:
    parsed = page(make_run(texts=samples(30)))
    assert len(parsed.all("mark")) == 24
    assert "(24 of 30, evenly spaced)" in parsed.text
    assert "step 0 original the film is good generated the film is awful" in parsed.text
    assert "step 290" in parsed.text
    assert "negative 0.100 0.900 0.100 0.200" in parsed.text
    assert "0.000 before and 0.700 after" in parsed.text


def test_a_generator_without_samples_is_reported(make_run: MakeRun) -> None:
    assert "samples.jsonl is missing or empty" in str(html_samples.blocks(read_run(make_run(generator="mlm"))))
    assert html_samples.blocks(read_run(make_run("other"))) is None


def test_phases_and_turns_are_shaded(make_run: MakeRun) -> None:
    parsed = page(make_run(log=metrics(200, 10, {"generator": 50, "student": 50})))
    assert "Phases: warm up (to step 200), train (to step 400)." in parsed.text
    assert "generator's turn" in parsed.text
    with drawing():
        fast = curve_blocks(read_run(make_run("fast", log=metrics(400, 2, {"generator": 2, "student": 2}))))
    assert "Turns change 400 times, too often to shade." in str(fast)


def test_long_runs_stay_small(make_run: MakeRun) -> None:
    folder = make_run(log=metrics(100_000, 20), answers=predictions(200, text="word " * 2000))
    parsed = page(folder)
    assert (folder / "report.html").stat().st_size < 400_000
    assert "Each point is the mean of 21 logged values" in parsed.text
    assert "more characters)" in parsed.text


def test_older_and_partial_folders(make_run: MakeRun) -> None:
    old = {"checkpoint": None, "guess": None, "steps": None, "time": None, "provenance": None, "preset": None}
    rows = [{k: v for k, v in row.items() if k not in ("text", "teacher_prediction")} for row in predictions()]
    parsed = page(make_run(answers=rows, log=[], **old))
    assert "written by an older kdrun" in parsed.text
    assert "metrics.jsonl is missing, or no step was logged" in parsed.text
    assert "total time n/a" in parsed.text
    bare = make_run("bare")
    for name in ("config.yaml", "metrics.jsonl", "predictions.jsonl"):
        (bare / name).unlink()
    assert "predictions.jsonl is missing or empty" in page(bare).text


def test_the_same_folder_gives_the_same_bytes(make_run: MakeRun) -> None:
    folder = make_run(texts=samples(), answers=predictions(text="a pair \ud83d\ude00"))
    first = report.write_run_report(folder).read_bytes()
    assert "a pair \N{GRINNING FACE}".encode() in first
    assert report.write_run_report(folder).read_bytes() == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_broken_lines_are_skipped_and_named(
    make_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run()
    with pytest.raises(DataError, match=r"other has no result.json: the run did not finish"):
        report.write_run_report(tmp_path / "other")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1')
    lines(folder / "predictions.jsonl", [{"id": 0, "split": "dev"}, *predictions(), {**predictions(1)[0], "gold": 1}])
    lines(folder / "samples.jsonl", [{**samples(1)[0], "changed": [4]}])
    (folder / "generated").mkdir()
    (folder / "generated" / "card.json").write_text("null")
    report.write_run_report(folder)
    messages = "\n".join(record.getMessage() for record in caplog.records)
    for message in (
        r"metrics\.jsonl: 1 line skipped: line 5:.*not JSON",
        r"predictions\.jsonl: 2 lines skipped: line 1: .*gold is missing.* line 42: .*first row of dev",
        r"samples\.jsonl: 1 line skipped: line 1: .*word 4.* 4 words",
        r"card\.json: .*object, got null; left out",
    ):
        assert re.search(message, messages)
    (folder / "result.json").write_text('{"status": "done"}')
    with pytest.raises(DataError, match=r"result\.json was not written by kdrun: .*method is missing"):
        report.write_run_report(folder)


def test_a_run_over_all_domains_lists_them_in_place_of_curves(make_run: MakeRun) -> None:
    scores = {"accuracy": 0.8, "accuracy_books": 0.9, "accuracy_dvd": 0.7}
    parts = {name: {"run_dir": f"../other/{name} 1", "score": scores[f"accuracy_{name}"], "retention": 0.95}
             for name in ("books", "dvd")}  # fmt: skip
    model = {"name": "small", "params": 10, "metrics": {"dev": scores}}
    folder = make_run(log=[], student=model, domains=parts)
    (folder / "metrics.jsonl").unlink()
    books_dir = folder.parent / "other" / "books 1"
    books_dir.mkdir(parents=True)
    (books_dir / "report.html").write_text("a page")
    parsed = page(folder)
    ids = [section["id"] for section in parsed.all("section")]
    assert ids[:3] == ["verdict", "scores", "domains"]
    assert "curves" not in ids
    assert "books n/a n/a 90.0 % 95.0 % ../other/books 1" in parsed.text
    assert [address for address in parsed.values("href") if "other" in address] == ["../other/books%201/report.html"]
    assert "dvd: no report.html" in parsed.text
