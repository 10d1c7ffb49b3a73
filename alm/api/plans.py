"""What a model is to emit, span by span, and how emitted ids are read by that. Knows ids alone, not what they stand for."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SpanRule:
    """What a model may emit next: ids of one kind until `stop_id`, at most `max_ids` of them.

    Attributes:
        stop_rest: ids that follow `stop_id` in the span's end, where that is more than one: a marker in plain text. The span ends where
            all of them stand.
        opening: ids that stand before the span and are not chosen: a tag.
        renders: what the span says again in the other modality: GIVEN for the input (a transcript), the index of an earlier
            span of the plan (speech of a text just emitted), None for neither (a translation). Decoders may go by it.
        language: of the span, ISO 639-1, or "".
        turn: how many ids it has at a time, where it and another take turns; 0 where it is emitted whole. When one of the two has ended, the
            other goes on to its end.
        partner: the other one's place in the plan, counted from its own: 1 or -1.
        text_beside: a text stands beside its units, an id a position, closed by the end token.
        also: ranges of ids, [start, stop), that may stand in a span of text beside those of text, such as timestamps.
    """

    kind: Literal["text", "units"]
    stop_id: int
    max_ids: int
    min_ids: int = 1
    renders: int | None = None
    language: str = ""
    stop_rest: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    turn: int = 0
    partner: int = 0
    text_beside: bool = False
    also: tuple[tuple[int, int], ...] = ()

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return (self.stop_id, *self.stop_rest)

    @property
    def most_positions(self) -> int:
        """Positions that the span can take, its opening and its end included."""
        return len(self.opening) + self.max_ids + len(self.stop_ids)


@dataclass
class PlanReader:
    """Emitted ids, span by span of a plan. What the generation loop goes by, and what a format decodes with.

    Attributes:
        rule: the span that comes next; `at` the one to which the last ids belong, opening and end included.
        pieces: the emitted ids by span, without openings and ends.
        closed: which spans have ended.
        forced: what comes next, whatever the model would choose.
    """

    plan: Many[SpanRule]
    rule: int = 0
    at: int = 0
    emitted: list[int] = field(default_factory=list)
    pieces: list[list[int]] = field(init=False)
    closed: list[bool] = field(init=False)
    forced: list[int] = field(default_factory=list)
    _positions: list[int] = field(init=False)  # within each span
    _turn: int = field(init=False)  # positions since the present span had its turn

    def __post_init__(self) -> None:
        self.pieces, self.closed = [[] for _ in self.plan], [False] * len(self.plan)
        self._positions = [0] * len(self.plan)
        self._enter(0)

    @property
    def done(self) -> bool:
        return self.rule >= len(self.plan)

    @property
    def position(self) -> int:
        """Within the span that comes next."""
        return 0 if self.done else self._positions[self.rule]

    def advance(self, chosen: Many[int]) -> bool:
        """Takes the ids of one position; returns whether they ended the span."""
        self.emitted += chosen
        self.at = self.rule
        rule, piece = self.plan[self.rule], self.pieces[self.rule]
        if self.forced and not self.position:
            del self.forced[0]
            return False
        del self.forced[:1]
        piece += chosen
        stop = rule.stop_ids
        if piece[-len(stop) :] == list(stop):
            del piece[-len(stop) :]
            self.closed[self.rule] = True
            self._enter(self.rule + rule.partner if self._waits(rule) else self.closed.index(False) if False in self.closed else len(self.plan))
            return True
        self._positions[self.rule] += 1
        self._turn += 1
        if self.position >= rule.max_ids and len(stop) > 1 and not self.forced:
            self.forced = list(stop)
        elif rule.turn and self._turn >= rule.turn and self._waits(rule):
            self._enter(self.rule + rule.partner)
        return False

    def _waits(self, rule: SpanRule) -> bool:
        """Whether the present span has a partner that has not ended."""
        return rule.turn > 0 and not self.closed[self.rule + rule.partner]

    def _enter(self, rule: int) -> None:
        self.rule, self._turn = rule, 0
        self.forced = list(self.plan[rule].opening) if not self.done and not self.position else []

    def settled(self, span: int) -> list[int]:
        """The ids of a span without those at its end that may turn out to be the beginning of what ends it."""
        piece = self.pieces[span]
        if self.closed[span]:
            return piece
        stop = self.plan[span].stop_ids
        held = next((size for size in range(len(stop) - 1, 0, -1) if piece[-size:] == list(stop[:size])), 0)
        return piece[: len(piece) - held]


def pieces_of(ids: Many[int], plan: Many[SpanRule]) -> list[list[int]]:
    """Emitted ids by span of the plan that they were emitted by."""
    reader = PlanReader(plan)
    for index in ids:
        if reader.done:
            break
        reader.advance([index])
    return reader.pieces
