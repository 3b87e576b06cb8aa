"""Rules for the teacher's most likely tokens on disk."""

import pytest

from kdrun.config import compose

TOKENS = ["task=conll2003", "preset=t5_writer", "teacher.top_k=64"]


def problems(*overrides: str) -> str:
    return "\n".join(compose.validate_overrides(list(overrides), multirun=False))


@pytest.mark.parametrize(
    "overrides", [["method=kd"], ["method=kd_ood"], ["method=dfkd_t3"], ["method=kd", "loss=reverse_kl"]]
)
def test_methods_that_compare_every_token_keep_the_most_likely_ones(overrides: list[str]) -> None:
    assert not problems(*TOKENS, *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([*TOKENS, "method=kd", "loss=logit_mse"], "teacher.top_k=64 keeps probabilities, and loss=logit_mse"),
        ([*TOKENS, "method=finetune"], "teacher.top_k=64 .* method=finetune"),
        (
            ["method=kd", "task=sst2", "preset=smoke", "teacher.top_k=64"],
            "teacher.top_k=64 .* task=sst2 has one answer",
        ),
        ([*TOKENS[:2], "method=kd", "teacher.top_k=0"], "teacher.top_k must be >= 1, got 0"),
    ],
)
def test_runs_without_such_logits_are_refused(overrides: list[str], message: str) -> None:
    text = problems(*overrides)
    for part in message.split(" .* "):
        assert part in text
