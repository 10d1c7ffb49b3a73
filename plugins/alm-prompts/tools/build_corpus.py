"""Builds the prompts corpus from Debian's asterisk-core-sounds packages: 16 kHz mono Ogg Opus and a lhotse manifest.

    python tools/build_corpus.py --work /tmp/prompts

Downloads ten packages with `apt-get download`, unpacks them without installing, decodes G.722 with PyAV, leaves out
tones and silence, and splits by prompt id so that a test sentence is unseen in every language. Run once; the result is
committed under src/alm_prompts/data.
"""

import argparse
import gzip
import hashlib
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import soundfile as sf
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from alm.api.text import normalize_text

DATA = Path(__file__).parents[1] / "src/alm_prompts/data"
SPEAKERS = {"en": "allison", "es": "allison-es", "fr": "june", "it": "carlo", "ru": "ivrvoice"}
SAMPLE_RATE_HZ = 16_000
TEST_PROMPTS, DEV_PROMPTS = 60, 25
MIN_TEST_WORDS = 3  # single words and letters are vocabulary, not sentences: they stay in the train split
NOT_SPEECH = re.compile(r"tone|beep|silence|ascending|descending|ahooga|^\W*$", re.I)


def unpack(work: Path) -> Path:
    """Downloads and unpacks the packages; returns the root of the unpacked tree."""
    work.mkdir(parents=True, exist_ok=True)
    packages = [f"asterisk-core-sounds-{lang}{kind}" for lang in SPEAKERS for kind in ("", "-g722")]
    if not list(work.glob("*.deb")):
        subprocess.run(["apt-get", "download", *packages], cwd=work, check=True)
    for package in work.glob("asterisk-core-sounds-*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, work / "root"], check=True)
    return work / "root"


def read_transcripts(root: Path, language: str) -> dict[str, str]:
    """`name: text` lines; comments start with a semicolon; bracketed descriptions of sounds are left out."""
    path = root / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    texts = {}
    with gzip.open(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        lines = file.readlines()
    for line in lines:
        if line.startswith(";") or ":" not in line:
            continue
        name, text = (part.strip() for part in line.split(":", 1))
        spoken = re.sub(r"\[[^]]*\]|\([^)]*\)", " ", text).replace("?", " ?") if "sar?" not in text else text
        spoken = re.sub(r"\s+", " ", spoken).strip()
        if spoken and not NOT_SPEECH.search(name) and not re.search(r"\b(beep|bip)\b", text) and normalize_text(spoken, language):
            texts[name] = spoken.replace("sar? esattamente", "sarà esattamente")
    return texts


def decode_g722(path: Path) -> np.ndarray:
    """Raw G.722 -> float32 samples at 16 kHz, [T]."""
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)[0].astype(np.float32) / 32768


def groups_of(texts: dict[str, dict[str, str]]) -> list[list[str]]:
    """Prompt ids joined where any language has the same normalized text for both: they must share a split."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for language, prompts in texts.items():
        first: dict[str, str] = {}
        for name, text in prompts.items():
            key = normalize_text(text, language, accents=False)
            parent[find(name)] = find(first.setdefault(key, name))
    members = defaultdict(list)
    for name in sorted(parent):
        members[find(name)].append(name)
    return list(members.values())


def split_prompts(texts: dict[str, dict[str, str]]) -> dict[str, str]:
    """Prompt id -> split. Deterministic: sentences present in all languages, in the order of a hash of their ids."""
    split = {name: "train" for prompts in texts.values() for name in prompts}

    def eligible(group: list[str]) -> bool:
        everywhere = all(any(name in prompts for name in group) for prompts in texts.values())
        english = [normalize_text(texts["en"][name], "en") for name in group if name in texts["en"]]
        return everywhere and len(group) <= 2 and all(len(text.split()) >= MIN_TEST_WORDS for text in english)

    sentences = sorted(filter(eligible, groups_of(texts)), key=lambda g: hashlib.sha256(g[0].encode()).hexdigest())
    for index, group in enumerate(sentences[: TEST_PROMPTS + DEV_PROMPTS]):
        for name in group:
            split[name] = "test" if index < TEST_PROMPTS else "dev"
    return split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    root = unpack(parser.parse_args().work)
    texts = {language: read_transcripts(root, language) for language in SPEAKERS}
    split = split_prompts(texts)
    cuts, counts = defaultdict(list), defaultdict(float)
    for language, prompts in texts.items():
        (sounds,) = [p for p in (root / "usr/share/asterisk/sounds").iterdir() if p.name.startswith(language + "_")]
        for name, text in sorted(prompts.items()):
            source = sounds / f"{name}.g722"
            if not source.exists():
                continue
            samples = decode_g722(source)
            relative = f"audio/{language}/{name}.opus"
            (DATA / relative).parent.mkdir(parents=True, exist_ok=True)
            sf.write(DATA / relative, samples, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=0.9)
            duration_s = len(samples) / SAMPLE_RATE_HZ
            identifier = f"{language}/{name}"
            recording = Recording(identifier, [AudioSource("file", [0], relative)], SAMPLE_RATE_HZ, len(samples), duration_s)
            supervision = SupervisionSegment(identifier, identifier, 0, duration_s, text=text, language=language, speaker=SPEAKERS[language], custom={"prompt": name})
            cuts[split[name]].append(MonoCut(identifier, 0, duration_s, 0, [supervision], recording=recording))
            counts[language, split[name], "clips"] += 1
            counts[language, split[name], "minutes"] += duration_s / 60
    for name, members in cuts.items():
        CutSet.from_cuts(members).to_file(DATA / f"cuts_{name}.jsonl.gz")
    print(json.dumps({"/".join(key): round(value, 1) for key, value in sorted(counts.items())}, indent=1))


if __name__ == "__main__":
    main()
