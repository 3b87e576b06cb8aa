"""Which rows a run reads: held-out rows, the student's, the teacher's, and the rest without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdrun.config import compose
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.data.held_out import GROUP
from kdrun.data.phrases import WORD
from kdrun.data.splits import UNLABELED, Split
from kdrun.errors import DataError
from kdrun.experiments import reuse

SENTENCES = 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SST-2 with sentences of random words and their phrases, as a GLUE folder."""
    root, stream = tmp_path_factory.mktemp("glue"), np.random.default_rng(5)
    lines = ["sentence\tlabel\n"]
    for i in range(SENTENCES):
        words = [f"w{word}" for word in stream.integers(900, size=10)]
        lines += [f"{' '.join(words[start:stop])}\t{i % 2}\n" for start, stop in ((0, 10), (0, 6), (6, 10), (2, 5))]
    (root / "SST-2").mkdir()
    (root / "SST-2" / "train.tsv").write_text("".join(lines))
    lines = [" ".join(f"c{i + k}" for k in range(8)) + " .\n" for i in range(50)]
    (root / "corpus.txt").write_text("".join(lines))
    (root / "SST-2" / "dev.tsv").write_text("sentence\tlabel\none dev text\t0\nanother one\t1\n")
    return root


def load(folder: Path, *overrides: str) -> TaskDataset:
    settings = ["task=sst2", "data=folder", f"data.dir={folder}", "corpus=folder", f"corpus.dir={folder}", *overrides]
    return run_data.load_run_data(compose.load_config(settings))


def texts(split: Split | None) -> list[str]:
    assert split is not None
    return split.table.column("text").to_pylist()


def shares_phrase(one: str, other: str) -> bool:
    a, b = (f" {' '.join(WORD.findall(text))} " for text in (one, other))
    return a in b or b in a


def test_held_out_text_is_in_no_training_stream(folder: Path) -> None:
    held_out = ["evaluation.held_out=60", "data.max_train_rows=40"]
    data = load(folder, *held_out, "method=kd", "teacher.train_rows=all", "data.unlabelled=rest")
    held = texts(data.splits["held_out"])
    assert 60 <= len(held) < 66
    streams = [data.train, data.teacher_train, data.unlabeled, data.mixed, data.for_teacher.train]
    for stream in streams:
        assert not [(a, b) for a in held for b in texts(stream) if shares_phrase(a, b)]
    assert sum(part in set(held) for part in texts(data.train)) == 0
    by_method = [load(folder, *held_out, f"method={method}", *rest) for method, *rest in
                 (("finetune",), ("zskd", "ood.rows=5"), ("mate_kd", "seed=7"))]  # fmt: skip
    assert {data.splits["held_out"].fingerprint for data in by_method} == {data.splits["held_out"].fingerprint}
    assert "train" not in by_method[1].splits
    beginning = f"{len(held)} held-out training rows, of "
    assert all(any(note.startswith(beginning) for note in data.notes) for data in by_method)


def test_a_teacher_sees_its_own_rows(folder: Path) -> None:
    student = load(folder, "method=kd", "data.max_train_rows=40")
    assert student.teacher_train is None
    assert student.for_teacher is student
    data = load(folder, "method=kd", "data.max_train_rows=40", "teacher.train_rows=100")
    assert data.train.fingerprint == student.train.fingerprint
    assert data.for_teacher.train.num_rows == 100
    assert set(texts(data.train)) <= set(texts(data.for_teacher.train))
    assert data.fingerprint != student.fingerprint
    assert "the teacher is fine-tuned on 100 of 360 rows (teacher.train_rows=100)" in data.notes
    alone = load(folder, "method=finetune", "data.max_train_rows=40", "teacher.train_rows=100")
    assert alone.teacher_train is None


def test_the_rest_of_the_training_rows_has_no_labels(folder: Path) -> None:
    data = load(folder, "method=kd", "data.max_train_rows=40", "data.unlabelled=rest", "data.max_unlabelled_rows=100")
    assert data.unlabeled is not None
    assert (data.train.num_rows, data.unlabeled.num_rows, data.student_rows.num_rows) == (40, 100, 140)
    assert data.unlabeled.table.column_names == ["text"]
    labels = data.student_rows.labels()
    assert (labels[:40] >= 0).all()
    assert (labels[40:] == -1).all()
    whole = load(folder, "method=kd", "data.max_train_rows=40", "data.unlabelled=rest")
    assert sorted([*texts(whole.train), *texts(whole.unlabeled)]) == sorted(texts(load(folder, "method=kd").train))
    assert whole.all_splits[UNLABELED].num_rows == 320
    with pytest.raises(DataError, match=r"data\.unlabelled=rest: all 360 training rows have labels"):
        load(folder, "method=kd", "data.max_train_rows=360", "data.unlabelled=rest")


def test_pooled_rows_are_reported_and_named(folder: Path) -> None:
    data = load(folder, "evaluation.held_out=60", "evaluation.report=pooled")
    pooled = data.splits["pooled"]
    assert (data.task.report_split, data.task.eval_splits_during_training) == ("pooled", ["dev"])
    assert texts(pooled)[:2] == ["one dev text", "another one"]
    groups = len(np.unique(pooled.table.column(GROUP).to_numpy())) - 2
    assert data.reported_rows == (f"2 dev rows and {pooled.num_rows - 2} held-out training rows, of {groups} sentences")
    assert load(folder).reported_rows is None


def test_runs_with_other_held_out_rows_read_other_rows(folder: Path) -> None:
    settings = ["task=sst2", "data=folder", f"data.dir={folder}"]
    changes = [(), ("evaluation.held_out=60",), ("evaluation.held_out=60", "evaluation.held_out_seed=2"),
               ("teacher.train_rows=all", "data.max_train_rows=40"), ("data.max_train_rows=40",)]  # fmt: skip
    keys = {reuse.data_identity(compose.load_config([*settings, *change])) for change in changes}
    assert len(keys) == len(changes)


def test_agreement_rows_are_in_no_other_stream_and_have_no_labels(folder: Path) -> None:
    settings = ["evaluation.held_out=60", "data.max_train_rows=40", "teacher.train_rows=all", "data.unlabelled=rest"]
    data = load(folder, *settings, "method=kd", "evaluation.agreement_rows=80")
    rows = texts(data.agreement)
    assert 80 <= len(rows) < 86
    assert data.agreement is not None
    assert data.agreement.table.column_names == ["text", GROUP]
    streams = [data.train, data.teacher_train, data.unlabeled, data.splits["held_out"]]
    for stream in streams:
        assert not [(a, b) for a in rows for b in texts(stream) if shares_phrase(a, b)]
    assert data.row_counts["agreement_rows"] == len(rows)
    assert data.agreement_text is not None
    assert data.agreement_text.startswith(f"{len(rows)} unlabeled training rows, of ")
    without = load(folder, *settings, "method=kd")
    assert without.fingerprint != data.fingerprint
    assert texts(without.splits["held_out"]) == texts(data.splits["held_out"])


def test_a_data_free_run_has_the_same_agreement_rows(folder: Path) -> None:
    runs = [load(folder, f"method={method}", "evaluation.agreement_rows=30") for method in ("kd", "kd_ood")]
    assert texts(runs[0].agreement) == texts(runs[1].agreement)
    assert "train" not in runs[1].splits


def test_too_many_agreement_rows_name_their_key(folder: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation\.agreement_rows=5000: "):
        load(folder, "method=kd", "evaluation.agreement_rows=5000")
