"""Readers of public benchmarks in local folders, each in the layout in which it is published: corpora with split "test". Sees files, no model.

Zero-resource ones are pairs of recordings, of which a model of speech should find one likelier (`labels["correct"]`, one group a pair):
sWUGGY and sBLIMP (ZeroSpeech 2021, arXiv 2011.11588), spoken and topic StoryCloze (arXiv 2305.13009). The others are questions about recordings
with choices: AIR-Bench's foundation part (arXiv 2402.07729), MMAU (arXiv 2410.19168), VoiceBench (arXiv 2410.17196), whose questions are spoken.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alm.api.cards import CorpusCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.types import AudioFile, Utterance

CARD = CorpusCard(("en",), ("test",), 0)
NUMBER = re.compile(r"(\d+)(?=\D|$)")
LETTERS = "ABCDEFGHIJ"
SOUNDS = (".wav", ".flac", ".mp3", ".ogg")


@dataclass(frozen=True)
class BenchmarkOptions:
    """Attributes:
    folder: `dir:PATH` of the unpacked benchmark.
    """

    folder: str = ""


class Benchmark:
    """A folder and what reads it."""

    card = CARD

    def __init__(self, folder: Path, read: Callable[[Path], Iterator[Utterance]]) -> None:
        self.folder, self.read = folder, read

    def utterances(self, split: str) -> Iterator[Utterance]:
        """
        Raises:
            AlmError: a folder that is not laid out as the benchmark is, or a recording that is missing.
        """
        return self.read(self.folder) if split == "test" else iter(())


def zero_speech(folder: Path) -> Iterator[Utterance]:
    """A folder with gold.csv and the recordings that it names: `lexical/dev` (sWUGGY) or `syntactic/dev` (sBLIMP). A pair has one id and one
    voice."""
    rows = _csv(folder / "gold.csv", ("id", "filename", "voice", "correct"))
    for row in rows:
        pair, good = f"{row['id']}/{row['voice']}", row["correct"].strip() in ("1", "True", "true")
        text = row.get("word") or row.get("transcription") or ""
        yield _of_pair(_sound(folder, row["filename"]), row["filename"], pair, good, text, {"kind": row.get("type") or row.get("frequency") or ""})


def story_cloze(folder: Path) -> Iterator[Utterance]:
    """Recordings in pairs, whose names begin with the pair's number and say which is which: `12_correct.wav`, `12_incorrect.wav`."""
    pairs: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS):
        number = NUMBER.search(path.stem)
        if number is None:
            raise AlmError(f"got {path} among pairs of stories", "a name that begins with the pair's number", "take it out of the folder")
        pairs[int(number[1])].append(path)
    if not pairs:
        raise AlmError(f"got {folder} without recordings", "pairs such as 12_correct.wav and 12_incorrect.wav", "unpack the benchmark there")
    for number, paths in sorted(pairs.items()):
        good = [_says_correct(path) for path in paths]
        if sorted(good) != [False, True]:
            raise AlmError(f"got {', '.join(path.name for path in paths)} as pair {number}", "one with 'correct' in its name and one with 'incorrect'", "correct the folder")
        for path, right in zip(paths, good, strict=True):
            yield _of_pair(AudioFile(path), path.stem, str(number), right)


def _says_correct(path: Path) -> bool:
    name = path.stem.lower()
    return ("correct" in name and "incorrect" not in name) or "positive" in name


def _of_pair(audio: AudioFile, name: str, pair: str, good: bool, text: str = "", labels: dict[str, str] | None = None) -> Utterance:
    return Utterance(name, audio, text, "en", group=pair, labels={"correct": "yes" if good else "no", **{k: v for k, v in (labels or {}).items() if v}})


def air_bench(folder: Path) -> Iterator[Utterance]:
    """The folder `Foundation`: Foundation_meta.json, and recordings in TASK_DATASET/; those of audio grounding are FLAC whatever is written."""
    for entry in _json(folder / "Foundation_meta.json", ("path", "task_name", "dataset_name", "question", "choice_a", "choice_b", "answer_gt", "uniq_id")):
        path = Path(f"{entry['task_name']}_{entry['dataset_name']}") / entry["path"]
        path = path.with_suffix(".flac") if entry["task_name"] == "Audio_Grounding" else path
        choices = [str(entry[key]) for key in ("choice_a", "choice_b", "choice_c", "choice_d") if entry.get(key) is not None]
        yield _question(_sound(folder, str(path)), str(entry["uniq_id"]), entry["question"], choices, str(entry["answer_gt"]), entry["task_name"])


def mmau(folder: Path) -> Iterator[Utterance]:
    """The folder with mmau-test-mini.json (or another mmau-*.json) and the recordings that it names."""
    files = sorted(folder.glob("mmau-*.json"))
    if not files:
        raise AlmError(f"got {folder} without mmau-*.json", "MMAU's questions", "put mmau-test-mini.json there, and its recordings beside it")
    for entry in (entry for path in files for entry in _json(path, ("id", "audio_id", "question", "choices", "answer"))):
        yield _question(_sound(folder, entry["audio_id"]), entry["id"], entry["question"], list(map(str, entry["choices"])), str(entry["answer"]), entry.get("task", ""))


def voice_bench(folder: Path) -> Iterator[Utterance]:
    """Parquet files of a subset of multiple choice (openbookqa, mmsu): columns audio, prompt and reference, a letter. The recording says the
    question and its choices."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise AlmError("got VoiceBench, which is in parquet files, without pyarrow", "package pyarrow", "run: pip install pyarrow") from error
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise AlmError(f"got {folder} without .parquet files", "a subset of VoiceBench", "download its folder of the dataset")
    where = Path(tempfile.gettempdir()) / f"alm-voicebench-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    where.mkdir(exist_ok=True)
    number = 0
    for path in files:
        for row in (row for batch in parquet.ParquetFile(path).iter_batches(64) for row in batch.to_pylist()):
            if not {"audio", "prompt", "reference"} <= row.keys() or not isinstance(row["audio"], dict) or not row["audio"].get("bytes"):
                raise AlmError(f"got {path}, whose rows have {sorted(row)}", "audio with its bytes, prompt and reference", "choose openbookqa or mmsu")
            sound = where / f"{number}{Path(row['audio'].get('path') or '.wav').suffix or '.wav'}"
            if not sound.exists():
                sound.write_bytes(row["audio"]["bytes"])
            letter = str(row["reference"]).strip()
            yield Utterance(f"{path.stem}-{number}", AudioFile(sound), str(row["prompt"]), "en", labels={"answer": letter, "choice": letter})
            number += 1


def _question(audio: AudioFile, name: str, question: str, choices: list[str], answer: str, kind: str) -> Utterance:
    """
    Raises:
        AlmError: an answer that is none of the choices.
    """
    if answer not in choices:
        raise AlmError(f"question {name!r}: got answer {answer!r}", f"one of {', '.join(choices)}", "correct the entry")
    lettered = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    labels = {"question": question, "choices": " ".join(lettered), "choice": lettered[choices.index(answer)], **({"kind": kind} if kind else {})}
    return Utterance(name, audio, "", "en", labels=labels)


def _sound(folder: Path, name: str) -> AudioFile:
    """
    Raises:
        AlmError: a recording that is not there.
    """
    path = folder / name
    found = path if path.is_file() else next((path.with_name(path.name + suffix) for suffix in SOUNDS if path.with_name(path.name + suffix).is_file()), None)
    if found is None:
        raise AlmError(f"got no recording {path}", "the file that the benchmark names", "unpack its recordings there")
    return AudioFile(found)


def _csv(path: Path, wanted: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise AlmError(f"got no {path}", "the benchmark's table", "name the folder that holds it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in wanted if not rows or name not in rows[0]]
    if missing:
        raise AlmError(f"got {path} without column {missing[0]!r}", ", ".join(wanted), "check that it is the benchmark's gold.csv")
    return rows


def _json(path: Path, wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    if not path.is_file():
        raise AlmError(f"got no {path}", "the benchmark's questions", "name the folder that holds it")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AlmError(f"got {path}, which is no JSON ({error})", "the benchmark's questions", "download it again") from error
    for number, entry in enumerate(entries if isinstance(entries, list) else [None]):
        missing = [name for name in wanted if not isinstance(entry, dict) or name not in entry]
        if missing:
            raise AlmError(f"got entry {number} of {path} without {missing[0]!r}", ", ".join(wanted), "check that it is the benchmark's file")
    return entries


READERS: dict[str, Callable[[Path], Iterator[Utterance]]] = {
    "swuggy": zero_speech,
    "sblimp": zero_speech,
    "story-cloze": story_cloze,
    "air-bench": air_bench,
    "mmau": mmau,
    "voice-bench": voice_bench,
}


def load_benchmark(name: str, options: BenchmarkOptions, context: LoadContext) -> Benchmark:
    return Benchmark(context.folders(options.folder)[0], READERS[name])
