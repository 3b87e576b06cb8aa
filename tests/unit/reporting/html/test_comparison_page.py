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


def test_a_comparison_is_told_in_order(make_comparison: MakeComparison) -> None:
    found = page(make_comparison())
    ids = [section["id"] for section in found.all("section")]
    assert ids == ["verdict", "scores", "curves", "answers", "differences", "cost", "config", "provenance"]
    verdict = "BEATS kd beats finetune: difference +0.0400 accuracy, 95 % interval +0.0152 to +0.0648, 3 seeds."
    assert verdict in found.text
    assert "Checkpoints were chosen on dev, the split reported" in found.text
    assert "kd 0.8500 0.0100 91.0 % 0.8400 0.8500 0.8600" in found.text
    assert "teacher 0.9300" in found.text
    assert "the 95 % interval of that mean" in found.text
    assert "kd 3 0.9000 ± 0.0000" in found.text  # agreement with the teacher
    assert "method.name kd finetune" in found.text
    assert "gone" not in found.text
    assert len(found.all("svg")) == 5  # dots, differences, accuracy, two loss terms


@pytest.mark.parametrize(
    ("word", "interval", "sentence"),
    [
        ("TIES", [-0.004, 0.004], "TIES kd ties with finetune: difference +0.0400"),
        ("LOSES", [-0.06, -0.02], "interval −0.0600 to −0.0200"),
        ("INCONCLUSIVE", [-0.02, 0.1], "About 9 seeds would tell."),
        ("INCONCLUSIVE", None, "interval n/a (1 seed in common); one seed shows no spread."),
    ],
)
def test_every_word_is_backed_by_a_sentence(
    make_comparison: MakeComparison, word: str, interval: list[float] | None, sentence: str
) -> None:
    pair = record()["pairs"][0] | {"word": word, "interval": interval}
    pair |= {"seeds_needed": 9} if interval else {"seeds": 1, "reason": "one seed shows no spread"}
    found = page(make_comparison(with_runs=False, pairs=[pair]))
    assert sentence in found.text
    assert f"word {word.lower()}" in found.values("class")


def test_folders_that_are_gone_are_named_and_their_scores_stay(make_comparison: MakeComparison) -> None:
    folder = make_comparison()
    shutil.rmtree(folder.parent / "runs" / "kd-2")
    found = page(folder)
    assert "1 run folder gone (" in found.text
    assert "kd 0.8500 0.0100 91.0 % 0.8400 0.8500 0.8600" in found.text
    assert "kd 2 0.9000" in found.text  # two runs are left to measure
    shutil.rmtree(folder.parent / "runs")
    found = page(folder)
    assert "n/a (no run's metrics.jsonl is there)" in found.text
    assert "n/a (no run's config.yaml is there)" in found.text
    assert "6 run folders gone" in found.text


def test_folders_are_found_from_another_working_folder(
    make_comparison: MakeComparison, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_comparison()
    told = json.loads((folder / "comparison.json").read_text())
    for arm in told["arms"]:
        arm["folders"] = {seed: f"runs/{arm['name']}-{seed}" for seed in arm["scores"]}
    (folder / "comparison.json").write_text(json.dumps(told))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "gone" not in page(folder).text


def test_failed_seeds_and_missing_numbers_are_said(make_comparison: MakeComparison) -> None:
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
    found = page(make_comparison(arms=arms, pairs=[pair], teacher=None, chosen_on=None, margin=None))
    assert "finetune, seed 2 failed: CUDA <b>out</b> of memory" in found.text
    assert "kd_ood, seed 1 failed: no data" in found.text
    assert "difference n/a accuracy, interval n/a (0 seeds in common); no seed was finished by both" in found.text
    assert "kd_ood n/a n/a n/a n/a n/a n/a" in found.text
    assert "Share of the teacher: n/a (no teacher took part)." in found.text


def test_long_names_become_letters_with_a_key(make_comparison: MakeComparison) -> None:
    told = record()
    told["arms"][0]["name"] = told["pairs"][0]["a"] = "kd method.temperature=4"
    found = page(make_comparison(arms=told["arms"], pairs=told["pairs"]))
    assert "A: kd method.temperature=4 0.8500" in found.text
    assert "A − B" in found.text
    assert "A kd method.temperature=4 B finetune" in found.text


def test_rows_on_which_the_arms_differ(make_comparison: MakeComparison) -> None:
    folder = make_comparison()
    for seed in "123":
        path = folder.parent / "runs" / f"kd-{seed}" / "predictions.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[5]["prediction"] = rows[5]["gold"]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = page(folder)
    assert "The 1 row of 40 on which the arms' shares of right runs differ most." in found.text
    assert "kd right in 3 of 3 finetune right in 0 of 3" in found.text


def test_synthetic_data_and_generated_texts_are_named(make_comparison: MakeComparison) -> None:
    folder = make_comparison(synthetic=True)
    path = folder.parent / "runs" / "kd-1" / "samples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in samples()))
    found = page(folder)
    assert "What the generators wrote" in found.text
    assert "95 % interval +0.0152 to +0.0648, 3 seeds. synthetic data" in found.text
    marks = [span for span in found.all("span") if span.get("class") == "synthetic"]
    assert len(marks) == 1 + 5 + 3 + 3  # verdict; plots; tables of scores, agreement, cost; samples


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no comparison.json"):
        report.write_comparison_report(tmp_path)
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(DataError, match="lacks task, metric, split, arms, pairs"):
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
    found = page(make_comparison(with_runs=False, arms=arms, **names))
    assert "teacher meta (bert) of kd 0.9000 — —" in found.text
    assert "teacher single (bert) of finetune 0.8000 — —" in found.text
    assert "accuracy on test by domain books dvd mean teacher meta 0.9000 0.9000 0.9000" in found.text
    assert "teacher meta, published 92.5 % 87.0 % —" in found.text
    assert "kd 0.7500 0.6500 0.8500 ± 0.0100 kd, published 91.5 % 86.5 % —" in found.text


def test_the_text_that_arms_left_is_described(make_comparison: MakeComparison) -> None:
    figures = dict.fromkeys(("agreement", "confidence", "evenness", "distinct_1", "distinct_2", "copied_1"), 0.5)
    figures |= {"rows": 300.0, "words": 20.5} | dict.fromkeys(("source_distinct_1", "source_distinct_2"), 0.75)
    arms = record()["arms"]
    arms[0]["made_text"] = figures | {"source_words": 19.0}
    found = page(make_comparison(with_runs=False, arms=arms))
    assert "generated" in [section["id"] for section in found.all("section")]
    assert "kd 300 0.500 0.500 0.500 0.500 (0.750) 0.500 (0.750) 0.500 20.5 (19.0)" in found.text
