"""The gradient of DFKD-T3's `step()`, summed over every text that the generator can write."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import relu

from kdrun.data.batch import Batch
from kdrun.generation import t5_sampling
from kdrun.methods.dfkd_t3 import DFKDT3, Gradient, Mode
from tests.helpers.tiny_dfkd import ENTRIES, GENERATOR, VOCAB, build_method

FREE = [ENTRIES.index(letter) for letter in "abcdef"]
WEIGHTS: dict[str, Any] = {"specificity_weight": 0.7, "class_balance_weight": 0.9, "adversarial_weight": 1.1}
DECODE: dict[str, Any] = {"mode": Mode.decode, "min_tokens": 1, "max_tokens": 2}


def small_method(**settings: Any) -> DFKDT3:
    """The method with a generator that knows six words, in float64."""
    method = build_method(**WEIGHTS, **settings)
    banned = torch.tensor([i for i in range(VOCAB) if i not in FREE])
    method.text_generator.special_ids = replace(method.text_generator.special_ids, banned=banned)
    for p in method.roles["generator"].parameters():
        p.data.mul_(0.5)
    for role in method.roles.values():
        role.double()
    return method


def one_row(method: DFKDT3) -> Batch:
    inputs = {role: reader.batch([("a b c d e f",)]) for role, reader in method.context.tokenizers.items()}
    with torch.no_grad():
        taught = method.roles["teacher"](**inputs["teacher"]).logits
    return Batch(torch.arange(1), inputs, None, taught, "train", 0)


def gradient(loss: Tensor, method: DFKDT3) -> Tensor:
    generator = list(method.roles["generator"].parameters())
    parts = torch.autograd.grad(loss, generator, allow_unused=True, retain_graph=True)
    return torch.cat(
        [torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(generator, parts, strict=True)]
    )


def costs(method: DFKDT3, examples: Batch, texts: list[Tensor]) -> Tensor:
    """What the generator pays for each text alone, by formulas of two classes, [texts]."""
    target, values = int(method.target_classes(examples)), []
    for text in texts:
        ids = torch.cat([torch.tensor([1]), text, torch.tensor([2])])[None]  # [CLS] … [SEP]
        with torch.no_grad():
            teacher, student = (
                method.roles[role](input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].log_softmax(-1)
                for role in ("teacher", "student")
            )
        shares = teacher.exp()
        lacking = relu(6.0 - (teacher[target] - teacher[1 - target]))
        values.append(0.7 * lacking + 0.9 * (shares * teacher).sum() - 1.1 * (shares * (teacher - student)).sum())
    return torch.stack(values)


def infilled(method: DFKDT3, examples: Batch) -> tuple[list[list[int]], list[Tensor], Tensor]:
    """Every filling of the step's two places: its tokens, its text and its log-probability."""
    generated = method.text_generator.generate(examples, method.target_classes(examples))
    assert len(generated.logits) == 2
    places = generated.generated_mask[0].nonzero()[:, 0]
    log_probs = generated.logits.log_softmax(-1)
    fillings = [list(filling) for filling in product(FREE, repeat=2)]
    texts = []
    for filling in fillings:
        text = examples.inputs["generator"]["input_ids"][0].clone()
        text[places] = torch.tensor(filling)
        texts.append(text[:-1])
    return fillings, texts, torch.stack([log_probs[0, a] + log_probs[1, b] for a, b in fillings])


def decoded(method: DFKDT3, examples: Batch) -> tuple[list[list[int]], list[Tensor], Tensor]:
    """Every text of one or two words, likewise, by T5's own forward pass."""
    words, generator = method.text_generator.special_ids, method.roles["generator"]
    source, target = examples.inputs["generator"]["input_ids"][0, :-1], int(method.target_classes(examples))
    prompt = method.text_generator._prompts["input_ids"][target]
    tail = torch.tensor([int(words.sentinels[0]), words.end])
    allowed = torch.full((VOCAB,), -torch.inf, dtype=torch.float64)
    allowed[FREE] = 0
    may_end = allowed.clone()
    may_end[words.end] = 0
    choices = [[a, words.end] for a in FREE] + [list(pair) for pair in product(FREE, repeat=2)]
    log_probs = []
    for first, second in choices:
        start = torch.tensor([[words.start, int(words.sentinels[0]), first]])
        logits = generator(input_ids=torch.cat([prompt, source, tail])[None], decoder_input_ids=start).logits[0]
        log_probs.append((logits[1] + allowed).log_softmax(-1)[first] + (logits[2] + may_end).log_softmax(-1)[second])
    texts = [torch.tensor([token for token in choice if token != words.end]) for choice in choices]
    return choices, texts, torch.stack(log_probs)


@pytest.mark.parametrize("mode", [Mode.infill, Mode.decode])
def test_the_mean_of_the_score_functions_steps_is_the_exact_gradient(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Σ p(x′) · ∇ step(x′) = ∇ Σ p(x′) · cost(x′), whatever the baseline; other terms do not depend on the text."""
    monkeypatch.setattr(Tensor, "float", lambda self: self)
    if mode is Mode.infill:
        method = small_method(gradient=Gradient.score, mask_rate=0.34)
        method.roles["reference"].lm_head.weight.data.add_(0.3)  # pyright: ignore
    else:  # its terms on tokens depend on the text, and their own gradient leaves that out
        off = {"token_diversity_weight": 0.0, "reference_kl_weight": 0.0}
        method = small_method(gradient=Gradient.score, **DECODE, **off)
    examples = one_row(method)
    choices, texts, log_p = (infilled if mode is Mode.infill else decoded)(method, examples)
    assert float(log_p.detach().exp().sum()) == pytest.approx(1, abs=1e-9)
    summed = torch.zeros(())
    for choice, p in zip(choices, log_p.detach().exp(), strict=True):
        tokens = iter(choice)

        def chosen(logits: Tensor, stream: Any, temperature: Any, tokens: Any = tokens) -> tuple[Tensor, None]:
            return torch.tensor([next(tokens) for _ in logits]), None

        with monkeypatch.context() as patch:
            patch.setattr(t5_sampling, "_sample", chosen)
            method._baseline.value = 0.3
            out = method.step(examples, GENERATOR)
        summed = summed + p * gradient(out.loss, method)
    objective = (log_p.exp() * costs(method, examples, texts)).sum()
    if mode is Mode.infill:
        generated = method.text_generator.generate(examples, method.target_classes(examples))
        pair = [logits[:, FREE].log_softmax(-1) for logits in
                (generated.logits, generated.rescore_with(method.roles["reference"]))]  # fmt: skip
        shares = pair[0].exp().mean(0)
        objective = objective + 0.1 * (shares * (len(FREE) * shares).log()).sum()
        objective = objective + 0.1 * (pair[0].exp() * (pair[0] - pair[1])).sum(-1).mean()
    exact = gradient(objective, method)
    assert float(exact.norm()) > 1e-2
    torch.testing.assert_close(summed, exact, rtol=1e-3, atol=2e-6)  # T5 norms in float32
