"""Corpus `drawings`: pictures that it draws itself, one to four of one shape in one colour, and questions about them."""

from __future__ import annotations

import itertools
import math
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.types import MediaFile, Utterance

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {"red": (200, 30, 30), "green": (30, 150, 40), "blue": (40, 60, 200), "yellow": (230, 200, 30), "black": (20, 20, 20)}
NUMBERS = ("one", "two", "three", "four")
QUESTIONS = {"shape": "which shape is it", "colour": "which colour is it", "number": "how many are there"}
SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}
CELLS = 2  # places of a side
CARD = CorpusCard(("en",), tuple(SPLITS), 0, licence="CC0-1.0")


@dataclass(frozen=True)
class DrawingsOptions:
    """Attributes:
    count: pictures of all splits.
    size: pixels of a side.
    """

    count: int = 3000
    size: int = 48
    seed: int = 0


class Drawings:
    """See the module. Every picture of a split is another one: other places, sizes and shades."""

    card = CARD

    def __init__(self, options: DrawingsOptions) -> None:
        if options.count < 10 or options.size < 8 * CELLS:
            raise AlmError(f"got count {options.count} and size {options.size}", f"10 or more, and {8 * CELLS} or more", "correct the option")
        self.options = options
        self.folder = Path(tempfile.gettempdir()) / f"alm-drawings-{options.size}-{options.seed}"

    def utterances(self, split: str) -> Iterator[Utterance]:
        """Three of each picture, a question each; `text` describes it."""
        names = list(SPLITS)
        if split not in names:
            raise AlmError(f"got split {split!r}", f"one of {', '.join(names)}", "correct it")
        ends = [round(self.options.count * share) for share in itertools.accumulate(SPLITS.values())]
        first = ends[names.index(split) - 1] if names.index(split) else 0
        for number in range(first, ends[names.index(split)]):
            chance = random.Random(f"{self.options.seed} {number}")
            truth = {"shape": chance.choice(SHAPES), "colour": chance.choice(list(COLOURS)), "number": chance.choice(NUMBERS)}
            path = self._drawn(number, truth, chance)
            text = f"{truth['number']} {truth['colour']} {truth['shape']}{'s' * (truth['number'] != 'one')}"
            for asked, question in QUESTIONS.items():
                labels: dict[str, Any] = {"question": question, "answer": truth[asked]}
                yield Utterance(f"{number}/{asked}", None, text, "en", group=str(number), labels=labels, media={"image": MediaFile(path, "image")})

    def _drawn(self, number: int, truth: dict[str, str], chance: random.Random) -> Path:
        path = self.folder / f"{number}.png"
        if path.exists():
            return path
        from PIL import Image, ImageDraw

        size, cell = self.options.size, self.options.size / CELLS
        shade = chance.randint(200, 255)
        picture = Image.new("RGB", (size, size), (shade, shade, shade))
        pen = ImageDraw.Draw(picture)
        colour = tuple(max(0, min(255, value + chance.randint(-20, 20))) for value in COLOURS[truth["colour"]])
        for place in chance.sample(range(CELLS * CELLS), 1 + NUMBERS.index(truth["number"])):
            radius = cell * chance.uniform(0.36, 0.46)
            slack = cell / 2 - radius
            x, y = (cell * (0.5 + index) + chance.uniform(-slack, slack) for index in (place % CELLS, place // CELLS))
            _draw(pen, truth["shape"], x, y, radius, colour)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.png")
        picture.save(temporary)
        temporary.replace(path)
        return path


def _draw(pen: Any, shape: str, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    elif shape == "triangle":
        pen.polygon([(x + radius * math.sin(turn), y - radius * math.cos(turn)) for turn in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)], fill=colour)
    else:
        thin = radius / 3
        pen.rectangle((x - radius, y - thin, x + radius, y + thin), fill=colour)
        pen.rectangle((x - thin, y - radius, x + thin, y + radius), fill=colour)


def load_drawings(options: DrawingsOptions, context: Any) -> Drawings:
    return Drawings(options)
