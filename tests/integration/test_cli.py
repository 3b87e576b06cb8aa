"""The command line as a user meets it: help, errors, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdrun.cli import main, subcommands
from kdrun.config import paths
from tests.helpers import forked


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main.run(list(words))
    return code, capsys.readouterr().err


HELP = """
import contextlib, io, json, sys
from kdrun.cli import main
texts = {}
for verb in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main.run([verb, "--help"]) == 0
    assert "torch" not in sys.modules, verb
    texts[verb] = output.getvalue()
print(json.dumps(texts))
"""


def test_help_of_subcommands_does_not_import_torch(tmp_path: Path) -> None:
    done = forked.without_torch().run(HELP, *subcommands.COMMANDS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    assert list(texts) == list(subcommands.COMMANDS)
    assert all(f"kdrun {verb}" in text for verb, text in texts.items())


def test_help_lists_choices_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from kdrun.cli import main; assert main.run(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in (
        "finetune, gkd, kd, ",
        "embedded, mini, mini_writer, paper, paper_bert, paper_zskd, smoke",
        "sst2, stsb",
        "layers_of",
    ):
        assert word in done.stdout


def test_config_errors_import_no_torch_and_print_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys; from kdrun.cli import main; code = main.run(['method=kdd', 'optim.lrr=1', 'seed=-1'])\n"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = forked.without_torch().run(code, cwd=tmp_path)
    assert done.returncode == 2
    assert "3 problems" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["method=kdd"], ["method=kdd: unknown method; did you mean 'kd'? (allowed: crd, dfkd_t3, finetune, gkd, "]),
        (["task=sst-2"], ["task=sst-2: unknown task; did you mean 'sst2'?"]),
        (["optim.lrr=1"], ["optim.lrr: unknown key; did you mean 'optim.lr'?", "keys of optim here: name, lr"]),
        (["method.temperature=-1"], ["method.temperature must be > 0, got -1.0"]),
        (["method.temperature=nan"], ["method.temperature must be > 0, got nan"]),
        (["method.temperature=hot"], ["method.temperature=hot: Value 'hot'", "could not be converted to Float"]),
        (["method=kdd", "optim.lrr=1"], ["2 problems", "unknown method", "unknown key"]),
        (["runtime.precision=fp16"], ["expected one of [auto, fp32, bf16]"]),
        (["task=stsb", "loss=kl"], ["loss=kl compares distributions", "loss=logit_mse"]),
        (["data=folder"], ["data.dir is required", "set it with data.dir="]),
        (["data.dir=x"], ["data.dir belongs to data=folder"]),
        (["method=kd,finetune"], ["names 2 values: add -m"]),
        (["method.name=finetune"], ["follows from the choice: write method=finetune"]),
        (["+teacher.speed=3"], ["teacher.speed: unknown key"]),
        (["teacher.sizes.hidden_act=relu"], ["+teacher.sizes.hidden_act=… adds it"]),
        (["~seed"], ["nothing can be deleted"]),
        (["seed=${oc.env:HOME}"], ["interpolation is not read from the command line"]),
        (["+method._target_=os.system"], ["never code"]),
        (["student.sizes={_target_:os.system}"], ["never code"]),
        (["student.sizes={_target_:os.system},{a:1}"], ["never code"]),
        (["student.layers=[{a:{_target_:os.system}}]"], ["never code"]),
        (["hydra.callbacks.x=1"], ["only the launcher can be changed"]),
        (["loss.name=klx"], ["did you mean 'kl'?"]),
        (["optim.schedule=linnear"], ["did you mean 'linear'?"]),
        (["--config-dir=x"], ["/x (--config-dir or KDRUN_CONF): no such folder"]),
        (["word"], ["unknown subcommand 'word'", "key=value"]),
        (["-m", "seed=1,-2", "method=finetune,kdd"], ["2 problems", "seed must be >= 0, got -2", "unknown method"]),
        (["-m", "task=sst2,stsb", "loss=kl"], ["task=stsb predicts a score"]),
    ],
)  # fmt: skip
def test_errors_teach(words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, text = report(capsys, *words)
    assert code == 2
    for part in expected:
        assert part in text


def test_cfg_prints_the_composed_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["task=rte", "--cfg", "job"]) == 0
    assert "name: rte" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kdrun ")


def test_no_config_names_code() -> None:
    """`_target_` would let a config run code; the config tree holds none."""
    assert not [p for p in paths.CONF_DIR.rglob("*.yaml") if "_target_" in p.read_text()]
