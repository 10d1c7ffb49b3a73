"""What lets a vocoder speak while its units are still being made: stages that each wait for what they need. Knows no network.

A stage holds as much of the past as its outputs depend on and gives an output once nothing to come can change it, so what it gives in
pieces is what it gives at once, and its memory does not grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence as Many

import torch
from torch import Tensor

from alm.api.cards import VocoderCard
from alm.api.errors import AlmError
from alm.api.types import Audio, Units
from alm.components.vocoders.inputs import check_units

STEP_UNITS = 1000
Compute = Callable[[Tensor], Tensor]  # [F, ...] -> [F x rate, ...]


class Stage:
    """A computation over frames, of which each sees some before and some after it.

    Args:
        compute: frames [F, ...] -> [F x rate, ...]. It is given the last `left` frames again with each piece; where `left` is 0 it
            sees each frame once and in order, and may carry a state.
        left, right: frames before and behind a frame that its outputs depend on.
        rate: outputs of a frame.
    """

    def __init__(self, compute: Compute, left: int = 0, right: int = 0, rate: int = 1) -> None:
        self.compute, self.left, self.right, self.rate = compute, left, right, rate
        self.held: Tensor | None = None
        self.skip = 0  # of the frames held, those whose outputs were given

    def push(self, frames: Tensor | None, *, last: bool) -> Tensor | None:
        """Outputs that became certain, None if there are none yet.

        Args:
            frames: [F, ...] that follow those before; None if there are none.
            last: nothing follows.
        """
        if frames is not None:
            self.held = frames if self.held is None else torch.cat([self.held, frames])
        if self.held is None:
            return None
        ready = len(self.held) - (0 if last else self.right)
        if ready <= self.skip:
            return None
        made = self.compute(self.held)[self.skip * self.rate : ready * self.rate]
        drop = max(0, ready - self.left)
        self.held, self.skip = self.held[drop:], ready - drop
        return made


class Tempo(Stage):
    """Frames faster or slower: codes [F] as they are at the time, values [F, ...] between neighbours in a straight line."""

    def __init__(self, tempo: float) -> None:
        self.tempo, self.held, self.start, self.made = tempo, None, 0, 0

    def push(self, frames: Tensor | None, *, last: bool) -> Tensor | None:
        if frames is not None:
            self.held = frames if self.held is None else torch.cat([self.held, frames])
        if self.held is None:
            return None
        total = self.start + len(self.held)
        count = max(1, round(total / self.tempo)) if last else math.floor((total - 2) / self.tempo) + 1
        if count <= self.made:
            return None
        at = torch.arange(self.made, count, dtype=torch.float64, device=self.held.device).mul(self.tempo).clamp(max=total - 1) - self.start
        before = at.long()
        made = self.held[before]
        if made.is_floating_point():
            following = self.held[(before + 1).clamp(max=len(self.held) - 1)]
            made = torch.lerp(made, following, (at - before).to(made.dtype).view(-1, *[1] * (made.dim() - 1)))
        self.made = count
        drop = min(len(self.held), max(0, math.floor(count * self.tempo) - self.start))
        self.held, self.start = self.held[drop:], self.start + drop
        return made


class StageStream:
    """A VocoderStream of stages: codes go in at the first, samples [T] come out of the last.

    Args:
        card: of the vocoder.
        stages: called one after another.
        lengths: codes [F] -> how many frames each lasts [F], for units that do not say.
    """

    def __init__(self, card: VocoderCard, stages: Many[Stage], lengths: Stage | None = None) -> None:
        self.card, self.stages, self.lengths, self.finished = card, stages, lengths, False
        self.waiting: Tensor | None = None  # codes whose lengths are not certain yet

    def push(self, units: Units) -> Audio | None:
        """Sound that nothing to come can change; None at first, since it depends on some units ahead.

        Raises:
            AlmError: units of another tokenizer, or a stream that has ended.
        """
        if units.num_frames:
            check_units(self.card, units)
        return self._advance(units, last=False)

    def finish(self) -> Audio | None:
        """The rest, if there is any."""
        return self._advance(None, last=True)

    def whole(self, units: Units) -> Audio:
        """All of a clip that is there already, in steps, so that an hour of it needs no more memory than a minute but for its samples."""
        pieces = [self.push(units[start : start + STEP_UNITS]) for start in range(0, max(1, units.num_frames), STEP_UNITS)]
        return Audio.join([piece for piece in (*pieces, self.finish()) if piece is not None])

    @torch.inference_mode()
    def _advance(self, units: Units | None, *, last: bool) -> Audio | None:
        if self.finished:
            raise AlmError("got units for a stream that has ended", "a new stream", "call stream() again")
        self.finished = last
        passed: Tensor | None = None
        if units is not None and units.num_frames:
            passed = units.codes[0] if self.card.codebooks == 1 else units.codes.T
            if units.durations is not None:
                passed = passed.repeat_interleave(units.durations, 0)
        if self.lengths is not None and (units is None or units.durations is None):
            passed = self._lasting(self.lengths, passed, last=last)
        for stage in self.stages:
            passed = stage.push(passed, last=last)
        return None if passed is None else Audio(passed.float().cpu().clamp(-1, 1)[None], self.card.sample_rate_hz)

    def _lasting(self, lengths: Stage, codes: Tensor | None, *, last: bool) -> Tensor | None:
        """Codes whose lengths became certain, each as often as it lasts."""
        found = lengths.push(codes, last=last)
        if codes is not None:
            self.waiting = codes if self.waiting is None else torch.cat([self.waiting, codes])
        if found is None or self.waiting is None:
            return None
        certain, self.waiting = self.waiting[: len(found)], self.waiting[len(found) :]
        return certain.repeat_interleave(found, 0)
