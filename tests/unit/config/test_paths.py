"""Place of the config tree."""

from kdrun.config import paths


def test_the_config_tree_has_the_primary_file_and_a_folder_per_axis() -> None:
    assert (paths.CONF_DIR / "config.yaml").is_file()
    assert {"method", "task", "preset"} <= {entry.name for entry in paths.CONF_DIR.iterdir() if entry.is_dir()}
