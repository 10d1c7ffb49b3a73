"""The values that pass between stages: Audio, Units, Features, segments, Turn, Sample, Sequence.

Frozen dataclasses that check their own shape when made. torch is imported when a value is made, not when this module
is: cards and names stay cheap. Shape letters are defined in ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence as Many
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from alm.api.cards import Modality, VocoderCard
from alm.api.errors import AlmError, VocabularyMismatchError

if TYPE_CHECKING:
    from torch import Tensor

    from alm.api.vocabulary import JointVocabulary

Role = Literal["system", "user", "assistant"]
GIVEN = -1  # in SpanRule.renders: the input
SLOT_ID = -1  # in Sequence.ids: a position that holds a projected feature frame, not an id


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound whose rate travels with it.

    Raises:
        AlmError: samples that are not [C, T] float32, not finite, or without a single sample; a rate that is not positive.
    """

    samples: Tensor  # [C, T] float32, full scale is 1.0
    sample_rate_hz: int

    def __post_init__(self) -> None:
        import torch

        shape = tuple(self.samples.shape)
        if self.samples.dim() != 2 or self.samples.dtype != torch.float32:
            raise AlmError(f"got samples {shape} {self.samples.dtype}", "[C, T] float32", "use samples.float()[None] for one channel")
        if shape[0] < 1 or shape[1] < 1:
            raise AlmError(f"got audio of shape {shape}", "at least one sample", "check that the recording is not empty")
        if self.sample_rate_hz <= 0:
            raise AlmError(f"got a sample rate of {self.sample_rate_hz} Hz", "a positive rate", "pass the rate of the file")
        if not bool(torch.isfinite(self.samples).all()):
            raise AlmError("got NaN or infinite samples", "finite samples", "record or export the audio again")

    @property
    def num_channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def num_samples(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate_hz

    @staticmethod
    def join(clips: Many[Audio]) -> Audio:
        """Clips of one rate one after another."""
        import torch

        return replace(clips[0], samples=torch.cat([clip.samples for clip in clips], 1))

    def mono(self) -> Audio:
        """The mean of the channels, [1, T]."""
        return self if self.num_channels == 1 else replace(self, samples=self.samples.mean(0, keepdim=True))

    def resample(self, sample_rate_hz: int) -> Audio:
        """The same sound at another rate (windowed-sinc interpolation, torchaudio)."""
        if sample_rate_hz == self.sample_rate_hz:
            return self
        from torchaudio.functional import resample

        return Audio(resample(self.samples, self.sample_rate_hz, sample_rate_hz), sample_rate_hz)

    def _repr_html_(self) -> str:
        from alm.api.display import audio_html

        return audio_html(self)


Speaker = str | Audio  # a name, or a recording of the voice


@dataclass(frozen=True)
class Prosody:
    """How something is said, beside what is said and by whom.

    Attributes:
        tempo: 2.0 is twice as fast.
        pitch_semitones: higher (or, below 0, lower) than the voice would be.

    Raises:
        AlmError: a tempo outside 0.25 to 4, a pitch more than two octaves away.
    """

    tempo: float = 1.0
    pitch_semitones: float = 0.0

    def __post_init__(self) -> None:
        if not 0.25 <= self.tempo <= 4.0:
            raise AlmError(f"got tempo {self.tempo:g}", "0.25 to 4, where 1 is as it was", "choose another tempo")
        if not -24.0 <= self.pitch_semitones <= 24.0:
            raise AlmError(f"got a pitch {self.pitch_semitones:g} semitones away", "-24 to 24", "choose another pitch")

    def changes(self) -> tuple[str, ...]:
        """What differs from how it would be said anyway: "tempo", "pitch"."""
        return ("tempo",) * (self.tempo != 1.0) + ("pitch",) * (self.pitch_semitones != 0.0)

    def check(self, card: VocoderCard) -> None:
        """
        Raises:
            AlmError: a vocoder that cannot change it.
        """
        for what in self.changes():
            if what not in card.controls:
                raise AlmError(
                    f"got another {what} for a vocoder that cannot change it", f"one whose card has {what!r} among its controls", "leave it as it is, or choose another vocoder"
                )


@dataclass(frozen=True, eq=False)
class Units:
    """Discrete audio tokens, with the fingerprint of the tokenizer that made them."""

    codes: Tensor  # [K, F] int64
    frame_rate_hz: float
    fingerprint: str
    durations: Tensor | None = None  # [F] int64, in frames, when repeats are merged

    def __post_init__(self) -> None:
        import torch

        if self.codes.dim() != 2 or self.codes.dtype != torch.int64:
            raise AlmError(f"got codes {tuple(self.codes.shape)} {self.codes.dtype}", "[K, F] int64", "use codes.long()[None] for one codebook")
        if self.durations is not None and self.durations.shape != self.codes.shape[1:]:
            raise AlmError(f"got {len(self.durations)} durations for {self.codes.shape[1]} frames", "one a frame", "keep them together")

    @property
    def num_frames(self) -> int:
        return int(self.codes.shape[1])

    @property
    def duration_s(self) -> float:
        frames = self.num_frames if self.durations is None else int(self.durations.sum())
        return frames / self.frame_rate_hz

    def __getitem__(self, frames: slice | Tensor) -> Units:
        """The units at a stretch of frames, or at frames by number [F'] int64, each with its duration."""
        return replace(self, codes=self.codes[:, frames], durations=None if self.durations is None else self.durations[frames])

    def between(self, start_s: float, stop_s: float) -> Units:
        """The units that begin within a stretch of the clip."""
        import torch

        lengths = torch.ones(self.num_frames, dtype=torch.int64) if self.durations is None else self.durations
        begins = lengths.cumsum(0) - lengths
        return self[(begins >= round(start_s * self.frame_rate_hz)) & (begins < round(stop_s * self.frame_rate_hz))]

    @staticmethod
    def join(clips: Many[Units]) -> Units:
        """Units of one tokenizer one after another.

        Raises:
            VocabularyMismatchError: units of different tokenizers.
        """
        import torch

        first = clips[0]
        if any(clip.fingerprint != first.fingerprint or (clip.durations is None) != (first.durations is None) for clip in clips):
            raise VocabularyMismatchError(f"got units of {len({c.fingerprint for c in clips})} tokenizers", "units of one, with durations or without", "tokenize all alike")
        durations = None if first.durations is None else torch.cat([clip.durations for clip in clips if clip.durations is not None])
        return replace(first, codes=torch.cat([clip.codes for clip in clips], 1), durations=durations)

    def _repr_html_(self) -> str:
        from alm.api.display import units_html

        return units_html(self)


@dataclass(frozen=True, eq=False)
class Features:
    """Continuous frames of an encoder; of a picture its patches, at a rate of 0."""

    values: Tensor  # [F, D] float32
    frame_rate_hz: float
    fingerprint: str
    frames_per_slot: int = 1  # frames that the projector joins into one position
    extra_slots: int = 0  # positions that it adds
    modality: Modality = "audio"  # of what they are

    @property
    def num_frames(self) -> int:
        return int(self.values.shape[0])

    @property
    def num_slots(self) -> int:
        return -(-self.num_frames // self.frames_per_slot) + self.extra_slots


@dataclass(frozen=True)
class AudioFile:
    """A recording that has not been read yet: a path, and the part of it that is meant."""

    path: Path
    offset_s: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True)
class MediaFile:
    """Something else that is perceived, such as a picture, and has not been read yet; the encoder of its modality reads it."""

    path: Path
    modality: Modality


@dataclass(frozen=True)
class Mark:
    """Something that stands at a place in a recording: a word, an event, speech."""

    text: str
    start_s: float
    stop_s: float


Marks = tuple[Mark, ...]


@dataclass(frozen=True, eq=False)
class Segment:
    """One piece of a turn. `content` decides the modality; `learn` says whether the loss covers it.

    Audio, AudioFile and MediaFile stand for what is still to be tokenized or encoded; a PromptFormat sees str, Marks, Units and
    Features alone.

    Attributes:
        language: ISO 639-1, of what is said or written; "" of a label.
        says: whose words these are, "source" or "target": a text and a sound that say the same are each other's transcript. "" of
            what has no other form, such as a label.
        part: "head" or "tail", the first or second half of the content's units; or those of a stretch in seconds, "0.32:1.10".
    """

    content: str | Marks | Audio | AudioFile | MediaFile | Units | Features
    learn: bool = False
    language: str = ""
    speaker: str = ""
    part: str = ""
    says: str = ""

    @property
    def modality(self) -> Modality:
        if isinstance(self.content, MediaFile | Features):
            return self.content.modality
        return "text" if isinstance(self.content, str) else "marks" if isinstance(self.content, tuple) else "audio"

    def renders(self, other: Segment | Emit) -> bool:
        """Whether the two say the same, one in text and one in sound."""
        return _renders(self, other)


@dataclass(frozen=True, eq=False)
class Turn:
    """What one side says before the other side answers."""

    role: Role
    segments: tuple[Segment, ...]


class Emit(NamedTuple):
    """A piece that is to come; `language` and `says` as those of Segment."""

    modality: Modality
    language: str = ""
    says: str = ""

    def renders(self, other: Segment | Emit) -> bool:
        """Whether the two say the same, one in text and one in sound."""
        return _renders(self, other)


def _renders(one: Segment | Emit, other: Segment | Emit) -> bool:
    return bool(one.says) and one.says == other.says and {one.modality, other.modality} == {"text", "audio"}


@dataclass(frozen=True, eq=False)
class Sample:
    """A conversation that is trained on or answered: the task's tags, the languages, and the turns.

    Attributes:
        tags: task tags in the order in which their results are emitted, e.g. ("ASR", "AST", "S2ST").
        languages: source language, then the target language where there is one (ISO 639-1).
        emits: each piece that the model is to emit, in order.
        instruction: what is wanted, in words, for formats that write no tags.
    """

    id: str
    tags: tuple[str, ...]
    languages: tuple[str, ...]
    turns: tuple[Turn, ...]
    emits: tuple[Emit, ...] = ()
    instruction: str = ""

    def rendered(self, index: int) -> int | None:
        """Which piece an output says again in the other modality: the last emitted before it, else GIVEN where all that is given says
        the same, else None."""
        emit = self.emits[index]
        for earlier in range(index - 1, -1, -1):
            if emit.renders(self.emits[earlier]):
                return earlier
        given = [segment for segment in self.segments() if not segment.learn]
        return GIVEN if given and all(emit.renders(segment) for segment in given) else None

    def segments(self) -> Iterator[Segment]:
        for turn in self.turns:
            yield from turn.segments

    def changed(self, change: Callable[[Segment], Iterable[Segment]]) -> Sample:
        """The sample with each segment replaced by those that `change` makes of it."""
        return replace(self, turns=tuple(Turn(turn.role, tuple(new for old in turn.segments for new in change(old))) for turn in self.turns))


@dataclass(frozen=True)
class Utterance:
    """One line of a corpus. Utterances that belong together share `group`: those that say the same in several languages or voices, and
    those of a dialogue.

    Attributes:
        labels: what else is known of it by name: "emotion", "question", "answer", ...; Marks of what stands where in it ("words", "events").
        other: a second recording that it is about, such as the other clip of a trial.
        media: what else is perceived, by modality.
        corpus: the registered name of the one that it comes from; set where corpora are mixed.
    """

    id: str
    audio: AudioFile | None
    text: str
    language: str
    speaker: str = ""
    group: str = ""
    labels: Mapping[str, str | Marks] = field(default_factory=dict, hash=False)
    other: AudioFile | None = None
    corpus: str = ""
    media: Mapping[str, MediaFile] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Span:
    """Positions [start, stop) of a Sequence and what they hold: for display, and to name what a model emitted."""

    start: int
    stop: int
    kind: Literal["tag", "text", "units", "features", "end"]


@dataclass(frozen=True, eq=False)
class Slot:
    """Feature frames that take the positions from `start` on, after projection."""

    start: int
    features: Features


@dataclass(frozen=True, eq=False)
class Sequence:
    """What a backbone is trained on: ids, feature slots, loss mask."""

    ids: Tensor  # [S] int64; SLOT_ID where a feature frame goes
    learn: Tensor  # [S] bool; True where the loss covers predicting this id
    slots: tuple[Slot, ...] = ()
    spans: tuple[Span, ...] = field(default=())
    more: Tensor | None = None  # [S, K - 1] int64: further ids at the same position, of other codebooks or of text; -1 where there is none

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def show(self, vocabulary: JointVocabulary | None = None) -> Shown:
        """The sequence in colours, what is learnt framed, for a notebook.

        Args:
            vocabulary: spells tags and text.
        """
        from alm.api.display import sequence_view

        return Shown(sequence_view(self, vocabulary))

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()


@dataclass(frozen=True)
class Shown:
    """HTML that a notebook shows."""

    html: str

    def _repr_html_(self) -> str:
        return self.html
