"""Check that models fit each other and the method."""

from __future__ import annotations

from collections.abc import Mapping

from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy
from kdrun.errors import ModelError
from kdrun.models import padding, tokenizers
from kdrun.models.answer_decoder import AnswerDecoder
from kdrun.models.bundle import ModelBundle
from kdrun.models.t5_base import TaskT5
from kdrun.runs.context import RunContext


def check_same_vocabulary(roles: Mapping[str, ModelBundle]) -> None:
    """Check that models share the vocabulary of the student.

    Raises:
        ModelError: one does not.
    """
    student = roles["student"]
    for role, bundle in roles.items():
        if not tokenizers.same_vocabulary(student.tokenizer, bundle.tokenizer):
            raise ModelError(
                "this method's models read each other's tokens or are compared token by token, so they must share "
                f"one vocabulary, but the student ({student.name}, {len(student.tokenizer)} entries) and the {role} "
                f"({bundle.name}, {len(bundle.tokenizer)} entries) do not; for a student from scratch, "
                "student.tokenizer=teacher uses the teacher's"
            )


def check_inputs(context: RunContext, roles: Mapping[str, ModelBundle]) -> None:
    """Check that models take the inputs and give the outputs that the method needs.

    Raises:
        ModelError: one does not.
    """
    requires, method = context.requires, context.config.method.name
    if requires.shared_vocabulary and requires.generator and roles["generator"].tokenizer.mask_token_id is None:
        raise ModelError(
            f"method={method} fills masked tokens, and the vocabulary of the generator ({roles['generator'].name}) has "
            "no mask token; take a generator whose tokenizer has one (mask_token in tokenizer_config.json)"
        )
    check_answers(context, roles)
    encoders = {role: bundle for role, bundle in roles.items() if not isinstance(bundle.model, TaskT5)}
    if requires.compares_states:
        for role in (role for role in encoders if role != "generator"):
            padding.check_states(encoders[role].model, role, f"method={method}")
    if requires.teacher and resolve_domain_strategy(context.config, requires) is DomainStrategy.meta:
        padding.check_states(roles["teacher"].model, "teacher", "teacher.domain_strategy=meta")
    if requires.text_between and not tokenizers.all_same_vocabulary(bundle.tokenizer for bundle in roles.values()):
        return
    for role in (role for role in encoders if role in requires.embeddings):
        padding.check_embeddings(encoders[role].model, encoders[role].tokenizer, role, method)


def check_answers(context: RunContext, roles: Mapping[str, ModelBundle]) -> None:
    """Check that models that write answers are of one form, and that the method does not read inside a decoder."""
    decoders = [role for role in roles if isinstance(roles[role].model, AnswerDecoder)]
    if not decoders:
        return
    requires, method = context.requires, context.config.method.name
    if requires.teacher and {"teacher", "student"} & set(roles) != set(decoders):
        raise ModelError(
            f"task={context.config.task.name} is answered with text, and the {decoders[0]} is a decoder, the other "
            "model a T5, which begin their answers with different tokens; take two decoders or two T5 models"
        )
    if requires.embeddings:
        raise ModelError(
            f"method={method} gives embeddings to the {decoders[0]}, a decoder, which reads its prompt as token ids "
            "here; take T5 models"
        )
