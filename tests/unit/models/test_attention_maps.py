"""Attention maps of all encoders: equal to those from queries and keys, and free unless requested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from kdrun.config.architectures import Architecture
from kdrun.errors import ModelError
from kdrun.models import attention_maps, saving
from kdrun.models.bundle import BuildContext, ModelBundle
from tests.helpers.tiny_models import FAMILIES, make, scratch_config

Context = Callable[..., BuildContext]
LOWEST = torch.finfo(torch.float32).min


def built(
    family: Architecture, context: Context, implementation: str = attention_maps.NAME, **more: Any
) -> ModelBundle:
    """A model whose maps are far from uniform, so that a wrong one shows."""
    bundle = make(scratch_config(family), context(attn_implementation=implementation, **more))
    for name, parameter in bundle.model.named_parameters():
        if any(part in name for part in ("query", "key", "q_lin", "k_lin")) and parameter.ndim > 1:
            parameter.data.mul_(40)
    return bundle


def batch(of: ModelBundle) -> dict[str, Tensor]:
    """Two texts of different lengths."""
    texts = ["the cat sees the dog", "the horse remembers the garden and the river"]
    return dict(of.tokenizer(texts, padding=True, return_tensors="pt"))


def maps(of: ModelBundle, **options: Any) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return of.model(**batch(of), output_attentions=True, **options).attentions


def scores_by_hand(of: ModelBundle) -> list[Tensor]:
    """q·kᵀ/√d of every layer from the outputs of its query and key matrices, LOWEST at padded keys."""
    outputs: dict[str, list[Tensor]] = {"q": [], "k": []}
    handles = [
        module.register_forward_hook(lambda _m, _i, out, kind=kind: outputs[kind[0]].append(out))
        for kind in ("query", "key", "q_lin", "k_lin")
        for name, module in of.model.named_modules()
        if name.endswith(f".{kind}")
    ]
    inputs = batch(of)
    with torch.no_grad():
        of.model(**inputs)
    for handle in handles:
        handle.remove()
    padded = inputs["attention_mask"] == 0
    assert padded.any()
    maps_by_layer = []
    for q, k in zip(outputs["q"], outputs["k"], strict=True):
        rows, length, width = q.shape
        heads = [part.view(rows, length, 2, width // 2) for part in (q, k)]
        scores = torch.einsum("bihd,bjhd->bhij", *heads) / (width // 2) ** 0.5
        maps_by_layer.append(scores.masked_fill(padded[:, None, None, :], LOWEST))
    return maps_by_layer


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_queries_and_keys_for_every_layer(family: Architecture, context: Context) -> None:
    model = built(family, context)
    scores, expected = maps(model, attention_maps="scores"), scores_by_hand(model)
    assert len(scores) == len(expected) == 3
    for layer, by_hand in zip(scores, expected, strict=True):
        torch.testing.assert_close(layer, by_hand, atol=1e-5, rtol=1e-5)
        assert layer[by_hand > LOWEST].std() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_probabilities_are_the_softmax_and_those_of_eager(family: Architecture, context: Context) -> None:
    model, eager = built(family, context), built(family, context, "eager")
    probabilities = maps(model, attention_maps="probabilities")
    for layer, of_eager, scores in zip(probabilities, maps(eager), scores_by_hand(model), strict=True):
        torch.testing.assert_close(layer, scores.softmax(dim=-1))
        torch.testing.assert_close(layer, of_eager)
    for layer, default in zip(probabilities, maps(model), strict=True):
        assert torch.equal(layer, default)


@pytest.mark.parametrize("family", FAMILIES)
def test_probabilities_are_taken_before_dropout(family: Architecture, context: Context) -> None:
    model = built(family, context)
    model.model.train()
    assert all(torch.allclose(share.sum(dim=-1), torch.ones(())) for share in maps(model))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", [{}, {"output_attentions": True, "attention_maps": "scores"}])
def test_logits_are_those_of_fused_attention(family: Architecture, options: dict[str, Any], context: Context) -> None:
    """Values and gradients, with maps and without."""
    with_maps, fused = built(family, context), built(family, context, "sdpa")
    answers, gradients = [], []
    for model, arguments in ((with_maps, options), (fused, {})):
        answers.append(model.model(**batch(model), **arguments).logits)
        answers[-1].square().sum().backward()
        gradients.append({name: p.grad for name, p in model.model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(answers[0], answers[1], atol=1e-5, rtol=0)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_requested_maps_cost(family: Architecture, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    model, fused = built(family, context), attention_maps.sdpa_attention_forward
    calls: list[nn.Module] = []

    def counted(module: nn.Module, *inputs: Any, **more: Any) -> Any:
        calls.append(module)
        return fused(module, *inputs, **more)

    monkeypatch.setattr(attention_maps, "sdpa_attention_forward", counted)
    with torch.no_grad():
        plain = model.model(**batch(model))
        assert plain.attentions is None
        assert len(calls) == 3
        maps(model)
    assert len(calls) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_is_a_plain_one(family: Architecture, context: Context, tmp_path: Path) -> None:
    model = make(scratch_config(family), context(attn_implementation=attention_maps.NAME))
    plain = make(scratch_config(family), context())
    assert model.fingerprint == plain.fingerprint
    saving.save_pretrained(model, None, tmp_path)
    assert attention_maps.NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert again.config._attn_implementation == "sdpa"
    with torch.no_grad():
        torch.testing.assert_close(again(**batch(model)).logits, model.model(**batch(model)).logits)


def test_causal_layers_are_refused() -> None:
    class CausalLayer(nn.Module):
        is_causal = True

    q = torch.zeros(1, 1, 3, 2)
    with pytest.raises(ModelError, match=r"CausalLayer .*BERT, DistilBERT or RoBERTa"):
        attention_maps.attention(CausalLayer(), q, q, q, None, output_attentions=True)


def test_a_mask_of_numbers_is_added() -> None:
    q = torch.eye(2)[None, None] * 2
    mask = torch.tensor([[0.0, -1e9]])
    _, scores = attention_maps.attention(nn.Module(), q, q, q, mask, output_attentions=True, attention_maps="scores")
    torch.testing.assert_close(scores, torch.tensor([[[[2.0**1.5, -1e9], [0.0, -1e9]]]]))
