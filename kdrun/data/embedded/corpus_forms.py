"""Sentence forms of the synthetic general corpus, by topic.

A slot in braces takes a word of `kdrun.data.embedded.corpus.SLOTS`. A form must not read like a task's sentence: no
clause says of a thing that it has a quality, nobody does something to a named person, there is no claim about every
or no animal, and no question.
"""

from __future__ import annotations

PLACES: tuple[str, ...] = (
    "harbor", "valley", "mill", "canal", "castle", "bridge", "orchard", "quarry", "lighthouse", "monastery", "island",
    "ferry", "forge", "meadow", "tower", "dam",
)  # fmt: skip
WHEN: tuple[str, ...] = (
    "one monday", "each friday", "in late june", "that morning", "this week", "after days of rain",
    "shortly before noon", "on its last day", "after a lunch of bread", "in these years",
)  # fmt: skip
WHERE: tuple[str, ...] = (
    "by a park gate", "behind some house", "under a hill", "along the beach", "out on a street", "close to home",
    "outside a school", "beyond town",
)  # fmt: skip
HOW: tuple[str, ...] = (
    "by night train", "by bus or by car", "in deep winter", "out of habit", "out of boredom", "for little money",
    "half for fun", "out of love", "with much trouble", "as so often",
)  # fmt: skip

FORMS: dict[str, tuple[str, ...]] = {
    "weather": (
        "fog lay over the {place} until noon, then {quality} sunshine followed",
        "{when} a storm from {city} crossed the {place} with {quality} hail",
        "shepherds expect {quality} mornings and {quality2} evenings beyond the {place}",
        "snow covered fields, roofs and the {quality} road down to the {place}",
        "by dusk the wind had dropped, so a {thing} left outdoors stayed dry",
        "records of rainfall at the {place} begin with a {quality} spring and a {quality2} autumn",
        "lightning struck near {city}, yet the {quality} barn beside the {place} escaped",
        "clouds over {city} mean frost {where}, or so sailors can tell",
        "every quite {quality} day brings a rather {quality2} night to the {place}",
    ),
    "trade": (
        "merchants of {city} exchanged wool for one {thing} and one {thing2} apiece",
        "at the {place} a {quality} {thing} costs nine coins, a {quality2} one four",
        "ships unloaded salt, iron and crates, among them a {quality} {thing} for {city}",
        "demand for the {thing} fell {when}, while grain grew dearer around the {place}",
        "taxes on {quality} timber paid for a {thing} in the guild hall",
        "without a licence, traders from {city} may neither {base} nor {base2} beside the {place}",
        "two barrels of tar were {done} against a {quality} {thing} and some rope",
        "an auction of {many} and {many2} drew buyers past the {place}, {how}",
        "stalls get no very {quality} {thing} from {city} because tolls are really high",
    ),
    "law": (
        "under the charter of the {place}, residents may {base}, {base2} and {base3} freely",
        "whoever {does} or {does2} by the {place} after curfew owes a fine",
        "the council of {city} declared a {quality} {thing} common property",
        "judges heard why somebody {past} and {past2} {where}, then adjourned",
        "clause seven forbids {many} on the {quality} path around the {place}",
        "an heir too ill, too guilty or too alone to travel lost his claim to the {place}",
        "a petition signed by {name} demanded less noise and a {quality} {thing}",
        "anyone who lives at the {place} and does not {base} is worried, sorry or in need",
    ),
    "craft": (
        "apprentices at the {place} learn how to {base} before they {base2}",
        "smiths hammered a {quality} hinge onto the {thing}, {how}",
        "carving a {thing} out of {quality} oak took the joiner eleven weeks",
        "tiles around the {place} depict figures {doing} and {doing2} below a {thing}",
        "masons {past} {where} whenever mortar for the {place} ran out",
        "glue made from {quality} bones holds each {thing} of this workshop together",
        "lids that do not fit, or go into place badly, could crack a {quality} {thing}",
        "guild rules name {name} as inventor of a {quality} {thing} with {quality2} handles",
        "of ten weavers six managed, two failed, one refused and one forgot to {base}",
    ),
    "travel": (
        "pilgrims heading for {city} rested oxen at the {place}, {quality} inn included",
        "the coach road climbs past the {place}, where a {thing} marks nine miles",
        "guidebooks praise {quality} soup, {quality2} beds and the view across the {place}",
        "{how} it takes four hours between {city} and the {place}",
        "luggage may include a {thing}, a {thing2} and one {quality} blanket",
        "passengers {past} while locks of the canal filled, {when}",
        "a ferry named {name} links {city} with the {quality} shore near the {place}",
        "those able to walk remembered the {place} and {many} around it",
    ),
    "past": (
        "chronicles count a {quality} {thing} among the treasures of the {place}",
        "in the year of the flood {name} ruled {city} and the {place}",
        "monks {past} by candlelight and copied the legend of a {quality} {thing}",
        "excavations under the {place} uncovered coins, a {thing} and {quality} pottery",
        "peace with {city} came when envoys had {done} a {thing} as a token",
        "a plague emptied the {place}, and {many} roamed its {quality} courtyard",
        "legend has it that sentries {past} one night and then {past2}",
        "later rulers of {city} rebuilt the {place} around a {quality} {thing}",
    ),
    "sayings": (
        "proverbs from the {place} warn, never {base} what you cannot {base2}",
        "clerks note who arrived, who left and whom they {past}, always in ink",
        "why {many} {base} there is not known to anyone in {city}",
        "if anything cracks, i say, let nobody at the {place} worry at all",
        "although he seems a {quality} warden, the man at the {place} hardly thinks",
        "they do want more than that, but how could the {place} do without a {thing}",
        "it was wrong, truly wrong, and far beyond {quality}, to say such things of {city}",
        "she had time and asked for work, he felt generous, and people of the {place} would help",
        "is it for trust that {many} {base}, or for a {quality} {thing}, did {name} write",
    ),
}
"""Topic → its forms."""
