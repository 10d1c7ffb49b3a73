"""Lexicon, CTC topology and grammar as finite-state transducers in text form. Pure Python: read by k2 and by OpenFst alike.

A line is `from to input output cost`, or `state cost` of a final one; cost is -ln P. Classes are those of the CTC head: 0 is the blank in the
topology, epsilon elsewhere. Words are numbered from 1; the last word is the back-off symbol #0, whose class is one above the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

BACK_OFF = "#0"
MARKS = ("<s>", "</s>")

Arc = tuple[int, int, int, int, float]


class Words:
    """Words and their numbers, <eps> first and the back-off symbol last."""

    def __init__(self, words: Sequence[str]) -> None:
        self.names: list[str] = ["<eps>", *words, BACK_OFF]
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(self.names)}

    @property
    def back_off(self) -> int:
        return len(self.names) - 1

    def table(self) -> str:
        """As Kaldi's tools read it; with the marks of a text's ends, which arpa2fst wants to know and removes."""
        lines = [f"{name} {number}" for number, name in enumerate(self.names)]
        return "\n".join([*lines, *(f"{mark} {len(lines) + i}" for i, mark in enumerate(MARKS))]) + "\n"

    def text(self, numbers: Sequence[int]) -> str:
        return " ".join(self.names[number] for number in numbers if 0 < number < self.back_off)


class Spelling:
    """How words are written in a CTC head's labels: in characters with a space between words, or in pieces of which some begin a word.

    A word in pieces may be written in several ways; which of them a text tokenizer would choose is not asked, the posteriors tell.

    Attributes:
        space: the class between words; 0 where a piece's mark tells that a word begins.

    Raises:
        ValueError: characters without a space.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.classes = {name: number for number, name in enumerate(labels, start=1)}
        self.mark = next((mark for mark in ("\u0120", "\u2581") if any(name.startswith(mark) for name in labels)), "")
        self.space = 0 if self.mark else next((self.classes[name] for name in (" ", "|") if name in self.classes), 0)
        if not self.mark and not self.space:
            raise ValueError("labels without a space between words")

    def arcs(self, word: str) -> list[tuple[int, int, int]]:
        """(from, to, class) between the places 0 to N of a word; [] if it cannot be written."""
        text = _bytes(word) if self.mark == "\u0120" else word
        found = []
        for start in range(len(text)):
            for stop in range(start + 1, len(text) + 1 if self.mark else start + 2):
                name = (self.mark if start == 0 else "") + text[start:stop]
                if name in self.classes:
                    found.append((start, stop, self.classes[name]))
        return _connected(found, len(text))


def _bytes(word: str) -> str:
    """A word as byte-level pieces write it (the alphabet of GPT-2's tokenizer)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    alphabet = {byte: chr(byte) for byte in shown}
    alphabet.update({byte: chr(256 + place) for place, byte in enumerate(hidden)})
    return "".join(alphabet[byte] for byte in word.encode())


def _connected(arcs: list[tuple[int, int, int]], end: int) -> list[tuple[int, int, int]]:
    """Those on a way from 0 to the end."""
    begun, ends = {0}, {end}
    for start, stop, _ in arcs:  # in the order of their starts
        if start in begun:
            begun.add(stop)
    for start, stop, _ in reversed(arcs):
        if stop in ends:
            ends.add(start)
    return [(start, stop, label) for start, stop, label in arcs if start in begun and stop in ends]


def lexicon(known: Sequence[str], words: Words, spelling: Spelling, back_off: int) -> str:
    """Classes -> words that can be written: each behind a space or a mark, or none at all.

    Args:
        back_off: the class of the back-off symbol, which may stand before a word and at the end.
    """
    begin, after, end, state = 0, 1, 2, 3
    arcs: list[Arc] = [(begin, begin, back_off, words.back_off, 0.0), (after, begin, spelling.space, 0, 0.0), (after, end, 0, 0, 0.0), (begin, end, 0, 0, 0.0)]
    arcs.append((end, end, back_off, words.back_off, 0.0))
    for word in sorted(known):
        written = spelling.arcs(word)
        last = max((stop for _, stop, _ in written), default=0)
        places = {0: begin, last: after}
        for start, stop, label in written:
            for place in (start, stop):
                if place not in places:
                    places[place] = state
                    state += 1
            arcs.append((places[start], places[stop], label, words.numbers[word] if start == 0 else 0, 0.0))
    return as_text(arcs, [(end, 0.0)])


def topology(classes: int) -> str:
    """Frames -> classes: a class may last, blanks come between, and a class follows itself behind a blank alone. Input classes are those of
    the posteriors, one higher, since 0 is epsilon to OpenFst.

    Args:
        classes: the blank and the labels.
    """
    arcs: list[Arc] = []
    for at in range(classes):
        for to in range(classes):
            arcs.append((at, to, to + 1, 0 if to == at or to == 0 else to, 0.0))
    return as_text(arcs, [(state, 0.0) for state in range(classes)])


def weighed(grammar: str, weight: float, word_bonus: float, back_off: int) -> str:
    """A grammar whose costs are multiplied, and each of whose words is made likelier."""
    lines = []
    for line in grammar.splitlines():
        fields = line.split()
        if len(fields) in (4, 5):
            cost = float(fields[4]) if len(fields) == 5 else 0.0
            word = int(fields[3])
            lines.append(f"{fields[0]} {fields[1]} {fields[2]} {fields[3]} {weight * cost - (word_bonus if word not in (0, back_off) else 0.0)}")
        elif fields:
            lines.append(f"{fields[0]} {weight * (float(fields[1]) if len(fields) == 2 else 0.0)}")
    return "\n".join(lines) + "\n"


def as_text(arcs: Sequence[Arc], finals: Sequence[tuple[int, float]]) -> str:
    """Arcs of the start state first: OpenFst takes the first line's state for it."""
    lines = [f"{start} {to} {label} {output} {cost}" for start, to, label, output, cost in sorted(arcs, key=lambda arc: arc[0] != 0)]
    return "\n".join([*lines, *(f"{state} {cost}" for state, cost in finals)]) + "\n"
