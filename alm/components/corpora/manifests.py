"""Corpora in files: `cuts` reads a folder of lhotse manifests, `pairs` a file of parallel sentences without audio."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.manifests import utterances_from_cuts
from alm.api.types import Utterance

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class CutsOptions:
    """Attributes:
    folder: weight source style, `dir:PATH`; holds cuts_SPLIT.jsonl.gz and the audio they name.
    """

    folder: str = ""


class CutsCorpus:
    """Splits as lhotse manifests."""

    def __init__(self, folder: Path, card: CorpusCard) -> None:
        self.folder, self.card = folder, card

    def utterances(self, split: str) -> Iterator[Utterance]:
        if split not in self.card.splits:
            return iter(())
        return utterances_from_cuts(self.folder / f"cuts_{split}.jsonl.gz")


def cuts_card(options: CutsOptions, context: LoadContext) -> CorpusCard:
    return splits_card(context.folders(options.folder)[0], "cuts_{}.jsonl.gz", "write it with lhotse: CutSet.to_file")


def splits_card(folder: Path, name: str, fix: str) -> CorpusCard:
    """Of a folder with a file for each split.

    Args:
        name: of a file, with `{}` for the split.

    Raises:
        AlmError: a folder without any.
    """
    splits = tuple(split for split in SPLITS if (folder / name.format(split)).exists())
    if not splits:
        raise AlmError(f"got folder {folder} without a manifest", f"{name.format('train')} or another split", fix)
    return CorpusCard((), splits, 0)


def load_cuts(options: CutsOptions, context: LoadContext) -> CutsCorpus:
    return CutsCorpus(context.folders(options.folder)[0], cuts_card(options, context))


@dataclass(frozen=True)
class PairsOptions:
    """Attributes:
    folder: `dir:PATH` that holds pairs_train.jsonl.gz, a JSON object a line: language code -> sentence.
    limit: how many lines to read; 0 reads all.
    """

    folder: str = ""
    limit: int = 0


class PairsCorpus:
    """Parallel sentences for MT; utterances of one line share their group."""

    def __init__(self, folder: Path, limit: int, card: CorpusCard) -> None:
        self.folder, self.limit, self.card = folder, limit, card

    def utterances(self, split: str) -> Iterator[Utterance]:
        if split != "train":
            return
        name = f"pair-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:6]}"  # lines of another folder are other sentences
        with gzip.open(self.folder / "pairs_train.jsonl.gz", "rt", encoding="utf-8") as file:
            for number, line in enumerate(file):
                if self.limit and number >= self.limit:
                    return
                for language, text in json.loads(line).items():
                    if isinstance(text, str):
                        yield Utterance(f"{name}-{number}/{language}", None, text, language, "", f"{name}-{number}")


def pairs_card(options: PairsOptions, context: LoadContext) -> CorpusCard:
    return CorpusCard((), ("train",), 0)


def load_pairs(options: PairsOptions, context: LoadContext) -> PairsCorpus:
    (folder,) = context.folders(options.folder)
    return PairsCorpus(folder, options.limit, pairs_card(options, context))
