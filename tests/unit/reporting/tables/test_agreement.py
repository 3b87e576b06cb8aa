"""Agreement with the teacher, and retention."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun import registry
from kdrun.reporting.tables import agreement

Make = Callable[..., dict[str, Any]]
RETENTION = {
    "metric": "accuracy",
    "split": "dev",
    "rows": 872,
    "value": 0.9,
    "interval": [0.88, 0.92],
    "majority": 0.55,
}


@pytest.fixture
def make(make_comparison: Make) -> Make:
    """A comparison of kd_ood, zskd and a swept zskd on SST-2, as older versions wrote it; `keys` are changes."""

    def build(**keys: Any) -> dict[str, Any]:
        arm = make_comparison()["arms"][0] | {"scores": {"1": 0.7, "2": 0.72}, "mean": 0.71}
        names = ("kd_ood", "zskd", "zskd ratio=2")
        kept = {"kd_ood": 0.79, "zskd": 0.8, "zskd ratio=2": 0.81}
        arms = [arm | {"name": n, "words": [f"method={n.split()[0]}"], "kept": kept[n]} for n in names]
        record = make_comparison(arms=arms, pairs=[], synthetic=False, data_name="SST-2", rows=872)
        return record | {"command": "kdrun compare method=zskd task=sst2", "guess": 0.5} | keys

    return build


def rows(records: list[dict[str, Any]], methods: tuple[str, ...] = ()) -> dict[str, dict[str, str]]:
    """The rows of the table by arm."""
    table = agreement.make_table(records, methods, 1)
    return {row[1]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def by_agreement(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same comparison by agreement, with intervals."""
    arms = [arm | {"mean": 0.85, "interval": [0.84, 0.86], "retention": RETENTION} | changes for arm in record["arms"]]
    return record | {"metric": "agreement", "arms": arms, "rows": 10_000, "started": 2.0}


def test_data_free_methods_are_those_of_the_registry() -> None:
    methods = {name: entry.target for name, entry in registry.entries("method").items()}
    assert {*agreement.DATA_FREE} == {name for name, method in methods.items() if method.requires.data_free}


def test_older_comparisons_have_retention_without_interval(make: Make) -> None:
    table = rows([make()])
    assert list(table) == ["kd_ood", "zskd"]
    zskd = table["zskd"]
    assert zskd["agreement with the teacher"] == "n/a"
    assert zskd["retention of its score"] == "80.0 (accuracy, 872 rows, 2 seeds)"
    assert zskd["majority baseline"] == "55.6"  # 0.5 / 0.9
    assert zskd["published"] == "92.4 [summary]"  # 85.9 / 93.0
    assert table["kd_ood"]["published"] == "n/a"
    notes = agreement.make_table([make()], [], 1).notes
    assert f"{zskd['command']} `kdrun compare method=zskd task=TASK`" in notes
    assert any("of an older version" in note for note in notes)


def test_a_comparison_by_agreement_gives_both_with_intervals(make: Make) -> None:
    table = rows([make(), by_agreement(make())])
    assert list(table) == ["kd_ood", "zskd", "zskd ratio=2"]
    zskd = table["zskd"]
    assert zskd["agreement with the teacher"] == "85.0 [84.0, 86.0] (10\N{NARROW NO-BREAK SPACE}000 rows, 2 seeds)"
    assert zskd["retention of its score"] == "90.0 [88.0, 92.0] (accuracy, 872 rows, 2 seeds)"
    assert zskd["majority baseline"] == "55.0"
    assert list(rows([by_agreement(make())], ("kd_ood",))) == ["kd_ood"]


def test_the_latest_counts_and_a_retention_with_an_interval_before_one_without(make: Make) -> None:
    arms = [arm | {"retention": RETENTION} for arm in make()["arms"]]
    with_interval, without = make(arms=arms, started=1.0), make(started=2.0)
    text = rows([with_interval, without])["zskd"]["retention of its score"]
    assert text.startswith("90.0 [88.0, 92.0]")
    assert rows([make(), by_agreement(make(), retention=None)])["zskd"]["retention of its score"].startswith("80.0 (")


def test_rows_that_say_nothing_are_named_and_left_out(make: Make) -> None:
    unlearned = make(guess=0.75, data_name="RTE")
    single = make(data_name="CoLA")
    for arm in single["arms"]:
        arm["scores"] = {"1": 0.7}
    table = agreement.make_table([unlearned, single, make(synthetic=True)], [], 1)
    assert table.rows == []
    left_out = "CoLA kd_ood, CoLA zskd (one seed); RTE kd_ood, RTE zskd (not above the majority baseline)"
    assert f"Left out: {left_out}." in table.notes
    assert not agreement.has_rows(make(synthetic=True))
    assert agreement.has_rows(single)


def test_csv_lines(make: Make) -> None:
    line = agreement.make_table([by_agreement(make())], ["zskd"], 1).records[0]
    expected = {"arm": "zskd", "agreement": 85.0, "agreement_low": 84.0, "agreement_high": 86.0, "retention": 90.0}
    assert {key: line[key] for key in expected} == expected
