"""Samples of generated text that a run keeps."""

import json
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.runs import text_samples


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_a_run_keeps_and_prints_samples(
    task: str, run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["method=kd_augment", f"task={task}", "preset=smoke", "report=false", f"run_dir={tmp_path / 'run'}"]
    assert main.run([*words, f"output_dir={tmp_path}"]) == 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == text_samples.NUM_SAMPLES
    for sample in samples:
        assert set(sample) == {"step", "original", "text", "changed", "teacher", "student"}
        assert "[SEP]" not in sample["original"] + sample["text"]
        assert (" | " in sample["original"]) == (task == "stsb")  # generated text may contain the character itself
        assert all(i < len(sample["text"].split()) for i in sample["changed"])
        for role in ("teacher", "student"):
            for answer in sample[role].values():
                assert sum(answer.values()) == pytest.approx(1, abs=1e-4) or list(answer) == ["score"]
    assert any(sample["changed"] for sample in samples)
    assert "text generated at step 4" in capsys.readouterr().out
