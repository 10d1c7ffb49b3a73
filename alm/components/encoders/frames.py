"""What every frame encoder shares: windows, batches by length, stride, adapter, merging, projector. Knows no network.

A clip's frames do not depend on the clips beside it. A long clip is encoded in windows, so nothing is cut off in silence and
attention stays bounded.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence as Many
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from alm.api.batching import batches_by_length
from alm.api.cards import EncoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Features
from alm.components.encoders.adapter import load_adapter, load_checkpoint_head, load_head
from alm.components.encoders.cards import CTC_FILE, FrameOptions, Kind, adapter_file, head_file, uses_head
from alm.components.nets import Adapter, CtcHead, merge_by_ctc

WINDOW_S = 30


class FrameNetwork(Protocol):
    """A network of one kind, cut off behind the last layer that is wanted. Immutable once loaded.

    Attributes:
        device: where `frames` takes and gives tensors.
        batch_size: rows of windows, padding included, that go through at once.
    """

    device: torch.device
    batch_size: int

    def min_samples(self, frames: int) -> int:
        """Samples that give so many frames."""
        ...

    def windows(self, clip: Audio) -> Many[Tensor]:
        """What the network reads of a clip, in pieces of at most WINDOW_S: rows [N, ...] on the CPU."""
        ...

    def frames(self, windows: Many[Tensor]) -> list[Tensor]:
        """The joined outputs of the layers for each window, [F, D]; a window does not depend on those beside it."""
        ...


class FrameEncoder:
    """See the module. Immutable once loaded.

    Args:
        bare_card: the card of the same encoder without adapter.
        head: the adapter's CTC head, where frames are to be merged by it.
    """

    def __init__(
        self, name: str, network: FrameNetwork, options: FrameOptions, card: EncoderCard, bare_card: EncoderCard, adapter: Adapter | None = None, head: CtcHead | None = None
    ) -> None:
        self.name, self.network, self.options, self.card, self.bare_card, self.adapter, self.head = name, network, options, card, bare_card, adapter, head

    def encode(self, audio: Many[Audio]) -> list[Features]:
        """Features of each clip, [F, D] at the card's rate."""
        card = self.card
        return [Features(values.cpu(), card.frame_rate_hz, card.fingerprint, card.frames_per_slot, card.extra_slots) for values in self.frames(audio)]

    @torch.inference_mode()
    def frames(self, audio: Many[Audio]) -> list[Tensor]:
        """The same, as tensors on the network's device. Weights keep `requires_grad`: autocast casts those once, all others for each batch."""
        windows: list[Tensor] = []
        counts: list[int] = []
        least = self.network.min_samples(self.options.stride)
        for clip in audio:
            check_audio(clip, self.card.sample_rate_hz, f"encoder {self.name!r}", least)
            pieces = self.network.windows(clip)
            windows += pieces
            counts.append(len(pieces))
        outputs: list[Tensor] = [torch.empty(0)] * len(windows)
        for group in batches_by_length([len(w) for w in windows], self.network.batch_size):
            for index, frames in zip(group, self.network.frames([windows[i] for i in group]), strict=True):
                outputs[index] = frames
        results, start = [], 0
        for count in counts:
            results.append(self._finish(torch.cat(outputs[start : start + count])))
            start += count
        return results

    def _finish(self, frames: Tensor) -> Tensor:
        """Averages `stride` frames into one and refines them. [F, D] -> [F', D']"""
        stride = self.options.stride
        return self.refine(frames[: len(frames) // stride * stride].unflatten(0, (-1, stride)).mean(1))

    @torch.inference_mode()
    def refine(self, frames: Tensor) -> Tensor:
        """Applies the adapter, or the head alone, to features of the bare encoder and merges by the head. [F, D] -> [F', D']"""
        output = frames[None]
        if self.adapter is not None:
            frames = frames.to(self.adapter.mean.device)
            output = self.adapter(frames[None], torch.ones(1, len(frames), dtype=torch.bool, device=frames.device))
        if self.head is None:
            return output[0]
        log_probs = self.head(output)[0]
        result = log_probs.exp() if self.options.output == "posteriors" else output[0]
        if self.options.stamps:
            result = torch.cat([result, (torch.arange(len(result), device=result.device)[:, None] + 0.5) / self.card.frame_rate_hz], 1)
        return merge_by_ctc(result, log_probs) if self.options.merge else result

    @property
    def labels(self) -> tuple[str, ...]:
        """What the posteriors are of, but for the blank."""
        return self.head.labels if self.head is not None else ()

    def build_projector(self, hidden_size: int) -> nn.Module:
        from alm.components.encoders.projectors import build_projector

        return build_projector(self.options.projector, self.card.feature_size, hidden_size, self.options.stack, self.head, hears_frames=self.options.output == "adapter")

    def without_adapter(self) -> FrameEncoder:
        """The same encoder giving its own features: what the adapter is trained on."""
        return FrameEncoder(self.name, self.network, self.options, self.bare_card, self.bare_card) if self.adapter or self.head else self


def check_audio(clip: Audio, sample_rate_hz: int, who: str, min_samples: int) -> None:
    """Refuses what a component cannot take.

    Raises:
        AlmError: another rate, several channels, or fewer samples than one frame.
    """
    if clip.sample_rate_hz != sample_rate_hz:
        raise AlmError(f"got {clip.sample_rate_hz} Hz", f"{sample_rate_hz} Hz for {who}", f"call audio.resample({sample_rate_hz})")
    if clip.num_channels != 1:
        raise AlmError(f"got {clip.num_channels} channels", f"one channel for {who}", "call audio.mono()")
    if clip.num_samples < min_samples:
        raise AlmError(f"got {clip.num_samples} samples", f"at least {min_samples} for {who}", "record a longer clip")


def load_encoder(kind: Kind, options: FrameOptions, context: LoadContext) -> Any:
    """The encoder of a kind, on the context's device."""
    if getattr(options, "live", False):
        return importlib.import_module("alm.components.encoders.live").load_encoder(options, context)
    if options.projector == "mixture" and not options.adapter:
        raise AlmError("got projector 'mixture' without an adapter, whose CTC head says what to mix", "an adapter", "set parts.encoder.adapter, or choose another projector")
    card = kind.card(options, context)
    network: FrameNetwork = importlib.import_module(f"alm.components.encoders.{kind.module}").load_network(options, context)
    adapter = load_adapter(adapter_file(options, context)).to(context.device) if options.adapter else None
    if adapter is not None and options.output == "adapter" and adapter.leave.out_features != options.adapter_size:
        raise AlmError(f"got adapter_size {options.adapter_size} for an adapter of {adapter.leave.out_features}", "its own size", f"set adapter_size: {adapter.leave.out_features}")
    head = _load_head(options, context).to(context.device) if uses_head(options) else None
    if head is not None and head.outputs_per_frame != 1 and options.output != "posteriors":
        raise AlmError(f"got an adapter of {head.outputs_per_frame} labels a frame", "one of one label a frame", "train an adapter with stride: 1")
    bare_card = kind.card(kind.options(options.weights, options.layers, options.stride), context)
    return FrameEncoder(kind.name, network, options, card, bare_card, adapter, head)


def _load_head(options: FrameOptions, context: LoadContext) -> CtcHead:
    if not options.head:
        return load_head(adapter_file(options, context, CTC_FILE))
    path = head_file(options, context)
    return load_head(path) if path.is_file() else load_checkpoint_head(path.parent)
