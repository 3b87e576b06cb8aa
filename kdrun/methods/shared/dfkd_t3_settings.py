"""Settings of DFKD-T3."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting
from kdrun.config.optim import OptimizerConfig
from kdrun.config.validation.unused import unused_settings
from kdrun.generation.collapse import CollapseLimits
from kdrun.methods.shared.alternating import AlternatingSettings


class Mode(Enum):
    """How the generator writes: filling spans of the source text, or new texts token by token."""

    infill = "infill"
    decode = "decode"


class Specificity(Enum):
    """Specificity loss: hinge on the teacher's log-odds of the target class, or cross-entropy with it."""

    log_odds = "log_odds"
    cross_entropy = "cross_entropy"


class Gradient(Enum):
    """Gradient estimator of the generator; `auto` is soft tokens with a shared vocabulary, else score function."""

    auto = "auto"
    soft = "soft"
    score = "score"


@dataclass
class DFKDT3Config(AlternatingSettings):
    """Settings of DFKD-T3."""

    name: str = setting("dfkd_t3", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    soft_weight: float = setting(0.5, "weight of the divergence on the out-of-domain text", ge=0)
    pseudo_weight: float = setting(0.5, "weight of the divergence on the generated text", ge=0)
    specificity_weight: float = setting(1.0, "λ_spec: the teacher recognizes the target class", ge=0)
    specificity: Specificity = setting(
        Specificity.log_odds, "hinge on the log-odds of the target class, or cross-entropy with it"
    )
    log_odds_margin: float = setting(
        6.0, "m: log-odds of the target class, in nats, at which the hinge loss is zero", gt=0
    )
    class_balance_weight: float = setting(1.0, "λ_div: classes have equal shares in a batch", ge=0)
    token_diversity_weight: float = setting(0.1, "λ_tok: a batch has many different tokens", ge=0)
    adversarial_weight: float = setting(1.0, "λ_adv: the student still disagrees with the teacher", ge=0)
    reference_kl_weight: float = setting(0.1, "λ_lm: the generator stays close to its initial weights", ge=0)
    mode: Mode = setting(Mode.infill, "fill spans of the source text, or write new texts token by token")
    gradient: Gradient = setting(Gradient.auto, "soft tokens, or score function with plain text between the models")
    mask_rate: float = setting(0.5, "infill: share of the source's tokens that spans cover", gt=0, le=1)
    mean_span: float = setting(3.0, "infill: average tokens per span", ge=1)
    min_tokens: int = setting(4, "decode: tokens before which a text cannot end", ge=1)
    max_tokens: int = setting(24, "decode: tokens after which a text is cut", ge=1)
    gumbel_temperature: float = setting(4.0, "τ_g of the Gumbel-softmax in the generator's first turn", gt=0)
    gumbel_temperature_end: float = setting(4.0, "τ_g at its last step; in between it changes geometrically", gt=0)
    baseline_momentum: float = setting(0.9, "score function: momentum of the moving baseline", ge=0, lt=1)
    warm_start_steps: int = setting(150, "generator steps before the first cycle", ge=0)
    generator_optim: OptimizerConfig = setting(
        OptimizerConfig(lr=1e-3, warmup_ratio=0.0),
        "optimizer of the generator; its steps and batches follow from the student's",
    )
    collapse: CollapseLimits = setting(CollapseLimits(), "when to stop training the generator")


EXCLUDED: dict[str, dict[Enum, tuple[str, ...]]] = {
    "mode": {Mode.infill: ("min_tokens", "max_tokens"), Mode.decode: ("mask_rate", "mean_span")},
    "specificity": {Specificity.cross_entropy: ("log_odds_margin",)},
    "gradient": {
        Gradient.soft: ("baseline_momentum",),
        Gradient.score: ("gumbel_temperature", "gumbel_temperature_end"),
    },
}
"""Setting → its choices, with the settings that have no effect under each."""


def excluded_settings(config: DFKDT3Config) -> list[str]:
    """Settings that differ from their defaults and have no effect under the mode, loss or gradient of a config."""
    problems = []
    for name, choices in EXCLUDED.items():
        choice = getattr(config, name)
        problems += unused_settings(config, "method.", choices.get(choice, ()), f"with method.{name}={choice.value}")
    return problems
