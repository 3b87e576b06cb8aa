"""Distillation and supervised losses: functions that return one value per example.

All compute in fp32 for inputs of any precision (float64 stays float64), take logits (not probabilities), return nats,
and do not reduce over the batch. None multiplies by T²: that is up to the method. The package imports without torch, so
that the rules of a config can read the facts of the registered losses.

The losses registered in group `loss` share the signature `(student, teacher, temperature) -> [batch]`; further
settings, such as `teacher_share` of `jsd`, are keyword arguments with the keys of the `loss` section. These arguments
of `register` state facts:

- `regression=False`: it compares distributions, and the softmax of a single score is always 1.
- `multi_label=True`: it compares label sets, one decision per class, no distribution over the classes.
- `two_classes="…"`: why it does not fit two classes.
- `raw_logits=True`: it depends on more than the softmax of the logits.
- `sees_batch=True`: its values depend on the other rows of the call; their mean is the loss of these rows.
"""

from kdrun.losses.correlations import pearson_distance
from kdrun.losses.decoupled import decoupled_kd, standardized_kl
from kdrun.losses.divergences import (
    binary_cross_entropy,
    binary_kl_divergence,
    kl_divergence,
    logit_mse,
    reverse_kl_divergence,
    soft_cross_entropy,
)
from kdrun.losses.labels import (
    IGNORE_INDEX,
    default_loss,
    hard_cross_entropy,
    hard_loss,
    per_token,
    score_mse,
    token_cross_entropy,
)
from kdrun.losses.mixtures import jensen_shannon, skew_kl_divergence, skew_reverse_kl_divergence
from kdrun.losses.states import attention_mse, hidden_mse, relation_divergence

__all__ = [
    "IGNORE_INDEX",
    "attention_mse",
    "binary_cross_entropy",
    "binary_kl_divergence",
    "decoupled_kd",
    "default_loss",
    "hard_cross_entropy",
    "hard_loss",
    "hidden_mse",
    "jensen_shannon",
    "kl_divergence",
    "logit_mse",
    "pearson_distance",
    "per_token",
    "relation_divergence",
    "reverse_kl_divergence",
    "score_mse",
    "skew_kl_divergence",
    "skew_reverse_kl_divergence",
    "soft_cross_entropy",
    "standardized_kl",
    "token_cross_entropy",
]
