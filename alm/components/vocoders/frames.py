"""Units + speaker -> frames of a fine rate: what unit-vocos and unit-mel share. Says nothing of what a frame is made into.

A first stack of blocks works at the units' rate and gives a wide context cheaply; the second works at the rate of frames.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from alm.api.cards import VocoderCard
from alm.components.nets import ConvNeXtBlock
from alm.components.speaker_encoder import SIZE
from alm.components.vocoders.cards import KERNEL
from alm.components.vocoders.inputs import speaker_rows
from alm.components.vocoders.streaming import Stage

FRAMES = ("units.", "speaker.", "context.", "spread.", "detail.", "norm.")  # names of its weights


class FrameOptions(Protocol):
    """What the options of such a vocoder say of these blocks."""

    @property
    def vocabulary_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def context_blocks(self) -> int: ...
    @property
    def detail_blocks(self) -> int: ...
    @property
    def block_reach(self) -> tuple[int, int]: ...
    @property
    def causal(self) -> bool: ...
    @property
    def voice_prompt(self) -> bool: ...


class UnitFrames(nn.Module):
    """See the module.

    Args:
        dropout: of the blocks at the units' rate, in training. They learn what many recordings share; an hour or two
            of speech is soon learnt by heart.
    """

    def __init__(self, options: FrameOptions, frames_per_unit: int, card: VocoderCard, dropout: float = 0.0) -> None:
        super().__init__()
        self.options, self.card, self.frames_per_unit = options, card, frames_per_unit
        size = options.hidden_size
        self.units = nn.Embedding(options.vocabulary_size, size)
        self.speaker = speaker_table(options, card, size)
        if options.voice_prompt:
            self.register_buffer("voices", torch.zeros(max(1, len(card.speakers)), SIZE))
        reaches = {"kernel": KERNEL, "causal": options.causal}
        self.context = nn.ModuleList(ConvNeXtBlock(size, dropout=dropout, **reaches) for _ in range(options.context_blocks))
        self.spread = nn.Linear(size, frames_per_unit * size)
        self.detail = nn.ModuleList(ConvNeXtBlock(size, **reaches) for _ in range(options.detail_blocks))
        self.norm = nn.LayerNorm(size)

    def know(self, voices: Tensor) -> None:
        """See alm.api.interfaces.VocoderNetwork."""
        self.voices.copy_(voices)

    def voices_of(self, speaker: Tensor) -> Tensor:
        """Rows [B] as they are; with voice prompts, the vectors of rows [B, 256]."""
        return speaker if speaker.is_floating_point() or not self.options.voice_prompt else self.voices[speaker]

    def coarse(self, codes: Tensor, speaker: Tensor, mask: Tensor) -> Tensor:
        """What the units say, at the rate of frames: codes [B, F], rows [B] or vectors [B, 256] of speakers, mask [B, F] ->
        [B, F x frames_per_unit, D]."""
        hidden = self.embedded(codes, speaker)
        for block in self.context:
            hidden = block(hidden, mask)
        return self.spread_out(hidden, speaker)

    def embedded(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """What enters the first stack: codes [B, F], speakers as `coarse` -> [B, F, D]."""
        return self.units(codes) + self.speaker(self.voices_of(speaker))[:, None]

    def spread_out(self, hidden: Tensor, speaker: Tensor) -> Tensor:
        """What the first stack gives, [B, F, D] -> [B, F x frames_per_unit, D]."""
        hidden = self.spread(hidden).unflatten(-1, (self.frames_per_unit, -1)).flatten(1, 2)
        return hidden + self.speaker(self.voices_of(speaker))[:, None]

    def fine(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """[B, N, D], mask [B, N] -> the same, by way of the second stack."""
        for block in self.detail:
            hidden = block(hidden, mask)
        return self.norm(hidden)

    def detail_stages(self) -> list[Stage]:
        """The second stack for frames that come bit by bit, [N, D + any] -> the same; what stands behind D goes through as it is."""
        return block_stages([self.detail], self.options.block_reach)

    def speakers_of(self, other: UnitFrames) -> dict[str, Tensor]:
        """Tables of speakers with the rows of those that another network knows by the same name."""
        if self.options.voice_prompt:
            return {}
        trained = other.state_dict()
        tables = {name: value for name, value in self.state_dict().items() if name.endswith("speaker.weight")}
        return {name: speaker_rows(value, self.card, trained.get(name), other.card) for name, value in tables.items()}


def speaker_table(options: FrameOptions, card: VocoderCard, size: int) -> nn.Module:
    """Rows [B], or with voice prompts vectors [B, 256], of speakers -> [B, size]."""
    return nn.Linear(SIZE, size) if options.voice_prompt else nn.Embedding(max(1, len(card.speakers)), size)


def block_stages(stacks: Many[nn.ModuleList], reach: tuple[int, int]) -> list[Stage]:
    """Stacks of blocks side by side, for frames that come bit by bit: each block keeps what it needs of the past, and works nothing again
    but the few frames around.

    Args:
        stacks: of as many blocks each, in the precision of their weights.
        reach: frames before and behind one that a block sees.

    Returns:
        Stages [F, sum of the stacks' sizes + any] -> the same; what stands behind goes through as it is.
    """

    def through(blocks: Many[nn.Module], frames: Tensor) -> Tensor:
        made, start = [], 0
        for block in blocks:
            assert isinstance(block, ConvNeXtBlock)
            stop = start + block.scale.shape[0]
            own = frames[None, :, start:stop].to(block.scale.dtype)
            made.append(block(own, whole(frames))[0].to(frames.dtype))
            start = stop
        return torch.cat([*made, frames[:, start:]], -1)

    return [Stage(partial(through, blocks), *reach) for blocks in zip(*stacks, strict=True)]


def whole(frames: Tensor) -> Tensor:
    """A mask that hides nothing of frames [F, ...]: [1, F]."""
    return torch.ones(1, len(frames), dtype=torch.bool, device=frames.device)
