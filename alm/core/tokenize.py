"""Hours of speech -> units on disk: `alm tokenize MANIFEST OUT`. Sees a tokenizer, never a model.

A manifest is cut into chunks in its own order. A chunk becomes one shard of lhotse cuts (`cuts/cuts.NNNNNN.jsonl.gz`, units
as a custom field), one file of JSON lines (`units/NNNNNN.jsonl`: units, duration, file_name, as SlamKit reads them) and, where
clips could not be tokenized, `quarantine/NNNNNN.jsonl` with the reasons. What a shard holds depends on its clips alone and
appears whole, so a job that was killed goes on where it stopped and ends with the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from alm.api.batching import batches_by_length
from alm.api.engines import OnClips, Report
from alm.api.errors import AlmError
from alm.api.manifests import cut_audio, cuts_of, holds_cuts, utterances_from_lines
from alm.api.types import Audio, AudioFile, Units, Utterance
from alm.core.audio import duration_of, prepare, read_audio
from alm.core.files import gzipped, remove_unfinished, write_bytes, write_text
from alm.core.manifests import cut_of
from alm.core.parts import Parts
from alm.core.plugins import registry

READ_AHEAD = 2  # batches that are decoded while one is encoded
JOB_FILE = "job.json"


@dataclass(frozen=True)
class Clip:
    """One line of a manifest: a lhotse cut where it holds those, an utterance otherwise."""

    id: str
    audio: AudioFile
    file_name: str
    cut: Any = None
    utterance: Utterance | None = None


@dataclass(frozen=True)
class Chunk:
    """The clips of one shard."""

    number: int
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Job:
    """One run of `alm tokenize`; plain data, so that an engine can send it to other machines.

    Attributes:
        tokenizer: a registered model, a checkpoint folder, or a recipe that has a tokenizer.
        device: where it is loaded.
        bfloat16: whether it computes in bfloat16.
        batch_s: seconds of sound, padding included, in a batch.
        shard_clips: clips of a chunk.
        max_bad: clips that may be set aside before the job fails.
    """

    manifest: Path
    out: Path
    tokenizer: str = "prompts"
    device: str = "cpu"
    bfloat16: bool = False
    batch_s: float = 120.0
    shard_clips: int = 1000
    max_bad: int = 0

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of the manifest, read one by one."""
        clips = read_clips(self.manifest)
        number = 0
        while some := tuple(islice(clips, self.shard_clips)):
            yield Chunk(number, some)
            number += 1

    def is_done(self, chunk: Chunk) -> bool:
        return self.shard("units", chunk.number).exists()  # written last

    def shard(self, kind: str, number: int) -> Path:
        """The file of a chunk: kind is cuts, units or quarantine."""
        return self.out / kind / (f"cuts.{number:06d}.jsonl.gz" if kind == "cuts" else f"{number:06d}.jsonl")


def read_clips(manifest: Path) -> Iterator[Clip]:
    """Clips of a lhotse cuts manifest or of JSON lines with `audio`.

    Raises:
        AlmError: a manifest or line that cannot be read.
    """
    if holds_cuts(manifest):
        for cut in cuts_of(manifest):
            yield Clip(cut.id, cut_audio(cut, manifest), cut.recording.sources[0].source, cut=cut)
        return
    for utterance in utterances_from_lines(manifest, ("audio",)):
        assert utterance.audio is not None
        yield Clip(utterance.id, utterance.audio, str(utterance.audio.path), utterance=utterance)


def tokenizer_parts(name: str, device: str) -> Parts:
    """The parts of a registered model, a checkpoint folder or a recipe, whose tokenizer is trained.

    Raises:
        AlmError: no such model or recipe, or one without a trained tokenizer.
    """
    parts = Parts.of_model(name, device=device)
    if not parts.has("tokenizer"):
        raise AlmError(f"got {name!r}, which has no tokenizer", "a model or recipe with one", "name another --model")
    if not parts.card("tokenizer").fingerprint:
        raise AlmError(f"got {name!r}, whose tokenizer has no codebook", "a trained one", "train it with a recipe of objective kmeans, and name that run's `final` folder")
    return parts


class Worker:
    """Tokenizes chunks; loads the tokenizer once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tokenizer = tokenizer_parts(job.tokenizer, job.device).load("tokenizer")

    def __call__(self, chunk: Chunk, on_clips: OnClips = lambda clips, seconds: None) -> Report:
        """Encodes a chunk and writes its shard.

        Args:
            on_clips: told of each batch: clips, and seconds of sound.
        """
        result = _Shard()
        durations: dict[int, float] = {}
        for number, clip in enumerate(chunk.clips):
            try:
                durations[number] = duration_of(clip.audio)
            except AlmError as error:
                result.bad[number] = error
        on_clips(len(result.bad), 0.0)
        known = list(durations)
        groups = [[known[i] for i in group] for group in batches_by_length([round(100 * durations[i]) for i in known], round(100 * self.job.batch_s))]
        for group, sounds in zip(groups, _ahead(lambda group: [self._read(chunk.clips[i]) for i in group], groups), strict=True):
            heard = dict(zip(group, sounds, strict=True))
            result.bad |= {i: sound for i, sound in heard.items() if isinstance(sound, AlmError)}
            before = result.seconds
            self._encode({i: sound for i, sound in heard.items() if isinstance(sound, Audio)}, result)
            on_clips(len(group), result.seconds - before)
        self._write(chunk, result)
        return Report(len(chunk.clips), result.seconds, len(result.bad))

    def _read(self, clip: Clip) -> Audio | AlmError:
        try:
            return prepare(read_audio(clip.audio), self.tokenizer.card.sample_rate_hz)
        except AlmError as error:
            return error

    def _encode(self, heard: dict[int, Audio], result: _Shard) -> None:
        """All at once; where the tokenizer refuses a clip, one by one."""
        if not heard:
            return
        try:
            with torch.autocast(torch.device(self.job.device).type, torch.bfloat16, enabled=self.job.bfloat16):
                units = self.tokenizer.encode(list(heard.values()))
        except AlmError as error:
            if len(heard) == 1:
                result.bad |= dict.fromkeys(heard, error)
            else:
                for number, sound in heard.items():
                    self._encode({number: sound}, result)
            return
        result.units |= dict(zip(heard, units, strict=True))
        result.seconds += sum(audio.duration_s for audio in heard.values())

    def _write(self, chunk: Chunk, result: _Shard) -> None:
        done = [(chunk.clips[i], result.units[i]) for i in sorted(result.units)]
        lines = [{"id": clip.id, "file_name": clip.file_name, **_units_line(units)} for clip, units in done]
        bad = [{"id": chunk.clips[i].id, "file_name": chunk.clips[i].file_name, "reason": str(error)} for i, error in sorted(result.bad.items())]
        cuts = [_cut_line(clip, units) for clip, units in done]
        quarantine = self.job.shard("quarantine", chunk.number)
        if bad:
            write_text(quarantine, _json_lines(bad))
        else:
            quarantine.unlink(missing_ok=True)  # of a run that was killed, before a clip was repaired
        write_bytes(self.job.shard("cuts", chunk.number), gzipped(_json_lines(cuts)))
        write_text(self.job.shard("units", chunk.number), _json_lines(lines))


@dataclass(eq=False)
class _Shard:
    """Results by a clip's place in its chunk."""

    units: dict[int, Units] = field(default_factory=dict)
    bad: dict[int, AlmError] = field(default_factory=dict)
    seconds: float = 0.0


def _ahead(read: Callable[[list[int]], Any], groups: list[list[int]]) -> Iterator[Any]:
    """The results of `read`, in order, of which a few are made in other threads while one is used."""
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        waiting: deque[Any] = deque()
        for group in groups:
            waiting.append(pool.submit(read, group))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _units_line(units: Units) -> dict[str, Any]:
    """`units` and `duration` as SlamKit has them: a list of one codebook, a list of lists of several."""
    codes = units.codes.tolist()
    durations = [1] * units.num_frames if units.durations is None else units.durations.tolist()
    return {"units": codes[0] if len(codes) == 1 else codes, "duration": durations}


def _cut_line(clip: Clip, units: Units) -> dict[str, Any]:
    """The clip as a lhotse cut with its units."""
    cut, said = clip.cut, clip.utterance
    if cut is None:
        assert said is not None
        cut = cut_of(clip.id, clip.audio, said.text, said.language, said.speaker)
    content: dict[str, Any] = cut.to_dict()
    content["recording"]["sources"][0]["source"] = str(clip.audio.path.resolve())
    own = {"units": units.codes.tolist(), "units_frame_rate_hz": units.frame_rate_hz, "units_tokenizer": units.fingerprint}
    if units.durations is not None:
        own["unit_durations"] = units.durations.tolist()
    content["custom"] = {**(content.get("custom") or {}), **own}
    return content


def _json_lines(entries: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def run_here(make_worker: Callable[[], Worker], chunks: Iterable[Chunk], on_clips: OnClips) -> Iterator[Report]:
    """The engine of one process; tells of each batch."""
    worker: Worker | None = None
    for chunk in chunks:
        worker = worker or make_worker()
        yield worker(chunk, on_clips)


def tokenize(job: Job, engine: str = "", on_clips: OnClips = lambda clips, seconds: None, *, retry: bool = False) -> Report:
    """Runs a job, or what is left of it, and returns what there is at the end; its seconds are those of this run.

    Args:
        engine: a registered engine, or "" for this process.
        retry: tokenize the shards with clips in quarantine again.

    Raises:
        AlmError: a manifest or tokenizer that cannot be used; a folder that holds another job; more bad clips than `max_bad`.
    """
    card = tokenizer_parts(job.tokenizer, job.device).card("tokenizer")
    _start(job, card.fingerprint)
    for path in _quarantined(job) if retry else ():
        (job.out / "units" / path.name).unlink()
        path.unlink()

    clips = 0

    def pending() -> Iterator[Chunk]:
        nonlocal clips
        for chunk in job.chunks():
            clips += len(chunk.clips)
            if job.is_done(chunk):
                on_clips(len(chunk.clips), 0.0)
            else:
                yield chunk

    bad = sum(len(path.read_text().splitlines()) for path in _quarantined(job))
    _check_bad(job, bad)
    seconds = 0.0
    run: Callable[..., Iterable[Report]] = registry().engine(engine) if engine else run_here
    for report in run(partial(Worker, job), pending(), on_clips):
        bad += report.bad
        seconds += report.seconds
        _check_bad(job, bad)
    return Report(clips, seconds, bad)


def _start(job: Job, fingerprint: str) -> None:
    """Makes the folder, or checks that what it holds is this job."""
    digest = hashlib.sha256()
    if not job.manifest.is_file():
        raise AlmError(f"got manifest {job.manifest}, which does not exist", "lhotse cuts or JSON lines", "check the path")
    with job.manifest.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    wanted = {"tokenizer": fingerprint, "bfloat16": job.bfloat16, "manifest": digest.hexdigest(), "shard_clips": job.shard_clips}
    try:
        for kind in ("cuts", "units", "quarantine"):
            (job.out / kind).mkdir(parents=True, exist_ok=True)
        remove_unfinished(job.out)
        if not (job.out / JOB_FILE).exists():
            if any((job.out / "units").iterdir()):
                raise AlmError(f"got folder {job.out}, which has units of an unknown job", "an empty folder, or one of this job", "choose another folder")
            write_text(job.out / JOB_FILE, json.dumps(wanted))
            return
    except OSError as error:
        raise AlmError(f"got folder {job.out}, which cannot be written ({error.strerror})", "a writable place", "choose another folder") from error
    found = json.loads((job.out / JOB_FILE).read_text())
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    if changed:
        raise AlmError(
            f"got folder {job.out} of a job with another {' and '.join(changed)}", "an empty folder, or one of this job", "choose another folder, or the options of that job"
        )


def _quarantined(job: Job) -> list[Path]:
    """Quarantine lists of the chunks that are done."""
    return [path for path in sorted((job.out / "quarantine").glob("*.jsonl")) if (job.out / "units" / path.name).exists()]


def _check_bad(job: Job, bad: int) -> None:
    if bad > job.max_bad:
        first = json.loads(_quarantined(job)[0].read_text().splitlines()[0])
        raise AlmError(
            f"got {bad} clips that cannot be tokenized, such as {first['file_name']}: {first['reason']}",
            f"at most {job.max_bad}",
            f"see {job.out / 'quarantine'}; repair them and add --retry, or go on with --max-bad {bad} or more",
        )
