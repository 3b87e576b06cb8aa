"""AnswerT5: logits of a plain T5, a config that holds the task, refused checkpoints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config, T5ForConditionalGeneration

from kdrun import registry
from kdrun.config import compose
from kdrun.config.data import CorpusConfig
from kdrun.config.model import PretrainedConfig, ScratchConfig
from kdrun.config.teacher import FineTune, PretrainedTeacherConfig
from kdrun.errors import ModelError
from kdrun.generation.decoding import greedy_decode
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.saving import check_savable, save_pretrained
from kdrun.models.t5_seq2seq import AnswerT5
from kdrun.models.text_tasks import check_prompts

SIZES = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1}
TASK = compose.load_config(["task=conll2003", "preset=t5_writer"]).task
SST2 = compose.load_config(["task=sst2"]).task


def context(task: Any = TASK, role: str = "student") -> BuildContext:
    return BuildContext(role, task, lambda: registry.build("corpus", "embedded", CorpusConfig()), seed=1)


@pytest.fixture
def writer(run_env: None) -> ModelBundle:
    config = compose.load_config(["task=conll2003", "preset=t5_writer"]).student
    assert isinstance(config, ScratchConfig)
    return registry.build("student", "scratch", replace(config, sizes=SIZES), context())


def batch(writer: ModelBundle) -> dict[str, torch.Tensor]:
    ids = writer.tokenizer(["anna visited rome."], return_tensors="pt")["input_ids"]
    assert isinstance(ids, torch.Tensor)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": torch.tensor([[0, 7, 8]])}


def test_logits_are_those_of_the_plain_model(writer: ModelBundle) -> None:
    assert isinstance(writer.model, AnswerT5)
    assert writer.prompts == ["extract entities:"]
    plain = T5ForConditionalGeneration(T5Config.from_dict(writer.model.config.to_dict())).eval()
    plain.load_state_dict(writer.model.state_dict())
    with torch.no_grad():
        ours = writer.model(**batch(writer), prompt_mask=torch.zeros(1, 1))
        theirs = plain(**batch(writer))
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=0, atol=0)
    assert ours.logits.shape == (1, 3, len(writer.tokenizer))
    assert ours.past_key_values is None


def test_logits_behind_an_end_are_nan_and_the_others_unchanged(writer: ModelBundle) -> None:
    """The gradients agree too: the loss of a batch equals that of its rows one by one, without padding."""
    model, end = writer.model.double(), writer.tokenizer.eos_token_id
    ids = writer.tokenizer(["anna visited rome."] * 3, return_tensors="pt")["input_ids"]
    assert isinstance(ids, torch.Tensor)
    # decoder inputs of three answers: "7 8 9", cut before its end; "7" and its end; the end alone
    decoder_inputs = torch.tensor([[0, 7, 8], [0, 7, end], [0, end, 5]])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=decoder_inputs).logits
    lengths = [3, 2, 1]
    assert (~logits[..., 0].isnan()).sum(dim=1).tolist() == lengths
    logits[~logits.isnan()].square().sum().backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for row, length in enumerate(lengths):
        inputs = {"input_ids": ids[:1], "attention_mask": torch.ones_like(ids[:1])}
        single = model(**inputs, decoder_input_ids=decoder_inputs[row : row + 1, :length]).logits
        torch.testing.assert_close(single[0], logits[row, :length])
        single.square().sum().backward()
    assert len(together) > 10
    for name, p in model.named_parameters():
        if name in together:
            torch.testing.assert_close(p.grad, together[name])


def test_a_start_that_is_also_the_end_ends_nothing(writer: ModelBundle) -> None:
    end = writer.tokenizer.eos_token_id
    inputs = batch(writer) | {"decoder_input_ids": torch.tensor([[end, 7, end, 8]])}
    with torch.no_grad():
        assert writer.model(**inputs).logits[0, :, 0].isnan().tolist() == [False, False, True, True]


def test_a_saved_model_is_a_plain_t5_and_loads_with_its_task(writer: ModelBundle, tmp_path: Path) -> None:
    save_pretrained(writer, None, tmp_path)
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    assert type(plain) is T5ForConditionalGeneration
    assert plain.generation_config.max_new_tokens == TASK.answer_tokens
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == writer.tokenizer.get_vocab()
    section = PretrainedTeacherConfig(name="pretrained", path=str(tmp_path), hub="")
    again = registry.build("teacher", "pretrained", section, context(role="teacher"))
    assert again.has_head
    assert again.fingerprint == writer.fingerprint
    with torch.no_grad():
        torch.testing.assert_close(plain(**batch(writer)).logits, again.model(**batch(writer)).logits, rtol=0, atol=0)


def test_a_checkpoint_of_another_task_is_an_error_or_trained_again(writer: ModelBundle, tmp_path: Path) -> None:
    save_pretrained(writer, None, tmp_path)
    section = PretrainedTeacherConfig(name="pretrained", path=str(tmp_path), hub="")
    other = replace(TASK, name="other", entities=["gene"])
    with pytest.raises(ModelError, match=r"trained to answer person, .* other asks for gene"):
        registry.build("teacher", "pretrained", section, context(other, "teacher"))
    bundle = registry.build(
        "teacher", "pretrained", replace(section, fine_tune=FineTune.always), context(other, "teacher")
    )
    assert not bundle.has_head
    assert bundle.model.config.entities == ["gene"]


def test_an_encoder_is_refused_before_its_weights_are_read(tmp_path: Path, run_env: None) -> None:
    tiny = registry.build("student", "scratch", compose.load_config(["student=smoke"]).student, context(SST2))
    save_pretrained(tiny, None, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    section = PretrainedTeacherConfig(name="pretrained", path=str(tmp_path), hub="")
    with pytest.raises(ModelError, match=r"teacher\.path=.*bert is loaded as a classifier.*conll2003.*T5"):
        registry.build("teacher", "pretrained", section, context(role="teacher"))


def test_a_task_without_a_prompt_is_refused() -> None:
    with pytest.raises(ModelError, match="has 0 prompts for 1 texts"):
        check_prompts(replace(TASK, prompts=[]), "student")


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
def test_a_checkpoints_own_way_to_generate_is_dropped(writer: ModelBundle, file: str, tmp_path: Path) -> None:
    """A saved writer generates the text that was scored, whatever beams and penalties its checkpoint came with."""
    torch.manual_seed(0)
    for parameter in writer.model.parameters():
        parameter.data.normal_(std=0.5)
    save_pretrained(writer, None, tmp_path / "first")
    edited = tmp_path / "first" / file
    inherited = {"num_beams": 4, "repetition_penalty": 2.5, "min_length": 5, "temperature": 0.9, "do_sample": False}
    params = {"task_specific_params": {"summarization": {"num_beams": 3}}}
    edited.write_text(json.dumps(json.loads(edited.read_text()) | inherited | params))
    section = PretrainedConfig(name="pretrained", path=str(tmp_path / "first"), hub="")
    loaded = registry.build("student", "pretrained", section, context())
    check_savable(loaded, "student")
    save_pretrained(loaded, None, tmp_path / "second")
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "second").eval()
    assert "num_beams" not in (tmp_path / "second" / "config.json").read_text()
    assert "num_beams" not in (tmp_path / "second" / "generation_config.json").read_text()
    inputs = loaded.tokenizer(["extract entities: anna visited rome.", "extract entities: x"], padding=True)
    inputs = {name: torch.tensor(inputs[name]) for name in ("input_ids", "attention_mask")}
    scored, _ = greedy_decode(loaded.model, inputs, TASK.answer_tokens)
    generated = plain.generate(**inputs)[:, 1:]
    assert generated.tolist() == scored.tolist()


def test_a_model_that_cannot_be_saved_is_refused(writer: ModelBundle) -> None:
    settings: Any = writer.model.generation_config
    settings.temperature, settings.do_sample = 0.9, False
    with pytest.raises(ModelError, match=r"the student .*not saved.*temperature.*generation_config\.json"):
        check_savable(writer, "student")
