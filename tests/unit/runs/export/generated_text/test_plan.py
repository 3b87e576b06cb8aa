"""Number of exported rows, and the command that trains on them."""

from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.runs.export.generated_text.plan import num_rows_to_export, overrides_to_train_on, why_not_exported


@pytest.mark.parametrize(
    ("source_rows", "overrides", "expected"),
    [
        (500, ["method=zskd"], 500),
        (99_999, ["method=zskd"], 10_000),
        (500, ["method=zskd", "generated.rows=0"], 0),
        (500, ["method=mate_kd"], 0),
        (500, ["method=mate_kd", "generated.rows=7"], 7),
        (500, ["method=kd"], 0),
    ],
)
def test_number_of_exported_rows(source_rows: int, overrides: list[str], expected: int) -> None:
    assert num_rows_to_export(compose.load_config(overrides), source_rows) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["method=kd"], "method=kd"),
        (["method=zskd", "generated.rows=0"], "generated.rows is 0"),
        (["method=mate_kd"], "data-free"),
    ],
)
def test_reasons_for_no_export(overrides: list[str], expected: str) -> None:
    assert expected in why_not_exported(compose.load_config(overrides))


def test_the_suggested_command_names_the_dev_rows_of_the_run() -> None:
    config = compose.load_config(["preset=mini", "data.dir=GLUE", "method=mate_kd"])
    assert overrides_to_train_on(config, Path("out")) == [
        "method=finetune", f"task={config.task.name}", "preset=mini", "data=generated", "data.path=out", "data.dir=GLUE"
    ]  # fmt: skip
