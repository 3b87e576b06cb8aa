"""Arms from overrides: values of a key by method, and names of arms."""

from pathlib import Path

import pytest

from kdrun.errors import ConfigError
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.plan import plan_arms

DOMAINS = ["task=amazon", "preset=smoke", "method.domain=all"]


def plan(methods: str, *words: str) -> list[Arm]:
    return plan_arms(methods.split(), list(words))


def refused(methods: str, *words: str) -> str:
    with pytest.raises(ConfigError) as error:
        plan(methods, *words)
    return str(error.value)


def test_a_method_has_an_arm_for_each_value_of_its_key() -> None:
    arms = plan("finetune kd", "task=rte", "method.temperature=1,2,4")
    assert [arm.name for arm in arms] == ["finetune", "kd temperature=1", "kd temperature=2", "kd temperature=4"]
    assert [arm.method for arm in arms] == ["finetune", "kd", "kd", "kd"]
    assert arms[0].overrides == ["method=finetune", "task=rte"]
    assert arms[2].overrides == ["method=kd", "task=rte", "method.temperature=2"]
    assert arms[2].config(1).method.temperature == 2
    assert not any(arm.is_data_free for arm in arms)


def test_values_that_a_method_rejects_are_dropped_with_a_note() -> None:
    arms = plan("finetune kd tinybert_kd meta_kd", *DOMAINS, "teacher.domain_strategy=single,mixed,multi_task,meta")
    assert [arm.name for arm in arms] == [
        "finetune", "kd domain_strategy=mixed", "kd domain_strategy=meta", "tinybert_kd domain_strategy=single",
        "tinybert_kd domain_strategy=mixed", "tinybert_kd domain_strategy=multi_task",
        "tinybert_kd domain_strategy=meta", "meta_kd",
    ]  # fmt: skip
    by_name = {arm.name: arm for arm in arms}
    assert "teacher.domain_strategy=meta" in by_name["meta_kd"].overrides
    assert by_name["meta_kd"].left_out == [
        f"without teacher.domain_strategy={lessons}: method=meta_kd needs teacher.domain_strategy=meta"
        for lessons in ("single", "mixed", "multi_task")
    ]
    assert [line.split(":")[0] for line in by_name["kd domain_strategy=mixed"].left_out] == [
        "without teacher.domain_strategy=single",
        "without teacher.domain_strategy=multi_task",
    ]
    assert by_name["kd domain_strategy=meta"].left_out == by_name["finetune"].left_out == []  # said once; not concerned


def test_a_method_without_a_valid_value_is_an_error_with_its_reason() -> None:
    assert "teacher.domain_strategy=mixed: method=meta_kd needs teacher.domain_strategy=meta" in refused(
        "meta_kd", *DOMAINS, "teacher.domain_strategy=single,mixed"
    )
    assert "teacher.domain_strategy=single: method=finetune has no teacher" in refused(
        "finetune", "task=amazon", "teacher.domain_strategy=single"
    )


def test_a_teachers_key_is_not_for_methods_without_one() -> None:
    finetune, tinybert = plan("finetune tinybert_kd", *DOMAINS, "teacher.domain_strategy=single")
    assert "teacher.domain_strategy=single" in tinybert.overrides
    assert "teacher.domain_strategy=single" not in finetune.overrides
    assert finetune.left_out == ["without teacher.domain_strategy=single: method=finetune has no teacher"]
    finetune, *_ = plan("finetune kd", "task=rte", "teacher.seed=1,2")
    assert finetune.overrides == ["method=finetune", "task=rte"]
    names = [arm.name for arm in plan("finetune kd", "student=layers_of", "student.layers=[0]", "teacher.seed=1,2")]
    assert names[:2] == ["finetune seed=1", "finetune seed=2"]  # its student is cut from the teacher
    relations = ["student.pretrain.objective=relations", "student.pretrain.steps=9", "teacher.pretrain.steps=5,9"]
    names = [arm.name for arm in plan("finetune kd", *relations)]
    assert names[:2] == ["finetune steps=5", "finetune steps=9"]  # its student learns from the teacher first


def test_folders_are_called_by_their_last_names() -> None:
    words = ["teacher=pretrained", "teacher.path=/a/minilm,/a/bert"]
    assert [arm.name for arm in plan("kd", *words)] == ["kd path=minilm", "kd path=bert"]
    words = ["teacher=pretrained", "teacher.path=/a/bert,/b/bert"]
    assert [arm.name for arm in plan("kd", *words)] == ["kd path=/a/bert", "kd path=/b/bert"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["method.temperature=1,2", "optim.lr=1e-3,1e-4"], "both name several values"),
        (["task=sst2,rte"], "task=sst2,rte: a comparison has one task"),
        (["preset=smoke,mini"], "a comparison has one preset"),
        (["output_dir=a,b"], "a comparison has one output_dir"),
        (["loss=kl,kll"], "loss=kll: unknown loss"),  # one value fits, and the other fits no method
        (["method.temprature=1,2"], "no method compared here has temprature"),
        (["optim.lr=fast,slow"], "optim.lr=slow"),
    ],
)
def test_invalid_arguments_are_an_error(words: list[str], problem: str) -> None:
    assert problem in refused("finetune kd", *words)


def test_nothing_to_compare_is_refused() -> None:
    assert "nothing to compare" in refused("")


def test_unlabeled_rows_are_left_out_where_a_method_cannot_use_them(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"a text {i},{i % 2}\n" for i in range(20)))
    (tmp_path / "more.txt").write_text("a new text\n")
    rows = ["task=own", "data=files", f"data.train={tmp_path}/train.csv", "data.dev=0.2"]
    unlabeled = [f"data.unlabelled={tmp_path}/more.txt", "data.max_unlabelled_rows=9"]
    finetune, kd = plan_arms(["finetune", "kd"], [*rows, *unlabeled])
    assert finetune.overrides == ["method=finetune", *rows]
    assert [note.partition(":")[0] for note in finetune.left_out] == [f"without {word}" for word in unlabeled]
    assert kd.overrides == ["method=kd", *rows, *unlabeled]
    assert kd.left_out == []
