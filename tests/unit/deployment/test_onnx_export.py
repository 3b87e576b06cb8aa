"""Students that cannot be exported to ONNX, and missing packages."""

import errno
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun.deployment import extras
from kdrun.deployment.onnx_export import check_exportable, write_onnx
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.saved_model import load_saved
from kdrun.errors import ConfigError, ModelError
from tests.helpers.saved_students import save_run


@pytest.mark.parametrize(("model_type", "reason"), [("xlnet", "rows of one length"), ("bart", "end-of-text tokens")])
def test_a_model_that_groups_its_rows_is_refused(tmp_path: Path, model_type: str, reason: str) -> None:
    saved = load_saved(save_run(tmp_path / "run", model_type))
    with pytest.raises(ModelError, match=rf"{reason}.*format=onnx"):
        check_exportable(saved)


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    absent: Any = lambda name, *rest: None if name.startswith("onnx") else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    with pytest.raises(ConfigError, match=r"onnx, onnxscript, onnxruntime.*kdrun\[onnx\]"):
        extras.check_onnx_installed()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot open it"):
        OnnxModel(tmp_path / "model.onnx")


def test_only_errors_of_the_exporter_are_errors_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_with(error: Exception) -> None:
        def export(*args: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(torch.onnx, "export", export)

    saved = load_saved(save_run(tmp_path / "run"))
    fail_with(torch.onnx.OnnxExporterError("no rule for aten::x"))
    with pytest.raises(ModelError, match=r"torch cannot export Bert.*no rule for aten::x"):
        write_onnx(saved, tmp_path / "model.onnx")
    fail_with(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        write_onnx(saved, tmp_path / "model.onnx")
