"""Means over runs that differ only in the seed."""

import random
from collections import Counter
from typing import Any

import pytest

from kdrun.reporting.tables.grouping import Cell, Entry, group_into_cells


def entry(method: str, task: str, seed: int, started: float = 0.0, **facts: Any) -> Entry:
    """A run with these facts; `typed` are its overrides, `config` its settings if they are not just the overrides."""
    overrides, config = facts.pop("typed", {}), facts.pop("config", None)
    recorded = {"method": method, "task": task, "data": f"{task}-rows", "student": "small", "code": "a", **facts}
    run: Any = {"seed": seed, "started": started}
    return Entry(run, recorded, overrides, overrides if config is None else config)


def table(entries: list[Entry], rows: str = "method", cols: str = "task") -> dict[tuple[str, str, str], list[int]]:
    """(row, variant, column) → seeds that count."""
    cells = group_into_cells(entries, [rows], [cols])
    seeds = {(cell.row[0], cell.variant, cell.col[0]): [e.run["seed"] for e in cell.entries] for cell in cells}
    assert len(seeds) == len(cells)
    return seeds


def test_seeds_share_a_cell_in_their_order() -> None:
    assert table([entry("kd", "rte", 2), entry("kd", "rte", 1), entry("finetune", "rte", 1)]) == {
        ("kd", "", "rte"): [1, 2],
        ("finetune", "", "rte"): [1],
    }


@pytest.mark.parametrize("fact", ["student", "code", "data", "preset", "split", "checkpoint", "teacher", "torch"])
def test_any_recorded_difference_separates_and_is_named(fact: str) -> None:
    x, y = ({"started": 0.0, fact: value} for value in "xy")
    groups = table([entry("kd", "rte", 1, **x), entry("kd", "rte", 2, **y)])
    assert groups == {("kd", f"{fact} x", "rte"): [1], ("kd", f"{fact} y", "rte"): [2]}


def test_a_fact_that_was_not_recorded_is_not_any_other() -> None:
    groups = table([entry("kd", "rte", 1, checkpoint=None), entry("kd", "rte", 2, checkpoint="best")])
    assert set(groups) == {("kd", "checkpoint n/a", "rte"), ("kd", "checkpoint best", "rte")}


def test_a_difference_is_named_in_its_row_only_and_rows_line_up() -> None:
    hot = {"method.temperature": "4"}
    groups = table(
        [
            entry("kd", "rte", 1), entry("kd", "rte", 1, typed=hot), entry("kd", "cola", 1),
            entry("finetune", "rte", 1), entry("finetune", "cola", 1),
        ]
    )  # fmt: skip
    assert set(groups) == {
        ("kd", "", "rte"), ("kd", "method.temperature=4", "rte"), ("kd", "", "cola"),
        ("finetune", "", "rte"), ("finetune", "", "cola"),
    }  # fmt: skip


def test_the_data_of_a_task_is_named_only_where_it_differs() -> None:
    groups = table([entry("kd", "rte", 1), entry("kd", "rte", 2, data="few"), entry("kd", "cola", 1)])
    assert set(groups) == {("kd", "data rte-rows", "rte"), ("kd", "data few", "rte"), ("kd", "", "cola")}


def test_a_row_names_what_tells_it_apart_and_keeps_every_difference() -> None:
    entries = [entry("kd", "rte", 1), entry("kd", "rte", 1, typed={"optim.epochs": "3"}, code="b")]
    assert set(table(entries)) == {("kd", "", "rte"), ("kd", "optim.epochs=3", "rte")}
    cells = group_into_cells(entries, ["method"], ["task"])
    assert [cell.difference for cell in cells] == ["code a", "optim.epochs=3; code b"]
    assert [cell.unnamed for cell in cells] == [("code",), ("code",)]


def test_students_with_forty_different_keys_are_told_apart_by_name() -> None:
    def student(name: str) -> Entry:
        config = {f"student.key{i}": f"{name}-{i}-{'x' * 40}" for i in range(40)}
        return entry("kd", "rte", 1, student=name, config=config, typed=config)

    groups = table([student("small"), student("large"), student("tiny")])
    assert {variant for _, variant, _ in groups} == {"student small", "student large", "student tiny"}


def test_one_student_with_different_settings_is_named_by_the_fewest_keys() -> None:
    def run(lr: str, layers: str) -> Entry:
        many = {f"student.key{i}": f"{layers}{lr}{'x' * 40}" for i in range(20)}
        return entry("kd", "rte", 1, config={**many, "optim.lr": lr, "student.layers": layers})

    groups = table([run("1", "2"), run("1", "4"), run("2", "2"), run("2", "4")])
    assert {variant for _, variant, _ in groups} == {
        f"optim.lr={lr}; student.layers={layers}" for lr in "12" for layers in "24"
    }


def test_an_override_equal_to_the_config_is_no_difference() -> None:
    config = {"optim.epochs": "4"}
    groups = table([entry("kd", "rte", 1, config=config), entry("kd", "rte", 2, config=config, typed=config)])
    assert groups == {("kd", "", "rte"): [1, 2]}


def test_configs_that_differ_without_overrides_are_separated_by_key() -> None:
    groups = table(
        [entry("kd", "rte", 1, config={"lr": "1", "k": "0"}), entry("kd", "rte", 2, config={"lr": "2", "k": "0"})]
    )
    assert set(groups) == {("kd", "lr=1", "rte"), ("kd", "lr=2", "rte")}


def test_consequences_of_a_named_difference_are_not_named() -> None:
    small, large = {"student.layers": "2"}, {"student.layers": "6"}
    groups = table([entry("kd", "rte", 1, config=small), entry("kd", "rte", 2, student="large", config=large)])
    assert set(groups) == {("kd", "student small", "rte"), ("kd", "student large", "rte")}


def test_the_newest_run_of_a_repeated_seed_is_used() -> None:
    old, new = entry("kd", "rte", 1, started=1.0), entry("kd", "rte", 1, started=2.0)
    (cell,) = group_into_cells([new, old], ["method"], ["task"])
    assert cell.entries == (new,)
    assert cell.repeated == (old,)


def test_tasks_and_metrics_are_separated_without_an_axis() -> None:
    groups = table([entry("kd", "rte", 1), entry("kd", "cola", 1)], cols="seed")
    assert set(groups) == {("kd", "task rte", "1"), ("kd", "task cola", "1")}


def test_the_settings_axis_shows_overrides() -> None:
    groups = table([entry("kd", "rte", 1), entry("kd", "rte", 1, typed={"lr": "2", "k": "1"})], rows="settings")
    assert {row for row, _, _ in groups} == {"preset defaults", "lr=2 k=1"}


def some_entry(draw: random.Random, started: float) -> Entry:
    pick = draw.choice
    config = {"lr": pick("12"), "epochs": pick("12")} if draw.random() < 0.5 else None
    overrides = {key: pick("12") for key in ("lr", "loss") if draw.random() < 0.4}
    if config is not None:
        overrides = {key: config.get(key, value) for key, value in overrides.items()}
    facts = {"code": pick(["a", "b", None]), "student": pick(["s", "t"]), "settings from": str(config is None)}
    return entry(
        pick(["kd", "finetune"]),
        pick(["rte", "cola"]),
        draw.randint(1, 2),
        started,
        typed=overrides,
        config=config,
        **facts,
    )


@pytest.mark.parametrize("seed", range(30))
def test_every_run_is_in_exactly_one_cell_and_no_cell_mixes(seed: int) -> None:
    draw = random.Random(seed)
    entries = [some_entry(draw, float(i)) for i in range(60)]
    axes = draw.sample(["method", "task", "student", "seed", "settings"], k=3)
    cells = group_into_cells(entries, axes[:1], axes[1:])
    placed = Counter(id(entry) for cell in cells for entry in (*cell.entries, *cell.repeated))
    assert placed == Counter(map(id, entries))
    assert max(Counter((cell.row, cell.variant, cell.col) for cell in cells).values()) == 1
    for cell in cells:
        assert_alike(cell)


def assert_alike(cell: Cell) -> None:
    """Check that the runs of a cell differ only in their seeds."""
    entries = (*cell.entries, *cell.repeated)
    assert len({frozenset(entry.recorded.items()) for entry in entries}) == 1
    assert len({frozenset(entry.settings.items()) for entry in entries}) == 1
    assert len({entry.run["seed"] for entry in cell.entries}) == len(cell.entries)
