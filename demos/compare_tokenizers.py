"""What each tokenizer keeps of words and of sound: AudioPaLM's tokenizer ablation on the prompts corpus.

    python demos/compare_tokenizers.py                              # all of it, from pretraining to the table
    python demos/compare_tokenizers.py usm hubert --stages pretrain # two of them, one stage
    python demos/compare_tokenizers.py usm --stages layers          # what each layer tells of phones, to choose one

Each tokenizer is pretrained (where it is not Whisper's encoder or MFCC), clustered, and given the same small language model, which
learns to write what its units say, and the same small vocoder, which learns to sound them; both for as long everywhere. What a run has
finished is not run again. No logic of the framework is here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from alm import read_audio
from alm.api.errors import AlmError
from alm.api.types import Audio, Utterance
from alm.cli import exit_cleanly
from alm.components.codebook import Codebook
from alm.core.config import load_recipe
from alm.core.devices import pick_device
from alm.core.evaluate import evaluate
from alm.core.parts import Parts, load_component
from alm.core.pipeline import Pipeline
from alm.core.plugins import registry
from alm.core.purity import purity
from alm.core.sources import SourceContext, run_result, runs_folder
from alm.train.kmeans import KmeansOptions, fit
from alm.train.run import train

OUT = Path("out/tokenizers.json")


@dataclass(frozen=True)
class Compared:
    """A tokenizer in the comparison.

    Attributes:
        before: recipes that make its encoder, in this order.
        codebook: recipe of its codebook.
        overrides: of that recipe.
    """

    before: tuple[str, ...]
    codebook: str
    overrides: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """Name of the codebook's run."""
        return "-".join([self.codebook, *(override.split("=")[1] for override in self.overrides)])

    def tokenizer(self) -> str:
        """The override that gives another recipe this tokenizer, trained."""
        part = load_recipe(self.codebook, list(self.overrides)).part("tokenizer")
        options = {"use": part.use, **part.options, "codebook": f"run:{self.run}"}
        return f"parts.tokenizer={options}".replace("'", '"')


COMPARED = {
    "mfcc": Compared((), "mfcc-units", ("parts.tokenizer.clusters=500",)),
    "wav2vec2": Compared(("wav2vec2",), "wav2vec2-units"),
    "hubert": Compared(("mfcc-units", "hubert"), "hubert-units"),
    "hubert-2": Compared(("mfcc-units", "hubert", "hubert-units", "hubert-2"), "hubert-2-units"),
    "usm": Compared(("usm",), "usm-units"),
    "whisper": Compared((), "whisper-units"),
}
STAGES = ("pretrain", "codebook", "asr", "vocoder")  # "layers" advises, "score" draws the table


def finish(recipe: str, run: str, overrides: list[str]) -> None:
    """Trains a recipe in a run's folder, unless that run is finished."""
    if not run_result(run).is_dir():
        train(recipe, overrides, runs_folder() / run, quiet=not sys.stdout.isatty())


def train_one(name: str, stages: list[str], overrides: list[str]) -> None:
    """The runs of one tokenizer."""
    compared = COMPARED[name]
    if "pretrain" in stages:
        for recipe in compared.before:
            finish(recipe, recipe, overrides)
    if "codebook" in stages:
        finish(compared.codebook, compared.run, [*compared.overrides, *overrides])
    for stage in ("asr", "vocoder"):
        if stage in stages:
            finish(f"units-{stage}", f"units-{stage}-{name}", [compared.tokenizer(), *overrides])


class Phones:
    """Frames labelled with phones by hama's recognizer of English (package `hama`, Apache-2.0); each phone lasts until the next."""

    FRAME_SAMPLES = 320

    def __init__(self) -> None:
        import hama

        self.model = hama.ASRModel()
        self.ids: dict[str, int] = {}

    def of(self, clip: Audio) -> Tensor:
        """Phones [F] at 50 Hz; -1 in what comes before the first and at the ends of words."""
        result = self.model.transcribe_waveform(clip.samples[0].numpy(), clip.sample_rate_hz)
        labels = torch.full((max(1, round(clip.num_samples / self.FRAME_SAMPLES)),), -1)
        for span in self.model.phoneme_spans(result):
            labels[span.start_frame : span.end_frame] = self.ids.setdefault(span.phoneme, len(self.ids))
        return labels


def spoken_english(parts: Parts, splits: tuple[str, ...], clips: int) -> list[Audio]:
    """English clips of some splits; all of them if `clips` is 0."""
    spoken = [u for split in splits for u in parts.utterances(split) if u.language == "en"]
    return [read_audio(u.audio) for u in spoken[: clips or None] if u.audio]


def score_layers(name: str, clips: int) -> None:
    """Prints what clusters of each layer of a tokenizer's pretrained encoder tell of phones, on English clips that it was trained on."""
    compared = COMPARED[name]
    parts = Parts.of(compared.codebook)
    part = parts.recipe.part("tokenizer")
    count = json.loads((run_result(compared.before[-1]) / "config.json").read_text())["num_hidden_layers"]
    options = {**part.options, "layers": list(range(1, count + 1))}
    tokenizer = load_component(registry(), "tokenizer", part.use, options, SourceContext(device=pick_device()))
    phones, spoken = Phones(), spoken_english(parts, ("train", "dev"), clips)
    labels = [phones.of(clip) for clip in spoken]
    layers = [found.values.chunk(count, dim=1) for found in tokenizer.features(spoken)]
    for number, frames in enumerate(zip(*layers, strict=True), 1):
        codebook = Codebook(fit(partial(torch.cat(frames).split, 1 << 16), part.options["clusters"], KmeansOptions())[0])
        found = purity([codebook.assign(own) for own in frames], labels)
        print(f"{name} layer {number}: PNMI {found.normalized_mutual_information:.3f}, phone purity {found.label_purity:.3f}")


class Score:
    """What the finished runs of each tokenizer are worth on held-out clips.

    Args:
        clips: of each language; 0 takes all.
    """

    def __init__(self, clips: int) -> None:
        parts = Parts.of("units-asr")
        held_out: dict[str, list[Utterance]] = defaultdict(list)
        for utterance in parts.utterances("test"):
            held_out[utterance.language].append(utterance)
        self.utterances = {language: found[: clips or None] for language, found in held_out.items()}
        self.english = self.utterances["en"]
        self.sound = [read_audio(u.audio) for u in self.english if u.audio]
        phones, self.spoken = Phones(), spoken_english(parts, ("train", "dev", "test"), 10 * clips)
        self.phones = [phones.of(clip) for clip in self.spoken]  # of all English: mutual information of few frames is overrated
        self.heard = load_component(registry(), "metric", "asr_wer", {}, SourceContext())

    def natural(self) -> float:
        """WER of the recordings themselves, read by Whisper base."""
        return self.heard.score(self.sound, [u.text for u in self.english], "en")

    def of(self, name: str) -> dict[str, float]:
        """One line of the table."""
        override = COMPARED[name].tokenizer()
        parts = Parts.of("units-vocoder", [override])
        tokenizer = parts.load("tokenizer")
        units = tokenizer.encode(self.sound)
        found = purity([u.codes[0] for u in tokenizer.encode(self.spoken)], self.phones)
        vocoder = load_component(registry(), "vocoder", "unit-vocos", {"weights": f"run:units-vocoder-{name}"}, SourceContext())
        again = vocoder.synthesize(units, [u.speaker for u in self.english])
        reader = Pipeline(run_result(f"units-asr-{name}"))
        scores, _ = evaluate(reader, "ASR", [u for language, those in self.utterances.items() if language in reader.languages for u in those])
        cer = {score.languages: score.value for score in scores if score.metric == "cer"}
        rate = units[0].frame_rate_hz
        return {
            "units per s": rate,
            "bits per s": rate * math.log2(found.perplexity),
            "phone purity": found.label_purity,
            "PNMI": found.normalized_mutual_information,
            "ASR CER en": cer["en"],
            "ASR CER, mean of languages": sum(cer.values()) / len(cer),
            "resynthesis WER en": self.heard.score(again, [u.text for u in self.english], "en"),
        }


def score(names: list[str], clips: int) -> None:
    """Prints the table, and writes it to out/tokenizers.json; lines of tokenizers that are not named stay."""
    table = Score(clips)
    lines = json.loads(OUT.read_text()) if OUT.exists() else {}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        lines[name] = {key: round(value, 3) for key, value in table.of(name).items()}
        OUT.write_text(json.dumps(lines, indent=1))
    columns = list(next(iter(lines.values())))
    print(f"| tokenizer | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name in (name for name in COMPARED if name in lines):
        print(f"| {name} | {' | '.join(f'{lines[name][column]:g}' for column in columns)} |")
    print(f"{len(table.english)} English clips; natural speech is read with {table.natural():.1f} % WER")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"tokenizers: {', '.join(COMPARED)}; all if none is named")
    parser.add_argument("--stages", default=",".join(STAGES + ("score",)), help="which of the stages to run (default: all)")
    parser.add_argument("--clips", type=int, default=0, help="to score, of each language; 0 takes all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of every recipe that is trained, e.g. train.minutes=60")
    arguments = parser.parse_args()
    names, stages = arguments.names or list(COMPARED), arguments.stages.split(",")
    for given, known in ((names, list(COMPARED)), (stages, [*STAGES, "layers", "score"])):
        for wrong in set(given) - set(known):
            raise AlmError(f"got {wrong!r}", f"one of {', '.join(known)}", "correct it")
    for name in names:
        train_one(name, stages, arguments.set)
        if "layers" in stages and COMPARED[name].before:
            score_layers(name, arguments.clips)
    if "score" in stages:
        score(names, arguments.clips)


if __name__ == "__main__":
    exit_cleanly(main)
