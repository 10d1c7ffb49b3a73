"""Whisper's encoder as an alm Encoder: layers up to the one that is asked for, any clip length, batch-invariant.

transformers' WhisperModel wants 30 s of mel for every clip; here a clip costs what it is long. Frames behind a clip's
end are zeroed before each convolution and masked in attention, so a padded batch gives what single clips give. Clips
over 30 s are encoded in windows of 30 s: nothing is cut off in silence. (Whisper: arXiv 2212.04356.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Many
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as HfWhisperEncoder

from alm.api.batching import batches_by_length, pad_frames
from alm.api.cards import EncoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Features
from alm.components.encoders import ctranslate2
from alm.components.encoders.cards import ADAPTER_FILE, CTC_FILE, WhisperOptions, adapter_file, encoder_card, uses_head
from alm.components.nets import Adapter, CtcHead, merge_by_ctc

HOP_SAMPLES = 160
WINDOW_FRAMES = 1500  # 30 s
BATCH_FRAMES = 6000


class WhisperEncoder:
    """See the module. Immutable once loaded.

    Args:
        bare_card: the card of the same encoder without adapter.
        head: the adapter's CTC head, where frames are to be merged by it.
    """

    def __init__(
        self, network: HfWhisperEncoder, options: WhisperOptions, card: EncoderCard, bare_card: EncoderCard, adapter: Adapter | None = None, head: CtcHead | None = None
    ) -> None:
        self.network, self.options, self.card, self.bare_card, self.adapter, self.head = network.eval(), options, card, bare_card, adapter, head
        self._mel = WhisperFeatureExtractor(feature_size=network.config.num_mel_bins)

    @cached_property
    def _filters(self) -> Tensor:
        return torch.from_numpy(self._mel.mel_filters).float()  # [201, M]

    def log_mel(self, audio: Audio) -> Tensor:
        """One clip -> Whisper's normalized log-mel frames at 100 Hz, [M, N]."""
        spectrum = torch.stft(audio.samples[0], 400, HOP_SAMPLES, window=torch.hann_window(400), return_complex=True)
        mel = self._filters.T @ spectrum[:, :-1].abs().square()
        log = mel.clamp(min=1e-10).log10()
        return (log.maximum(log.max() - 8.0) + 4.0) / 4.0

    @torch.inference_mode()
    def encode(self, audio: Many[Audio]) -> list[Features]:
        """Features of each clip, [F, D] at the card's rate."""
        windows: list[Tensor] = []
        owners: list[int] = []
        for index, clip in enumerate(audio):
            check_audio(clip, self.card.sample_rate_hz, "encoder 'whisper'", 2 * HOP_SAMPLES * self.options.stride)
            mel = self.log_mel(clip)
            mel = mel[:, : mel.shape[1] // 2 * 2]
            for window in mel.T.split(2 * WINDOW_FRAMES):
                windows.append(window)
                owners.append(index)
        results: list[list[Tensor]] = [[] for _ in audio]
        outputs: list[Tensor | None] = [None] * len(windows)
        for group in batches_by_length([len(w) for w in windows], 2 * BATCH_FRAMES):
            for index, frames in zip(group, self._forward([windows[i] for i in group]), strict=True):
                outputs[index] = frames
        for owner, frames in zip(owners, outputs, strict=True):
            assert frames is not None
            results[owner].append(frames)
        return [Features(self._finish(torch.cat(frames)), self.card.frame_rate_hz, self.card.fingerprint, self.card.frames_per_slot) for frames in results]

    def _forward(self, windows: list[Tensor]) -> list[Tensor]:
        """Mel windows [N_i, M] -> joined layer outputs [N_i / 2, D]."""
        mel, mel_mask = pad_frames(windows)
        hidden = F.gelu(self.network.conv1(mel.transpose(1, 2))) * mel_mask[:, None]
        hidden = F.gelu(self.network.conv2(hidden)).transpose(1, 2)
        mask = mel_mask[:, ::2]
        hidden = hidden + self.network.embed_positions.weight[: hidden.shape[1]]
        attention = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))[:, None, None, :]
        attention = attention.expand(-1, 1, hidden.shape[1], -1)
        taken = []
        for number, layer in enumerate(self.network.layers[: max(self.options.layers)], start=1):
            output = layer(hidden, attention)
            hidden = output[0] if isinstance(output, tuple) else output
            if number in self.options.layers:
                last = number == len(self.network.layers)
                taken.append(self.network.layer_norm(hidden) if last else hidden)
        joined = torch.cat(taken, dim=-1)
        return [frames[: int(count)] for frames, count in zip(joined, mask.sum(1), strict=True)]

    def _finish(self, frames: Tensor) -> Tensor:
        """Averages `stride` frames into one, applies the adapter and merges by its head. [F, D] -> [F', D']"""
        stride = self.options.stride
        frames = frames[: len(frames) // stride * stride].unflatten(0, (-1, stride)).mean(1)
        if self.adapter is None:
            return frames
        output = self.adapter(frames[None], torch.ones(1, len(frames), dtype=torch.bool))
        if self.head is None:
            return output[0]
        log_probs = self.head(output)[0]
        result = log_probs.exp() if self.options.output == "posteriors" else output[0]
        return merge_by_ctc(result, log_probs) if self.options.merge else result

    def build_projector(self, hidden_size: int) -> nn.Module:
        from alm.components.encoders.projectors import build_projector

        return build_projector(self.options.projector, self.card.feature_size, hidden_size, self.options.stack, self.head.labels if self.head else ())

    def without_adapter(self) -> WhisperEncoder:
        """The same encoder giving its own features: what the adapter is trained on."""
        return WhisperEncoder(self.network, self.options, self.bare_card, self.bare_card) if self.adapter else self


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


def load_encoder(options: WhisperOptions, context: LoadContext) -> WhisperEncoder:
    network = load_network(options.weights, context)
    adapter = load_adapter(options, context) if options.adapter else None
    head = load_head(adapter_file(options, context, CTC_FILE)) if uses_head(options) else None
    if head is not None and head.outputs_per_frame != 1:
        raise AlmError(f"got an adapter of {head.outputs_per_frame} labels a frame", "one of one label a frame", "train an adapter with stride: 1")
    bare_card = encoder_card(WhisperOptions(options.weights, options.layers, options.stride), context)
    return WhisperEncoder(network, options, encoder_card(options, context), bare_card, adapter, head)


def load_network(weights: str, context: LoadContext) -> HfWhisperEncoder:
    """The encoder of a Whisper checkpoint: transformers safetensors or CTranslate2."""
    folders = context.folders(weights)
    parts = sorted(path for folder in folders for path in folder.rglob("model.bin*"))
    if parts:
        state = ctranslate2.whisper_state_dict(ctranslate2.read_variables(parts), sides=("encoder",))
        network = HfWhisperEncoder(whisper_config(state))
        network.load_state_dict({name.removeprefix("model.encoder."): value for name, value in state.items()})
    else:
        from transformers import WhisperModel

        network = WhisperModel.from_pretrained(folders[0]).encoder
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def whisper_config(state: dict[str, Tensor]) -> WhisperConfig:
    """Sizes read off the weights, which may be the encoder's alone; Whisper's heads are 64 wide."""
    width = state["model.encoder.conv1.weight"].shape[0]
    sizes = {} if "model.decoder.embed_tokens.weight" not in state else {"vocab_size": state["model.decoder.embed_tokens.weight"].shape[0]}

    def layers(side: str) -> int:
        return len({name.split(".")[3] for name in state if name.startswith(f"model.{side}.layers.")})

    return WhisperConfig(
        **sizes,
        d_model=width,
        num_mel_bins=state["model.encoder.conv1.weight"].shape[1],
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=width // 64,
        decoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
    )


def load_adapter(options: WhisperOptions, context: LoadContext) -> Adapter:
    """A trained adapter, sized by its own weights."""
    state = load_file(adapter_file(options, context))
    adapter = Adapter(state["mean"].numel(), state["enter.weight"].shape[0], state["leave.weight"].shape[0], len({k.split(".")[1] for k in state if k.startswith("blocks.")}))
    adapter.load_state_dict(state)
    for parameter in adapter.parameters():
        parameter.requires_grad_(False)
    return adapter.eval()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Weights as float16, the statistics of its input as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    buffers = {name for name, _ in adapter.named_buffers()}
    state = {name: (value if name in buffers else value.half()).detach().cpu().contiguous() for name, value in adapter.state_dict().items()}
    save_file(state, folder / ADAPTER_FILE)


def save_head(head: CtcHead, path: Path) -> None:
    """Weights, with labels and outputs a frame in the file's metadata."""
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(state, path, {"labels": json.dumps(head.labels, ensure_ascii=False), "outputs_per_frame": str(head.outputs_per_frame)})


def load_head(path: Path) -> CtcHead:
    with safe_open(path, "pt") as file:
        described = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    outputs = int(described["outputs_per_frame"])
    head = CtcHead(state["scores.weight"].shape[1], json.loads(described["labels"]), outputs)
    head.load_state_dict(state)
    for parameter in head.parameters():
        parameter.requires_grad_(False)
    return head.eval()
