"""The whole path for one model: audio or text in, text and audio out. The one place that sees all stages.

Parts are loaded when a request first needs them: text translation never loads a tokenizer or a vocoder.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence as Many
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from alm.api.cards import TaskCard
from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.interfaces import Vocoder
from alm.api.text import clauses, normalize_text
from alm.api.types import Audio, AudioFile, MediaFile, Prosody, Sample, Segment, Speaker, Units, Utterance
from alm.core.assemble import Model, assemble, prompt_embeddings, said_again
from alm.core.audio import prepare, read_audio
from alm.core.check import check_model
from alm.core.checkpoint import load_state
from alm.core.config import TaskConfig, load_recipe
from alm.core.conversation import Conversation
from alm.core.generate import Progress, generate, generate_steps
from alm.core.parts import Parts, load_component, load_task
from alm.core.plugins import Registry, registry
from alm.core.results import Piece, Request, Result, joined, spans_of
from alm.core.voice import Clock, Voice
from alm.core.wording import Wording

MAX_BATCH = 16
NO_WORD = ("got a text without a word", "at least one word", "write what is to be said, asked or translated")
NO_LABELS: Mapping[str, str] = {}
GIVEN, OTHER = Path("given"), Path("other")  # stand for the files of a request
GIVEN_SOUND, OTHER_SOUND = AudioFile(GIVEN), AudioFile(OTHER)
UNFINISHED = "�"  # what a text ends with whose last character is not whole yet


class Pipeline:
    """A trained model with the parts that its recipe names. Immutable; safe to share between requests.

    Args:
        source: a checkpoint folder; or a recipe file whose backbone is pretrained, which is a model as it stands.
        overrides: `key=value` entries laid over its recipe: another decoder, another vocoder.

    Raises:
        AlmError: a recipe whose parts do not fit, or that must be trained first.
    """

    def __init__(self, source: Path, found: Registry | None = None, overrides: Many[str] = ()) -> None:
        self.folder = source if source.is_dir() else None  # of the trained weights
        self.recipe = load_recipe(str(source), overrides, found)
        self.parts = Parts(self.recipe, source if source.is_dir() else source.parent, found or registry())
        problems = check_model(self.parts)
        if problems:
            raise AlmError(*problems[0])
        if self.folder is None and not (self.parts.has("backbone") and self.parts.card("backbone").pretrained):
            raise AlmError(f"got recipe {self.recipe.name!r}, which is still to be trained", "a trained model", f"run: alm train {source}; then name its `final` folder")

    @cached_property
    def model(self) -> Model:
        model = assemble(self.parts)
        if self.folder is not None:
            load_state(self.folder, model)
        for module in (model.backbone, model.projector, model.depth):
            if module is not None:
                module.eval()
        return model

    @cached_property
    def prompt(self) -> Any:
        return self.parts.load("prompt")

    @cached_property
    def wording(self) -> Wording:
        return Wording(self.parts)

    @cached_property
    def tokenizer(self) -> Any:
        return self.parts.load("tokenizer")

    @cached_property
    def encoder(self) -> Any:
        return self.parts.load("encoder")

    @cached_property
    def vocoder(self) -> Any:
        vocoder = self.parts.load("vocoder")
        if not isinstance(vocoder, Vocoder):
            raise AlmError(
                f"got vocoder {self.recipe.part('vocoder').use!r} without weights", "a trained one", "train it with a recipe of objective vocoder and set `weights: run:...`"
            )
        return vocoder

    @cached_property
    def decoder(self) -> Any:
        return self.parts.load("decoder") if self.parts.has("decoder") else load_component(self.parts.found, "decoder", "greedy", {}, self.parts.context)

    @cached_property
    def unit_decoder(self) -> Any:
        """What chooses units where the recipe wants another decoder for them than for text."""
        return self.parts.load("unit_decoder") if self.parts.has("unit_decoder") else None

    def _check_trained(self, card: TaskCard) -> None:
        """
        Raises:
            AlmError: a task with sound, for a recipe that no training taught what its rows of units or its projector mean.
        """
        if self.folder is not None or all(piece.modality in ("text", "marks") for piece in (*card.inputs, *card.outputs)):
            return
        model = self.model
        grown = len(model.vocabulary) > len(model.backbone.text_tokenizer)
        projects = model.projector is None or self.parts.card("encoder").projects
        if grown or not projects or model.depth is not None:
            raise AlmError(
                f"got task {card.tag} for recipe {self.recipe.name!r}, which knows text alone as it stands",
                "a model that was trained on sound",
                f"run: alm train {self.recipe.name}; then name its `final` folder",
            )

    def warm_up(self) -> None:
        """Loads every part now, so that the first request does not wait for it."""
        for kind in ("model", "prompt", "decoder", "unit_decoder", *(kind for kind in ("tokenizer", "encoder", "vocoder") if self.parts.has(kind))):
            getattr(self, kind)

    @property
    def tasks(self) -> list[str]:
        """Tasks that the model was trained on."""
        return [task.use for task in self.recipe.data.tasks]

    def tasks_reading(self, modality: str) -> list[str]:
        """Trained tasks whose input is "text" or "audio"."""
        reads = {use: load_task(self.parts.found, use).card.reads for use in self.tasks}
        return [use for use, read in reads.items() if read == modality]

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages that the model was trained on: those of its tasks; where a task names none, those of its corpora; where
        the corpora do not say, all that its prompt format names."""
        tasks = self.recipe.data.tasks
        named = {language for task in tasks for language in (*task.source, *task.target)}
        if not all(task.source for task in tasks):
            spoken = [self.parts.corpus_languages(corpus) for corpus in self.recipe.data.corpora if not corpus.optional]
            if not spoken or not all(spoken):
                return self.parts.card("prompt").languages
            named.update(*spoken)
        return tuple(sorted(named)) or self.parts.card("prompt").languages

    def run(
        self,
        task: str,
        content: str | Path | Audio | AudioFile,
        source: str,
        target: str = "",
        *,
        speaker: Speaker = "",
        decoder: Any = None,
        seed: int = 0,
        prosody: Prosody = Prosody(),
        labels: Mapping[str, str] = NO_LABELS,
        other: Audio | AudioFile | None = None,
    ) -> Result:
        """Runs one task.

        Args:
            task: a task the model was trained on, e.g. "ASR" or "ASR AST S2ST".
            content: text for tasks that read text; Audio or a path for tasks that read audio; a path (or what the encoder takes for one) for
                tasks that read something else; "" for tasks that are given nothing.
            source, target: ISO 639-1 codes; `target` for tasks that translate.
            speaker: a speaker of the vocoder; the one of the output's language if not given. A recording of a voice, where the
                vocoder's card says `voice_prompt`: with the input itself, speech is translated in the voice of who speaks.
            decoder: a Decoder in place of the recipe's, for text and units. With a sampler, each seed renders a text anew.
            prosody: another tempo or pitch, where the vocoder has them among its card's `controls`.
            labels: what the task is given beside `content`, by name: {"question": "which key do I press?"}.
            other: the second recording, for a task that is given two.

        Raises:
            AlmError: an unknown task, language or speaker, an input that is missing or cannot be used.
        """
        content = self._read(task, content)
        return self.run_batch([Request(task, content, source, target, speaker, prosody, labels, other)], decoder=decoder, seed=seed)[0]

    def run_batch(self, requests: Many[Request], *, decoder: Any = None, seed: int = 0, on_done: Callable[[int], None] | None = None) -> list[Result]:
        """Runs many requests, batched by length; the results are in the requests' order."""
        parts = [(index, part) for index, request in enumerate(requests) for part in self._clauses(request)]
        asked = [self._asked(part) for _, part in parts]
        left = Counter(index for index, _ in parts)
        order = sorted(range(len(parts)), key=lambda i: (parts[i][1].task, _size(parts[i][1])))
        results: dict[int, Result] = {}
        for start in range(0, len(order), MAX_BATCH):
            chosen = order[start : start + MAX_BATCH]
            batch = [parts[i][1] for i in chosen]
            samples = self._heard(batch, [asked[i] for i in chosen])
            for index, result in zip(chosen, self._run(batch, samples, decoder, seed), strict=True):
                results[index] = result
            left.subtract(parts[i][0] for i in chosen)
            if on_done:
                on_done(sum(not left[index] for index in {parts[i][0] for i in chosen}))
        spoken: list[list[Result]] = [[] for _ in requests]
        for index, (of, _) in enumerate(parts):
            spoken[of].append(results[index])
        return [joined(request, found) for request, found in zip(requests, spoken, strict=True)]

    def stream(
        self,
        task: str,
        content: str | Path | Audio | AudioFile,
        source: str,
        target: str = "",
        *,
        speaker: Speaker = "",
        decoder: Any = None,
        seed: int = 0,
        prosody: Prosody = Prosody(),
        labels: Mapping[str, str] = NO_LABELS,
        other: Audio | AudioFile | None = None,
        first_units: int = 5,
        chunk_units: int = 10,
    ) -> Iterator[Piece]:
        """Runs one task and gives text and sound while the model is still making them. Joined, the pieces are what `run` gives.

        Sound comes in pieces where the vocoder's card says that it streams, else at the end.

        Args:
            first_units: how many are made before the first sound; it comes when these, and as many more as the vocoder's
                `lookahead_units`, are there.
            chunk_units: how many are made between two pieces of sound.

        Raises:
            AlmError: as `run`; or a number of units below 1.
        """
        for name, count in (("first_units", first_units), ("chunk_units", chunk_units)):
            if count < 1:
                raise AlmError(f"got {name}={count}", "1 or more", f"raise {name}")
        request = Request(task, self._read(task, content), source, target, speaker, prosody, labels, other)
        yield from self._pieces(request, decoder, seed, first_units, chunk_units)

    def _pieces(self, request: Request, decoder: Any, seed: int, first_units: int, chunk_units: int) -> Iterator[Piece]:
        """What `stream` gives of a request, its Result with the last piece."""
        clock, results = Clock(), list[Result]()
        for part in self._clauses(request):
            results.append((yield from self._stream(part, decoder, seed, first_units, chunk_units, clock)))
        yield Piece(seconds=dict(clock.seconds), result=joined(request, results))

    def _stream(self, request: Request, decoder: Any, seed: int, first_units: int, chunk_units: int, clock: Clock) -> Generator[Piece, None, Result]:
        """Pieces of one request; returns its Result."""
        sample = self.sample(request)
        clock.spent("tokenize")
        return (yield from self._stream_sample(request, sample, decoder, seed, clock, first_units, chunk_units))

    def _stream_sample(self, request: Request, sample: Sample, decoder: Any, seed: int, clock: Clock, first_units: int = 1, chunk_units: int = 1) -> Generator[Piece, None, Result]:
        """The same of a sample whose audio is units or features."""
        model, units_by = self.model, None if decoder else self.unit_decoder
        prompt, plan = self.prompt.prompt(sample, model.vocabulary), self.prompt.plan(sample, model.vocabulary)
        with torch.inference_mode():
            embeddings = [prompt_embeddings(model, prompt)]
        progress = Progress(plan, said=said_again(model, prompt))
        spoken = max((index for index, rule in enumerate(plan) if rule.kind == "units"), default=-1)
        voice = Voice(self.vocoder, request.speaker or self.speaker_of(plan[spoken].language), request.prosody, first_units, chunk_units) if spoken >= 0 else None
        first_output = [index + sum(rule.text_beside for rule in plan[:index]) for index in range(len(plan))]  # of each span; the text of two
        written, clips, stage = [""] * len(plan), list[Audio](), "prefill"
        for _ in generate_steps(model.backbone, embeddings, [progress], model.vocabulary, decoder or self.decoder, seed, units_by, model.depth):
            clock.spent(stage)
            stage = "decode"
            span, ended = progress.at, progress.closed[progress.at]
            output, beside = first_output[span], plan[span].text_beside
            if plan[span].kind == "text" or beside:
                text = model.vocabulary.text(progress.settled(span))
                if len(text) > len(written[span]) and (ended or not text.endswith(UNFINISHED)):
                    new, written[span] = text.removeprefix(written[span]), text
                    yield Piece(output, new, seconds=dict(clock.seconds))
            if voice is not None and span == spoken:
                clip = voice.say(model.vocabulary.units(progress.pieces[span]), last=ended)
                clock.spent("vocode")
                if clip is not None:
                    clips.append(clip)
                    yield Piece(output + beside, audio=clip, seconds=dict(clock.seconds))
            clock.resume()
        segments = self.prompt.decode(progress.emitted, sample, model.vocabulary)
        audio = Audio.join(clips) if clips else None
        spans = spans_of(prompt, progress.emitted, model.vocabulary)
        return Result(request, tuple(segments), audio, prompt, tuple(progress.emitted), spans, dict(clock.seconds))

    def transcribe(self, audio: Audio | Path, language: str) -> str:
        """Speech -> its text."""
        return self.run("ASR", audio, language).text

    def translate(self, content: str | Audio | Path, source: str, target: str, *, to: str = "text") -> str | Audio:
        """Text or speech -> text (`to="text"`) or speech (`to="audio"`) in another language.

        Speech goes through the combined task where the model was trained on one: AudioPaLM found it better than the direct.
        Text becomes speech by way of its translation.

        Raises:
            AlmError: another `to`, or what `run` raises.
        """
        if to not in ("text", "audio"):
            raise AlmError(f"got to={to!r}", "to='text' or to='audio'", "choose one")
        if to == "audio" and isinstance(content, str):
            return self.speak(self.run("MT", content, source, target).text, target)
        if to == "audio":
            result = self.run(self._combined("S2ST", source, target), content, source, target)
            if result.audio is None:
                raise AlmError("the model emitted no unit", "audio", "try another input")
            return result.audio
        return self.run("MT" if isinstance(content, str) else self._combined("AST", source, target), content, source, target).text

    def speak(self, text: str, language: str, *, speaker: Speaker = "") -> Audio:
        """Text -> speech."""
        audio = self.run("TTS", text, language, speaker=speaker).audio
        if audio is None:
            raise AlmError("the model emitted no unit", "audio", "try another text")
        return audio

    def chat(self, message: str | Audio | Path, language: str = "en", *, to: str = "", speaker: Speaker = "", decoder: Any = None, seed: int = 0) -> Result:
        """One turn of a dialogue, by the dialogue task that the model was trained on: of several the one with the most intermediate
        results, as the chain of modality has them.

        Args:
            to: "text" or "audio": how it is to answer; as its longest task does if not given.

        Raises:
            AlmError: a model without a dialogue task for such a message or such an answer.
        """
        if to not in ("", "text", "audio"):
            raise AlmError(f"got to={to!r}", "to='text' or to='audio'", "choose one")
        reads, cards = "text" if isinstance(message, str) else "audio", {use: load_task(self.parts.found, use).card for use in self.tasks}
        replies = {use: card for use, card in cards.items() if card.pairing == "reply" and len(use.split()) == 1}
        fits = [use for use, card in replies.items() if card.reads == reads and len(card.inputs) == 1 and to in ("", card.outputs[-1].modality)]
        if not fits:
            raise AlmError(
                f"got {'a written' if reads == 'text' else 'a spoken'} message{f' to be answered in {to}' * bool(to)}",
                f"one of the model's dialogue tasks: {', '.join(replies) or 'none'}",
                "train it on such a task, for instance CHAT-COM",
            )
        return self.run(max(fits, key=lambda use: len(replies[use].outputs)), message, language, speaker=speaker, decoder=decoder, seed=seed)

    def conversation(self, language: str = "en", *, beyond: str = "refuse") -> Conversation:
        """A new conversation of many turns over many recordings.

        Args:
            beyond: what becomes of one that is too long for the model: "refuse", or "summarize" its earlier turns in the model's own words.

        Raises:
            AlmError: a model whose prompt format cannot carry one, another language, or another `beyond`.
        """
        return Conversation(self, language, beyond)

    def tokenize(self, audio: Audio) -> Units:
        """Units of a clip, resampled to what the tokenizer wants."""
        return self.tokenizer.encode([prepare(audio, self.tokenizer.card.sample_rate_hz)])[0]

    def resynthesize(self, audio: Audio, speaker: Speaker) -> Audio:
        """Audio -> units -> audio: what the units and the vocoder keep of a clip."""
        return self.vocoder.synthesize([self.tokenize(audio)], [speaker])[0]

    def speaker_of(self, language: str) -> str:
        """The vocoder's speaker who stands for a language: the one its corpora name, or the first."""
        for corpus in self.recipe.data.corpora:
            component = [c for c in self.parts.found.components if c.kind == "corpus" and corpus.use in (c.name, f"{c.plugin}/{c.name}")]
            speakers = getattr(component[0].card, "speakers", {}) if component else {}
            if language in speakers:
                return speakers[language]
        return ""

    def _combined(self, tag: str, source: str, target: str) -> str:
        """The trained task that ends in a tag and has the most intermediate results, for these languages; else the tag."""
        fits = [c.use for c in self.recipe.data.tasks if c.use.split()[-1] == tag and (not c.source or source in c.source) and (not c.target or target in c.target)]
        return max(fits, key=lambda use: len(use.split()), default=tag)

    def task_config(self, task: str) -> TaskConfig:
        """How a task was trained.

        Raises:
            UnknownNameError: one that was not.
        """
        for config in self.recipe.data.tasks:
            if config.use == task:
                return config
        raise UnknownNameError(f"got task {task!r}", "a task that the model was trained on", did_you_mean(task, self.tasks))

    def _clauses(self, request: Request) -> list[Request]:
        """The request, or one for each clause of its text where its task wants that."""
        limit = self.task_config(request.task).clause_characters
        if not limit or not isinstance(request.content, str):
            return [request]
        worded = [clause for clause in clauses(request.content, limit) if normalize_text(clause, request.source)]
        return [dataclasses.replace(request, content=clause) for clause in worded] or [request]

    def _read(self, task: str, content: Any) -> Any:
        """A path to a recording as sound; anything else as it is."""
        return read_audio(content) if isinstance(content, Path) and load_task(self.parts.found, task).card.reads == "audio" else content

    def sample(self, request: Request) -> Sample:
        """The request as a Sample with its audio turned into units or features."""
        return self._heard([request], [self._asked(request)])[0]

    def _asked(self, request: Request) -> Sample:
        """The request as a Sample in which its recordings are still to be heard.

        Raises:
            AlmError: what `run` raises of a request that cannot be answered.
        """
        self.task_config(request.task)
        task = load_task(self.parts.found, request.task)
        if request.prosody.changes():
            request.prosody.check(self.vocoder.card)
        if isinstance(request.speaker, Audio) and not self.vocoder.card.voice_prompt:
            raise AlmError(
                "got a recording for a speaker", f"one of {', '.join(self.vocoder.card.speakers) or 'none'}", "name one, or use a model whose vocoder takes voice prompts"
            )
        known = self.languages
        for language in (request.source, *([request.target] if task.card.translates or request.target else [])):
            if language not in known:
                raise UnknownNameError(f"got language {language!r}", "a language that the model was trained on", f"one of: {', '.join(known)}")
        content, labels = request.content, dict(request.labels)
        check_content(request, task.card)
        self._check_trained(task.card)
        if task.card.inputs and task.card.inputs[0].kind == "label":
            assert isinstance(content, str)
            labels[task.card.inputs[0].detail] = content
        text = content if isinstance(content, str) else ""
        media = {piece.detail: MediaFile(GIVEN, piece.detail) for piece in task.card.inputs[:1] if piece.kind == "media"}
        sample = task.request(Utterance("request", GIVEN_SOUND, text, request.source, labels=labels, other=OTHER_SOUND if request.other else None, media=media), request.target)

        def worded(segment: Segment) -> list[Segment]:
            if not isinstance(segment.content, str):
                return [segment]
            text = self.wording.given(segment.content, request.source, task.card)
            if not text.strip():
                raise AlmError(*NO_WORD)
            return [dataclasses.replace(segment, content=text)]

        return sample.changed(worded)

    def _heard(self, requests: Many[Request], samples: Many[Sample]) -> list[Sample]:
        """Samples with what their requests gave in place of its file, as units or features: all sounds of a form in one go."""
        given: defaultdict[str, list[Any]] = defaultdict(list)

        def form_of(segment: Segment, request: Request) -> str:
            if isinstance(segment.content, MediaFile):
                return "media"
            return "units" if segment.part else self.task_config(request.task).audio

        for request, sample in zip(requests, samples, strict=True):
            for segment in sample.segments():
                if isinstance(segment.content, AudioFile | MediaFile):
                    given[form_of(segment, request)].append(request.content if segment.content.path == GIVEN else request.other)
        heard = {form: iter(self.hear_all([_opened(recording) for recording in recordings], form)) for form, recordings in given.items()}

        def hear(request: Request) -> Callable[[Segment], list[Segment]]:
            def filled(segment: Segment) -> list[Segment]:
                if not isinstance(segment.content, AudioFile | MediaFile):
                    return [segment]
                return [dataclasses.replace(segment, content=content) for content in next(heard[form_of(segment, request)])]

            return filled

        return [sample.changed(hear(request)) for request, sample in zip(requests, samples, strict=True)]

    def hear(self, audio: Audio, form: str) -> list[Any]:
        """A sound as a task hears it: as "features", "units", or "both" in this order."""
        return self.hear_all([audio], form)[0]

    def hear_all(self, recordings: Many[Any], form: str) -> list[list[Any]]:
        """The same of many, in batches by length; or of what else the encoder reads, as "media"."""
        heard: list[list[Any]] = [[] for _ in recordings]
        for kind in {"features": ("encoder",), "media": ("encoder",), "both": ("encoder", "tokenizer")}.get(form, ("tokenizer",)):
            part = getattr(self, kind)
            taken = recordings if form == "media" else [prepare(audio, part.card.sample_rate_hz) for audio in recordings]
            for contents, content in zip(heard, part.encode(taken), strict=True):
                contents.append(content)
        return heard

    def answer(self, request: Request, sample: Sample, decoder: Any = None, seed: int = 0) -> Result:
        """What the model makes of a sample whose audio is units or features."""
        return next(self._run([request], [sample], decoder, seed))

    def answers(self, requests: Many[Request], samples: Many[Sample], on_done: Callable[[int], None] | None = None) -> list[Result]:
        """The same of many, in batches; the results are in their order."""
        results: list[Result] = []
        for start in range(0, len(samples), MAX_BATCH):
            results += self._run(requests[start : start + MAX_BATCH], samples[start : start + MAX_BATCH], None, 0)
            if on_done:
                on_done(len(results) - start)
        return results

    def _run(self, requests: Many[Request], samples: Many[Sample], decoder: Any, seed: int) -> Iterator[Result]:
        started = time.perf_counter()
        model = self.model
        prompts = [self.prompt.prompt(sample, model.vocabulary) for sample in samples]
        plans = [self.prompt.plan(sample, model.vocabulary) for sample in samples]
        with torch.inference_mode():
            embeddings = [prompt_embeddings(model, prompt) for prompt in prompts]
        said = [said_again(model, prompt) for prompt in prompts]
        units = None if decoder else self.unit_decoder
        emitted = generate(model.backbone, embeddings, plans, model.vocabulary, decoder or self.decoder, seed, unit_decoder=units, said=said, depth=model.depth)
        generated = time.perf_counter()
        segments = [self.prompt.decode(ids, sample, model.vocabulary) for ids, sample in zip(emitted, samples, strict=True)]
        audio = self._speak_all(requests, segments)
        seconds = {"generate": (generated - started) / len(requests), "vocode": (time.perf_counter() - generated) / len(requests)}
        for request, prompt, ids, pieces, sound in zip(requests, prompts, emitted, segments, audio, strict=True):
            yield Result(request, tuple(pieces), sound, prompt, tuple(ids), spans_of(prompt, ids, model.vocabulary), seconds)

    def _speak_all(self, requests: Many[Request], segments: Many[Many[Segment]]) -> list[Audio | None]:
        """The last unit segment of each result as sound, all in one batch."""
        units: list[tuple[int, Units, Speaker]] = []
        for index, pieces in enumerate(segments):
            spoken = [s for s in pieces if isinstance(s.content, Units) and s.content.num_frames]
            if spoken:
                last = spoken[-1]
                assert isinstance(last.content, Units)
                units.append((index, last.content, requests[index].speaker or self.speaker_of(last.language)))
        results: list[Audio | None] = [None] * len(requests)
        if units:
            prosody = [requests[index].prosody for index, _, _ in units]
            how = [prosody] if any(one.changes() for one in prosody) else []
            clips = self.vocoder.synthesize([u for _, u, _ in units], [speaker for _, _, speaker in units], *how)
            for (index, _, _), clip in zip(units, clips, strict=True):
                results[index] = clip
        return results


def check_content(request: Request, card: TaskCard) -> None:
    """
    Raises:
        AlmError: sound for a task that reads text or the other way round, a text without a word, or anything for a task that is given nothing.
    """
    content = request.content
    if card.reads is None:
        if not isinstance(content, str) or content:
            raise AlmError(f"got an input for task {request.task}, which is given none", 'content ""', "leave it empty, or choose another task")
    elif (card.reads == "text") != isinstance(content, str):
        raise AlmError(f"got {type(content).__name__} for task {request.task}", card.reads, f"give it {card.reads}, or choose another task")
    elif isinstance(content, str) and not content.strip():
        raise AlmError(*NO_WORD)


def _opened(recording: Any) -> Any:
    """A recording or another medium as its encoder takes it."""
    if isinstance(recording, MediaFile):
        return recording.path
    return read_audio(recording) if isinstance(recording, AudioFile) else recording


def _size(request: Request) -> float:
    """Characters, or seconds."""
    if isinstance(request.content, str):
        return len(request.content)
    return sum(getattr(sound, "duration_s", None) or 0.0 for sound in (request.content, request.other))
