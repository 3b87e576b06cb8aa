"""Class views of extraction tasks: first word as class, whole answer as target."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import T5Config

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError
from kdrun.generation.decoding import greedy_decode
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.dfkd_t3 import DFKDT3, DFKDT3Config, Mode, Specificity
from kdrun.models.t5_seq2seq import AnswerT5
from kdrun.tasks.class_views import FirstTokenClassView, first_tokens
from kdrun.tasks.task_types import task_type_of
from tests.helpers.tiny_dfkd import ENTRIES, GENERATOR, SINGLE, STUDENT, WAYS, batch, build_method, larger, tokenizer

NAMES = TaskConfig(name="mrpc", text=["one"], entities=["yes", "no"], prompts=["a b"], answer_tokens=5)
WORDS = [*ENTRIES, "none"]
FIRST = [WORDS.index(word) for word in ("yes:", "no:", "none")]


def writer(seed: int) -> AnswerT5:
    """A tiny T5 whose answers are of different lengths."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    sizes |= {"vocab_size": len(WORDS), "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    return larger(AnswerT5(T5Config(**sizes)), 3)


def extraction(**settings: Any) -> DFKDT3:
    """The method on three writers of one vocabulary, its generator's gradient on."""
    t5_tokenizer = tokenizer(WORDS, "t5")
    roles: dict[str, Any] = {"generator": writer(7), "teacher": writer(1), "student": writer(2)}
    roles["generator"].requires_grad_(True)
    readers = {role: TextTokenizer(t5_tokenizer, 32, NAMES.prompts if role != "generator" else []) for role in roles}
    special = SharedVocabulary(None, torch.tensor([i for i, entry in enumerate(WORDS) if entry.startswith(("[", "<"))]))
    kind, device = task_type_of(NAMES), torch.device("cpu")
    parts = MethodContext(roles, NAMES, kind.soft_loss(None), kind.hard_loss, 1, device, special, readers)
    return DFKDT3(DFKDT3Config(**settings), parts)


def rows(method: DFKDT3) -> Batch:
    """Rows with the teacher's own answers, as the feed has them."""
    texts = [("c d e f g h",), ("i j k l m",), ("n o p q r s t a",)]
    inputs, taught = method.class_view.teacher_targets(
        method.roles["teacher"], {role: reader.batch(texts) for role, reader in method.context.tokenizers.items()}
    )
    return Batch(
        torch.arange(3), {r: dict(role_inputs) for r, role_inputs in inputs.items()}, None, taught.detach(), "train", 0
    )


def test_the_class_is_the_slice_of_the_models_first_step() -> None:
    method = extraction()
    inputs, model = rows(method).inputs["teacher"], method.roles["teacher"]
    with torch.no_grad():
        plain = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
                      decoder_input_ids=torch.zeros(3, 1).long()).logits  # fmt: skip
        class_logits = method.class_view.as_classifier(model)(**inputs).logits
        logits = model(**inputs).logits
    sliced = plain[:, 0].log_softmax(-1)[:, FIRST]
    torch.testing.assert_close(class_logits.log_softmax(-1), sliced - sliced.logsumexp(-1, keepdim=True))
    torch.testing.assert_close(method.class_view.class_logits(logits), class_logits)
    assert class_logits.std(dim=0).min() > 1e-3


def test_an_answers_first_token_is_its_class() -> None:
    assert NAMES.classes == ["yes", "no", "none"]
    assert first_tokens(NAMES.classes, tokenizer(WORDS, "t5")).tolist() == FIRST
    assert SINGLE.classes == ["bad", "good"]


class Letters:
    """Spells a word by its letters, of which it does not know q."""

    unk_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [0 if letter == "q" else ord(letter) for letter in text]}

    def convert_ids_to_tokens(self, index: int) -> str:
        return chr(index)

    def __len__(self) -> int:
        return 26


def test_types_with_a_common_first_token_are_an_error() -> None:
    with pytest.raises(ModelError) as caught:
        first_tokens(["person", "place", "quantity", "none"], Letters())
    assert "'person' and 'place' both begin with 'p'" in str(caught.value)
    assert "'quantity' begins with a token that the vocabulary does not know" in str(caught.value)
    assert "task.entities" in str(caught.value)


def test_the_teachers_target_is_its_answer_with_logits_at_every_token() -> None:
    method = extraction()
    teacher, answering = method.roles["teacher"], method.class_view
    assert isinstance(answering, FirstTokenClassView)
    inputs = {role: reader.batch([("c d e f",), ("i",)]) for role, reader in method.context.tokenizers.items()}
    ids, ended = greedy_decode(teacher, inputs["teacher"], 5)
    targets, taught = answering.teacher_targets(teacher, inputs)
    decoder = targets["student"]["decoder_input_ids"]
    assert decoder[:, 0].tolist() == [0, 0]
    assert torch.equal(decoder[:, 1:], ids[:, :-1])
    assert torch.equal(targets["teacher"]["decoder_input_ids"], decoder)
    for row, (tokens, finished) in enumerate(zip(ids.tolist(), ended.tolist(), strict=True)):
        length = tokens.index(2) + 1 if finished else len(tokens)
        present = ~taught[row, :, 0].isnan()
        assert present.tolist() == [place < length for place in range(len(tokens))]
        # greedy: at each place the token is the most probable one
        assert taught[row, :length].argmax(-1).tolist() == tokens[:length]


@pytest.mark.parametrize("settings", WAYS)
def test_the_student_learns_the_teachers_answers_on_both_texts(settings: dict[str, Any]) -> None:
    method = extraction(soft_weight=0.3, pseudo_weight=0.6, temperature=2.0, **settings)
    examples = rows(method)
    generated_inputs = method.generate_text(examples).inputs
    assert all(
        "decoder_input_ids" not in role_inputs for role_inputs in generated_inputs.values()
    )  # the source's answer is not its answer
    teacher, student = method.roles["teacher"], method.roles["student"]
    ids, _ = greedy_decode(teacher, generated_inputs["teacher"], NAMES.answer_tokens)
    pseudo = []
    for row in range(3):  # one by one, without padding of the answers
        tokens = ids[row].tolist()
        length = tokens.index(2) + 1 if 2 in tokens else len(tokens)
        decoder_ids = torch.tensor([[0, *tokens[: length - 1]]])
        role_inputs = {r: {k: v[row : row + 1] for k, v in generated_inputs[r].items()} for r in generated_inputs}
        logits = student(**role_inputs["student"], decoder_input_ids=decoder_ids).logits
        taught = teacher(**role_inputs["teacher"], decoder_input_ids=decoder_ids).logits
        pseudo.append(losses.kl_divergence(logits, taught, 2.0).mean())
    assert examples.teacher_logits is not None
    loss = task_type_of(NAMES).soft_loss(None)
    soft = loss(student(**examples.inputs["student"]).logits, examples.teacher_logits, 2.0).sum()
    out = method.step(examples, STUDENT)
    torch.testing.assert_close(out.loss, 4 * (0.3 * soft + 0.6 * torch.stack(pseudo).sum()), rtol=1e-4, atol=1e-5)
    assert {"called_yes", "called_no", "called_none", "agreement", "flipped"} <= set(out.metrics)
    assert sum(int(out.metrics[f"called_{name}"]) for name in NAMES.classes) == 3


def by_hand(model: Any, embeddings: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    out = model(inputs_embeds=embeddings, attention_mask=inputs["attention_mask"],
                decoder_input_ids=torch.zeros(len(embeddings), 1).long())  # fmt: skip
    return out.logits[:, 0, FIRST]


def test_the_generators_gradient_passes_through_the_first_word() -> None:
    method = extraction(specificity_weight=0.7, adversarial_weight=1.1, class_balance_weight=0.0,
                        token_diversity_weight=0.0, reference_kl_weight=0.0, mode=Mode.infill,
                        specificity=Specificity.cross_entropy, gumbel_temperature=1.0)  # fmt: skip
    examples, generator = rows(method), method.roles["generator"]
    out = method.step(examples, GENERATOR)
    out.loss.backward()
    gradients = {name: p.grad.clone() for name, p in generator.named_parameters() if p.grad is not None}
    generator.zero_grad()
    text = method.text_generator.generate(examples, method.target_classes(examples), temperature=1.0)
    assert text.soft is not None
    logits = {}
    for role, reading in method.text_generator.encode_for_readers(examples, text).items():
        assert reading.mask is not None
        model: Any = method.roles[role]
        table = model.get_input_embeddings().weight
        hard = torch.nn.functional.one_hot(text.generated_ids, len(WORDS)).float()
        soft = (hard - text.soft.detach() + text.soft) @ table
        logits[role] = by_hand(model, table[reading.inputs["input_ids"]].masked_scatter(reading.mask[..., None], soft),
                             reading.inputs)  # fmt: skip
    specific = torch.nn.functional.cross_entropy(logits["teacher"], method.target_classes(examples), reduction="sum")
    divergence = losses.kl_divergence(logits["student"], logits["teacher"]).sum()
    loss = 0.7 * specific - 1.1 * divergence
    torch.testing.assert_close(out.loss, loss, rtol=1e-5, atol=1e-5)
    loss.backward()
    assert max(float(grad.abs().max()) for grad in gradients.values()) > 1e-4
    for name, p in generator.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-4, atol=1e-6)


def test_a_view_leaves_the_model_as_it_is() -> None:
    method = extraction()
    for training in (True, False):
        model = method.roles["student"].train(training)
        view = method.class_view.as_classifier(model)
        assert view.training is model.training is training
    labeled = build_method()
    assert labeled.class_view.as_classifier(labeled.roles["student"]) is labeled.roles["student"]
    targets, taught = labeled.class_view.teacher_targets(labeled.roles["teacher"], batch(labeled).inputs)
    assert "decoder_input_ids" not in targets["student"]
    assert taught.shape == (3, 2)


def test_the_generator_is_conditioned_on_types_and_none() -> None:
    from kdrun.generation.conditional_generator import class_prompts

    assert class_prompts(NAMES) == ["mrpc yes:", "mrpc no:", "mrpc none:"]
    assert class_prompts(replace(SINGLE, label_words=[])) == ["sst2 bad:", "sst2 good:"]
