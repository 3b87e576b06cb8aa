"""Which methods need the teacher itself, and which only its logits."""

import pytest

from kdrun import registry
from kdrun.config.requirements import Requirements


@pytest.mark.parametrize(
    ("requirements", "tokens", "model"),
    [
        (Requirements(), False, False),
        (Requirements(hidden_states=True), True, True),
        (Requirements(attentions=True), True, True),
        (Requirements(attention_vectors=True), True, True),
        (Requirements(meta_teacher=True), True, True),
        (Requirements(embeddings=("teacher",)), True, True),
        (Requirements(embeddings=("student",)), False, False),
        (Requirements(embeddings=("teacher",), text_between=True), False, True),
        (Requirements(shared_vocabulary=True), True, False),
        (Requirements(inputs=("student", "teacher")), False, True),
    ],
)
def test_uses_of_the_teacher_besides_its_logits(requirements: Requirements, tokens: bool, model: bool) -> None:
    assert bool(requirements.uses_of_teacher_tokens) is tokens
    assert bool(requirements.uses_of_teacher_model) is model


def test_only_plain_distillation_of_rows_works_with_logits_alone() -> None:
    entries = registry.entries("method").items()
    needs = {name: entry.target.requires for name, entry in entries if entry.target.__module__.startswith("kdrun.")}
    logits_only = {name for name, need in needs.items() if need.teacher and not need.uses_of_teacher_model}
    assert {"kd", "kd_ood", "kd_freelb"} <= logits_only
    assert logits_only.isdisjoint(
        {"minilm", "pkd", "crd", "tinybert_kd", "meta_kd", "mate_kd", "zskd", "dfkd_t3", "gkd"}
    )
