"""`kdrun export`: files, comparison with PyTorch, use without kdrun."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig, AutoTokenizer

from kdrun.cli import main
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.row_model import TorchModel
from kdrun.deployment.saved_model import load_saved
from tests.helpers.saved_students import TEXTS, finish_run, save_run
from tests.helpers.tiny_models import MNLI


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an exported int8 file."""
    run_dir = finish_run(save_run(tmp_path_factory.mktemp("runs") / "run", num_hidden_layers=1))
    assert main.run(["export", str(run_dir), "quantize=int8", "keep=0"]) == 0
    return run_dir


def test_files_and_facts_of_an_export(run_dir: Path) -> None:
    folder = run_dir / "onnx-int8"
    facts = json.loads((folder / "export.json").read_text())
    assert facts["file"] == "model.int8.onnx"
    assert facts["bytes"] == (folder / facts["file"]).stat().st_size
    assert (facts["labels"], facts["kind"], facts["num_texts"]) == (MNLI.labels, "classes", 2)
    assert facts["parity"]["fp32"]["relative_difference"] < 1e-4
    assert facts["parity"]["fp32"]["same_answer"] == 1.0
    assert facts["parity"]["int8"]["max_difference"] > 0
    assert {"onnxruntime", "torch"} <= set(facts["versions"])
    assert not (folder / "model.onnx").exists()
    assert not list(run_dir.glob(".onnx*"))
    assert b"site-packages" not in (folder / facts["file"]).read_bytes()
    assert AutoConfig.from_pretrained(folder).id2label == dict(enumerate(MNLI.labels))
    assert AutoTokenizer.from_pretrained(folder).is_fast


def test_the_script_predicts_without_kdrun(run_dir: Path, tmp_path: Path) -> None:
    script = run_dir / "onnx-int8" / "predict.py"
    text = script.read_text()
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 20
    assert "kdrun" not in text
    command = [sys.executable, "-I", str(script), *TEXTS[2]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert list(answer) == MNLI.labels
    saved = load_saved(run_dir)
    logits = TorchModel(saved)(saved.tokenize([TEXTS[2]]).batch(np.arange(1)))[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    facts = json.loads((run_dir / "onnx-int8" / "export.json").read_text())
    np.testing.assert_allclose(list(answer.values()), expected, atol=facts["parity"]["int8"]["max_difference"])


def test_kdrun_predicts_with_the_exported_file(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_dir / "onnx-int8"
    rows = [{"premise": first, "hypothesis": second} for first, second in TEXTS]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    arguments = [f"input={tmp_path}/in.json", f"output={tmp_path}/out.jsonl", "batch_size=1"]
    assert main.run(["predict", str(folder), *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    model, saved = OnnxModel(folder / "model.int8.onnx"), load_saved(run_dir)
    for line, row, texts in zip(lines, rows, TEXTS, strict=True):
        logits = model(saved.tokenize([texts]).batch(np.arange(1)))[0]
        expected = np.exp(logits) / np.exp(logits).sum()
        assert {key: line[key] for key in row} == row
        np.testing.assert_allclose(list(line["probabilities"].values()), expected, atol=1e-6)
        assert line["prediction"] == MNLI.labels[int(expected.argmax())]
    assert main.run(["predict", str(folder), *TEXTS[0]]) == 0
    assert lines[0]["prediction"] in capsys.readouterr().out


def test_wrong_options_for_an_exported_file(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["predict", str(run_dir / "onnx-int8"), *TEXTS[0]]
    assert main.run([*command, "device=cuda", "precision=bf16", "max_length=4000"]) == 2
    message = capsys.readouterr().err
    assert all(text in message for text in ("device=cuda", "precision=bf16", "max_length=4000"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main.run(command) == 2
    assert "onnxruntime: pip install 'kdrun[onnx]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["output={run}"], "holds other files"),
        (["output={run}/none/x"], "does not exist"),
        (["keep=2"], "keep must be"),
        (["quantize=int4"], "quantize=int4"),
        (["{run}"], "takes one run directory"),
    ],
)
def test_wrong_arguments(run_dir: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = [argument.format(run=run_dir) for argument in arguments]
    assert main.run(["export", str(run_dir), *args]) == 2
    assert message in capsys.readouterr().err


def test_a_model_folder_without_a_run_is_refused(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain").symlink_to(run_dir / "student")
    assert main.run(["export", str(tmp_path / "plain")]) == 2
    assert "without a run" in capsys.readouterr().err
