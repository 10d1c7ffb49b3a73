"""Corpora of ready-made samples in JSON lines: `speech-instruct` as SpeechGPT's data set has them, `preferences` with two answers each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.manifests import lines_of
from alm.api.types import Emit, Sample, Segment, Turn, Units, Utterance
from alm.components.corpora.manifests import splits_card


@dataclass(frozen=True)
class InstructOptions:
    """Attributes:
    folder: `dir:PATH` that holds instruct_SPLIT.jsonl: objects with `prefix` and `plain_text`, as SpeechInstruct has them.
    frame_rate_hz: of the units, before their repeats were merged.
    """

    folder: str = ""
    frame_rate_hz: float = 50.0


class InstructCorpus:
    """Samples as SpeechGPT's data set writes them (arXiv 2305.11000). A SampleCorpus."""

    def __init__(self, folder: Path, card: CorpusCard, frame_rate_hz: float) -> None:
        self.folder, self.card, self.frame_rate_hz = folder, card, frame_rate_hz

    def utterances(self, split: str) -> Iterator[Utterance]:
        return iter(())

    def samples(self, split: str) -> Iterator[Sample]:
        from alm.components.prompts.speechgpt import read_line

        if split not in self.card.splits:
            return
        path = self.folder / f"instruct_{split}.jsonl"
        for number, entry in lines_of(path):
            if not isinstance(entry.get("plain_text"), str):
                raise AlmError(f"{path} line {number}: no key 'plain_text'", "an object with prefix and plain_text", "correct the line")
            yield read_line(entry["plain_text"], f"{path.name} line {number}", self.frame_rate_hz)


def instruct_card(options: InstructOptions, context: LoadContext) -> CorpusCard:
    (folder,) = context.folders(options.folder)
    return splits_card(folder, "instruct_{}.jsonl", "write it with `alm instruct`")


def load_instruct(options: InstructOptions, context: LoadContext) -> InstructCorpus:
    return InstructCorpus(context.folders(options.folder)[0], instruct_card(options, context), options.frame_rate_hz)


@dataclass(frozen=True)
class PreferencesOptions:
    """Attributes:
    folder: `dir:PATH` that holds preferences_SPLIT.jsonl, as `alm prefer` writes them.
    """

    folder: str = ""


class PreferencesCorpus:
    """A PreferenceCorpus."""

    def __init__(self, folder: Path, card: CorpusCard) -> None:
        self.folder, self.card = folder, card

    def utterances(self, split: str) -> Iterator[Utterance]:
        return iter(())

    def preferences(self, split: str) -> Iterator[tuple[Sample, Sample]]:
        if split not in self.card.splits:
            return
        path = self.folder / f"preferences_{split}.jsonl"
        for number, entry in lines_of(path):
            where = f"{path} line {number}"
            missing = [name for name in ("task", "languages", "given", "chosen", "rejected") if name not in entry]
            if missing:
                raise AlmError(f"{where}: no key {missing[0]!r}", "what `alm prefer` writes", "write the file again")
            chosen, rejected = (_answered(entry, name, where) for name in ("chosen", "rejected"))
            yield chosen, rejected


def _answered(entry: dict[str, Any], answer: str, where: str) -> Sample:
    given, said = ([_segment(piece, name == answer, where) for piece in entry[name]] for name in ("given", answer))
    turns = (Turn("user", tuple(given)), Turn("assistant", tuple(said)))
    emits = tuple(Emit(segment.modality, segment.language, segment.says) for segment in said)
    return Sample(str(entry.get("id", where)), tuple(entry["task"].split()), tuple(entry["languages"]), turns, emits, entry.get("instruction", ""))


def _segment(piece: dict[str, Any], learn: bool, where: str) -> Segment:
    import torch

    language, says = piece.get("language", ""), piece.get("says", "")
    if isinstance(piece.get("text"), str):
        return Segment(piece["text"], learn, language, says=says)
    try:
        return Segment(Units(torch.tensor(piece["units"], dtype=torch.int64), 0.0, ""), learn, language, says=says)
    except (KeyError, TypeError, ValueError) as error:
        raise AlmError(f"{where}: got {str(piece)[:60]}", 'a piece such as {"text": "yes"} or {"units": [[661, 987]]}', "correct the line") from error


def preferences_card(options: PreferencesOptions, context: LoadContext) -> CorpusCard:
    return splits_card(context.folders(options.folder)[0], "preferences_{}.jsonl", "write it with `alm prefer`")


def load_preferences(options: PreferencesOptions, context: LoadContext) -> PreferencesCorpus:
    return PreferencesCorpus(context.folders(options.folder)[0], preferences_card(options, context))
