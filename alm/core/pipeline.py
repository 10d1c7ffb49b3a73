"""The whole path for one model: audio or text in, text and audio out. The one place that sees all stages."""

from __future__ import annotations

import dataclasses
import importlib
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence as Many
from pathlib import Path
from typing import Any

import torch

from alm.api.errors import AlmError
from alm.api.recognition import Heard
from alm.api.types import Audio, AudioFile, Prosody, Sample, Segment, Speaker, Units
from alm.core.asked import asked, clauses_of, heard
from alm.core.assemble import prompt_embeddings, said_again
from alm.core.audio import prepare, read_audio
from alm.core.conversation import Conversation
from alm.core.generate import Progress, generate_steps
from alm.core.hub import push_to_hub, save_pretrained
from alm.core.loaded import LoadedModel
from alm.core.model_card import CardScore
from alm.core.plugins import registry
from alm.core.results import Piece, Request, Result, joined, mean_or_none, spans_of
from alm.core.sources import hub_folder
from alm.core.voice import Clock, Voice

MAX_BATCH = 16
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
NO_LABELS: Mapping[str, str] = {}
UNFINISHED = "�"  # what a text ends with whose last character is not whole yet


class Pipeline(LoadedModel):
    """A model that answers requests. Immutable, as LoadedModel is; safe to share between requests."""

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
        parts = [(index, part) for index, request in enumerate(requests) for part in clauses_of(self, request)]
        wanted = [asked(self, part) for _, part in parts]
        left = Counter(index for index, _ in parts)
        order = sorted(range(len(parts)), key=lambda i: (parts[i][1].task, size_of(parts[i][1])))
        results: dict[int, Result] = {}
        for start in range(0, len(order), MAX_BATCH):
            chosen = order[start : start + MAX_BATCH]
            batch = [parts[i][1] for i in chosen]
            samples = heard(self, batch, [wanted[i] for i in chosen])
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
        for part in clauses_of(self, request):
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
        return Result(request, tuple(segments), audio, prompt, tuple(progress.emitted), spans, dict(clock.seconds), mean_or_none(progress.log_probs))

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
            result = self.run(self.combined("S2ST", source, target), content, source, target)
            if result.audio is None:
                raise AlmError("the model emitted no unit", "audio", "try another input")
            return result.audio
        return self.run("MT" if isinstance(content, str) else self.combined("AST", source, target), content, source, target).text

    def speak(self, text: str, language: str, *, speaker: Speaker = "") -> Audio:
        """Text -> speech."""
        audio = self.run("TTS", text, language, speaker=speaker).audio
        if audio is None:
            raise AlmError("the model emitted no unit", "audio", "try another text")
        return audio

    def convert(self, audio: Audio | Path, language: str, *, speaker: Speaker = "") -> Audio:
        """Speech -> the same words by another voice.

        Args:
            language: of the speech.

        Raises:
            AlmError: as `run`, or no unit came out.
        """
        labels = {"speaker": speaker} if isinstance(speaker, str) and speaker else {}
        converted = self.run("VC", audio, language, speaker=speaker, labels=labels).audio
        if converted is None:
            raise AlmError("the model emitted no unit", "audio", "try another recording")
        return converted

    def chat(self, message: str | Audio | Path, language: str = "en", *, to: str = "", speaker: Speaker = "", decoder: Any = None, seed: int = 0) -> Result:
        """One turn of a dialogue, by the dialogue task that the model was trained on: of several the one with the most intermediate
        results, as the chain of modality has them.

        Args:
            to: "text" or "audio": how it is to answer; as its longest task does if not given.

        Raises:
            AlmError: a model without a dialogue task for such a message or such an answer.
        """
        return self.run(self.reply_task(message, to), message, language, speaker=speaker, decoder=decoder, seed=seed)

    def chat_in_pieces(self, message: str | Audio | Path, language: str = "en", *, to: str = "", speaker: Speaker = "", decoder: Any = None, seed: int = 0) -> Iterator[Piece]:
        """The same as it is made: of what is written the answer alone, and its sound, if it is spoken.

        Raises:
            AlmError: as `chat`.
        """
        task = self.reply_task(message, to)
        answer = max((index for index, piece in enumerate(self.task_card(task).outputs) if piece.modality == "text"), default=-1)
        for piece in self.stream(task, message, language, speaker=speaker, decoder=decoder, seed=seed):
            yield piece if piece.span == answer else dataclasses.replace(piece, text="")

    def reply_task(self, message: str | Audio | Path, to: str = "") -> str:
        """The dialogue task by which `chat` answers.

        Raises:
            AlmError: as `chat`.
        """
        if to not in ("", "text", "audio"):
            raise AlmError(f"got to={to!r}", "to='text' or to='audio'", "choose one")
        reads, cards = "text" if isinstance(message, str) else "audio", {use: self.task_card(use) for use in self.tasks}
        replies = {use: card for use, card in cards.items() if card.pairing == "reply" and len(use.split()) == 1}
        fits = [use for use, card in replies.items() if card.reads == reads and len(card.inputs) == 1 and to in ("", card.outputs[-1].modality)]
        if not fits:
            raise AlmError(
                f"got {'a written' if reads == 'text' else 'a spoken'} message{f' to be answered in {to}' * bool(to)}",
                f"one of the model's dialogue tasks: {', '.join(replies) or 'none'}",
                "train it on such a task, for instance CHAT-COM",
            )
        return max(fits, key=lambda use: len(replies[use].outputs))

    def conversation(self, language: str = "en", *, beyond: str = "refuse") -> Conversation:
        """A new conversation of many turns over many recordings.

        Args:
            beyond: what becomes of one that is too long for the model: "refuse", or "summarize" its earlier turns in the model's own words.

        Raises:
            AlmError: a model whose prompt format cannot carry one, another language, or another `beyond`.
        """
        return Conversation(self, language, beyond)

    def read_closely(self, clips: Many[Audio], language: str, task: str = "ASR", target: str = "") -> list[Heard]:
        """The text of each clip, how likely the model finds it, and when each word is said, as far as the model tells."""
        results = self.run_batch([Request(task, clip, language, target) for clip in clips])
        return [Heard(result.text, result.log_prob, result.marks) for result in results]

    def hear_turn(self, audio: Audio, language: str) -> list[Segment]:
        """A recording as a turn of a conversation holds it."""
        return [Segment(content, language=language) for content in self.hear(audio, self.recipe.data.audio)]

    @staticmethod
    def from_pretrained(name: str, *, revision: str = "main", token: str | None = None, overrides: Many[str] = ()) -> Pipeline:
        """Opens what `alm.load` opens, or `ORG/NAME` on the Hugging Face hub.

        Args:
            revision: of a model on the hub; name a commit, for a branch can change under you.

        Raises:
            AlmError: as `alm.load`, or one that cannot be fetched.
        """
        models = importlib.import_module("alm.core.models")  # which knows the kinds of pipelines, a layer above
        on_hub = HUB_NAME.fullmatch(name) and not Path(name).exists() and name.split("/")[0] not in registry().versions
        opened: Pipeline = models.load(str(hub_folder(f"{name}@{revision}", token)) if on_hub else name, overrides)
        return opened

    def save_pretrained(self, folder: str | Path, *, scores: Many[CardScore] = ()) -> Path:
        """Copies the model into a folder that another machine can open, with a model card.

        Args:
            scores: what it reached, for the card.

        Raises:
            AlmError: a place that cannot be written to.
        """
        return save_pretrained(self, Path(folder), scores)

    def push_to_hub(self, repository: str, *, scores: Many[CardScore] = (), private: bool = False, message: str = "", token: str | None = None) -> str:
        """Uploads what `save_pretrained` writes to `ORG/NAME`; returns the address of the commit.

        Raises:
            AlmError: a hub that does not take it.
        """
        return push_to_hub(self, repository, scores, private=private, message=message, token=token)

    def tokenize(self, audio: Audio) -> Units:
        """Units of a clip, resampled to what the tokenizer wants."""
        return self.tokenizer.encode([prepare(audio, self.tokenizer.card.sample_rate_hz)])[0]

    def resynthesize(self, audio: Audio, speaker: Speaker) -> Audio:
        """Audio -> units -> audio: what the units and the vocoder keep of a clip."""
        return self.vocoder.synthesize([self.tokenize(audio)], [speaker])[0]

    def combined(self, tag: str, source: str, target: str) -> str:
        """The trained task that ends in a tag and has the most intermediate results, for these languages; else the tag."""
        fits = [c.use for c in self.recipe.data.tasks if c.use.split()[-1] == tag and (not c.source or source in c.source) and (not c.target or target in c.target)]
        return max(fits, key=lambda use: len(use.split()), default=tag)

    def _read(self, task: str, content: Any) -> Any:
        """A path to a recording as sound; anything else as it is."""
        return read_audio(content) if isinstance(content, Path) and self.task_card(task).reads == "audio" else content

    def sample(self, request: Request) -> Sample:
        """The request as a Sample with its audio turned into units or features."""
        return heard(self, [request], [asked(self, request)])[0]

    def answer(self, request: Request, sample: Sample, decoder: Any = None, seed: int = 0) -> Result:
        """What the model makes of a sample whose audio is units or features."""
        return next(self._run([request], [sample], decoder, seed))

    def answer_in_pieces(self, request: Request, sample: Sample, decoder: Any = None, seed: int = 0) -> Iterator[Piece]:
        """The same as it is made, the Result with the last piece."""
        clock = Clock()
        result = yield from self._stream_sample(request, sample, decoder, seed, clock)
        yield Piece(seconds=dict(clock.seconds), result=result)

    def answers(self, requests: Many[Request], samples: Many[Sample], on_done: Callable[[int], None] | None = None, decoder: Any = None) -> list[Result]:
        """The same of many, in batches; the results are in their order."""
        results: list[Result] = []
        for start in range(0, len(samples), MAX_BATCH):
            results += self._run(requests[start : start + MAX_BATCH], samples[start : start + MAX_BATCH], decoder, 0)
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
        units_by = None if decoder else self.unit_decoder
        ends = [Progress(plan, said=said_again(model, prompt)) for plan, prompt in zip(plans, prompts, strict=True)]
        for _ in generate_steps(model.backbone, embeddings, ends, model.vocabulary, decoder or self.decoder, seed, units_by, model.depth):
            pass
        emitted = [end.emitted for end in ends]
        generated = time.perf_counter()
        segments = [self.prompt.decode(ids, sample, model.vocabulary) for ids, sample in zip(emitted, samples, strict=True)]
        audio = self._speak_all(requests, segments)
        seconds = {"generate": (generated - started) / len(requests), "vocode": (time.perf_counter() - generated) / len(requests)}
        for request, prompt, end, pieces, sound in zip(requests, prompts, ends, segments, audio, strict=True):
            spans = spans_of(prompt, end.emitted, model.vocabulary)
            yield Result(request, tuple(pieces), sound, prompt, tuple(end.emitted), spans, seconds, mean_or_none(end.log_probs))

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


def size_of(request: Request) -> float:
    """Characters, or seconds."""
    if isinstance(request.content, str):
        return len(request.content)
    return sum(getattr(sound, "duration_s", None) or 0.0 for sound in (request.content, request.other))
