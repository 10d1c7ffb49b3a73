"""`unit-hifigan`: fairseq's CodeHiFiGAN, as SpeechGPT and SeamlessM4T speak with it. Sees units, never text.

A unit's embedding, repeated as long as a predictor says, beside those of a language and a speaker -> HiFi-GAN's generator. The
network is transformers' SeamlessM4TCodeHifiGan; a fairseq checkpoint of one language has embeddings of size 0 in their place.
(Polyak et al., arXiv 2104.00355; durations: Lee et al., arXiv 2107.05604.)
"""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Mapping, Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SeamlessM4TCodeHifiGan, SeamlessM4TConfig

from alm.api.cards import VocoderCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import Audio, Prosody, Speaker, Units
from alm.components.encoders.checkpoints import load_pretrained
from alm.components.vocoders.cards import VOCODER_CARD, UnitHifiganOptions, card_of, hifigan_reach, language_row, lengths_reach, saved_content, unit_hifigan_card
from alm.components.vocoders.hifigan import generator_sizes, start_weights, without_weight_norm
from alm.components.vocoders.inputs import check_units, speaker_row, speaker_rows
from alm.components.vocoders.streaming import Stage, StageStream, Tempo


class UnitHifigan:
    """See the module. Immutable once loaded.

    Args:
        language: row of the language.
    """

    def __init__(self, model: SeamlessM4TCodeHifiGan, card: VocoderCard, language: int = 0) -> None:
        self.model, self.card, self.language = model.eval(), card, language

    @torch.inference_mode()
    def synthesize(self, units: Many[Units], speakers: Many[Speaker], prosody: Many[Prosody] = ()) -> list[Audio]:
        """Sound of each clip by itself: the convolutions would hear the padding of a batch."""
        for clip in units:
            check_units(self.card, clip)
        how = prosody or [Prosody()] * len(units)
        return [self.stream(speaker, changed).whole(clip) for clip, speaker, changed in zip(units, speakers, how, strict=True)]

    def stream(self, speaker: Speaker, prosody: Prosody = Prosody()) -> StageStream:
        """Sound of units that come bit by bit.

        Raises:
            UnknownNameError: a speaker that is not on the card.
            AlmError: another pitch.
        """
        prosody.check(self.card)
        row, config = speaker_row(self.card, speaker), self.model.config.to_dict()
        reach, hop = hifigan_reach(config), math.prod(config["upsample_rates"])
        lengths = Stage(self._lengths, *lengths_reach(config)) if self.card.predicts_durations else None
        tempo = [Tempo(prosody.tempo)] if prosody.tempo != 1.0 else []
        return StageStream(self.card, [*tempo, Stage(lambda codes: self._sound(codes, row), reach, reach, hop)], lengths)

    def _lengths(self, codes: Tensor) -> Tensor:
        """Frames that each unit of [F] lasts, [F]."""
        model = self.model
        return model.dur_predictor(model.unit_embedding(codes[None].to(model.device)))[0].expm1().round().long().clamp(min=1).to(codes.device)

    def _sound(self, codes: Tensor, speaker: int) -> Tensor:
        """Units of one frame each, [F] -> [T]."""
        return _sound(self.model, codes[None].to(self.model.device), self.language, torch.tensor([speaker], device=self.model.device))[0]

    def save(self, folder: Path) -> None:
        """A transformers checkpoint folder, with the card beside it."""
        self.model.save_pretrained(folder)
        (folder / VOCODER_CARD).write_text(json.dumps({"card": dataclasses.asdict(self.card)}, indent=1))


def _sound(model: SeamlessM4TCodeHifiGan, codes: Tensor, language: int, speaker: Tensor) -> Tensor:
    """Units of one frame each [B, F], rows of speakers [B] -> [B, T]."""
    config, rows = model.config, [model.unit_embedding(codes)]
    if config.lang_embed_dim:  # embeddings of size 0 are left alone: their gradients break CUDA's kernels
        rows.insert(0, model.language_embedding(torch.full_like(speaker, language))[:, None].expand(-1, codes.shape[1], -1))
    if config.spkr_embed_dim:
        rows.append(model.speaker_embedding(speaker.clamp(max=config.vocoder_num_spkrs - 1))[:, None].expand(-1, codes.shape[1], -1))
    return model.hifi_gan(torch.cat(rows, -1).transpose(1, 2))


class HifiganNet(nn.Module):
    """A CodeHiFiGAN to train, a VocoderNetwork. Its convolutions are weight-normalized until it is saved."""

    hop_samples = 0

    def __init__(self, config: SeamlessM4TConfig, card: VocoderCard) -> None:
        super().__init__()
        self.card = card
        self.model = SeamlessM4TCodeHifiGan(config)
        self.model.train()
        start_weights(self.model.hifi_gan)
        self.model.apply_weight_norm()

    def sound(self, codes: Tensor, speaker: Tensor, pitch_hz: Tensor, recording: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        made = _sound(self.model, codes, 0, speaker)
        return made, {"duration": self._duration_loss(codes)} if self.card.predicts_durations else {}

    def _duration_loss(self, codes: Tensor) -> Tensor:
        """Mean square error of log durations (FastSpeech 2). The first and the last unit of a crop are cut off, so do not count."""
        errors = []
        for row in codes:
            units, lengths = row.unique_consecutive(return_counts=True)
            predicted = self.model.dur_predictor(self.model.unit_embedding(units[None]))[0]
            errors.append((predicted - lengths.float().log1p())[1:-1])
        found = torch.cat(errors)
        return found.square().mean() if len(found) else found.sum()

    def start_from(self, folder: Path) -> None:
        trained = SeamlessM4TCodeHifiGan.from_pretrained(folder, dtype=torch.float32)
        trained.apply_weight_norm()
        state, own = trained.state_dict(), self.model.speaker_embedding.weight.detach()
        if (folder / VOCODER_CARD).is_file() and own.shape[1] == state[SPEAKER_TABLE].shape[1]:
            state[SPEAKER_TABLE] = speaker_rows(own, self.card, state[SPEAKER_TABLE], card_of(saved_content(folder)["card"]))
        self.model.load_state_dict(state)

    def vocoder(self) -> UnitHifigan:
        model = SeamlessM4TCodeHifiGan(self.model.config)
        model.load_state_dict(without_weight_norm(self.model))
        return UnitHifigan(model, self.card)


@dataclass(frozen=True)
class UntrainedUnitHifigan:
    """See alm.api.interfaces.UntrainedVocoder."""

    options: UnitHifiganOptions
    card: VocoderCard

    def network(self, card: VocoderCard, dropout: float) -> HifiganNet:
        """
        Raises:
            AlmError: units that last a number of samples which is no product of small numbers.
        """
        options, hop = self.options, round(card.sample_rate_hz / card.frame_rate_hz)
        speakers = len(card.speakers)
        config = _config(
            units=card.vocabulary_size,
            size=options.embedding_size,
            speakers=speakers if speakers > 1 else 0,
            predicts=options.predict_durations,
            dropout=dropout,
            kernel=3,
            **generator_sizes(options, hop),
            sampling_rate=card.sample_rate_hz,
        )
        reach = hifigan_reach(config.to_dict())
        before, behind = lengths_reach(config.to_dict()) if options.predict_durations else (0, 0)
        return HifiganNet(config, dataclasses.replace(card, streams=True, context_units=reach + before, lookahead_units=reach + behind, controls=("tempo",)))


def load_vocoder(options: UnitHifiganOptions, context: LoadContext) -> UnitHifigan | UntrainedUnitHifigan:
    card = unit_hifigan_card(options, context)
    if not options.weights:
        return UntrainedUnitHifigan(options, card)
    # of a whole SeamlessM4T, the vocoder's weights alone
    model = load_pretrained(options.weights, context, SeamlessM4TCodeHifiGan, {r"^vocoder\.": ""})
    return UnitHifigan(model, card, language_row(options, context))


def _config(*, units: int, size: int, speakers: int, predicts: bool, dropout: float, kernel: int, **sizes: Any) -> SeamlessM4TConfig:
    """A configuration of one language; 0 speakers leaves them out."""
    return SeamlessM4TConfig(
        unit_hifi_gan_vocab_size=units,
        unit_embed_dim=size,
        lang_embed_dim=0,
        spkr_embed_dim=size if speakers else 0,
        vocoder_num_langs=1,
        vocoder_num_spkrs=speakers or 1,
        variance_predictor_kernel_size=kernel,
        var_pred_dropout=dropout,
        architectures=["SeamlessM4TCodeHifiGan"],
        predicts_durations=predicts,
        **sizes,
    )


def from_fairseq(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> SeamlessM4TCodeHifiGan:
    """The network of a fairseq checkpoint.

    Args:
        state: its `generator` state dict, with or without weight normalization.
        config: its JSON configuration.

    Raises:
        AlmError: one that needs the pitch or a speaker vector beside the units, or whose weights do not fit.
    """
    for key, what in (("f0", "the pitch"), ("embedder_params", "a speaker vector")):
        if config.get(key):
            raise AlmError(f"got a CodeHiFiGAN that is given {what} beside the units ({key})", "one of units and a speaker's number", "choose another checkpoint")
    size = config["embedding_dim"]
    durations = config.get("dur_predictor_params")
    if durations and durations["var_pred_hidden_dim"] != size:
        raise AlmError(f"got a duration predictor of size {durations['var_pred_hidden_dim']}", f"{size}, as the unit embedding", "choose another checkpoint")
    made = _config(
        units=config["num_embeddings"],
        size=size,
        speakers=config.get("num_speakers", 200) if config.get("multispkr") else 0,
        predicts=bool(durations),
        dropout=durations["var_pred_dropout"] if durations else 0.0,
        kernel=durations["var_pred_kernel_size"] if durations else 3,
        sampling_rate=config.get("sampling_rate", 16_000),
        **{name: config[name] for name in WANTED[2:]},
    )
    model = SeamlessM4TCodeHifiGan(made)
    beside = {name: value for name, value in model.state_dict().items() if not value.numel() or (not durations and name.startswith("dur_predictor."))}
    try:
        model.load_state_dict({**beside, **_renamed(state)})
    except RuntimeError as error:
        raise AlmError(f"got weights that do not fit ({' '.join(str(error).split())[:200]})", "a CodeHiFiGAN of the given configuration", "check both files") from error
    return model.eval()


SPEAKER_TABLE = "speaker_embedding.weight"
WANTED = ("num_embeddings", "embedding_dim", "upsample_initial_channel", "upsample_rates", "upsample_kernel_sizes")
WANTED += ("resblock_kernel_sizes", "resblock_dilation_sizes")
RENAMED = {"dict.": "unit_embedding.", "spkr.": "speaker_embedding.", "ups.": "hifi_gan.upsampler.", "dur_predictor.conv1.0.": "dur_predictor.conv1."}
RENAMED |= {"dur_predictor.conv2.0.": "dur_predictor.conv2.", **{f"{name}": f"hifi_gan.{name}" for name in ("conv_pre.", "conv_post.", "resblocks.")}}


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fairseq's names -> those of transformers; normalized weights multiplied out."""
    renamed = {}
    for name, value in state.items():
        found = next((old for old in RENAMED if name.startswith(old)), "")
        target = RENAMED.get(found, "") + name.removeprefix(found)
        for gain, direction in (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")):
            if target.endswith(direction):
                stem = name.removesuffix(direction)
                value = torch._weight_norm(value, state[stem + gain], 0)
                target = target.removesuffix(direction) + "weight"
        if not name.endswith(("weight_g", "original0")):
            renamed[target] = value.float()
    return renamed


def read_fairseq(checkpoint: Path, config: Path) -> SeamlessM4TCodeHifiGan:
    """The network of a fairseq checkpoint, of which nothing but tensors is unpickled.

    Args:
        config: the JSON file beside it.

    Raises:
        AlmError: files that are no such checkpoint, or that need more than tensors to load; as from_fairseq.
    """
    try:
        content, sizes = torch.load(checkpoint, map_location="cpu", weights_only=True), json.loads(config.read_text())
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise AlmError(f"got {checkpoint} and {config}, which do not load ({' '.join(str(error).split())[:160]})", "a fairseq vocoder", "check the files") from error
    if not isinstance(content, dict) or not isinstance(content.get("generator"), dict):
        raise AlmError(f"got {checkpoint} without `generator`", "the state of a fairseq CodeHiFiGAN", "check the file")
    missing = [name for name in WANTED if name not in sizes]
    if missing:
        raise AlmError(f"got {config} without {', '.join(missing)}", "the configuration of a fairseq CodeHiFiGAN", "check the file")
    return from_fairseq(content["generator"], sizes)
