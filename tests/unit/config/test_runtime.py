"""Settings of speed and logging."""

import pytest

from kdrun.config.runtime import Shard


@pytest.mark.parametrize(
    ("shard", "roles"),
    [("none", set()), ("teacher", {"teacher"}), ("student", {"student"}), ("both", {"teacher", "student"})],
)
def test_models_that_are_divided(shard: str, roles: set[str]) -> None:
    assert Shard(shard).roles == roles
