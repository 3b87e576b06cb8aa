"""The config hash."""

from pathlib import Path

from kdrun.config import compose, identity


def test_config_hash_ignores_output_and_depends_on_values(tmp_path: Path) -> None:
    place = f"output_dir={tmp_path}/out"
    base = identity.config_hash(compose.load_config([place]))
    assert base == identity.config_hash(compose.load_config([f"output_dir={tmp_path}/other", "debug=true"]))
    assert base != identity.config_hash(compose.load_config([place, "seed=2"]))
    assert base != identity.config_hash(compose.load_config([place, "method.temperature=3"]))
