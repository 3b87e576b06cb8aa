"""Models from sizes: families, seeds, errors."""

from collections.abc import Callable

import pytest
import torch

from kdrun.config.architectures import Architecture
from kdrun.config.model import TokenizerSource
from kdrun.errors import ConfigError, ModelError
from kdrun.models import from_config, parameters, tokenizers
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import (
    ENCODER_SIZES,
    FAMILIES,
    MNLI,
    STSB,
    class_names,
    embeddings,
    logits,
    make,
    scratch_config,
)

Context = Callable[..., BuildContext]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", [MNLI, STSB], ids=["classes", "score"])
def test_a_family_builds_for_a_task_and_reads_a_pair(family: Architecture, task, context: Context) -> None:
    built = make(scratch_config(family), context(task=task, max_length=20))
    assert logits(built).shape == (task.num_outputs,)
    assert built.name == f"{family.value} 3x16 (scratch)"
    assert not built.has_head
    assert not built.model.training
    assert built.model.dtype == torch.float32
    assert class_names(built) == (task.labels or ["score"])
    assert built.model.config.problem_type == ("single_label_classification" if task.labels else "regression")


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_the_greatest_length_fit(family: Architecture, context: Context) -> None:
    built = make(scratch_config(family), context(max_length=200))
    batch = built.tokenizer("cat " * 300, truncation=True, max_length=200, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 200
    assert built.model(**batch).logits.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family: Architecture, context: Context) -> None:
    built = make(scratch_config(family), context())
    texts = ["the cat", "the dog follows the horse and the mountain"]
    batch = built.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        together = built.model(**batch).logits[0]
        single = built.model(**built.tokenizer(texts[:1], return_tensors="pt")).logits[0]
    torch.testing.assert_close(together, single, atol=1e-6, rtol=1e-5)


def test_weights_are_a_function_of_seed_and_role_and_the_global_generator_stays(context: Context) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = make(scratch_config(), context(seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert make(scratch_config(), context(seed=3)).fingerprint == first.fingerprint
    assert make(scratch_config(), context(seed=4)).fingerprint != first.fingerprint
    assert make(scratch_config(), context("teacher", seed=3)).fingerprint != first.fingerprint


def test_max_length_does_not_change_the_weights(context: Context) -> None:
    short, longer = (make(scratch_config(), context(max_length=n)) for n in (32, 128))
    assert torch.equal(embeddings(short), embeddings(longer))


def test_attention_maps_use_eager_attention(context: Context) -> None:
    built = make(scratch_config(), context(attn_implementation="eager"))
    batch = built.tokenizer("the cat", return_tensors="pt")
    assert len(built.model(**batch, output_attentions=True).attentions) == 3


@pytest.mark.parametrize(
    ("family", "sizes", "message"),
    [
        (
            "roberta",
            {"hiden_size": 99},
            "sizes.hiden_size: roberta has no such size; did you mean 'hidden_size'?",
        ),
        ("llama", {"ffn_dim": 99}, "llama has no such size"),
        (
            "distilbert",
            {"intermediate_size": 99, "hidden_dim": 16},
            "student.sizes.intermediate_size=99 and student.sizes.hidden_dim=16: distilbert calls both hidden_dim",
        ),
        (
            "gpt2",
            {"hidden_size": 32, "n_embd": 16},
            "student.sizes.hidden_size=32 and student.sizes.n_embd=16: gpt2 calls both n_embd",
        ),
        ("gpt2", {"intermediate_size": -1}, "student.sizes.intermediate_size must be > 0, got -1"),
        ("modernbert", {"sep_token_id": 1}, "student.sizes.sep_token_id cannot be set: the tokenizer decides it"),
        ("bert", {"vocab_size": 99}, "student.sizes.vocab_size cannot be set: the tokenizer decides it"),
        ("bert", {"hidden_size": 0}, "student.sizes.hidden_size must be > 0, got 0"),
        ("bert", {"hidden_dropout_prob": 1.5}, "student.sizes.hidden_dropout_prob must be >= 0 and < 1, got 1.5"),
        ("bert", {"hidden_act": "gelo"}, "student.sizes.hidden_act=gelo: unknown activation; did you mean 'gelu'?"),
        ("bert", {"hidden_size": "wide"}, "'hidden_size' expected int, got str"),
    ],
)
def test_wrong_sizes_are_named(family: str, sizes: dict, message: str, context: Context) -> None:
    with pytest.raises(ConfigError) as error:
        make(scratch_config(Architecture(family), sizes=sizes), context())
    assert message in str(error.value)


def test_all_wrong_sizes_are_in_one_report() -> None:
    sizes = {"hiden_size": 1, "num_layers": 2, "vocab_size": 3}
    assert len(from_config.check_sizes(Architecture.bert, sizes, "student.sizes")) == 3


def test_an_alias_of_distilbert_is_a_size(context: Context) -> None:
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_dim": 16}
    assert make(scratch_config(Architecture.distilbert, sizes=sizes), context()).name == "distilbert 1x24 (scratch)"


def test_heads_must_divide_the_width(context: Context) -> None:
    with pytest.raises(ModelError, match="3 attention heads do not divide a width of 16"):
        make(scratch_config(sizes={"hidden_size": 16, "num_attention_heads": 3}), context())


def test_key_value_heads_must_divide_the_heads(context: Context) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 3, "intermediate_size": 32}
    with pytest.raises(ModelError, match=r"3 key-value heads do not divide 4 .*num_key_value_heads to one of 1, 2, 4"):
        make(scratch_config(Architecture.llama, sizes=sizes), context())


@pytest.mark.parametrize("family", Architecture)
def test_the_sizes_of_a_bert_build_every_family(family: Architecture, context: Context) -> None:
    built = make(scratch_config(family, sizes=dict(ENCODER_SIZES)), context())
    assert built.name == f"{family.value} 3x16 (scratch)"
    key = family.spec.size_names.get("intermediate_size", "intermediate_size")
    assert getattr(built.model.config, key) == ENCODER_SIZES["intermediate_size"]


def test_a_vocabulary_with_another_padding_id_than_the_family_fixes_is_refused(context: Context) -> None:
    teacher = make(scratch_config(Architecture.bert), context("teacher"))
    config = scratch_config(Architecture.mpnet, tokenizer=TokenizerSource.teacher)
    with pytest.raises(
        ModelError, match=r"student\.architecture=mpnet .*padding id 1.*id 0; set student.tokenizer=corpus"
    ):
        make(config, context(teacher=teacher))


@pytest.mark.parametrize("family", FAMILIES)
def test_too_few_positions_are_refused(family: Architecture, context: Context) -> None:
    config = scratch_config(family)
    config.sizes["max_position_embeddings"] = 40
    room = 38 if family is Architecture.roberta else 40
    with pytest.raises(ModelError, match=f"has room for {room} tokens, data.max_length is 41"):
        make(config, context(max_length=41))
    assert make(config, context(max_length=room)).model.config.max_position_embeddings == 40


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_takes_its_teachers_vocabulary(family: Architecture, context: Context) -> None:
    teacher = make(scratch_config(Architecture.bert), context("teacher"))
    student = make(scratch_config(family, tokenizer=TokenizerSource.teacher), context(teacher=teacher))
    assert tokenizers.same_vocabulary(student.tokenizer, teacher.tokenizer)
    assert student.model.config.pad_token_id == teacher.tokenizer.pad_token_id
    assert (student.tokenizer is teacher.tokenizer) == (family is Architecture.bert)
    assert ("token_type_ids" in student.tokenizer.model_input_names) == (family is Architecture.bert)
    assert logits(student).isfinite().all()


def test_a_vocabulary_without_a_teacher_is_refused(context: Context) -> None:
    with pytest.raises(ModelError, match=r"student\.tokenizer=teacher, and there is no teacher .*tokenizer=corpus"):
        make(scratch_config(tokenizer=TokenizerSource.teacher), context())


def test_models_do_not_share_a_config(context: Context) -> None:
    first, second = make(scratch_config(), context()), make(scratch_config(), context())
    first.model.config.num_hidden_layers = 99
    assert second.model.config.num_hidden_layers == 3


def test_parameters_are_counted_once(context: Context) -> None:
    generator = make(scratch_config(), context("generator"))
    tied = embeddings(generator)
    assert parameters.count_parameters(generator.model) < sum(t.numel() for t in generator.model.state_dict().values())
    assert parameters.count_parameters(generator.model) > tied.numel()
