"""Cards: what a component promises, readable before any weight is loaded. Plain data; imports neither torch nor core.

`alm check` proves from cards alone that the parts of a recipe fit. Behaviour never branches on a component's name; it
asks the card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from alm.api.errors import AlmError

Modality = str  # "text", "audio", "marks", or another that a plugin's encoder reads, such as "image"


@dataclass(frozen=True)
class TokenizerCard:
    """Audio -> Units.

    Attributes:
        sample_rate_hz: the rate `encode` wants.
        frame_rate_hz: units per second and codebook, before repeats are merged.
        vocabulary_size: codes per codebook; every code is in [0, vocabulary_size).
        codebooks: K in Units.codes [K, F].
        merges_repeats: True if Units carry durations [F].
        needs_padding_mask: True if a padded batch equals single clips only because of a mask.
        fingerprint: identifies the codebook; "" before it is trained. Caches, vocabularies and vocoders match by it.
        trainable: names of the objectives of alm.train that train this tokenizer.
        licence: SPDX id of the weights, or "".
        source: paper or address of what is implemented.
    """

    sample_rate_hz: int
    frame_rate_hz: float
    vocabulary_size: int
    codebooks: int = 1
    merges_repeats: bool = False
    needs_padding_mask: bool = False
    fingerprint: str = ""
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class EncoderCard:
    """What is perceived -> Features -> slots in the backbone's input.

    Attributes:
        sample_rate_hz: the rate `encode` wants; 0 of what has none.
        frame_rate_hz: frames per second that `encode` returns; at most, where it merges some; 0 of what does not last.
        merges_frames: how many frames a clip has depends on what is said in it.
        feature_size: D in Features.values [F, D].
        frames_per_slot: frames that the projector joins into one position of the backbone's input.
        extra_slots: positions that the projector adds to a clip, such as a learned begin and end.
        fingerprint: identifies the weights; caches match by it.
        posteriors: its features are probabilities of labels, blank first; it then has `labels`, their names.
        refines: fingerprint of features that its method `refine` makes its own of, so that what is cached of them need not be heard again;
            "" of an encoder that has none.
        text_labels: pieces of the backbone's text tokenizer whose rows the projector mixes; 0 where it mixes none.
        projects: its projector is trained already, for the backbone beside which it was published.
        reads: the modality of what it is given.
    """

    sample_rate_hz: int
    frame_rate_hz: float
    feature_size: int
    frames_per_slot: int = 1
    needs_padding_mask: bool = False
    fingerprint: str = ""
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    merges_frames: bool = False
    text_labels: int = 0
    extra_slots: int = 0
    projects: bool = False
    reads: Modality = "audio"
    refines: str = ""
    posteriors: bool = False


@dataclass(frozen=True)
class BackboneCard:
    """Ids and embeddings -> hidden states -> scores over the joint vocabulary.

    Attributes:
        hidden_size: D of the input embeddings.
        max_positions: longest sequence.
        tied: True if the output rows are the input embedding's rows.
        pretrained: False for random weights.
        text_size: pieces of its text tokenizer; 0 where the card cannot tell.
        starts: options that say where training starts and no more: a checkpoint that holds all weights leaves them out.
    """

    hidden_size: int
    max_positions: int
    tied: bool = True
    pretrained: bool = False
    licence: str = ""
    source: str = ""
    text_size: int = 0
    starts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptFormatCard:
    """Turns <-> Sequence.

    Attributes:
        tags: every tag that the format may write; a recipe that asks for another one is refused. Empty for a format in
            plain text, which writes the tag of any registered task.
        tag_pattern: what a tag looks like in such a format, a regular expression.
        inputs, outputs: modalities that it can carry.
        languages: ISO 639-1 codes that it has names for; empty for a format that names none.
        added_tags: what it writes as ids of its own, in the order in which the vocabulary grows by them after the units.
        unit_token: how a text tokenizer that was extended for it names a unit, such as "<{}>".
        weaves: it can write an answer's text and speech by turns or side by side (alm.api.layouts).
        combines: it can ask for several tasks, and several results, at once.
        converses: it can write many turns over many recordings.
        asks_in_words: it writes a task's instruction and no tags, so that a task without one must be a dialogue.
        times: those of the added tags that stand for a time, and which, in s.
    """

    tags: tuple[str, ...] = ()
    tag_pattern: str = ".+"
    inputs: tuple[Modality, ...] = ("text", "audio")
    outputs: tuple[Modality, ...] = ("text", "marks", "audio")
    languages: tuple[str, ...] = ()
    source: str = ""
    added_tags: tuple[str, ...] = ()
    unit_token: str = ""
    asks_in_words: bool = False
    weaves: bool = False
    combines: bool = True
    converses: bool = False
    times: tuple[tuple[str, float], ...] = ()

    def accepts_tag(self, tag: str) -> bool:
        return tag in self.tags if self.tags else re.fullmatch(self.tag_pattern, tag) is not None


Pairing = Literal["translation", "rendering", "edit", "reply"]
PIECE = re.compile(r"(source|target)\.(text|audio(\.(head|tail))?|other|label\.[a-z_]+|marks\.[a-z_]+|media\.[a-z_]+)")


class Piece(str):
    """What of an utterance a task gives or wants: SIDE.KIND.

    SIDE is "source" or "target", the utterance that it is paired with. KIND is "text", "audio", "audio.head" or "audio.tail" (of its units),
    "other" (the second recording that it is about), "label.NAME" or "marks.NAME" (of what is known of it), or "media.MODALITY" (what else is
    perceived: "media.image").
    """

    def __new__(cls, value: str) -> Piece:
        if not PIECE.fullmatch(value):
            raise AlmError(
                f"got piece {value!r}",
                "source or target, and text, audio, audio.head, audio.tail, other, label.NAME, marks.NAME or media.MODALITY",
                "write for instance source.label.emotion",
            )
        return super().__new__(cls, value)

    @property
    def side(self) -> str:
        return self.split(".")[0]

    @property
    def kind(self) -> str:
        return self.split(".")[1]

    @property
    def detail(self) -> str:
        """The half of the units, the label's name, or the modality of media; "" for others."""
        return self.split(".", 2)[2] if self.count(".") > 1 else ""

    @property
    def modality(self) -> Modality:
        if self.kind == "media":
            return self.detail
        return "audio" if self.kind in ("audio", "other") else "marks" if self.kind == "marks" else "text"


@dataclass(frozen=True)
class TaskCard:
    """One task as data: what goes in, what comes out, how it is tagged and scored.

    Attributes:
        tag: the name that a prompt format writes for it ("ASR").
        inputs: the pieces that the model is given, in this order, as strings or as Piece; none for one that models text or speech as it is.
        outputs: the pieces that the model emits, in this order.
        metrics: names of registered metrics, by which `alm eval` scores the last output.
        instructions: ways to ask for it in words, for formats that write no tags; `{source}` and `{target}` stand for languages.
        pairing: which utterance of the same group "target" is: one in another language ("translation"), the same by another speaker
            ("rendering"), an edited one (its label `edit_of` is the source's id), or one that replies (`reply_to`).
    """

    tag: str
    inputs: tuple[Piece, ...]
    outputs: tuple[Piece, ...]
    metrics: tuple[str, ...] = ()
    description: str = ""
    instructions: tuple[str, ...] = ()
    pairing: Pairing = "translation"

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            pieces = getattr(self, name)
            if isinstance(pieces, str) or (name == "outputs" and not pieces):
                raise AlmError(f"task {self.tag!r}: got {name} {pieces!r}", "a tuple of pieces, one output or more", f'write {name}=("source.audio",)')
            object.__setattr__(self, name, tuple(map(Piece, pieces)))

    @property
    def needs_target(self) -> bool:
        """True if the task needs a second utterance."""
        return any(piece.side == "target" for piece in (*self.inputs, *self.outputs))

    @property
    def translates(self) -> bool:
        """True if that is one in another language."""
        return self.needs_target and self.pairing == "translation"

    @property
    def hears(self) -> bool:
        """True if it is given sound, rather than units to go on with."""
        return any(piece.modality == "audio" and not piece.detail for piece in self.inputs)

    @property
    def continues(self) -> bool:
        """True if it is given the head of some units."""
        return any(piece.detail == "head" for piece in self.inputs)

    @property
    def reads(self) -> Modality | None:
        """What its first input is: what a request has to bring; None for a task that is given nothing."""
        return self.inputs[0].modality if self.inputs else None

    @property
    def revoices(self) -> bool:
        """Whether it says what is heard again, by a voice that is named."""
        return self.reads == "audio" and self.pairing == "rendering" and [str(piece) for piece in self.inputs[1:]] == ["target.label.speaker"]

    @property
    def reads_aloud(self) -> bool:
        """True if the task speaks the text that it is given, and does nothing else."""
        return len(self.inputs) == len(self.outputs) == 1 and self.inputs[0].kind == "text" and self.outputs[0] == f"{self.inputs[0].side}.audio"


@dataclass(frozen=True)
class FrontendCard:
    """Text -> what is read aloud of it.

    Attributes:
        languages: ISO 639-1 codes of texts that it can analyse.
        symbols: what it writes: "words" in ordinary letters, or others such as "phonemes" and "characters".
    """

    languages: tuple[str, ...]
    symbols: str
    source: str = ""


@dataclass(frozen=True)
class VocoderCard:
    """Units -> Audio.

    Attributes:
        sample_rate_hz: of the audio it makes.
        frame_rate_hz, vocabulary_size, codebooks: of the units it accepts; 0 before training means any.
        units_fingerprint: of the tokenizer whose units it was trained on; "" before it is trained.
        speakers: names that `synthesize` accepts.
        predicts_durations: it speaks units whose repeats are merged, and gives each the length that it predicts where the units
            carry none.
        controls: what of alm.api.types.Prosody it can change: "tempo", "pitch". One that can takes a Prosody for each clip as the third
            argument of `synthesize` and the second of `stream`.
        voice_prompt: a speaker may be a recording of about three seconds (Audio) in place of a name.
        streams: it has `stream(speaker)`, so that it speaks while units are still being made (alm.api.interfaces.StreamingVocoder).
        context_units, lookahead_units: how many units before and behind one its sound depends on, where it streams; a context of
            -1 is all units before it.
    """

    sample_rate_hz: int
    frame_rate_hz: float
    vocabulary_size: int
    codebooks: int = 1
    units_fingerprint: str = ""
    speakers: tuple[str, ...] = ()
    predicts_durations: bool = False
    controls: tuple[str, ...] = ()
    voice_prompt: bool = False
    streams: bool = False
    context_units: int = 0
    lookahead_units: int = 0
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class RecognizerCard:
    """Audio -> text.

    Attributes:
        languages: ISO 639-1 codes that it transcribes.
        translates_into: those into which it translates speech of any of them.
    """

    languages: tuple[str, ...]
    translates_into: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class SynthesizerCard:
    """Text -> Audio.

    Attributes:
        languages: ISO 639-1 codes that it speaks.
        speakers: names that `speak` accepts; the first is the one who speaks if none is named.
    """

    sample_rate_hz: int
    languages: tuple[str, ...]
    speakers: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class ConverterCard:
    """Audio -> the same words by another voice.

    Attributes:
        speakers: names that `convert` accepts; the first is the one who speaks if none is named.
    """

    sample_rate_hz: int
    speakers: tuple[str, ...]
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class DecoderCard:
    """Scores -> ids, one step at a time.

    Attributes:
        deterministic: False for a sampler.
        needs_posteriors: it follows what is heard, so the encoder must give posteriors over the text tokenizer's pieces,
            about one frame a piece.
        units_fingerprint: of the tokenizer whose units it was made for; "" for any.
        trainable: names of the objectives of alm.train that train this decoder.
    """

    deterministic: bool = True
    source: str = ""
    needs_posteriors: bool = False
    units_fingerprint: str = ""
    trainable: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchCard:
    """Log-probabilities of labels -> readings.

    Attributes:
        fuses: it asks a language model on the way.
        readings: how many it gives of a clip at most.
        tunes: options that weigh what it goes by, each with the values that `alm tune` tries.
        compiles: it reads the language model's file, rather than ask it.
    """

    fuses: bool = False
    readings: int = 1
    compiles: bool = False
    tunes: dict[str, tuple[float, ...]] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class LanguageModelCard:
    """Words -> how likely the next one is.

    Attributes:
        order: the word itself and those before it that matter; 0 where all do.
        languages: ISO 639-1 codes of its texts; empty for any.
        trainable: names of the objectives of alm.train that train it.
    """

    order: int = 0
    languages: tuple[str, ...] = ()
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class ClassifierCard:
    """Features -> labels.

    Attributes:
        label: what it tells: "language", "speaker", "emotion", "speech"; "" before training.
        labels: the names that it tells apart.
        frames: of each frame, rather than of a clip.
        features_fingerprint: of the encoder on whose features it was trained.
        trainable: names of the objectives of alm.train that train it.
    """

    label: str = ""
    labels: tuple[str, ...] = ()
    frames: bool = False
    features_fingerprint: str = ""
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class RescorerCard:
    """Readings of a clip -> how good each one is, beside what the search found.

    Attributes:
        tunes: options that weigh it, each with the values that `alm tune` tries.
        trainable: names of the objectives of alm.train that train it.
    """

    tunes: dict[str, tuple[float, ...]] = field(default_factory=dict)
    trainable: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class SpeechDetectorCard:
    """Audio -> how likely each frame is speech.

    Attributes:
        sample_rate_hz: the rate that it wants.
        frame_rate_hz: of what it gives.
    """

    sample_rate_hz: int
    frame_rate_hz: float
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class CorpusCard:
    """Utterances: audio, text, language, speaker, and the id that parallel utterances share."""

    languages: tuple[str, ...]
    splits: tuple[str, ...]
    sample_rate_hz: int
    speakers: dict[str, str] = field(default_factory=dict)  # language -> the speaker who stands for it
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class MetricCard:
    """Hypotheses and references -> one number.

    Attributes:
        better: which direction is good.
        compares: what the hypotheses are.
        reference: what they are compared with: a text, a recording of what should have been said, or marks.
    """

    unit: str
    better: Literal["lower", "higher"]
    compares: Modality = "text"
    source: str = ""
    reference: Modality = "text"


Card = (
    TokenizerCard
    | EncoderCard
    | BackboneCard
    | PromptFormatCard
    | TaskCard
    | FrontendCard
    | VocoderCard
    | RecognizerCard
    | SynthesizerCard
    | DecoderCard
    | SearchCard
    | ConverterCard
    | LanguageModelCard
    | ClassifierCard
    | RescorerCard
    | SpeechDetectorCard
    | CorpusCard
    | MetricCard
)
