"""Default domain strategy of a teacher."""

import pytest

from kdrun.config.compose import load_config
from kdrun.config.requirements import requirements_of
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy

MULTI_TASK = "teacher.domain_strategy=multi_task"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["method=kd", "task=sst2"], None),
        (["method=kd", "task=amazon"], DomainStrategy.mixed),
        (["method=tinybert_kd", "task=amazon", "method.domain=books", MULTI_TASK], DomainStrategy.multi_task),
        (["method=tinybert_kd", "task=amazon", "method.domain=books"], DomainStrategy.single),
        (["method=meta_kd", "task=amazon", "method.domain=books"], DomainStrategy.meta),
    ],
)
def test_the_strategy_follows_from_task_and_method(overrides: list[str], expected: DomainStrategy | None) -> None:
    config = load_config([*overrides, "preset=smoke"])
    assert resolve_domain_strategy(config, requirements_of(config)) is expected
