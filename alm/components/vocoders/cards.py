"""Options and cards of the vocoders. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from alm.api.cards import VocoderCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.interfaces import LoadContext
from alm.components.tokenizers.cards import codebook_content, units_fingerprint

VOCODER_FILE = "vocoder.safetensors"
VOCODER_CARD = "vocoder.json"
HIFIGAN_SOURCE = "arXiv 2104.00355"
MEL_SOURCE = "arXiv 2010.05646"
KERNEL = 7  # frames that a block of unit-vocos sees
HIFIGAN_BLOCKS, HIFIGAN_DILATIONS = (3, 7, 11), (1, 3, 5)  # HiFi-GAN V1


class Stacks:
    """The blocks of unit-vocos and unit-mel, in two stacks."""

    blocks: int
    causal: bool

    @property
    def context_blocks(self) -> int:
        """Of the blocks, those at the units' rate."""
        return self.blocks // 2

    @property
    def detail_blocks(self) -> int:
        """Those at the rate of frames."""
        return self.blocks - self.context_blocks

    @property
    def context_reach(self) -> tuple[int, int]:
        """Units before and behind one that the blocks at the units' rate see."""
        return self._reach(self.context_blocks)

    @property
    def detail_reach(self) -> tuple[int, int]:
        """Frames before and behind one that the other blocks see."""
        return self._reach(self.detail_blocks)

    @property
    def block_reach(self) -> tuple[int, int]:
        """Frames before and behind one that a block sees."""
        return (KERNEL - 1, 0) if self.causal else (KERNEL // 2, KERNEL // 2)

    def _reach(self, blocks: int) -> tuple[int, int]:
        before, behind = self.block_reach
        return blocks * before, blocks * behind


@dataclass(frozen=True)
class UnitVocosOptions(Stacks):
    """Attributes:
    weights: weight source of a trained vocoder, or "" before training.
    vocabulary_size, frame_rate_hz: of the units; 0 takes the tokenizer's when it is trained.
    hidden_size, blocks: of the ConvNeXt network.
    hop_samples, fft_samples: of the iSTFT head.
    voice_source: predict the pitch, and shape a source of that pitch, whose harmonics and phases the head then need not
        make up (neural source-filter, arXiv 1904.12088). Training takes the pitch from the recordings.
    causal: blocks look back alone, for streaming: what is heard then waits for some 50 ms of units to come in place of half a
        second and more.
    voice_prompt: know a speaker by a vector of the speaker encoder (package Resemblyzer) in place of a row of a table, so that a
        recording of about three seconds may stand for a name. With few speakers to learn from, a new voice comes out as one between
        them.
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
    causal: bool = False
    voice_prompt: bool = False

    @property
    def frames_per_unit(self) -> int:
        return round(self.sample_rate_hz / self.hop_samples / self.frame_rate_hz)

    @property
    def window_reach(self) -> int:
        """Frames on either side that the window of the Fourier transform touches."""
        return -(-self.fft_samples // (2 * self.hop_samples))

    def reach_units(self) -> tuple[int, int]:
        """Units before and behind one that its sound depends on."""
        before, behind = (part + self.window_reach for part in self.detail_reach)
        if self.voice_source:
            before, behind = before + self.window_reach, behind + self.window_reach + 1
        units = [-(-frames // self.frames_per_unit) for frames in (before, behind)]
        return self.context_reach[0] + units[0], self.context_reach[1] + units[1]


@dataclass(frozen=True)
class GeneratorSizes:
    """Of HiFi-GAN's generator, where one is trained.

    Attributes:
        channels: of its input, halved with each step towards the sample rate: 512 in HiFi-GAN V1, 128 in V2.
        upsample_rates: those steps in their order; () takes the largest first, as HiFi-GAN does for a spectrogram. Units say less of a
            sound and come at a lower rate: with the smallest first, more layers and channels work at low rates, where they cost little.
        resblock_kernel_sizes, resblock_dilations: of the convolutions between; those of V1 and V2 by default.
    """

    channels: int = 256
    upsample_rates: tuple[int, ...] = ()
    resblock_kernel_sizes: tuple[int, ...] = HIFIGAN_BLOCKS
    resblock_dilations: tuple[int, ...] = HIFIGAN_DILATIONS


@dataclass(frozen=True)
class UnitHifiganOptions(GeneratorSizes):
    """As GeneratorSizes, and:

    Attributes:
        weights: weight source of a transformers SeamlessM4TCodeHifiGan, of a whole SeamlessM4T, or of what `alm convert-vocoder` made of
            a fairseq checkpoint.
        codebook: weight source of the codebook whose units it speaks; a checkpoint does not say.
        language: one of those that a multilingual checkpoint names, such as "eng"; "" takes the first.
        predict_durations: train a predictor of how long a unit lasts, for a tokenizer that merges repeats.
        vocabulary_size, frame_rate_hz: of the units; 0 takes the tokenizer's when it is trained.
        embedding_size: of units and speakers, in training.
    """

    weights: str = ""
    codebook: str = ""
    language: str = ""
    predict_durations: bool = False
    vocabulary_size: int = 0
    frame_rate_hz: float = 0.0
    sample_rate_hz: int = 16_000
    embedding_size: int = 128


@dataclass(frozen=True)
class UnitMelOptions(GeneratorSizes, Stacks):
    """As GeneratorSizes, and:

    Attributes:
        weights: weight source of a trained one, or "" before training.
        hifigan: weight source of a published transformers SpeechT5HifiGan to go on training with; "" makes a generator of `channels`.
        griffin_lim: seek the phases of the spectrogram in place of HiFi-GAN; of a trained one.
        vocabulary_size, frame_rate_hz: of the units; 0 takes the tokenizer's when it is trained.
        hidden_size, blocks, causal: of the network that makes the spectrogram, as in unit-vocos.
        hop_samples, fft_samples: of the spectrogram; SpeechT5's are 256 and 1024.
    """

    weights: str = ""
    hifigan: str = ""
    griffin_lim: bool = False
    vocabulary_size: int = 0
    frame_rate_hz: float = 0.0
    sample_rate_hz: int = 16_000
    hidden_size: int = 256
    blocks: int = 8
    causal: bool = False
    hop_samples: int = 256
    fft_samples: int = 1024
    voice_prompt: ClassVar[bool] = False

    @property
    def _frames(self) -> float:
        """Of the spectrogram, for each unit."""
        return self.sample_rate_hz / self.hop_samples / self.frame_rate_hz

    @property
    def frames_per_unit(self) -> int:
        """Frames that the network makes of a unit: a whole number, of which the spectrogram's are interpolated."""
        return math.ceil(self._frames - 1e-6)

    @property
    def resampling(self) -> float:
        """Frames of the network for each of the spectrogram."""
        return self.frames_per_unit / self._frames


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
    card = VocoderCard(options.sample_rate_hz, options.frame_rate_hz, options.vocabulary_size, trainable=("vocoder",), source="arXiv 2306.00814")
    return reaching(card, options) if options.frame_rate_hz else card


def unit_mel_card(options: UnitMelOptions, context: LoadContext) -> VocoderCard:
    """
    Raises:
        AlmError: Griffin-Lim before training.
    """
    if options.weights:
        card = card_of(saved_content(context.folders(options.weights)[0])["card"])
        return dataclasses.replace(card, streams=False, context_units=0, lookahead_units=0) if options.griffin_lim else card
    if options.griffin_lim:
        raise AlmError("got vocoder 'unit-mel' with `griffin_lim` and without weights", "a trained one", "train it first, then set `weights: run:...`")
    return VocoderCard(options.sample_rate_hz, options.frame_rate_hz, options.vocabulary_size, trainable=("vocoder",), source=MEL_SOURCE)


def unit_mel_reaching(card: VocoderCard, options: UnitMelOptions, hifigan: dict[str, Any]) -> VocoderCard:
    """The card with how far it listens.

    Raises:
        AlmError: a generator that makes other than a hop of a frame.
    """
    hop = math.prod(hifigan["upsample_rates"])
    if hop != options.hop_samples or hifigan["sampling_rate"] != card.sample_rate_hz:
        raise AlmError(
            f"got a SpeechT5HifiGan of {hop} samples a frame at {hifigan['sampling_rate']} Hz",
            f"{options.hop_samples} at {card.sample_rate_hz}",
            f"set `hop_samples: {hop}` and `sample_rate_hz: {hifigan['sampling_rate']}`",
        )
    reach, (before, behind) = hifigan_reach(hifigan), options.detail_reach
    units = [-(-math.ceil((frames + 1) * options.resampling + 1) // options.frames_per_unit) for frames in (reach + before, reach + behind)]
    context = options.context_reach
    return dataclasses.replace(card, streams=True, context_units=context[0] + units[0], lookahead_units=context[1] + units[1], controls=("tempo",))


def unit_hifigan_card(options: UnitHifiganOptions, context: LoadContext) -> VocoderCard:
    if not options.weights:
        trained = {"trainable": ("vocoder",), "predicts_durations": options.predict_durations, "source": HIFIGAN_SOURCE}
        return VocoderCard(options.sample_rate_hz, options.frame_rate_hz, options.vocabulary_size, **trained)
    folder = context.folders(options.weights)[0]
    if (folder / VOCODER_CARD).is_file():  # of one that was trained here
        return card_of(json.loads((folder / VOCODER_CARD).read_text())["card"])
    config = hifigan_config(options, context)
    predicts = bool(config.get("predicts_durations", True))
    fingerprint = codebook_content(options.codebook, context)["fingerprint"] if options.codebook else ""
    speakers = config.get("vocoder_num_spkrs", 200)
    reach, lengths = hifigan_reach(config), lengths_reach(config) if predicts else (0, 0)
    return VocoderCard(
        sample_rate_hz=config.get("sampling_rate", 16_000),
        frame_rate_hz=config.get("sampling_rate", 16_000) / math.prod(config.get("upsample_rates", (5, 4, 4, 2, 2))),
        vocabulary_size=config.get("unit_hifi_gan_vocab_size", 10_000),
        units_fingerprint=units_fingerprint(fingerprint, merged=predicts),
        speakers=tuple(map(str, range(speakers))) if config.get("spkr_embed_dim", 256) else (),
        predicts_durations=predicts,
        controls=("tempo",),
        streams=True,
        context_units=reach + lengths[0],
        lookahead_units=reach + lengths[1],
        source=HIFIGAN_SOURCE,
    )


def hifigan_reach(config: dict[str, Any]) -> int:
    """Frames before and behind one that HiFi-GAN's generator hears, at most: reckoned from the waveform back to its input."""
    kernels, dilations = config.get("resblock_kernel_sizes", HIFIGAN_BLOCKS), config.get("resblock_dilation_sizes", (HIFIGAN_DILATIONS,) * 3)
    block = max(sum((kernel - 1) * (d + 1) // 2 for d in some) for kernel, some in zip(kernels, dilations, strict=False))
    rates, widths = config.get("upsample_rates", (5, 4, 4, 2, 2)), config.get("upsample_kernel_sizes", (11, 8, 8, 4, 4))
    reach = 3  # of the last convolution
    for rate, kernel in reversed(list(zip(rates, widths, strict=False))):
        reach = -(-(reach + block + kernel) // rate)
    return reach + 3


def lengths_reach(config: dict[str, Any]) -> tuple[int, int]:
    """Units before and behind one that the predictor of its length sees."""
    kernel = config.get("variance_predictor_kernel_size", 3)
    return (kernel - 1) // 2 + 1, (kernel - 1) // 2 + kernel - 2


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
    card = saved_card(context.folders(options.weights)[0])
    return dataclasses.replace(card, streams=False, context_units=0, lookahead_units=0, controls=())  # its phases are sought over the whole clip


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
    known = {field.name for field in dataclasses.fields(UnitVocosOptions)}
    options = UnitVocosOptions(**{name: value for name, value in saved["options"].items() if name in known})
    card = card_of(saved["card"])
    return reaching(card, options) if options.frame_rate_hz else card


def card_of(saved: dict[str, Any]) -> VocoderCard:
    """A card from its JSON form."""
    return VocoderCard(**{name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()})


def reaching(card: VocoderCard, options: UnitVocosOptions) -> VocoderCard:
    """The card with how far a unit-vocos of these options listens."""
    context, lookahead = options.reach_units()
    controls = ("tempo", "pitch") if options.voice_source else ("tempo",)
    return dataclasses.replace(card, streams=True, context_units=context, lookahead_units=lookahead, controls=controls, voice_prompt=options.voice_prompt)
