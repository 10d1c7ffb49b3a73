"""Pieces of a prompt -> a Sequence: ids, loss mask, slots, spans. What every prompt format writes with."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Literal

from alm.api.errors import AlmError
from alm.api.text import marks_text
from alm.api.types import SLOT_ID, Features, Segment, Sequence, Slot, Span, Units
from alm.api.vocabulary import JointVocabulary

Kind = Literal["tag", "text", "units", "features", "end"]


class SequenceWriter:
    """Collects what a format writes, in order."""

    def __init__(self, vocabulary: JointVocabulary) -> None:
        self.vocabulary = vocabulary
        self._ids: list[int] = []
        self._more: list[list[int]] = []
        self._learn: list[bool] = []
        self._slots: list[Slot] = []
        self._spans: list[Span] = []

    def ids(self, ids: Many[int], kind: Kind, *, learn: bool) -> None:
        """Ids of one kind, one a position."""
        self._rows([[index] for index in ids], kind, learn)

    def text(self, text: str, kind: Kind, *, learn: bool) -> None:
        """Ids of a text as it stands; "" writes nothing."""
        if text:
            self.ids(self.vocabulary.text_ids(text), kind, learn=learn)

    def by_turns(self, text: Segment, speech: Segment, end: Many[int]) -> None:
        """A text and its speech as the layout lets them take turns, each closed by `end`; when one is closed, the other goes on."""
        assert isinstance(text.content, str)
        assert isinstance(speech.content, Units)
        ids = self.vocabulary.text_ids(" " + text.content), self.vocabulary.unit_rows(speech.content)[:, 0].tolist()
        left = [[*ids[0], *end], [*ids[1], *end]]
        kinds: tuple[Kind, Kind] = ("text", "units")
        which = 0
        while left[0] or left[1]:
            turn = self.vocabulary.turn_ids[which] if left[1 - which] else len(left[which])
            now, left[which] = left[which][:turn], left[which][turn:]
            content = len(now) - (0 if left[which] else len(end))
            for part, kind in ((now[:content], kinds[which]), (now[content:], "end")):
                if part:
                    self.ids(part, kind, learn=text.learn)
            which = 1 - which if left[1 - which] else which

    def side_by_side(self, text: Segment, speech: Segment) -> None:
        """Speech with its text beside it, an id a position from the first on, closed by the end token.

        Raises:
            AlmError: speech of fewer units than the text has ids.
        """
        assert isinstance(text.content, str)
        assert isinstance(speech.content, Units)
        units, ids = self.vocabulary.unit_rows(speech.content)[:, 0].tolist(), [*self.vocabulary.text_ids(" " + text.content), self.vocabulary.end_id]
        if len(ids) > len(units):
            raise AlmError(
                f"got {len(units)} units beside {len(ids)} ids of text", "as many or more", "choose layout.turns in place of text_beside, or a tokenizer with more units a second"
            )
        self._rows([[unit, index] for unit, index in zip(units, ids + [-1] * (len(units) - len(ids)), strict=True)], "units", speech.learn)

    def tag(self, tag: str, *, learn: bool) -> None:
        """A tag that has an id of its own."""
        self.ids([self.vocabulary.tag_id(tag)], "tag", learn=learn)

    def segment(self, segment: Segment) -> None:
        """Text, marks (in plain text), units or features, as the vocabulary writes them; the loss covers what is to be learnt.

        Raises:
            AlmError: audio that is still to be tokenized or encoded.
        """
        content = segment.content
        if isinstance(content, tuple):
            content = marks_text(content)
        if isinstance(content, str):
            self.ids(self.vocabulary.text_ids(" " + content), "text", learn=segment.learn)
        elif isinstance(content, Units):
            self._rows(self.vocabulary.unit_rows(content).tolist(), "units", segment.learn)
        elif isinstance(content, Features):
            self._slots.append(Slot(len(self._ids), content))
            self.ids([SLOT_ID] * content.num_slots, "features", learn=False)
        else:
            raise AlmError(f"got {type(content).__name__} in a prompt", "text, marks, Units or Features", "tokenize or encode the audio first")

    def _rows(self, rows: list[list[int]], kind: Kind, learn: bool) -> None:
        others = self.vocabulary.streams - 1
        self._spans.append(Span(len(self._ids), len(self._ids) + len(rows), kind))
        self._ids += [row[0] for row in rows]
        self._more += [row[1:] or [-1] * others for row in rows]
        self._learn += [learn] * len(rows)

    def sequence(self) -> Sequence:
        import torch

        more = torch.tensor(self._more, dtype=torch.int64).reshape(len(self._ids), -1) if self.vocabulary.streams > 1 else None
        return Sequence(torch.tensor(self._ids), torch.tensor(self._learn), tuple(self._slots), tuple(self._spans), more)
