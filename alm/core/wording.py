"""How the model of a recipe is given a text: spelt alike, or analysed where it is to be read aloud. Knows no model."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from alm.api.cards import TaskCard
from alm.api.text import normalize_text
from alm.api.types import Marks
from alm.core.parts import Parts


class Wording:
    """The rules of one recipe."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.data = parts, parts.recipe.data

    @cached_property
    def frontend(self) -> Any:
        """None where the recipe has none."""
        return self.parts.load("frontend") if self.parts.has("frontend") else None

    def written(self, text: str, language: str) -> str:
        """A text that is read or written as such."""
        return normalize_text(text, language, accents=self.data.accents) if self.data.normalize_text else text

    def marked(self, marks: Marks, language: str) -> Marks:
        """What is marked, spelt as a text is."""
        return tuple(replace(mark, text=self.written(mark.text, language)) for mark in marks)

    def given(self, text: str, language: str, task: TaskCard) -> str:
        """A text that a task is given: analysed by the front end, if there is one and the task reads aloud."""
        return self.frontend.analyse(text, language) if task.reads_aloud and self.frontend is not None else self.written(text, language)
