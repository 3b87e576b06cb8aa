"""Special tokens in the texts of a task, through a prepared run."""

import io
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from kdrun.console import Console
from kdrun.runs import runner
from tests.helpers.runs import smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.mark.parametrize("reading", ["keep", "split"])
def test_every_role_reads_special_tokens_as_the_config_says(reading: str, tmp_path: Path) -> None:
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    texts = ["a good film [MASK]", "a bad film"] * 8
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text(
            "sentence\tlabel\n" + "".join(f"{text} {i}\t{(i + 1) % 2}\n" for i, text in enumerate(texts))
        )
    overrides = [f"data.special_tokens={reading}", "data=folder", f"data.dir={tmp_path}/glue", "method=kd"]
    text = io.StringIO()
    run = runner.prepare(smoke_config(tmp_path, *overrides), Console(RichConsole(file=text, width=300)))
    for role in ("teacher", "student"):
        mask = run.roles[role].tokenizer.mask_token_id
        rows = [run.tokens(role)["train"].ids(row) for row in range(16)]
        assert [mask in ids for ids in rows] == [reading == "keep" and row % 2 == 0 for row in range(16)]
        assert len(rows[0]) > len(rows[1])
    assert "8 of 16 train rows, 8 of 16 dev rows contain special tokens" in text.getvalue()
