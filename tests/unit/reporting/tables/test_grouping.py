"""The rule of what is averaged: seeds, and nothing else."""

import random
from collections import Counter
from typing import Any

import pytest

from kdrun.reporting.tables.grouping import Cell, Entry, cells


def entry(method: str, task: str, seed: int, started: float = 0.0, **facts: Any) -> Entry:
    """Facts: `given` are typed words, `config` the settings where they are not just those words."""
    given, config = facts.pop("given", {}), facts.pop("config", None)
    recorded = {"method": method, "task": task, "data": f"{task}-rows", "student": "small", "code": "a", **facts}
    run = {"seed": seed, "started": started}
    return Entry(run, recorded, given, given if config is None else config)


def table(entries: list[Entry], rows: str = "method", cols: str = "task") -> dict[tuple[str, str, str], list[int]]:
    """(row, variant, column) → seeds that count."""
    found = cells(entries, [rows], [cols])
    made = {(cell.row[0], cell.variant, cell.col[0]): [e.run["seed"] for e in cell.entries] for cell in found}
    assert len(made) == len(found)
    return made


def test_seeds_share_a_cell_in_their_order() -> None:
    assert table([entry("kd", "rte", 2), entry("kd", "rte", 1), entry("finetune", "rte", 1)]) == {
        ("kd", "", "rte"): [1, 2],
        ("finetune", "", "rte"): [1],
    }


@pytest.mark.parametrize("fact", ["student", "code", "data", "preset", "split", "checkpoint", "teacher", "torch"])
def test_any_recorded_difference_parts_and_is_named(fact: str) -> None:
    x, y = ({"started": 0.0, fact: value} for value in "xy")
    found = table([entry("kd", "rte", 1, **x), entry("kd", "rte", 2, **y)])
    assert found == {("kd", f"{fact} x", "rte"): [1], ("kd", f"{fact} y", "rte"): [2]}


def test_a_fact_that_was_not_recorded_is_not_any_other() -> None:
    found = table([entry("kd", "rte", 1, checkpoint=None), entry("kd", "rte", 2, checkpoint="best")])
    assert set(found) == {("kd", "checkpoint n/a", "rte"), ("kd", "checkpoint best", "rte")}


def test_a_difference_is_named_in_its_row_only_and_rows_line_up() -> None:
    hot = {"method.temperature": "4"}
    found = table(
        [
            entry("kd", "rte", 1), entry("kd", "rte", 1, given=hot), entry("kd", "cola", 1),
            entry("finetune", "rte", 1), entry("finetune", "cola", 1),
        ]
    )  # fmt: skip
    assert set(found) == {
        ("kd", "", "rte"), ("kd", "method.temperature=4", "rte"), ("kd", "", "cola"),
        ("finetune", "", "rte"), ("finetune", "", "cola"),
    }  # fmt: skip


def test_the_data_of_a_task_is_named_only_where_it_differs() -> None:
    found = table([entry("kd", "rte", 1), entry("kd", "rte", 2, data="few"), entry("kd", "cola", 1)])
    assert set(found) == {("kd", "data rte-rows", "rte"), ("kd", "data few", "rte"), ("kd", "", "cola")}


def test_every_recorded_difference_is_named_what_was_typed_first() -> None:
    found = table([entry("kd", "rte", 1), entry("kd", "rte", 1, given={"optim.epochs": "3"}, code="b")])
    assert set(found) == {("kd", "code a", "rte"), ("kd", "optim.epochs=3; code b", "rte")}


def test_typing_what_is_set_anyhow_is_no_difference() -> None:
    config = {"optim.epochs": "4"}
    found = table([entry("kd", "rte", 1, config=config), entry("kd", "rte", 2, config=config, given=config)])
    assert found == {("kd", "", "rte"): [1, 2]}


def test_a_config_that_differs_without_a_word_parts_by_its_keys() -> None:
    found = table(
        [entry("kd", "rte", 1, config={"lr": "1", "k": "0"}), entry("kd", "rte", 2, config={"lr": "2", "k": "0"})]
    )
    assert set(found) == {("kd", "lr=1", "rte"), ("kd", "lr=2", "rte")}


def test_what_follows_from_a_named_difference_is_not_named_too() -> None:
    small, large = {"student.layers": "2"}, {"student.layers": "6"}
    found = table([entry("kd", "rte", 1, config=small), entry("kd", "rte", 2, student="large", config=large)])
    assert set(found) == {("kd", "student small", "rte"), ("kd", "student large", "rte")}


def test_a_seed_run_again_counts_once_and_the_newest_wins() -> None:
    old, new = entry("kd", "rte", 1, started=1.0), entry("kd", "rte", 1, started=2.0)
    (cell,) = cells([new, old], ["method"], ["task"])
    assert cell.entries == (new,)
    assert cell.repeated == (old,)


def test_tasks_and_metrics_never_meet_where_no_axis_parts_them() -> None:
    found = table([entry("kd", "rte", 1), entry("kd", "cola", 1)], cols="seed")
    assert set(found) == {("kd", "task rte; data rte-rows", "1"), ("kd", "task cola; data cola-rows", "1")}


def test_the_settings_axis_is_what_was_typed() -> None:
    found = table([entry("kd", "rte", 1), entry("kd", "rte", 1, given={"lr": "2", "k": "1"})], rows="settings")
    assert {row for row, _, _ in found} == {"as the preset", "lr=2 k=1"}


def some_entry(draw: random.Random, started: float) -> Entry:
    pick = draw.choice
    config = {"lr": pick("12"), "epochs": pick("12")} if draw.random() < 0.5 else None
    words = {key: pick("12") for key in ("lr", "loss") if draw.random() < 0.4}
    if config is not None:
        words = {key: config.get(key, value) for key, value in words.items()}
    facts = {"code": pick(["a", "b", None]), "student": pick(["s", "t"]), "settings from": str(config is None)}
    return entry(
        pick(["kd", "finetune"]),
        pick(["rte", "cola"]),
        draw.randint(1, 2),
        started,
        given=words,
        config=config,
        **facts,
    )


@pytest.mark.parametrize("seed", range(30))
def test_every_run_is_in_exactly_one_cell_and_no_cell_mixes(seed: int) -> None:
    draw = random.Random(seed)
    entries = [some_entry(draw, float(i)) for i in range(60)]
    axes = draw.sample(["method", "task", "student", "seed", "settings"], k=3)
    found = cells(entries, axes[:1], axes[1:])
    placed = Counter(id(one) for cell in found for one in (*cell.entries, *cell.repeated))
    assert placed == Counter(map(id, entries))
    assert max(Counter((cell.row, cell.variant, cell.col) for cell in found).values()) == 1
    for cell in found:
        assert_alike(cell)


def assert_alike(cell: Cell) -> None:
    """Nothing known of the runs of a cell differs but their seeds."""
    together = (*cell.entries, *cell.repeated)
    assert len({frozenset(one.recorded.items()) for one in together}) == 1
    assert len({frozenset(one.settings.items()) for one in together}) == 1
    assert len({one.run["seed"] for one in cell.entries}) == len(cell.entries)
