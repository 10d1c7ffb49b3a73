"""A model as the routes use it: its pipeline, what is batched, and the parts that are loaded when they are first asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from alm.api.types import Audio, Marks
from alm.core.align import Aligner
from alm.core.audio import prepare
from alm.core.models import load
from alm.core.parts import load_component
from alm.core.pipeline import MAX_BATCH, Pipeline
from alm.core.results import Request, Result
from alm.core.transcripts import Line, transcribe
from alm.serve.batcher import Batcher
from alm.serve.options import ServeOptions


class Served:
    """
    Args:
        source: what `alm.load` opens.
    """

    def __init__(self, name: str, source: str, options: ServeOptions) -> None:
        self.name, self.source, self.options, self.created = name, source, options, int(time.time())
        self.pipeline: Pipeline = load(source)
        self.pipeline.warm_up()
        self.batcher: Batcher[Request, Result] = Batcher(self.pipeline.run_batch, MAX_BATCH, options.batch_wait_s)
        self.loading = threading.Lock()

    @cached_property
    def _detector(self) -> Any:
        from alm.core.labelling import HeadDetector

        found, name = self.pipeline.parts.found, self.options.detector
        if name in found.names("speech_detector"):
            return load_component(found, "speech_detector", name, {}, self.pipeline.parts.context)
        return HeadDetector(load(name))

    @cached_property
    def _aligner(self) -> Aligner:
        return Aligner(self.source)

    @property
    def voices(self) -> tuple[str, ...]:
        parts = self.pipeline.parts
        return next((parts.card(kind).speakers for kind in ("vocoder", "synthesizer") if parts.has(kind)), ())

    def lines(self, audio: Audio, language: str, target: str = "") -> Iterator[Line]:
        """What is said in a recording of any length, stretch by stretch; in another language, if there is a target."""
        with self.loading:
            detector = self._detector
        task = self.pipeline.combined("AST", language, target) if target else "ASR"
        return transcribe(self.pipeline, audio, language, detector, task=task, target=target)

    def words(self, audio: Audio, text: str, language: str) -> Marks:
        """When each word of a stretch is said, by the CTC head with which the model hears.

        Raises:
            AlmError: a model that has none.
        """
        with self.loading:
            aligner = self._aligner
        return aligner.align([prepare(audio, aligner.rate_hz)], [text], [language])[0]
