"""Encoding and line ends of text files."""

from __future__ import annotations

import codecs

from kdrun.errors import DataError

HEAD = 4096
"""Bytes at the start of a file that tell its encoding."""
BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Marks at the start of a file, longest first."""
MIN_ZEROS = 0.5
"""Share of zero bytes in every second place from which text has two bytes per character."""


def check_text(data: bytes, origin: str) -> None:
    """Check that bytes are lines of UTF-8 text.

    Args:
        data: the content of a file.
        origin: its name in a message.

    Raises:
        DataError: the encoding is another, or no line feed ends the lines; names the encoding and the remedy.
    """
    check_head(data[:HEAD], origin)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise DataError(
            f"{origin} is not UTF-8: byte 0x{byte:02x} at offset {error.start}, line {line}; {latin_remedy()}"
        ) from None


def check_head(head: bytes, origin: str) -> None:
    """Check the encoding and the line ends of a text file by its first bytes.

    Args:
        head: the first `HEAD` bytes.
        origin: name of the file in a message.

    Raises:
        DataError: the text is UTF-16 or UTF-32, or its lines end with a carriage return alone.
    """
    encoding = _wide_encoding(head)
    if encoding is not None:
        raise DataError(f"{origin} is {encoding}, not UTF-8; convert it with `iconv -f {encoding} -t UTF-8`")
    if head.replace(b"\r\n", b"\n").count(b"\r") > head.count(b"\n"):
        raise DataError(
            f"{origin} has lines that end with a carriage return alone, as on old Macs, not with a line feed; convert "
            r"it with `tr '\r' '\n'`"
        )


def latin_remedy() -> str:
    """How to convert a file that is not UTF-8, as the end of a sentence."""
    return "save it as UTF-8, e.g. with `iconv -f latin1 -t utf8`"


def _wide_encoding(head: bytes) -> str | None:
    """The encoding of text with two or four bytes per character, by its mark or its zero bytes; None for others."""
    for bom, encoding in BOMS.items():
        if head.startswith(bom):
            return encoding
    for encoding, zeros in (("UTF-16LE", head[1::2]), ("UTF-16BE", head[::2])):
        if zeros.count(0) > MIN_ZEROS * max(1, len(zeros)):
            return encoding
    return None
