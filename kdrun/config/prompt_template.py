"""Template of the prompts that a language model continues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdrun.config.task import TaskConfig

PLACEHOLDER = re.compile(r"\{(\w+)\}")
NAMES = ("text", "text_pair")
"""Placeholders of a row's texts, in order."""
QUESTION = "\nanswer:"
"""End of the default template [ours]."""


@dataclass(frozen=True)
class PromptTemplate:
    """A template with a placeholder per text of a row.

    Attributes:
        text: e.g. `Review: {text}\\nSentiment:`.
    """

    text: str

    def fill(self, texts: Sequence[str]) -> str:
        """The prompt of a row; braces in its texts are text."""
        values: dict[str, str] = dict(zip(NAMES, texts, strict=False))
        return PLACEHOLDER.sub(lambda match: values[match[1]], self.text)

    @property
    def tail(self) -> str:
        """The text after the last placeholder, which the label word follows."""
        return PLACEHOLDER.split(self.text)[-1]

    def problem(self, num_texts: int) -> str:
        """Why the template does not fit rows of one or two texts; empty if it does."""
        expected, found = sorted(NAMES[:num_texts]), sorted(PLACEHOLDER.findall(self.text))
        if found == expected:
            return ""
        wanted = " and ".join(f"{{{name}}}" for name in NAMES[:num_texts])
        return f"it must have {wanted} once, and has {', '.join(f'{{{name}}}' for name in found) or 'no placeholder'}"


def default_template(task: TaskConfig) -> PromptTemplate | None:
    """A template from the task's prompts, `prompt {text}` on a line each; None for a task without prompts."""
    if len(task.prompts) != len(task.text) or not task.prompts:
        return None
    lines = [f"{prompt} {{{name}}}" for prompt, name in zip(task.prompts, NAMES, strict=False)]
    return PromptTemplate("\n".join(lines) + QUESTION)
