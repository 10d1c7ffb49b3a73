"""The task mixture: which samples exist, how often each task is drawn, and how a sample is varied. Sees units, not audio.

Augmentation works on units, features and text, so it costs nothing: two utterances joined, frames dropped or doubled (a
change of tempo), input frames replaced at random, and wrong words in the teacher-forced text, so that a small model listens instead
of reciting what it has seen.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from alm.api.batching import batches_by_length
from alm.api.cards import TaskCard
from alm.api.errors import AlmError
from alm.api.interfaces import SampleCorpus
from alm.api.tasks import HEAD_SHARE, has_pieces, targets_of
from alm.api.text import marks_text
from alm.api.types import AudioFile, Features, MediaFile, Sample, Segment, Turn, Units, Utterance
from alm.core.config import TaskConfig
from alm.core.parts import Parts
from alm.core.units import Track, cached_features, cached_units
from alm.core.wording import Wording
from alm.train.data import EpochBatches

Made = dict[AudioFile | MediaFile, Units | Features]
Draw = tuple[int, int | None]  # an entry, and the one that is joined to it
MAX_JOINED = 640  # positions


@dataclass(frozen=True, eq=False)
class Entry:
    """One trainable pair of utterances under one task."""

    task: int
    sample: Sample
    length: int  # expected positions, for batching


class Mixture:
    """All entries of a split, with their audio replaced by units or features.

    Args:
        count_ids: how many ids a text has, for batching.
    """

    def __init__(self, parts: Parts, split: str, count_ids: Callable[[str], int], track: Track) -> None:
        self.parts, self.data = parts, parts.recipe.data
        groups: dict[str, list[Utterance]] = defaultdict(list)
        repeats: dict[Utterance, int] = {}
        for utterance, repeat in parts.repeated_utterances(split):
            groups[utterance.group].append(utterance)
            repeats[utterance] = repeat
        pending = [(index, sample, source) for index, task in enumerate(self.data.tasks) for sample, source in _samples(parts, task, groups)]
        ready = [(config, list(corpus.samples(split))) for config, corpus in parts.corpora() if isinstance(corpus, SampleCorpus)]
        heard = TaskConfig(audio=self.data.audio)  # how recordings of ready-made samples are, which belong to no task
        contents = self._encode([(self.data.tasks[index], sample) for index, sample, _ in pending] + [(heard, sample) for _, samples in ready for sample in samples], track)
        wording, cards = Wording(parts), [parts.task(task.use).card for task in self.data.tasks]
        self.entries = []
        self.by_task: dict[int, list[int]] = defaultdict(list)  # an entry stands there as often as its corpus is repeated
        for index, sample, source in pending:
            done = _with_contents(sample, contents, self.data.tasks[index], wording, cards[index])
            if done is not None and parts.recipe.layout.text_beside and not _fits_beside(done, count_ids):
                logging.getLogger("alm").warning("%s is left out: its speech has fewer units than its text has ids, which are to stand beside them", done.id)
                done = None
            if done is not None:
                self.by_task[index] += [len(self.entries)] * repeats[source]
                self.entries.append(Entry(index, done, _length(done, count_ids)))
        for index, task in enumerate(self.data.tasks if split == "train" else ()):
            if index not in self.by_task:
                logging.getLogger("alm").warning("task %s is not trained: no utterance of its corpora and languages has what it needs", task.use)
        self.names, self.weights = [task.use for task in self.data.tasks], [task.weight for task in self.data.tasks]
        for config, samples in ready:
            for sample in samples:
                self.by_task[len(self.names)] += [len(self.entries)] * config.repeat
                done = with_own_units(_with_sound(sample, contents, heard), parts)
                self.entries.append(Entry(len(self.names), done, _length(done, count_ids)))
            self.names.append(config.use)
            self.weights.append(config.weight)
        if split == "train" and not self.entries:
            raise AlmError(f"recipe {parts.recipe.name!r} makes no training sample", "tasks and languages that its corpora have", "check data.tasks against data.corpora")
        self.by_kind: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, entry in enumerate(self.entries):
            self.by_kind[entry.task, entry.sample.languages].append(number)

    def _encode(self, pending: list[tuple[TaskConfig, Sample]], track: Track) -> dict[str, Made]:
        """Each recording once: units where any task reads or writes units, features where a task reads features."""
        wanted: dict[str, dict[AudioFile | MediaFile, None]] = {"units": {}, "features": {}}
        for task, sample in pending:
            for segment in sample.segments():
                if isinstance(segment.content, AudioFile | MediaFile):
                    for form in _forms(segment, task):
                        wanted[form][segment.content] = None
        make: dict[str, Any] = {"units": cached_units, "features": cached_features}
        return {form: dict(zip(files, make[form](self.parts, list(files), track), strict=True)) if files else {} for form, files in wanted.items()}

    def partner(self, number: int, chance: random.Random) -> int | None:
        """Another entry of the same task and languages that may be appended to this one; None of a task that is about one clip."""
        entry = self.entries[number]
        if any(not segment.says for segment in entry.sample.segments()):
            return None
        other = chance.choice(self.by_kind[entry.task, entry.sample.languages])
        if any(not segment.says for segment in self.entries[other].sample.segments()):
            return None
        return other if entry.length + self.entries[other].length <= MAX_JOINED else None


class MixtureBatches(EpochBatches):
    """Batches of an epoch: tasks in proportion to their weights, samples of a task without repetition until all are used.

    Joining is decided here, since the length of what is joined decides its batch.
    """

    def __init__(self, mixture: Mixture, max_total: int, seed: int, join: float = 0.0, *, shuffle: bool = True) -> None:
        self.mixture, self.max_total, self.join = mixture, max_total, join
        super().__init__(seed, shuffle=shuffle)

    def draw(self, chance: random.Random) -> list[list[Draw]]:
        mixture = self.mixture
        total_weight = sum(mixture.weights[task] for task in mixture.by_task)
        chosen: list[int] = []
        for task, numbers in mixture.by_task.items():
            count = max(1, round(len(mixture.entries) * mixture.weights[task] / total_weight))
            rounds, rest = divmod(count, len(numbers))
            chosen += numbers * rounds + chance.sample(numbers, rest)
        draws: list[Draw] = [(i, mixture.partner(i, chance) if chance.random() < self.join else None) for i in chosen]
        lengths = [sum(mixture.entries[i].length for i in draw if i is not None) for draw in draws]
        jittered = [round(length * (1 + 0.1 * chance.random())) for length in lengths]
        groups = [[draws[i] for i in group] for group in batches_by_length(jittered, self.max_total)]
        chance.shuffle(groups)
        return groups


def drawn(mixture: Mixture, draw: Draw, tempo: float = 0.0) -> tuple[int, Sample]:
    """The task and the sample that a batch draws, joined and changed in tempo."""
    entry, partner = mixture.entries[draw[0]], draw[1]
    sample = entry.sample if partner is None else joined(entry.sample, mixture.entries[partner].sample)
    if tempo:
        chance = random.Random(random.getrandbits(64))
        sample = _map_heard(sample, lambda content: _change_tempo(content, tempo, chance))
    return entry.task, sample


def _samples(parts: Parts, config: TaskConfig, groups: dict[str, list[Utterance]]) -> Iterator[tuple[Sample, Utterance]]:
    task = parts.task(config.use)
    pieces = (*task.card.inputs, *task.card.outputs)
    for utterances in groups.values():
        for source in utterances:
            if not config.takes(source):
                continue
            for target in targets_of(task.card, source, utterances):
                if (not task.card.translates or not config.target or target.language in config.target) and has_pieces(pieces, source, target):
                    yield task.build(source, target if task.card.needs_target else None), source


def _forms(segment: Segment, task: TaskConfig) -> tuple[str, ...]:
    """What a segment becomes that was perceived: sound that is spoken or continued is units, what is only heard is as the task says; all else is
    features."""
    if isinstance(segment.content, MediaFile):
        return ("features",)
    if segment.learn or segment.part:
        return ("units",)
    return ("features", "units") if task.audio == "both" else (task.audio,)


def _with_contents(sample: Sample, contents: dict[str, Made], task: TaskConfig, wording: Wording, card: TaskCard) -> Sample | None:
    """The sample with text worded and audio replaced; None if nothing is left of a text."""

    def convert(segment: Segment) -> list[Segment]:
        made: list[Any] = [segment.content]
        if isinstance(segment.content, str):
            made = [wording.written(segment.content, segment.language) if segment.learn else wording.given(segment.content, segment.language, card)]
        elif isinstance(segment.content, tuple):
            made = [wording.marked(segment.content, segment.language)]
        elif isinstance(segment.content, AudioFile | MediaFile):
            made = _sounds(segment, contents, task)
        return [dataclasses.replace(segment, content=content) for content in made]

    done = sample.changed(convert)
    return None if any(segment.content == "" for segment in done.segments()) else done


def _with_sound(sample: Sample, contents: dict[str, Made], task: TaskConfig) -> Sample:
    """A ready-made sample with its recordings replaced; its texts are as they should be."""

    def convert(segment: Segment) -> list[Segment]:
        if not isinstance(segment.content, AudioFile | MediaFile):
            return [segment]
        return [dataclasses.replace(segment, content=content) for content in _sounds(segment, contents, task)]

    return sample.changed(convert)


def _sounds(segment: Segment, contents: dict[str, Made], task: TaskConfig) -> list[Any]:
    """What a recording becomes under a task, as often as it is heard."""
    assert isinstance(segment.content, AudioFile | MediaFile)
    made: list[Any] = [contents[form][segment.content] for form in _forms(segment, task)]
    return [part_of(units, segment.part) for units in made] if segment.part else made


def _fits_beside(sample: Sample, count_ids: Callable[[str], int]) -> bool:
    """Whether each speech has as many units as the text that it says has ids, its end included."""
    learnt = [segment for segment in sample.segments() if segment.learn]
    pairs = [(a, b) for a, b in itertools.pairwise(learnt) if b.renders(a) and isinstance(a.content, str) and isinstance(b.content, Units)]
    return all(count_ids(a.content) < b.content.num_frames for a, b in pairs)  # type: ignore[arg-type, union-attr]


def with_own_units(sample: Sample, parts: Parts) -> Sample:
    """A ready-made sample whose nameless units are those of the recipe's tokenizer.

    Raises:
        AlmError: units that it does not have.
    """

    def convert(segment: Segment) -> list[Segment]:
        units = segment.content
        if not isinstance(units, Units) or units.fingerprint:
            return [segment]
        card = parts.card("tokenizer")
        if units.num_frames and int(units.codes.max()) >= card.vocabulary_size:
            raise AlmError(
                f"{sample.id}: got unit {int(units.codes.max())}", f"units below {card.vocabulary_size}, as the recipe's tokenizer has them", "use the tokenizer of these lines"
            )
        return [dataclasses.replace(segment, content=Units(units.codes, card.frame_rate_hz, card.fingerprint))]

    return sample.changed(convert)


def part_of(units: Units, part: str) -> Units:
    """The head or tail of units, as tasks that continue speech have it, or those of a stretch in seconds."""
    if ":" in part:
        start, stop = map(float, part.split(":"))
        return units.between(start, stop)
    middle = round(units.num_frames * HEAD_SHARE)
    return units[:middle] if part == "head" else units[middle:]


def joined(a: Sample, b: Sample) -> Sample:
    """Two samples of the same shape as one: texts with a space between, units and features end to end."""

    def join(x: Segment, y: Segment) -> Segment:
        content: Any
        if isinstance(x.content, str) and isinstance(y.content, str):
            content = f"{x.content} {y.content}"
        elif isinstance(x.content, Units) and isinstance(y.content, Units):
            content = Units.join([x.content, y.content])
        else:
            assert isinstance(x.content, Features)
            assert isinstance(y.content, Features)
            content = dataclasses.replace(x.content, values=torch.cat([x.content.values, y.content.values]))
        return dataclasses.replace(x, content=content)

    turns = tuple(Turn(t.role, tuple(join(x, y) for x, y in zip(t.segments, u.segments, strict=True))) for t, u in zip(a.turns, b.turns, strict=True))
    return dataclasses.replace(a, turns=turns)


def _map_heard(sample: Sample, change: Any) -> Sample:
    """The sample with its given units and features of sound changed."""

    def convert(segment: Segment) -> list[Segment]:
        given = isinstance(segment.content, Units | Features) and segment.modality == "audio" and not segment.learn and not segment.part
        return [dataclasses.replace(segment, content=change(segment.content)) if given else segment]

    return sample.changed(convert)


def _change_tempo(content: Units | Features, most: float, chance: random.Random) -> Units | Features:
    """Drops or doubles a random share of the frames, up to `most`."""
    share = chance.uniform(-most, most)
    repeats = [1 + (chance.random() < share) if share > 0 else 1 - (chance.random() < -share) for _ in range(content.num_frames)]
    if not any(repeats):
        return content
    frames = torch.arange(len(repeats)).repeat_interleave(torch.tensor(repeats))
    return dataclasses.replace(content, values=content.values[frames]) if isinstance(content, Features) else content[frames]


def _length(sample: Sample, count_ids: Callable[[str], int]) -> int:
    """Positions that the sample will take, its tag included."""
    length = 12
    for segment in sample.segments():
        content = segment.content
        if isinstance(content, str):
            length += count_ids(content) + 1
        elif isinstance(content, tuple):
            length += count_ids(marks_text(content)) + 1
        elif isinstance(content, Units):
            length += content.codes.numel() + 1
        elif isinstance(content, Features):
            length += content.num_slots + 1
    return length
