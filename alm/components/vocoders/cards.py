"""Options and cards of the vocoders. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.cards import VocoderCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.interfaces import LoadContext
from alm.components.tokenizers.cards import codebook_content, units_fingerprint

VOCODER_FILE = "vocoder.safetensors"
VOCODER_CARD = "vocoder.json"


@dataclass(frozen=True)
class UnitVocosOptions:
    """Attributes:
    weights: weight source of a trained vocoder, or "" before training.
    vocabulary_size, frame_rate_hz: of the units; 0 takes the tokenizer's when it is trained.
    hidden_size, blocks: of the ConvNeXt network.
    hop_samples, fft_samples: of the iSTFT head.
    voice_source: predict the pitch, and shape a source of that pitch, whose harmonics and phases the head then need not
        make up (neural source-filter, arXiv 1904.12088). Training takes the pitch from the recordings.
    """

    weights: str = ""
    vocabulary_size: int = 0
    frame_rate_hz: float = 0.0
    sample_rate_hz: int = 16_000
    hidden_size: int = 320
    blocks: int = 8
    hop_samples: int = 160
    fft_samples: int = 640
    voice_source: bool = False


@dataclass(frozen=True)
class UnitHifiganOptions:
    """Attributes:
    weights: weight source of a transformers SeamlessM4TCodeHifiGan, of a whole SeamlessM4T, or of what `alm convert-vocoder` made of
        a fairseq checkpoint.
    codebook: weight source of the codebook whose units it speaks; a checkpoint does not say.
    language: one of those that a multilingual checkpoint names, such as "eng"; "" takes the first.
    """

    weights: str = ""
    codebook: str = ""
    language: str = ""


@dataclass(frozen=True)
class GriffinLimOptions:
    """Attributes:
    weights: weight source of a trained unit-vocos whose mel head gives the spectrogram.
    iterations: of the phase search.
    """

    weights: str = ""
    iterations: int = 32


def unit_vocos_card(options: UnitVocosOptions, context: LoadContext) -> VocoderCard:
    if options.weights:
        folder = context.folders(options.weights)[0]
        saved = saved_content(folder)
        trained = saved["options"]
        for name, value in dataclasses.asdict(options).items():
            if name in trained and name != "weights" and value not in (getattr(UnitVocosOptions, name), trained[name]):
                raise AlmError(f"got {name} {value} for the vocoder in {folder}", f"{trained[name]}, with which it was trained", f"remove {name}, or train a vocoder with it")
        return _card_of(saved)
    return VocoderCard(options.sample_rate_hz, options.frame_rate_hz, options.vocabulary_size, trainable=("vocoder",), source="arXiv 2306.00814")


def unit_hifigan_card(options: UnitHifiganOptions, context: LoadContext) -> VocoderCard:
    if not options.weights:
        raise AlmError("got vocoder 'unit-hifigan' without weights", "a CodeHiFiGAN", "set `weights: hf:ORG/NAME@REVISION` or `weights: dir:PATH`")
    config = hifigan_config(options, context)
    predicts = bool(config.get("predicts_durations", True))
    fingerprint = codebook_content(options.codebook, context)["fingerprint"] if options.codebook else ""
    speakers = config.get("vocoder_num_spkrs", 200)
    return VocoderCard(
        sample_rate_hz=config.get("sampling_rate", 16_000),
        frame_rate_hz=config.get("sampling_rate", 16_000) / math.prod(config.get("upsample_rates", (5, 4, 4, 2, 2))),
        vocabulary_size=config.get("unit_hifi_gan_vocab_size", 10_000),
        units_fingerprint=units_fingerprint(fingerprint, merged=predicts),
        speakers=tuple(map(str, range(speakers))) if config.get("spkr_embed_dim", 256) else (),
        predicts_durations=predicts,
        source="arXiv 2104.00355",
    )


def hifigan_config(options: UnitHifiganOptions, context: LoadContext) -> dict[str, Any]:
    """config.json of a CodeHiFiGAN.

    Raises:
        AlmError: a folder without it, or another model.
    """
    folder = context.folders(options.weights)[0]
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.is_file() else {}
    if config.get("model_type") != "seamless_m4t":
        raise AlmError(
            f"got weights {options.weights!r} of model type {config.get('model_type', '(no config.json)')!r} for 'unit-hifigan'",
            "a checkpoint of transformers' SeamlessM4TCodeHifiGan",
            "turn a fairseq checkpoint into one with `alm convert-vocoder`",
        )
    return config


def language_row(options: UnitHifiganOptions, context: LoadContext) -> int:
    """The row of a language, by the codes that the checkpoint's generation_config.json names.

    Raises:
        UnknownNameError: another language.
    """
    path = context.folders(options.weights)[0] / "generation_config.json"
    rows = json.loads(path.read_text()).get("vocoder_lang_code_to_id", {}) if path.is_file() else {}
    if options.language and options.language not in rows:
        raise UnknownNameError(f"got language {options.language!r}", "a language of the vocoder", f"one of: {', '.join(rows)}" if rows else "leave it out: it names none")
    return rows.get(options.language, 0)


def griffin_lim_card(options: GriffinLimOptions, context: LoadContext) -> VocoderCard:
    if not options.weights:
        raise AlmError("got vocoder 'griffin-lim' without weights", "a trained unit-vocos, whose spectrogram it inverts", "set `weights: dir:...`")
    return saved_card(context.folders(options.weights)[0])


def saved_card(folder: Path) -> VocoderCard:
    """The card of a trained vocoder.

    Raises:
        AlmError: no trained vocoder in the folder.
    """
    return _card_of(saved_content(folder))


def saved_content(folder: Path) -> dict[str, Any]:
    """`card` and `options` of a trained vocoder, from its JSON file.

    Raises:
        AlmError: no trained vocoder in the folder.
    """
    path = folder / VOCODER_CARD
    if not path.exists():
        raise AlmError(f"got {folder}, which has no {VOCODER_CARD}", "a folder with a trained vocoder", "train it with a recipe of objective vocoder")
    return json.loads(path.read_text())


def _card_of(saved: dict[str, Any]) -> VocoderCard:
    card = saved["card"]
    return VocoderCard(**{**card, "speakers": tuple(card["speakers"]), "trainable": tuple(card["trainable"])})
