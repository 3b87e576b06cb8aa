"""Folder in which Hydra's launchers write."""

from pathlib import Path

import pytest

from kdrun.cli.launcher_folder import LAUNCHER_FOLDER, check_launcher_folder
from kdrun.config import compose
from kdrun.errors import DataError


@pytest.mark.parametrize("args", [["-m"], ["-m", "hydra.sweep.dir='my sweeps'"]])
def test_a_linked_file_of_a_launcher_is_refused(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("my sweeps" if len(args) > 1 else LAUNCHER_FOLDER)
    folder.mkdir(parents=True)
    check_launcher_folder(args)
    for name in ("multirun.yaml", ".submitit"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match=rf"{name} is a link"):
            check_launcher_folder(args)
        (folder / name).unlink()


def test_the_default_is_that_of_the_configs() -> None:
    assert f"sweep: {{dir: {LAUNCHER_FOLDER}," in (compose.CONF_DIR / "config.yaml").read_text()
