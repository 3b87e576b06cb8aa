"""Folders of exports: which may be written, and completely or not at all; missing packages."""

from pathlib import Path

import pytest

from kdrun.deployment.export_folder import check_output, new_folder
from kdrun.deployment.extras import ONNX_RUNTIME, check_onnx_installed
from kdrun.errors import ConfigError, DataError


def test_a_new_an_empty_and_an_exported_folder_may_be_written(tmp_path: Path) -> None:
    check_output(tmp_path / "new")
    check_output(tmp_path)
    (tmp_path / "export.json").touch()
    (tmp_path / "model.onnx").touch()
    check_output(tmp_path)


def test_other_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "new")
    for place, message in (
        (tmp_path, "holds other files"),
        (tmp_path / "notes.txt", "is a file"),
        (tmp_path / "none" / "x", "does not exist"),
    ):
        with pytest.raises(ConfigError, match=f"output=.*{message}"):
            check_output(place)
    with pytest.raises(DataError, match="is a link"):
        check_output(tmp_path / "link")


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "old.onnx").touch()
    with new_folder(folder) as work:
        (work / "new.onnx").touch()
        assert (folder / "old.onnx").exists()
    assert [path.name for path in folder.iterdir()] == ["new.onnx"]
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_leaves_the_earlier_export(tmp_path: Path) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "old.onnx").touch()
    with pytest.raises(FileNotFoundError), new_folder(folder) as work:
        (work / "new" / "new.onnx").touch()
    assert [path.name for path in folder.iterdir()] == ["old.onnx"]
    assert list(tmp_path.iterdir()) == [folder]


def test_missing_packages_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name.startswith("onnxs") else object())
    check_onnx_installed(ONNX_RUNTIME)
    with pytest.raises(ConfigError, match=r"ONNX files need onnxscript: pip install 'kdrun\[onnx\]'"):
        check_onnx_installed()
