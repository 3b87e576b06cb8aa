"""Data-free methods: the student never reads the training rows, and the result counts the rows read."""

from pathlib import Path
from typing import Any

import pytest

from kdrun import registry
from kdrun.console import QuietConsole
from kdrun.errors import ConfigError, DataError
from kdrun.experiments.compare import plan
from kdrun.experiments.compare.arms import equalize_budgets
from kdrun.methods.phases import num_steps
from kdrun.runs import build, runner, summary
from kdrun.storage.ledger import read_runs
from tests.helpers.runs import finish, smoke_config

DATA_FREE = [name for name, entry in registry.entries("method").items() if entry.target.requires.data_free]
DEV = "sentence\tlabel\n" + "".join(
    f"the {word} film is fine\t{i % 2}\n" for i, word in enumerate(["old", "new", "long"])
)

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """A fine-tuned teacher as a folder: the student of a finetune run."""
    folder = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        finish(smoke_config(folder, "method=finetune"))
    (run,) = read_runs(folder / "out" / "ledger.jsonl")
    return Path(run["run_dir"]) / "student"


@pytest.fixture
def poisoned(tmp_path: Path, taught: Path) -> list[str]:
    """Words of a run whose training file would end any run that opens it."""
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text(DEV)
    (folder / "train.tsv").write_bytes(b"sentence\tlabel\n\xff\xfe poison\tneither\n")
    (tmp_path / "corpus.txt").write_text("".join(f"The {n} people went to the town. They saw it.\n" for n in range(99)))
    words = ["data=folder", f"data.dir={tmp_path}/glue", "corpus=folder", f"corpus.dir={tmp_path}/corpus.txt"]
    return [*words, f"teacher.path={taught}", "teacher.allow_weak=true", "student.tokenizer=teacher"]


def test_the_poison_kills_a_method_with_data(tmp_path: Path, poisoned: list[str]) -> None:
    with pytest.raises(DataError, match=r"train\.tsv"):
        finish(smoke_config(tmp_path, "method=kd", *poisoned))


@pytest.mark.parametrize("method", DATA_FREE)
def test_a_data_free_run_does_not_open_the_training_file(tmp_path: Path, poisoned: list[str], method: str) -> None:
    data = finish(smoke_config(tmp_path, f"method={method}", *poisoned)).result["data"]
    assert data["rows"] == {"dev": 3, "ood": 64}
    assert (data["train_rows_read"], data["labels_read"], data["train_rows_read_for_teacher"]) == (0, 0, 0)
    assert data["ood_rows_read"] > 0
    assert data["synthetic"] is False


@pytest.mark.parametrize("method", DATA_FREE)
def test_synthetic_text_is_no_substitute_for_real_text(tmp_path: Path, poisoned: list[str], method: str) -> None:
    words = ["corpus=embedded" if word == "corpus=folder" else word for word in poisoned]
    words = [word for word in words if not word.startswith("corpus.dir=")]
    with pytest.raises(ConfigError, match="corpus=embedded"):
        smoke_config(tmp_path, f"method={method}", *words)


@pytest.mark.parametrize("method", DATA_FREE)
def test_asking_for_the_training_rows_raises(tmp_path: Path, method: str) -> None:
    run = runner.prepare(smoke_config(tmp_path, f"method={method}"), QuietConsole())
    with pytest.raises(DataError, match="data-free"):
        _ = run.data.train
    feed = build.make_loader(run, build.make_method(run))
    assert feed.num_rows == run.data.student_rows.num_rows == 64
    assert feed.labels is None


@pytest.mark.parametrize("method", [pytest.param(m, marks=() if m == "zskd" else pytest.mark.slow) for m in DATA_FREE])
def test_dev_labels_choose_the_checkpoint_only_on_request(tmp_path: Path, method: str) -> None:
    # without the request: test_run.py
    chosen = finish(smoke_config(tmp_path, f"method={method}", "checkpoint_selection=best_dev")).result["checkpoint"]
    assert (chosen["selected"], chosen["split"]) == ("best_dev", "dev")


@pytest.mark.parametrize(("score", "warned"), [(0.51, True), (None, True), (0.9, False)])
def test_a_student_at_the_majority_baseline_is_reported(score: float | None, warned: bool) -> None:
    scores = {"dev": {"accuracy": score}}
    result: Any = {"headline": {"split": "dev", "metric": "accuracy"}, "student": {"metrics": scores}}
    assert summary._is_near_baseline(result | {"guess": {"dev": {"accuracy": 0.5}}}) is warned


def test_a_comparison_gives_data_free_arms_the_budget_of_the_others(tmp_path: Path) -> None:
    words = ["preset=smoke", f"output_dir={tmp_path}/out", "optim.steps=null", "optim.epochs=2"]
    arms = plan.plan_arms(["kd", "kd_ood"], words)
    equalize_budgets(arms, rows=60)
    for arm in arms:
        assert arm.overrides[-2:] == ["optim.steps=16", "checkpoint_selection=last"]  # 2 passes over 60 rows, 8 a step
        assert num_steps(arm.config(1).optim, rows=999) == 16


def test_a_comparison_of_methods_with_data_keeps_its_overrides(tmp_path: Path) -> None:
    arms = plan.plan_arms(["finetune", "kd"], ["preset=smoke"])
    before = [list(arm.overrides) for arm in arms]
    equalize_budgets(arms, rows=60)
    assert [arm.overrides for arm in arms] == before


CANARY = "qzxv"
"""A word of the task's training rows; no other text of the run has it."""
PANGRAM = "The {n} quick brown foxes jump over the lazy dog, {n} times. They saw it next to the big vexed squirrel.\n"


@pytest.fixture
def canaries(tmp_path: Path, taught: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a run whose training rows all have the canary; corpus and dev rows have its letters at most."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text(DEV)
    rows = "".join(f"the {CANARY} film number {i} is {CANARY}\t{i % 2}\n" for i in range(64))
    (folder / "train.tsv").write_text("sentence\tlabel\n" + rows)
    (tmp_path / "corpus.txt").write_text("".join(PANGRAM.format(n=n) for n in range(99)))
    data = ["data=folder", f"data.dir={tmp_path}/glue", "corpus=folder", f"corpus.dir={tmp_path}/corpus.txt"]
    return [*data, f"teacher.path={taught}", "teacher.allow_weak=true", "generated.rows=0"]


def batches_with_canary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts with the canary among the batches of the runs to come; filled while they train."""
    seen: list[str] = []
    make_loader = build.make_loader

    def watched(run: Any, *args: Any) -> Any:
        loader = make_loader(run, *args)
        load_batch = loader.load_batch

        def load(*position: Any) -> Any:
            batch = load_batch(*position)
            for role, inputs in batch.inputs.items():
                texts = run.roles[role].tokenizer.batch_decode(inputs["input_ids"])
                seen.extend(text for text in texts if CANARY in text.replace(" ", "").lower())
            return batch

        loader.load_batch = load  # pyright: ignore[reportAttributeAccessIssue]
        return loader

    monkeypatch.setattr(build, "make_loader", watched)
    return seen


def files_with_canary(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("method", [*DATA_FREE, "kd"])
def test_no_canary_of_the_training_rows_reaches_batches_vocabularies_or_files(
    method: str, tmp_path: Path, canaries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kd`, which reads the rows, shows that a canary would be found."""
    shared = registry.get("method", method).target.requires.shared_vocabulary
    vocabulary = "teacher" if shared else "corpus"
    seen = batches_with_canary(monkeypatch)
    run = finish(smoke_config(tmp_path, f"method={method}", f"student.tokenizer={vocabulary}", *canaries))
    files = files_with_canary(tmp_path / "out") + files_with_canary(tmp_path / "cache")
    assert (run.run_dir / "student" / "tokenizer.json").is_file()
    if method == "kd":
        assert seen
    else:
        assert (seen, files) == ([], [])
        assert CANARY not in run.output
