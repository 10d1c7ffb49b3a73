"""Speaks sentences of the domain with local synthesizers: more training speech, never test speech.

    apt-get install espeak-ng flite rhvoice rhvoice-english rhvoice-russian libttspico-utils     # the last four: non-free
    python tools/build_pairs.py --out /tmp/pairs.jsonl.gz --work /tmp/pairs
    python tools/synthesize.py --pairs /tmp/pairs.jsonl.gz --out out/synth --english 4000 --others 1600

Sentences are those of phrases.yaml (single, and several in a row as a menu has them) and the best-scored parallel strings
of the pairs file. Voices are VOICES, of which those not installed are left out; only voices whose licence allows any use
of what they say are listed. Writes 16 kHz FLAC, cuts_train.jsonl.gz and pairs_train.jsonl.gz (text without speech, for
MT). Left out are sentences whose normalized text is a prompt of the corpus, and those that contain a dev or test prompt of
two words or more, in any language.
"""

import argparse
import gzip
import itertools
import json
import random
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

import soundfile as sf
import soxr
import yaml
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from alm.api.text import normalize_text

DATA = Path(__file__).parents[1] / "src/alm_prompts/data"
PHRASES = Path(__file__).with_name("phrases.yaml")
LANGUAGES = ("en", "es", "fr", "it", "ru")
SAMPLE_RATE_HZ = 16_000
VARIANTS = ("", "+f2", "+f3", "+m3", "+m7", "+klatt", "+f5")
Voice = tuple[str, str]  # program, its voice
VOICES: dict[str, dict[Voice, float]] = {  # with the share of sentences that each speaks
    "en": {
        **{("RHVoice-test", name): 4.0 for name in ("alan", "bdl", "clb", "slt")},
        **{("pico2wave", name): 3.0 for name in ("en-US", "en-GB")},
        **{("flite", name): 2.0 for name in ("slt", "rms", "awb")},
        **{("espeak-ng", name): 1.0 for name in ("en-us", "en-gb")},
    },
    "es": {("pico2wave", "es-ES"): 7.0, ("espeak-ng", "es-419"): 2.0, ("espeak-ng", "es"): 1.0},
    "fr": {("pico2wave", "fr-FR"): 7.0, ("espeak-ng", "fr-fr"): 3.0},
    "it": {("pico2wave", "it-IT"): 7.0, ("espeak-ng", "it"): 3.0},
    "ru": {**{("RHVoice-test", name): 2.0 for name in ("aleksandr", "aleksandr-hq", "anna", "elena", "irina")}, ("espeak-ng", "ru"): 2.0},
}
Sentence = dict[str, str]  # a text for each language


def domain(chance: random.Random) -> list[Sentence]:
    """Every phrase with every filling, in all languages and in random order."""
    phrases = yaml.safe_load(PHRASES.read_text())
    digits, count = phrases["digits"], range(5, 21)

    def filled(template: list[str], **values: list[str]) -> Sentence:
        texts = {lang: template[i].format(**{name: row[i] for name, row in values.items()}) for i, lang in enumerate(LANGUAGES)}
        return {lang: text[:1].upper() + text[1:] for lang, text in texts.items()}

    menus = [filled(t, action=a, digit=d) for t, a in itertools.product(phrases["menus"], phrases["actions"]) for d in (digits if "{digit}" in t[0] else digits[:1])]
    enters = [filled(t, thing=thing) for t, thing in itertools.product(phrases["enters"], phrases["things"])]
    counts = [filled(t, count=[str(n)] * len(LANGUAGES)) for t, n in itertools.product(phrases["counts"], count)]
    sentences = [filled(t) for t in phrases["sentences"]]
    chance.shuffle(menus)
    single = menus[:1500] + enters + counts + sentences
    whole = [m for m in menus if not m["en"].startswith(("Or ", "..."))]
    several = [_row(chance.sample(whole, chance.randint(2, 5))) for _ in range(1200)]
    several += [_row([*chance.sample(sentences, chance.randint(1, 2)), chance.choice(enters + counts + whole)]) for _ in range(800)]
    lines = single + several
    chance.shuffle(lines)
    return lines


def _row(lines: list[Sentence]) -> Sentence:
    return {lang: " ".join(line[lang] for line in lines) for lang in LANGUAGES}


class Known:
    """The prompts of the corpus, which must not be spoken: those of any split as they are, held-out ones within others too."""

    def __init__(self) -> None:
        texts = {split: self._texts(split) for split in ("train", "dev", "test")}
        self.all = set().union(*texts.values())
        self.held_out = {lang: [f" {text} " for its, text in texts["dev"] | texts["test"] if its == lang and " " in text] for lang in LANGUAGES}

    def has(self, sentence: Sentence) -> bool:
        normalized = {lang: normalize_text(sentence[lang], lang, accents=False) for lang in LANGUAGES if lang in sentence}
        return any((lang, text) in self.all or any(held in f" {text} " for held in self.held_out[lang]) for lang, text in normalized.items())

    @staticmethod
    def _texts(split: str) -> set[tuple[str, str]]:
        supervisions = [s for cut in CutSet.from_file(DATA / f"cuts_{split}.jsonl.gz") for s in cut.supervisions]
        return {(s.language, normalize_text(s.text, s.language, accents=False)) for s in supervisions}


def command(voice: Voice, text: str, wav: str) -> tuple[list[str], str]:
    """What to run, and what it reads from its standard input; speed and pitch vary with the text."""
    program, name = voice
    chance = random.Random(text)
    speed, pitch = chance.randint(85, 120), chance.randint(80, 125)
    match program:
        case "flite":
            return [program, "-voice", name, "-t", text, "-o", wav], ""
        case "espeak-ng":
            return [program, "-v", name + chance.choice(VARIANTS), "-s", str(round(1.6 * speed)), "-w", wav, text], ""
        case "pico2wave":
            return [program, "-l", name, "-w", wav, f'<speed level="{speed}"><pitch level="{pitch}">{escape(text)}</pitch></speed>'], ""
        case _:
            return [program, "-p", name, "-r", str(speed), "-t", str(pitch), "-o", wav], text


def speak(text: str, voice: Voice, target: Path) -> float:
    """One sentence to a 16 kHz FLAC file; returns its duration in seconds, 0 if the synthesizer gave no sound."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        arguments, given = command(voice, text, wav.name)
        subprocess.run(arguments, input=given.encode(), check=True, capture_output=True)
        samples, rate = sf.read(wav.name, dtype="float32")
    if not len(samples):
        return 0.0
    target.parent.mkdir(parents=True, exist_ok=True)
    resampled = soxr.resample(samples, rate, SAMPLE_RATE_HZ)
    sf.write(target, resampled, SAMPLE_RATE_HZ)
    return len(resampled) / SAMPLE_RATE_HZ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--english", type=int, default=4000)
    parser.add_argument("--others", type=int, default=1600)
    parser.add_argument("--skip", type=int, default=0, help="sentences of each language, so that others are spoken than before")
    arguments = parser.parse_args()
    known = Known()
    with gzip.open(arguments.pairs, "rt") as file:
        pairs = [json.loads(line) for line in file]

    lines, pairs = ([s for s in found if not known.has(s)] for found in (domain(random.Random(0)), pairs))
    mined = [p for p in pairs if 3 <= len(p["en"].split()) <= 16 and not re.search(r"[/<>(){}\[\]]", p["en"])]
    spoken = [x for both in itertools.zip_longest(lines, mined) for x in both if x is not None]
    jobs = []
    for language in LANGUAGES:
        voices = {voice: share for voice, share in VOICES[language].items() if shutil.which(voice[0])}
        if not voices:
            continue
        limit = arguments.english if language == "en" else arguments.others
        numbers = [i for i, sentence in enumerate(spoken) if language in sentence][arguments.skip :][:limit]
        for i in numbers:
            voice = random.Random(f"{i}{language}").choices(list(voices), list(voices.values()))[0]
            jobs.append((f"synth-{i:05}", language, spoken[i][language], voice))

    def run(job: tuple[str, str, str, Voice]) -> MonoCut | None:
        name, language, text, voice = job
        relative = f"audio/{language}/{name}.flac"
        duration_s = speak(text, voice, arguments.out / relative)
        if not duration_s:
            return None
        identifier = f"{language}/{name}"
        recording = Recording(identifier, [AudioSource("file", [0], relative)], SAMPLE_RATE_HZ, round(duration_s * SAMPLE_RATE_HZ), duration_s)
        supervision = SupervisionSegment(identifier, identifier, 0, duration_s, text=text, language=language, speaker="-".join(voice), custom={"prompt": name})
        return MonoCut(identifier, 0, duration_s, 0, [supervision], recording=recording)

    with ThreadPoolExecutor(2) as pool:
        cuts = [cut for cut in pool.map(run, jobs) if cut is not None]
    CutSet.from_cuts(cuts).to_file(arguments.out / "cuts_train.jsonl.gz")
    with gzip.open(arguments.out / "pairs_train.jsonl.gz", "wt") as file:
        for pair in lines + pairs:
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")
    print(f"{len(cuts)} clips, {sum(cut.duration for cut in cuts) / 3600:.1f} h; {len(lines) + len(pairs)} text pairs")


if __name__ == "__main__":
    main()
