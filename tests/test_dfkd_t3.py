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

from kdrun import emission, losses, relax, rng, score_function
from kdrun.data.config import TaskConfig
from kdrun.data.tokens import Reader
from kdrun.errors import ModelError
from kdrun.method import Batch, Parts, Turn, Vocabulary
from kdrun.methods.dfkd_t3 import DFKDT3, DFKDT3Config, Gradient, Mode
from kdrun.models.text_to_text import LabelWordClassifier

LETTERS = [chr(ord("a") + i) for i in range(20)]
ENTRIES = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "[UNK]",
    *LETTERS,
    "<extra_id_0>",
    "<extra_id_1>",
    "<extra_id_2>",
    "no",
    "yes",
    "no:",
    "yes:",
    "sst2",
    "mrpc",
]
VOCAB = len(ENTRIES)
OFF: dict[str, float] = {"specificity_weight": 0, "balance_weight": 0, "token_weight": 0, "friendliness_weight": 0,
                         "language_weight": 0}  # fmt: skip
STUDENT, GENERATOR = Turn("student"), Turn("generator")
SINGLE = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], prompts=["a b"], label_words=["no", "yes"])
PAIR = TaskConfig(
    name="mrpc", text=["one", "two"], labels=["bad", "good"], prompts=["a b", "c d"], label_words=["no", "yes"]
)
TEXTS = {1: [("c d e f g h",), ("i j k l m",), ("n o p q r s t a",)],
         2: [("c d e f", "g h i"), ("j k", "l m n"), ("o p q", "r s t a b")]}  # fmt: skip


def tokenizer(entries: list[str], frame: str) -> PreTrainedTokenizerFast:
    """Words in one space-separated text; framed as an encoder's rows (`[CLS] … [SEP]`) or a T5's (`… [SEP]`)."""
    backend = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    ids = [(token, entries.index(token)) for token in ("[CLS]", "[SEP]")]
    single = {"encoder": "[CLS] $A [SEP]", "t5": "$A [SEP]"}[frame]
    backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=single, pair=f"{single} $B [SEP]", special_tokens=ids
    )
    special = {"cls_token": "[CLS]"} if frame == "encoder" else {"eos_token": "[SEP]"}
    sentinels = [entry for entry in entries if entry.startswith("<extra")] if frame == "t5" else []
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]",
        extra_special_tokens=sentinels, model_input_names=["input_ids", "attention_mask"], **special,
    )  # fmt: skip


def bert(seed: int, entries: int = VOCAB) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(vocab_size=entries, pad_token_id=0, intermediate_size=32, **sizes))
    return larger(model, 8)


def text_to_text(seed: int, task: TaskConfig, own: PreTrainedTokenizerFast) -> LabelWordClassifier:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    config = T5Config(vocab_size=VOCAB, pad_token_id=0, eos_token_id=2, **sizes)
    config.decoder_start_token_id = 0
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
    parts = Parts(roles, task, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"), shared, readers)
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
    """The two interfaces meet: ids put into a role's frame, against words written out and tokenised for the role."""
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
    settings: dict[str, Any] = {
        "specificity_weight": 0.7,
        "balance_weight": 0.9,
        "token_weight": 0.3,
        "friendliness_weight": 1.1,
        "language_weight": 0.4,
        "gumbel_temperature": 2.0,
        "gumbel_temperature_end": 0.5,
    }
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
    noise = relax.gumbel(len(logits), VOCAB, rng.numpy_stream(1, "write", "train", 0), torch.device("cpu"))
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
    weights: dict[str, Any] = OFF | {"specificity_weight": 1.0, "friendliness_weight": 0.5}
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


def test_the_students_loss_is_on_both_texts_without_a_label() -> None:
    method = made(soft_weight=0.3, pseudo_weight=0.6, temperature=2.0)
    given = batch(method)
    teacher, student = answers(method, method.made_text(given).inputs)
    own = method.roles["student"](**given.inputs["student"]).logits
    assert given.teacher_logits is not None
    soft = 4 * losses.kl_divergence(own, given.teacher_logits, 2.0).sum()
    pseudo = 4 * losses.kl_divergence(student, teacher, 2.0).sum()
    out = method.step(given, STUDENT)
    torch.testing.assert_close(out.loss, 0.3 * soft + 0.6 * pseudo, rtol=1e-5, atol=1e-5)
    assert set(out.terms) == {"soft", "pseudo"}
    wanted = method.wanted(given)
    assert out.watched["agreement"] == (teacher.argmax(-1) == wanted).sum()
    assert out.watched["called_bad"] + out.watched["called_good"] == 3
    assert 0 < float(out.watched["distinct_tokens"]) <= 3


@pytest.mark.parametrize("apart", [False, True], ids=["shared", "apart"])
@pytest.mark.parametrize("settings", WAYS)
def test_the_score_functions_turn_is_reward_times_log_probability(settings: dict[str, Any], apart: bool) -> None:
    weights = {"specificity_weight": 0.7, "balance_weight": 0.9, "token_weight": 0.0, "friendliness_weight": 1.1,
               "language_weight": 0.0}  # fmt: skip
    method = made(apart=apart, gradient=Gradient.score if not apart else Gradient.auto, **weights, **settings)
    given = batch(method)
    out = method.step(given, GENERATOR)
    out.loss.backward()
    found = method.roles["generator"].get_parameter("shared.weight").grad
    assert found is not None
    found = found.clone()
    method.roles["generator"].zero_grad()

    written = method.writer.write(given.inputs, method.wanted(given), ("train", 0))
    text = method.made_text(given)
    assert torch.equal(text.ids, written.ids)
    own = method.parts.readers["generator"]
    words = [own.texts(ids[here].tolist(), 1) for ids, here in zip(text.ids, text.present, strict=True)]
    with torch.no_grad():
        teacher, student = answers(method, {role: method.parts.readers[role].read(words) for role in text.inputs})
    shares = teacher.softmax(-1)
    specific = cross_entropy(teacher, method.wanted(given), reduction="none")
    apart_by = losses.kl_divergence(student, teacher)
    reward = -0.7 * specific - 0.9 * (shares * shares.mean(0).log()).sum(-1) + 1.1 * apart_by
    loss = -((reward - reward.mean()) * written.log_prob).sum()
    loss.backward()
    expected = method.roles["generator"].get_parameter("shared.weight").grad
    assert expected is not None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert expected.abs().max() > 1e-2
    torch.testing.assert_close(out.watched["reward"], reward.sum(), rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for role in ("teacher", "student") for p in method.roles[role].parameters())


@pytest.mark.parametrize("way", ["infill", "decode"])
def test_over_all_texts_that_can_be_written_its_expectation_is_the_exact_gradient(way: str) -> None:
    """Every filling of two gaps, or every text of at most two words: probabilities sum to 1, gradients agree."""
    method = made()
    method.roles["generator"].get_parameter("shared.weight").data.mul_(0.3)
    marks, generator = method.writer.marks, method.roles["generator"]
    free = [i for i in range(VOCAB) if i not in marks.banned.tolist()]
    if way == "infill":
        texts = torch.cartesian_prod(torch.tensor(free), torch.tensor(free))
        source = method.parts.readers["generator"].read([("c d e f g",)])
        mask = torch.tensor([[False, True, False, True, False, False]])
        prompt = {"input_ids": torch.tensor([[31, 29]]), "attention_mask": torch.ones(1, 2).long()}
        written = emission.infill(generator, source, mask, prompt, marks, rng.numpy_stream(1, "w"))
        both = written.logits.log_softmax(-1)
        log_p = both[0, texts[:, 0]] + both[1, texts[:, 1]]
        taken = texts.tolist().index(written.chosen.tolist())
        torch.testing.assert_close(written.log_prob[0], log_p[taken])
    else:
        lengths = emission.Lengths(1, 2)
        one = torch.tensor([[i, marks.start] for i in free])
        texts = torch.cat([one, torch.cartesian_prod(torch.tensor(free), torch.tensor(free))])
        source = torch.tensor([[4, 5, 24, 2]]).expand(len(texts), -1)
        seen = torch.ones_like(texts, dtype=torch.bool)
        # what ends a text after its first word is one more choice of the second step
        logits = emission.decoded_logits(generator, source, torch.ones_like(source), texts, seen, marks, lengths)
        steps = logits.view(len(texts), 2, VOCAB).log_softmax(-1)
        second = torch.where(torch.arange(len(texts)) < len(free), marks.end, texts[:, 1])
        rows = torch.arange(len(texts))
        log_p = steps[rows, 0, texts[:, 0]] + steps[rows, 1, second]
    assert float(log_p.exp().sum().detach()) == pytest.approx(1, abs=1e-5)
    reward = torch.sin(texts.sum(dim=1).float()) + (texts[:, 0] == 9)
    weight = generator.get_parameter("shared.weight")
    exact = torch.autograd.grad((log_p.exp() * reward).sum(), weight, retain_graph=True)[0]
    for baseline in (0.0, 0.7):
        by_score = (log_p.exp().detach() * score_function.surrogate(log_p, reward, baseline)).sum()
        found = torch.autograd.grad(by_score, weight, retain_graph=True)[0]
        torch.testing.assert_close(-found, exact, rtol=1e-4, atol=1e-5)
    assert exact.abs().max() > 1e-2


def test_a_term_of_weight_zero_is_not_there() -> None:
    weights: dict[str, Any] = OFF | {"specificity_weight": 1.0}
    method = made(**weights)
    assert "reference" not in method.roles
    given = batch(method)
    out = method.step(given, GENERATOR)
    assert set(out.terms) == {"specificity"}
    torch.testing.assert_close(out.loss.detach(), out.terms["specificity"], rtol=1e-5, atol=1e-5)


def test_the_first_generator_is_kept_beside_the_one_that_learns() -> None:
    method = made(language_weight=0.5)
    reference, generator = method.roles["reference"], method.roles["generator"]
    assert not any(p.requires_grad for p in reference.parameters())
    assert not reference.training
    with torch.no_grad():
        generator.get_parameter("shared.weight").add_(1)
    assert not torch.equal(generator.get_parameter("shared.weight"), reference.get_parameter("shared.weight"))


def test_classes_are_wanted_evenly_and_by_step() -> None:
    method = made()
    drawn = [method.wanted(batch(method, step=step)) for step in range(200)]
    assert abs(float(torch.stack(drawn).float().mean()) - 0.5) < 0.06
    assert torch.equal(method.wanted(batch(method, step=3)), drawn[3])


def test_a_class_changes_what_is_written() -> None:
    """By the prompt alone: the same gaps, the same noise."""
    method = made()
    given = batch(method)
    logits = [
        method.writer.write(given.inputs, torch.full((3,), c), ("train", 0), temperature=1.0).logits for c in (0, 1)
    ]
    assert not torch.allclose(logits[0], logits[1], atol=1e-2)


@pytest.mark.parametrize("task", [SINGLE, PAIR], ids=["single", "pair"])
def test_text_passes_between_different_vocabularies(task: TaskConfig) -> None:
    method = made(task, apart=True)
    given = batch(method)
    text = method.made_text(given)
    own = method.parts.readers["generator"]
    count = len(task.text)
    for ids, here, read in zip(text.ids, text.present, text.inputs["student"]["input_ids"], strict=True):
        words = own.texts(ids[here].tolist(), count)
        shown = method.parts.readers["student"].tokenizer.decode(read, skip_special_tokens=True)
        in_student = [word for word in " ".join(words).split() if word in LETTERS]  # it knows no other words
        assert shown.split() == in_student
    assert text.changed.any(dim=1).all()


def test_classes_that_the_generator_cannot_tell_apart_are_refused() -> None:
    task = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], label_words=["one", "two"])
    with pytest.raises(ModelError, match=r"'sst2 one:' and 'sst2 two:' are the same"):
        made(task)


def test_soft_tokens_need_one_vocabulary() -> None:
    with pytest.raises(ModelError, match="different vocabularies"):
        made(apart=True, gradient=Gradient.soft)


def test_pairs_are_not_decoded_and_lengths_must_fit() -> None:
    decode = DFKDT3Config(mode=Mode.decode, shortest=5, longest=3)
    first, second = DFKDT3.problems(decode, PAIR)
    assert "task=mrpc has pairs" in first
    assert "method.shortest=5 is more than method.longest=3" in second
    assert DFKDT3.problems(DFKDT3Config(), PAIR) == []
    assert DFKDT3.problems(DFKDT3Config(mode=Mode.decode), SINGLE) == []


def test_texts_longer_than_a_role_reads_are_refused() -> None:
    method = made(mode=Mode.decode, longest=31, shortest=31)
    with pytest.raises(ModelError, match=r"the teacher reads as 33, and data\.max_length is 32"):
        method.made_text(batch(method))


def shown(method: DFKDT3, found: list[int], wanted: list[int], repeat: bool = False) -> None:
    """Let the method see 80 texts, called so by the teacher."""
    rows = 80
    ids = torch.zeros(rows, 2).long() if repeat else torch.arange(2 * rows).view(rows, 2)
    a, b, c = (torch.tensor(values).repeat(rows // len(values)) for values in (wanted, found, [0, 1]))
    method._watch.see(a, b, c, ids, torch.ones_like(ids, dtype=torch.bool))


def marked(method: DFKDT3) -> float:
    return float(method.roles["generator"].get_parameter("shared.weight")[0, 0].detach())


def turn_to(method: DFKDT3, value: float) -> None:
    with torch.no_grad():
        method.roles["generator"].get_parameter("shared.weight")[0, 0] = value


def test_a_collapse_ends_the_generators_part_with_the_last_good_one() -> None:
    method = made()
    turn_to(method, 1.0)
    shown(method, [0, 1, 1, 1], [0, 1, 0, 1])
    assert method.rests("generator") == ""
    turn_to(method, 2.0)
    shown(method, [0, 1], [0, 1])
    assert (method.rests("generator"), method.rests("student")) == ("", "")
    turn_to(method, 3.0)
    shown(method, [0, 1], [1, 0])  # no collapse, but nobody's best
    assert method.rests("generator") == ""
    turn_to(method, 4.0)
    shown(method, [1], [0, 1])
    why = method.rests("generator")
    assert "the teacher calls 100.0% of its last 80 texts good" in why
    assert "100.0% of its text of the wanted class" in why
    assert marked(method) == 2.0
    turn_to(method, 5.0)  # nothing puts it back again
    assert method.rests("generator") == why
    assert marked(method) == 5.0
    assert method.rests("student") == ""


def test_without_new_text_there_is_no_new_verdict() -> None:
    method = made()
    shown(method, [0, 1], [0, 1], repeat=True)
    first = method.rests("generator")
    assert "1 are different" in first
    assert made().rests("generator") == ""


def test_what_is_kept_is_written_by_the_best_generator() -> None:
    method = made()
    turn_to(method, 1.0)
    shown(method, [0, 1], [0, 1])
    method.rests("generator")
    turn_to(method, 2.0)
    text = method.write(batch(method))
    assert marked(method) == 1.0
    assert text.wanted is not None
    assert torch.equal(text.ids, method.made_text(batch(method)).ids)
