"""DFKD-T3 on tiny models, against the equations worked out step by step, for every way from generator to reader."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from test_emission import t5
from textbook import divergence
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, T5Config

from kdrun import losses, relax, rng
from kdrun.config import OptimConfig
from kdrun.data.config import TaskConfig
from kdrun.data.tokens import Reader
from kdrun.errors import ModelError
from kdrun.method import Batch, Parts, Turn, Vocabulary
from kdrun.methods.dfkd_t3 import DFKDT3, DFKDT3Config, Gradient, Mode
from kdrun.models.text_to_text import LabelWordClassifier

LETTERS = [chr(ord("a") + i) for i in range(20)]
ENTRIES = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *LETTERS, "<extra_id_0>", "<extra_id_1>", "<extra_id_2>", "no", "yes", "sst2", ":"]
VOCAB = len(ENTRIES)
OFF: dict[str, float] = {"specificity_weight": 0, "balance_weight": 0, "token_weight": 0, "friendliness_weight": 0,
                         "language_weight": 0}  # fmt: skip
STUDENT, GENERATOR = Turn("student"), Turn("generator")
SINGLE = TaskConfig(
    name="sst2", text=["sentence"], labels=["bad", "good"], prompts=["a b"], label_words=["no", "yes"]
)
PAIR = TaskConfig(
    name="mrpc", text=["one", "two"], labels=["bad", "good"], prompts=["a b", "c :"], label_words=["no", "yes"]
)
TEXTS = {1: [("c d e f g h",), ("i j k l m",), ("n o p q r s t a",)],
         2: [("c d e f", "g h i"), ("j k", "l m n"), ("o p q", "r s t a b")]}  # fmt: skip


def tokenizer(entries: list[str], frame: str) -> PreTrainedTokenizerFast:
    """Words in one space-separated text; framed as an encoder's rows (`[CLS] … [SEP]`) or a T5's (`… [SEP]`)."""
    backend = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    ids = [(token, entries.index(token)) for token in ("[CLS]", "[SEP]")]
    single = {"encoder": "[CLS] $A [SEP]", "t5": "$A [SEP]"}[frame]
    backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=single, pair=f"{single} $B [SEP]", special_tokens=ids
    )
    special = {"cls_token": "[CLS]"} if frame == "encoder" else {"eos_token": "[SEP]"}
    sentinels = [entry for entry in entries if entry.startswith("<extra")] if frame == "t5" else []
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]",  # noqa: S106
        extra_special_tokens=sentinels, model_input_names=["input_ids", "attention_mask"], **special,
    )  # fmt: skip


def bert(seed: int, entries: int = VOCAB) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(
        BertConfig(vocab_size=entries, pad_token_id=0, num_labels=2, intermediate_size=32, **sizes)
    )
    return larger(model, 8)


def text_to_text(seed: int, task: TaskConfig, own: PreTrainedTokenizerFast) -> LabelWordClassifier:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    config = T5Config(vocab_size=VOCAB, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, **sizes)
    model = LabelWordClassifier(config)
    model.take_on(task, own)
    return larger(model, 3)


def larger(model: Any, times: float) -> Any:
    """Answers that differ clearly; frozen and without dropout, as out of its turn."""
    for p in model.parameters():
        p.data.mul_(times)
    return model.requires_grad_(False).eval()


def made(task: TaskConfig = SINGLE, teacher: str = "encoder", *, apart: bool = False, **settings: Any) -> DFKDT3:
    """The method, its generator's gradient on.

    Args:
        task: of one text or of two.
        teacher: `encoder`, or `t5`, which reads prompts; the student is an encoder.
        apart: whether the readers have a vocabulary of their own.
        **settings: of the method.
    """
    t5_words, encoder_words = tokenizer(ENTRIES, "t5"), tokenizer(ENTRIES, "encoder")
    if apart:
        encoder_words = tokenizer(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *reversed(LETTERS)], "encoder")
    generator = t5(vocab=VOCAB)
    size = len(encoder_words)
    roles: dict[str, nn.Module] = {
        "generator": generator,
        "teacher": bert(1, size) if teacher == "encoder" else text_to_text(1, task, t5_words),
        "student": bert(2, size),
    }
    for name in ("teacher", "student"):
        roles[name].requires_grad_(False)
    generator.requires_grad_(True)
    prompts = task.prompts if teacher == "t5" else []
    readers = {
        "generator": Reader(t5_words, 32),
        "teacher": Reader(t5_words if teacher == "t5" else encoder_words, 32, prompts),
        "student": Reader(encoder_words, 32),
    }
    special = [i for i, entry in enumerate(ENTRIES) if entry.startswith(("[", "<"))]
    shared = None if apart else Vocabulary(None, torch.tensor(special))
    parts = Parts(
        roles, task, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"), shared, readers
    )
    return DFKDT3(DFKDT3Config(**settings), parts)


def batch(method: DFKDT3, step: int = 0, progress: float = 0.0) -> Batch:
    texts = TEXTS[len(method.parts.task.text)]
    inputs = {role: reader.read(texts) for role, reader in method.parts.readers.items()}
    with torch.no_grad():
        taught = method.roles["teacher"](**inputs["teacher"]).logits
    return Batch(torch.arange(len(texts)), inputs, None, taught, "train", step, progress)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Callable[[DFKDT3], DFKDT3]:
    """All models in double precision, so that two ways to one gradient differ by the mathematics alone."""
    monkeypatch.setattr(Tensor, "float", lambda self: self)

    def doubled(method: DFKDT3) -> DFKDT3:
        for role in method.roles.values():
            role.double()
        return method

    return doubled


def answers(method: DFKDT3, inputs: Mapping[str, dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    teacher, student = (method.roles[role](**inputs[role]).logits for role in ("teacher", "student"))
    return teacher, student


WAYS = [
    pytest.param({"mode": Mode.infill}, id="infill"),
    pytest.param({"mode": Mode.decode, "longest": 6}, id="decode"),
]


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_the_soft_path_gives_the_logits_of_the_discrete_text(settings: dict[str, Any], teacher: str) -> None:
    method = made(teacher=teacher, **settings)
    given = batch(method)
    written = method.writer.write(given.inputs, method.wanted(given), ("train", 0), temperature=0.7)
    assert written.soft is not None
    for role, reading in method.writer.readings(given.inputs, written).items():
        assert reading.mask is not None
        hard = method.roles[role](**reading.inputs).logits
        soft = relax.soft_logits(method.roles[role], reading.inputs, reading.mask, written.chosen, written.soft)
        torch.testing.assert_close(soft, hard, rtol=1e-5, atol=1e-5)
        assert hard.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_a_text_in_soft_tokens_is_the_text_that_is_read_as_text(settings: dict[str, Any], teacher: str) -> None:
    """The two interfaces meet: ids put into a role's frame, against the words written out and tokenised for the role."""
    method = made(teacher=teacher, **settings)
    given = batch(method)
    text = method.made_text(given)
    own = method.parts.readers["generator"]
    words = [own.texts(ids[here].tolist(), 1) for ids, here in zip(text.ids, text.present, strict=True)]
    for role, inputs in text.inputs.items():
        wanted = method.parts.readers[role].read(words)
        assert set(inputs) == set(wanted)
        for name, values in wanted.items():
            assert torch.equal(inputs[name], values), (role, name)


@pytest.mark.parametrize("task", [SINGLE, PAIR], ids=["single", "pair"])
@pytest.mark.parametrize("teacher", ["encoder", "t5"])
def test_the_generators_turn_is_the_textbooks(
    task: TaskConfig, teacher: str, in_double: Callable[[DFKDT3], DFKDT3]
) -> None:
    """Loss and gradient of all terms: one-hots over the whole vocabulary at every position, times whole tables."""
    settings = {"specificity_weight": 0.7, "balance_weight": 0.9, "token_weight": 0.3, "friendliness_weight": 1.1,
                "language_weight": 0.4, "gumbel_temperature": 2.0, "gumbel_temperature_end": 0.5}  # fmt: skip
    method = in_double(made(task, teacher, **settings))
    with torch.no_grad():
        method.roles["reference"].lm_head.weight.add_(0.3)  # pyright: ignore
    given = batch(method, progress=0.5)
    out = method.step(given, GENERATOR)
    out.loss.backward()
    found = {name: p.grad for name, p in method.roles["generator"].named_parameters() if p.grad is not None}
    method.roles["generator"].zero_grad()

    written = method.writer.write(given.inputs, method.wanted(given), ("train", 0), temperature=1.0)
    free = torch.ones(VOCAB, dtype=torch.bool)
    free[method.writer.marks.banned] = False
    logits = written.logits
    noise = relax.gumbel(*logits.shape, rng.numpy_stream(1, "write", "train", 0), torch.device("cpu"))
    soft = (logits + noise).softmax(dim=-1)  # τ half way between 2 and ½ is 1
    y = one_hot(soft.argmax(dim=-1), VOCAB) - soft.detach() + soft
    read = method.writer.readings(given.inputs, written)
    said = {}
    for role, reading in read.items():
        assert reading.mask is not None
        model: Any = method.roles[role]
        ids = one_hot(reading.inputs["input_ids"], VOCAB).to(y.dtype)
        ids = ids.masked_scatter(reading.mask[..., None], y)
        rest = {name: value for name, value in reading.inputs.items() if name != "input_ids"}
        said[role] = model(inputs_embeds=ids @ model.get_input_embeddings().weight, **rest).logits
    rows, wanted = len(given.ids), method.wanted(given)
    specific = cross_entropy(said["teacher"], wanted, reduction="sum")
    mean = said["teacher"].softmax(-1).mean(0)
    imbalance = rows * (mean * (2 * mean).log()).sum()
    words = logits[:, free].softmax(-1).mean(0)
    repetition = rows * (words * (int(free.sum()) * words).log()).sum()
    p, q = (part[:, free].log_softmax(-1) for part in (logits, written.said_by(method.roles["reference"])))
    by_token = (p.exp() * (p - q)).sum(-1)
    away = torch.stack([by_token[written.rows == row].mean() for row in range(rows)]).sum()
    apart = divergence(said["student"], said["teacher"])
    loss = 0.7 * specific + 0.9 * imbalance + 0.3 * repetition - 1.1 * apart + 0.4 * away
    torch.testing.assert_close(out.loss, loss, rtol=1e-5, atol=1e-5)
    loss.backward()
    for name, p in method.roles["generator"].named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[name], p.grad, rtol=1e-5, atol=1e-5)
    expected = {"specificity": specific, "imbalance": imbalance, "repetition": repetition, "divergence": apart,
                "language": away}  # fmt: skip
    assert set(out.terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(out.terms[name], value.detach(), rtol=1e-4, atol=1e-5)
    assert float(out.watched["gumbel_temperature"]) == pytest.approx(rows * 1.0)


@pytest.mark.parametrize("settings", WAYS)
def test_the_relaxed_path_against_finite_differences(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, in_double: Callable[[DFKDT3], DFKDT3]
) -> None:
    """With soft tokens in the values too the loss is smooth, and its gradient is the slope."""
    monkeypatch.setattr(relax, "straight_through", lambda table, ids, soft: soft[:, : len(table)] @ table)
    weights = OFF | {"specificity_weight": 1.0, "friendliness_weight": 0.5}
    method = in_double(made(**settings, **weights, gumbel_temperature=3.0))
    given = batch(method)
    if settings["mode"] is Mode.decode:  # how long texts are is discrete
        monkeypatch.setattr(method.writer, "style", type(method.writer.style)(6, 6))

    def loss() -> Tensor:
        return method.step(given, GENERATOR).loss

    generator = method.roles["generator"]
    loss().backward()
    checked = 0
    for name in ("shared.weight", "decoder.block.0.layer.2.DenseReluDense.wi.weight"):
        p = generator.get_parameter(name)
        assert p.grad is not None
        for place in p.grad.abs().flatten().topk(3).indices.tolist():
            with torch.no_grad():
                slopes, step = [], 1e-4
                p.view(-1)[place] += step
                slopes.append(float(loss()))
                p.view(-1)[place] -= 2 * step
                slopes.append(float(loss()))
                p.view(-1)[place] += step
            slope = (slopes[0] - slopes[1]) / (2 * step)
            assert float(p.grad.view(-1)[place]) == pytest.approx(slope, rel=2e-2)
            checked += abs(slope) > 1e-3
    assert checked == 6
