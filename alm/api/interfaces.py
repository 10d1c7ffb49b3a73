"""What each kind of part must do. Structural: a part needs no base class, it needs these methods.

Every loader is called as `load(options, context)`: the options dataclass it registered, and a LoadContext that finds
weights. Parts are immutable once loaded and may be shared between requests; what one request needs, its caller holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from alm.api import cards
from alm.api.types import Audio, Features, Sample, Segment, Sequence, Speaker, Units, Utterance

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from alm.api.plans import SpanRule
    from alm.api.recognition import Heard
    from alm.api.vocabulary import JointVocabulary


class LoadContext(Protocol):
    """What a loader may ask for. Card functions get one too; they must not load weights.

    Attributes:
        device: where a part that computes is wanted: "cpu", "cuda".
    """

    device: str

    def folders(self, source: str) -> tuple[Path, ...]:
        """Local folders of a weight source: `dir:PATH`, `hf:ORG/NAME@REVISION`, `pip:PACKAGE[+PACKAGE...]`.

        Raises:
            AlmError: an unknown scheme, a missing folder, or a package that is not installed (with the command to
                install it).
        """
        ...

    def kept(self, name: str, make: Callable[[Path], None]) -> Path:
        """A folder of files that are made once of others, such as unpacked weights, and found again later.

        Args:
            name: that nothing else has; what it is made of belongs into it as a hash.
            make: fills an empty folder, the first time.

        Raises:
            AlmError: a cache that cannot be written to.
        """
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Audio -> Units."""

    card: cards.TokenizerCard

    def encode(self, audio: Many[Audio]) -> list[Units]:
        """Units of each clip; a clip's units do not depend on the clips beside it.

        Raises:
            AlmError: a rate other than the card's, more than one channel, or a clip shorter than one frame.
        """
        ...

    def save(self, folder: Path) -> None:
        """Writes what training made (codebook, adapter) as safetensors; `weights: dir:FOLDER` loads it again."""
        ...


@runtime_checkable
class FeatureTokenizer(Tokenizer, Protocol):
    """A tokenizer that quantizes features, so that its codebook can be trained on them.

    Attributes:
        features_fingerprint: identifies the features; caches match by it.
    """

    features_fingerprint: str

    def features(self, audio: Many[Audio]) -> list[Features]:
        """What the codebook quantizes: [F, D] a clip."""
        ...

    def with_codebook(self, centroids: Tensor) -> FeatureTokenizer:
        """The same tokenizer with another codebook, [vocabulary_size, D] float32."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """What is perceived -> Features, and the module that projects them to the backbone's width."""

    card: cards.EncoderCard

    def encode(self, given: Many[Any]) -> list[Features]:
        """Features of each; they do not depend on what stands beside it.

        Args:
            given: Audio, where the card reads "audio"; of any other modality paths of files, and what else the encoder takes for one.
        """
        ...

    def build_projector(self, hidden_size: int) -> nn.Module:
        """A trainable module: values [B, F, D] and mask [B, F] -> [B, S, hidden_size], where a clip of F frames has
        ceil(F / frames_per_slot) + extra_slots of the S positions, at the beginning.

        One with an attribute `text_labels`, pieces of the backbone's text tokenizer, is given their rows as well. One that trains the
        encoder's network too has it as attribute `network`, and what follows as `projector`.
        """
        ...


class TextTokenizer(Protocol):
    """The text side of the joint vocabulary (a transformers fast tokenizer has these)."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, ids: list[int], *, skip_special_tokens: bool = ...) -> str: ...

    def __len__(self) -> int: ...

    def save_pretrained(self, folder: str) -> Any: ...


@runtime_checkable
class Backbone(Protocol):
    """Ids and embeddings -> scores. An nn.Module; sees ids and embeddings, never audio."""

    card: cards.BackboneCard
    text_tokenizer: TextTokenizer

    def resize(self, vocabulary_size: int) -> None:
        """Grows the embedding rows (and the tied output rows) to the joint vocabulary; old rows keep their values."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> [B, S, D]."""
        ...

    def hidden(self, embeddings: Tensor, mask: Tensor | None = None, cache: Any = None) -> Tensor:
        """embeddings [B, S, D] -> hidden states [B, S, D]; appends to `cache` if given.

        Args:
            mask: which positions are no padding, [B, S_total] bool; or which each one sees, earlier or later, [B, S, S_total] bool.
        """
        ...

    def scores(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> scores over the joint vocabulary [..., V]."""
        ...

    def block_scores(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """The scores of ids [start, stop) alone, [..., stop - start]: of one codebook, where several stand side by side."""
        ...

    def new_cache(self) -> Any:
        """The KV cache of one batch of requests; the caller holds it."""
        ...


@runtime_checkable
class PromptFormat(Protocol):
    """Turns <-> Sequence. Encode and decode live in one class, so they cannot disagree."""

    card: cards.PromptFormatCard

    def encode(self, sample: Sample, vocabulary: Any) -> Sequence:
        """The whole sample, its learnt segments included: what is trained on."""
        ...

    def prompt(self, sample: Sample, vocabulary: Any) -> Sequence:
        """The part that is given, up to where the model begins to emit."""
        ...

    def plan(self, sample: Sample, vocabulary: Any) -> Many[Any]:
        """What the model may emit, span by span: a list of alm.api.plans.SpanRule."""
        ...

    def decode(self, ids: Many[int], sample: Sample, vocabulary: Any) -> list[Segment]:
        """The emitted ids as segments."""
        ...


@runtime_checkable
class Task(Protocol):
    """Corpus utterances -> a Sample. `alm.api.tasks.DeclaredTask` is one that a card describes whole.

    Attributes:
        instructed: whether its samples say in words what is wanted, for formats that write no tags.
    """

    card: cards.TaskCard
    instructed: bool

    def build(self, source: Utterance, target: Utterance | None = None) -> Sample:
        """What is trained on: the input given, the outputs learnt."""
        ...

    def request(self, source: Utterance, target_language: str = "") -> Sample:
        """What a model is asked: the input alone, with what it is to emit."""
        ...


class TextFrontend(Protocol):
    """Text as it is written -> what is read aloud of it: numbers and abbreviations in words, or phonemes."""

    card: cards.FrontendCard

    def analyse(self, text: str, language: str) -> str:
        """In the symbols that the card names; "" of a text without anything to say.

        Args:
            language: ISO 639-1.

        Raises:
            UnknownNameError: a language that is not on the card.
        """
        ...


@runtime_checkable
class Vocoder(Protocol):
    """Units -> Audio. Sees units, never text."""

    card: cards.VocoderCard

    def synthesize(self, units: Many[Units], speakers: Many[Speaker]) -> list[Audio]:
        """One clip of sound for each clip of units.

        A vocoder whose card names `controls` takes a Prosody for each clip as a third argument, which may be left out.

        Args:
            speakers: names on the card, "" for the first; recordings where the card says `voice_prompt`.

        Raises:
            AlmError: units of another tokenizer, or a speaker that is not on the card.
        """
        ...

    def save(self, folder: Path) -> None: ...


class VocoderNetwork(Protocol):
    """What objective `vocoder` trains: an nn.Module.

    Attributes:
        card: of the vocoder that comes of it.
        hop_samples: samples between two values of the pitch that it is trained with; 0 if it needs none.
    """

    card: cards.VocoderCard
    hop_samples: int

    def sound(self, codes: Tensor, speaker: Tensor, pitch_hz: Tensor, recording: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What it makes of units, one a frame, and what it got wrong beside the sound.

        Args:
            codes: [B, F] int64.
            speaker: rows on the card [B] int64; with `voice_prompt` vectors of the speaker encoder [B, 256].
            pitch_hz: of the recording, by hop [B, N], 0 where there is none. While training it may be used; otherwise it is
                compared with alone.
            recording: what it should sound like [B, T], for losses beside those of the sound.

        Returns:
            Samples [B, F x samples per unit]; losses by name ("pitch", "duration", "spectrogram"), which `train.options.NAME_weight` weighs.
        """
        ...

    def know(self, voices: Tensor) -> None:
        """The mean vector of each speaker on the card [S, 256], before training; called with `voice_prompt` alone."""
        ...

    def start_from(self, folder: Path) -> None:
        """Takes the weights of a trained vocoder of the same sizes; speakers are found by their names, new ones start anew."""
        ...

    def vocoder(self) -> Vocoder:
        """The vocoder with the present weights."""
        ...


@runtime_checkable
class UntrainedVocoder(Protocol):
    """What loading a vocoder without weights gives, if objective `vocoder` trains it: its options, so to speak."""

    card: cards.VocoderCard

    def network(self, card: cards.VocoderCard, dropout: float) -> VocoderNetwork:
        """A new network.

        Args:
            card: with rate, number and fingerprint of the units and with the speakers.
            dropout: in training.
        """
        ...


class VocoderStream(Protocol):
    """Sound of one clip whose units come bit by bit. What it gives in pieces is what `synthesize` gives at once."""

    def push(self, units: Units) -> Audio | None:
        """Sound that nothing to come can change, if there is any yet. `units` may hold no unit."""
        ...

    def finish(self) -> Audio | None:
        """The rest; nothing may be pushed afterwards."""
        ...


@runtime_checkable
class StreamingVocoder(Vocoder, Protocol):
    """A vocoder whose card says `streams`."""

    def stream(self, speaker: Speaker) -> VocoderStream:
        """A new clip.

        Raises:
            UnknownNameError: a speaker that is not on the card.
        """
        ...


@runtime_checkable
class Recognizer(Protocol):
    """Audio -> text, by itself: the first part of a cascade."""

    card: cards.RecognizerCard

    def read(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[str]:
        """Text of each clip, of any rate and length; translated into the card's `translates_into` where the task says so.

        Args:
            language: of the clips, ISO 639-1.

        Raises:
            AlmError: a language or a task that it does not know.
        """
        ...


@runtime_checkable
class CloseRecognizer(Recognizer, Protocol):
    """One that says how sure it is, or when each word is said."""

    def read_closely(self, audio: Many[Audio], language: str, task: Literal["transcribe", "translate"] = "transcribe") -> list[Heard]:
        """As `read`, with what is known besides."""
        ...


@runtime_checkable
class Synthesizer(Protocol):
    """Text -> Audio, by itself: the last part of a cascade."""

    card: cards.SynthesizerCard

    def speak(self, texts: Many[str], language: str, speaker: str = "") -> list[Audio]:
        """One clip for each text.

        Raises:
            AlmError: a language or a speaker that is not on the card, or a text with nothing to say.
        """
        ...


@runtime_checkable
class VoiceConverter(Protocol):
    """Audio -> Audio: the same words by another voice."""

    card: cards.ConverterCard

    def convert(self, audio: Many[Audio], speaker: str = "") -> list[Audio]:
        """One clip for each, of any rate and length.

        Raises:
            AlmError: a speaker that is not on the card, or a clip that is too short.
        """
        ...


@runtime_checkable
class Decoder(Protocol):
    """Chooses the next ids."""

    card: cards.DecoderCard

    def choose(self, scores: Tensor, generator: Generator) -> Tensor:
        """scores [B, V] with -inf where an id is not allowed -> ids [B] int64."""
        ...


Said = Any  # what a span says again: posteriors over text ids [F, 1 + V], blank first; or a list of text ids


@runtime_checkable
class FollowingDecoder(Decoder, Protocol):
    """A decoder that also goes by what a span says again: a transcript by what is heard, speech by its text."""

    def follow(self, said: Said, rule: SpanRule, vocabulary: JointVocabulary) -> Decoder | None:
        """A decoder of this one span of one request: it is asked for each id in turn and remembers what it chose. None where
        this span cannot be followed; the decoder itself then chooses.

        Args:
            said: for a span of text, posteriors over the text ids [F, 1 + V], blank first, about one frame an id; for a span
                of units, the ids of the text; None where what was heard is neither.
        """
        ...


@runtime_checkable
class Corpus(Protocol):
    """Utterances by split."""

    card: cards.CorpusCard

    def utterances(self, split: str) -> Iterator[Utterance]: ...


@runtime_checkable
class SampleCorpus(Corpus, Protocol):
    """A corpus of ready-made samples, which need no task: instructions, conversations over recordings.

    Units without a fingerprint are taken for those of the recipe's tokenizer; texts are written as they stand.
    """

    def samples(self, split: str) -> Iterator[Sample]: ...


@runtime_checkable
class PreferenceCorpus(Corpus, Protocol):
    """A corpus of pairs: the same request with the better answer, and with the worse one. Units as in a SampleCorpus."""

    def preferences(self, split: str) -> Iterator[tuple[Sample, Sample]]: ...


@runtime_checkable
class Metric(Protocol):
    """Hypotheses and references -> one number."""

    card: cards.MetricCard

    def score(self, hypotheses: Many[Any], references: Many[Any], language: str) -> float: ...


@runtime_checkable
class SpeechMetric(Metric, Protocol):
    """A metric of audio that is read back as text first. Metrics with one `recognizer` can share what it read."""

    recognizer: Any

    def read(self, hypotheses: Many[Audio], language: str) -> list[str]: ...

    def score_read(self, texts: Many[str], references: Many[str], language: str) -> float: ...
