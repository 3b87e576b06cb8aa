"""Comparisons domain by domain."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun.reporting.tables import comparisons, domains
from kdrun.reporting.tables.render import TextTable

Make = Callable[..., dict[str, Any]]


def by_domain(*means: float, sd: float | None = 0.01) -> dict[str, Any]:
    return {name: {"mean": mean, "sd": sd} for name, mean in zip(("books", "dvd"), means, strict=True)}


def arm(name: str, method: str, lessons: str | None, score: float, *words: str, taught: str = "bert") -> dict[str, Any]:
    """An arm whose teacher scores 0.9 on books and `score` on dvd."""
    scores = by_domain(0.9, score)
    teacher = {"name": taught, "lessons": lessons, "score": (0.9 + score) / 2, "by_domain": scores} if lessons else None
    return {
        "name": name, "method": method, "words": [f"method={method}", *words], "domain": "all" if lessons else None,
        "teacher": teacher, "by_domain": by_domain(0.8, 0.7), "scores": {"1": 0.74, "2": 0.76},
        "mean": 0.75, "sd": 0.02, "kept": 0.9, "seconds": 9.0, "steps": {"student": 4}, "failed": {},
    }  # fmt: skip


@pytest.fixture
def one(make_comparison: Make) -> dict[str, Any]:
    """A comparison on two domains of amazon with three teachers for five arms."""
    arms = [
        arm("finetune", "finetune", None, 0.0), arm("tinybert_kd domain_strategy=single", "tinybert_kd", "single", 0.5),
        arm("tinybert_kd domain_strategy=multi_task", "tinybert_kd", "multi_task", 0.6),
        arm("tinybert_kd domain_strategy=meta", "tinybert_kd", "meta", 0.8), arm("meta_kd", "meta_kd", "meta", 0.8),
    ]  # fmt: skip
    names = {"task": "amazon", "data_name": "Amazon reviews", "split": "test", "synthetic": False}
    return make_comparison(**names, arms=arms, pairs=[], teacher={"name": "bert", "score": None})


def rows(sheet: TextTable) -> dict[str, list[str]]:
    return {row[5]: row[6:] for row in sheet.rows}


def test_one_row_per_teacher_and_arm(one: dict[str, Any]) -> None:
    sheet = domains.make_table([one], [], 1, with_published=False)
    assert sheet.columns[5:] == ["row", "books", "dvd", "mean"]
    cells = rows(sheet)
    assert list(cells)[:4] == ["teacher single", "teacher multi_task", "teacher meta", "finetune"]
    assert cells["teacher single"] == ["90.0", "50.0", "70.0"]
    assert cells["meta_kd"] == ["80.0 ± 1.0", "70.0 ± 1.0", "75.0 ± 2.0"]
    assert not any("baseline" in note for note in sheet.notes)
    kd_rows = rows(domains.make_table([one], ["meta_kd"], 1, with_published=False))
    assert list(kd_rows) == ["teacher single", "teacher multi_task", "teacher meta", "meta_kd"]


def test_published_rows_follow_the_rows_with_the_same_setting(one: dict[str, Any]) -> None:
    sheet = domains.make_table([one], [], 1, with_published=True)
    published = {name.removesuffix(", published"): cells for name, cells in rows(sheet).items() if "published" in name}
    assert published == {
        "teacher single": ["87.9", "83.8", "85.85"],
        "teacher meta": ["92.5", "87.0", "89.75"],
        "tinybert_kd domain_strategy=single": ["83.4", "83.2", "83.30"],
        "tinybert_kd domain_strategy=multi_task": ["90.5", "81.6", "86.05"],
        "tinybert_kd domain_strategy=meta": ["89.9", "84.3", "87.10"],
        "meta_kd": ["91.5", "86.5", "89.00"],
    }
    names = [row[5] for row in sheet.rows]
    assert names.index("meta_kd, published") == names.index("meta_kd") + 1
    assert any("[check]" in note for note in sheet.notes)
    line = next(r for r in sheet.records if (r["row"], r["domain"]) == ("meta_kd", "books"))
    assert (line["mean"], line["paper"], line["tag"]) == (80.0, "91.5", "check")


@pytest.mark.parametrize("word", ["method.hold_out_domain=true", "data.train_fraction=0.1", "data.max_train_rows=99"])
def test_other_rows_have_no_published_values(one: dict[str, Any], word: str) -> None:
    one["arms"] = [arm("meta_kd", "meta_kd", "meta", 0.8, word)]
    assert not any("published" in name for name in rows(domains.make_table([one], [], 1, with_published=True)))
    same = word.partition("=")[0] + {"true": "=false", "0.1": "=1", "99": "=null"}[word.partition("=")[2]]
    one["arms"] = [arm("meta_kd", "meta_kd", "meta", 0.8, same)]
    assert "meta_kd, published" in rows(domains.make_table([one], [], 1, with_published=True))


def test_synthetic_rows_and_one_student_for_all_have_no_published_values(one: dict[str, Any]) -> None:
    synthetic = rows(domains.make_table([one | {"synthetic": True}], [], 1, with_published=True))
    assert not any("published" in name for name in synthetic)
    mixed = arm("tinybert_kd", "tinybert_kd", "mixed", 0.8) | {"domain": None}
    cells = rows(domains.make_table([one | {"arms": [mixed]}], [], 1, with_published=True))
    assert list(cells) == ["teacher mixed", "teacher mixed, published", "tinybert_kd"]


def test_teachers_with_equal_lessons_are_named_by_their_arms(one: dict[str, Any]) -> None:
    one["arms"] = [arm("kd a", "kd", "mixed", 0.5, taught="a"), arm("kd b", "kd", "mixed", 0.6, taught="b")]
    assert list(rows(domains.make_table([one], [], 1, with_published=False)))[:2] == [
        "teacher of kd a",
        "teacher of kd b",
    ]


def test_comparisons_without_domains_are_left_out(one: dict[str, Any], make_comparison: Make) -> None:
    older = make_comparison()
    assert domains.domain_rows(older) == []
    sheet = domains.make_table([older, one], [], 1, with_published=False)
    assert {row[0] for row in sheet.rows} == {"Amazon reviews"}


def test_other_tables_show_each_arms_own_teacher_where_they_differ(one: dict[str, Any]) -> None:
    sheet = comparisons.arm_table([one], [], 1)
    at = sheet.columns.index("teacher")
    assert [row[at] for row in sheet.rows] == [
        "none", "bert single 70.0", "bert multi_task 75.0", "bert meta 85.0", "bert meta 85.0"
    ]  # fmt: skip
    assert [record["teacher_score"] for record in sheet.records] == ["", 70.0, 75.0, 85.0, 85.0]
    one["pairs"] = [
        {"a": "meta_kd", "b": "finetune", "difference": 0.0, "interval": None, "word": "INCONCLUSIVE", "seeds": 1,
         "how": "t", "reason": "one seed shows no spread", "seeds_needed": None}
    ]  # fmt: skip
    (row,) = comparisons.verdict_table([one], [], 1).rows
    assert row[at] == "bert single 70.0; bert multi_task 75.0; bert meta 85.0"
