"""Report the rows that the length limit cut."""

from __future__ import annotations

from collections.abc import Mapping

from kdrun.data.tokenization import TokenizedSplit


def truncation_note(role: str, splits: Mapping[str, TokenizedSplit], max_length: int) -> str | None:
    """How many rows the length limit cut, as a note; None if it cut none.

    Args:
        role: role of the model.
        splits: its tokens by split.
        max_length: the limit, `data.max_length`.
    """
    counts = {name: tokens.num_truncated for name, tokens in splits.items() if tokens.num_truncated}
    if not counts:
        return None
    listing = ", ".join(f"{count} of {splits[name].num_rows} {name} rows" for name, count in counts.items())
    return f"data.max_length={max_length} cuts {listing} (tokenizer of the {role})"
