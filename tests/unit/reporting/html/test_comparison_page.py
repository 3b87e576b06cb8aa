"""The page of a comparison."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kdrun.errors import DataError
from kdrun.reporting.html import report
from tests.helpers.finished_runs import Parsed, record, samples

MakeComparison = Callable[..., Path]


def page(folder: Path) -> Parsed:
    return Parsed(report.write_comparison_report(folder).read_text(encoding="utf-8"))


def test_sections_of_a_comparison(make_comparison: MakeComparison) -> None:
    parsed = page(make_comparison())
    ids = [section["id"] for section in parsed.all("section")]
    assert ids == ["verdict", "reading", "scores", "curves", "answers", "differences", "cost", "config", "provenance"]
    verdict = "BEATS kd beats finetune: difference +4.0 points of accuracy, 95 % interval +1.5 to +6.5, 3 seeds."
    assert verdict in parsed.text
    assert "Checkpoints were chosen on dev" in parsed.text
    assert "kd 85.0 % 1.0 % 91.0 % 84.0 % 85.0 % 86.0 %" in parsed.text
    assert "teacher 93.0 %" in parsed.text
    assert "95 % interval of the mean" in parsed.text
    assert "kd 3 90.0 ± 0.0 %" in parsed.text  # agreement with the teacher
    assert "method.name kd finetune" in parsed.text
    assert "folder missing" not in parsed.text
    assert len(parsed.all("svg")) == 5  # dots, differences, accuracy, two loss terms


@pytest.mark.parametrize(
    ("word", "interval", "sentence"),
    [
        ("TIES", [-0.004, 0.004], "TIES kd ties with finetune: difference +4.0 points"),
        ("LOSES", [-0.06, -0.02], "interval −6.0 to −2.0"),
        ("INCONCLUSIVE", [-0.02, 0.1], "About 9 seeds would decide."),
        ("INCONCLUSIVE", None, "interval n/a (1 seed in common); one seed shows no spread."),
    ],
)
def test_every_verdict_has_a_sentence(
    make_comparison: MakeComparison, word: str, interval: list[float] | None, sentence: str
) -> None:
    pair = record()["pairs"][0] | {"word": word, "interval": interval}
    pair |= {"seeds_needed": 9} if interval else {"seeds": 1, "reason": "one seed shows no spread"}
    parsed = page(make_comparison(with_runs=False, pairs=[pair]))
    assert sentence in parsed.text
    assert f"word {word.lower()}" in parsed.values("class")


def test_missing_folders_are_named_and_their_scores_shown(make_comparison: MakeComparison) -> None:
    folder = make_comparison()
    shutil.rmtree(folder.parent / "runs" / "kd-2")
    parsed = page(folder)
    assert "1 run folder missing (" in parsed.text
    assert "kd 85.0 % 1.0 % 91.0 % 84.0 % 85.0 % 86.0 %" in parsed.text
    assert "kd 2 90.0 ± 0.0 %" in parsed.text  # two runs remain
    shutil.rmtree(folder.parent / "runs")
    parsed = page(folder)
    assert "n/a (no run has a metrics.jsonl)" in parsed.text
    assert "n/a (no run has a config.yaml)" in parsed.text
    assert "6 run folders missing" in parsed.text


def test_folders_are_found_from_another_working_folder(
    make_comparison: MakeComparison, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_comparison()
    comparison = json.loads((folder / "comparison.json").read_text())
    for arm in comparison["arms"]:
        arm["folders"] = {seed: f"runs/{arm['name']}-{seed}" for seed in arm["scores"]}
    (folder / "comparison.json").write_text(json.dumps(comparison))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "folder missing" not in page(folder).text


def test_failed_seeds_and_missing_numbers_are_reported(make_comparison: MakeComparison) -> None:
    arms = record()["arms"]
    arms[1] |= {
        "scores": {"1": 0.8},
        "mean": 0.8,
        "sd": None,
        "kept": None,
        "failed": {"2": "CUDA <b>out</b> of memory"},
    }
    arms.append(
        {
            **arms[1],
            "name": "kd_ood",
            "scores": {},
            "mean": None,
            "failed": {"1": "no data"},
            "steps": {},
            "seconds": None,
        }
    )
    pair = {"a": "kd_ood", "b": "kd", "difference": None, "interval": None, "word": "INCONCLUSIVE", "seeds": 0,
            "seeds_needed": None, "how": "t", "reason": "no seed was finished by both"}  # fmt: skip
    parsed = page(make_comparison(arms=arms, pairs=[pair], teacher=None, chosen_on=None, margin=None))
    assert "finetune, seed 2 failed: CUDA <b>out</b> of memory" in parsed.text
    assert "kd_ood, seed 1 failed: no data" in parsed.text
    assert "difference n/a, interval n/a (0 seeds in common); no seed was finished by both" in parsed.text
    assert "kd_ood n/a n/a n/a n/a n/a n/a" in parsed.text
    assert "Retention: n/a" in parsed.text


def test_long_names_become_letters_with_a_key(make_comparison: MakeComparison) -> None:
    comparison = record()
    comparison["arms"][0]["name"] = comparison["pairs"][0]["a"] = "kd method.temperature=4"
    parsed = page(make_comparison(arms=comparison["arms"], pairs=comparison["pairs"]))
    assert "A: kd method.temperature=4 85.0 %" in parsed.text
    assert "A − B" in parsed.text
    assert "A kd method.temperature=4 B finetune" in parsed.text


def test_rows_on_which_the_arms_differ(make_comparison: MakeComparison) -> None:
    folder = make_comparison()
    for seed in "123":
        path = folder.parent / "runs" / f"kd-{seed}" / "predictions.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[5]["prediction"] = rows[5]["gold"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    parsed = page(folder)
    assert "The 1 row of 40 on which" in parsed.text
    assert "kd correct in 3 of 3 finetune correct in 0 of 3" in parsed.text


def test_synthetic_data_and_generated_texts_are_named(make_comparison: MakeComparison) -> None:
    folder = make_comparison(synthetic=True)
    path = folder.parent / "runs" / "kd-1" / "samples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in samples()))
    parsed = page(folder)
    assert "gallery" in [section["id"] for section in parsed.all("section")]
    assert "95 % interval +1.5 to +6.5, 3 seeds. synthetic data" in parsed.text
    marks = [span for span in parsed.all("span") if span.get("class") == "synthetic"]
    assert len(marks) == 1 + 4 + 3 + 3  # verdict; plots; tables of scores, agreement, cost; samples


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no comparison.json"):
        report.write_comparison_report(tmp_path)
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(DataError, match=r"comparison\.json.*object"):
        report.write_comparison_report(tmp_path)


def by_domain(*means: float) -> dict[str, dict[str, float | None]]:
    return {name: {"mean": mean, "sd": None} for name, mean in zip(("books", "dvd"), means, strict=True)}


def test_teachers_of_the_arms_and_their_scores_by_domain(make_comparison: MakeComparison) -> None:
    arms = record()["arms"]
    for arm, lessons, score in zip(arms, ("meta", "single"), (0.9, 0.8), strict=True):
        teacher = {"name": "bert", "lessons": lessons, "score": score, "by_domain": by_domain(score, score)}
        arm |= {"teacher": teacher, "by_domain": by_domain(0.75, 0.65), "domain": "all"}
    arms[0]["words"] = ["method=meta_kd"]
    names = {"task": "amazon", "split": "test", "teacher": {"name": "bert", "score": None}}
    parsed = page(make_comparison(with_runs=False, arms=arms, **names))
    assert "teacher meta (bert) of kd 90.0 % — —" in parsed.text
    assert "teacher single (bert) of finetune 80.0 % — —" in parsed.text
    assert "accuracy on test by domain books dvd mean teacher meta 90.0 % 90.0 % 90.0 %" in parsed.text
    assert "teacher meta, published 92.5 % 87.0 % —" in parsed.text
    assert "kd 75.0 % 65.0 % 85.0 ± 1.0 % kd, published 91.5 % 86.5 % —" in parsed.text


def test_statistics_of_exported_text(make_comparison: MakeComparison) -> None:
    statistics = dict.fromkeys(("agreement", "confidence", "evenness", "distinct_1", "distinct_2", "copied_1"), 0.5)
    statistics |= {"rows": 300.0, "words": 20.5} | dict.fromkeys(("source_distinct_1", "source_distinct_2"), 0.75)
    arms = record()["arms"]
    arms[0]["made_text"] = statistics | {"source_words": 19.0}
    parsed = page(make_comparison(with_runs=False, arms=arms))
    assert "generated" in [section["id"] for section in parsed.all("section")]
    assert "kd 300 0.500 0.500 0.500 0.500 (0.750) 0.500 (0.750) 0.500 20.5 (19.0)" in parsed.text
