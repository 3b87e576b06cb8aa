"""Section of the distillation loss, and the settings of each loss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kdrun.config.fields import setting


@dataclass
class LossConfig:
    """Divergence between student and teacher."""

    name: str | None = setting(
        None, "registered loss; null is kl for classes, bce for any number of them per row, logit_mse for a score"
    )

    @property
    def settings(self) -> dict[str, float]:
        """Keyword arguments of the loss: every setting besides its name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}


@dataclass
class DKDConfig(LossConfig):
    """Settings of decoupled KD."""

    target_weight: float = setting(1.0, "α: weight of the target class against all others", ge=0)
    other_weight: float = setting(8.0, "β: weight of the other classes among each other", ge=0)


@dataclass
class JSDConfig(LossConfig):
    """Settings of the generalized Jensen–Shannon divergence."""

    teacher_share: float = setting(0.5, "β: share of the teacher in the mixture, and weight of its KL", gt=0, lt=1)


@dataclass
class SkewKLConfig(LossConfig):
    """Settings of the skew KL divergence."""

    teacher_share: float = setting(0.1, "α: share of the teacher in the mixture; 0 is loss=kl", ge=0, lt=1)


@dataclass
class SkewReverseKLConfig(LossConfig):
    """Settings of the skew reverse KL divergence."""

    student_share: float = setting(0.1, "α: share of the student in the mixture; 0 is loss=reverse_kl", ge=0, lt=1)


@dataclass
class DISTConfig(LossConfig):
    """Settings of the correlations."""

    inter_weight: float = setting(1.0, "β: weight of the correlation over the classes of a row", ge=0)
    intra_weight: float = setting(1.0, "γ: weight of the correlation over the rows of a class", ge=0)


LOSS_SCHEMAS: dict[str, type[LossConfig]] = {
    "dkd": DKDConfig,
    "jsd": JSDConfig,
    "skew_kl": SkewKLConfig,
    "skew_reverse_kl": SkewReverseKLConfig,
    "dist": DISTConfig,
}
"""Schema of each loss that has settings; plugins register their own."""
