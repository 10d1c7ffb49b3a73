"""Speaks the units of synthesized clips with the reference vocoder: what another vocoder learns from (distillation).

    python tools/synthesize.py --pairs /tmp/pairs.jsonl.gz --out out/synth
    python tools/respeak.py --speech out/synth --out out/respoken

Each clip is said in the voice of its language's prompts, so that a small vocoder hears one voice a language in place of many, and
the same sound for the same units (as sequence-level distillation, Kim and Rush, arXiv 1606.07947). The units that a clip was spoken
from go into the cache for the file that is written, so that training reads those and tokenizes nothing. Writes 16 kHz FLAC and
cuts_train.jsonl.gz.
"""

import argparse
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile as sf
import torch
from lhotse import CutSet
from rich.progress import track

import alm
from alm.api.manifests import utterances_from_cuts
from alm.api.types import AudioFile, Units, Utterance
from alm.core.cache import Cache
from alm.core.manifests import cut_of
from alm.core.units import cached_units

MANIFEST = "cuts_train.jsonl.gz"
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="prompts")
    arguments = parser.parse_args()
    pipeline = alm.load(arguments.model)
    heard = [u for u in utterances_from_cuts(arguments.speech / MANIFEST) if u.audio is not None]
    units = cached_units(pipeline.parts, [u.audio for u in heard if u.audio is not None], lambda batches, total: track(batches, "tokenizing", total=total or 1))
    cache = Cache(pipeline.tokenizer.card.fingerprint)

    def speak(job: tuple[Utterance, Units]) -> Utterance:
        utterance, said = job
        speaker, relative = pipeline.speaker_of(utterance.language), f"audio/{utterance.id}.flac"
        (sound,) = pipeline.vocoder.synthesize([said], [speaker])
        target = arguments.out / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        sf.write(target, sound.samples[0].numpy(), sound.sample_rate_hz)
        cache.put(cache.key(AudioFile(target, 0.0, sound.duration_s)), said.codes.int())
        return dataclasses.replace(utterance, audio=AudioFile(Path(relative), 0.0, sound.duration_s), speaker=speaker)

    torch.set_num_threads(1)  # two clips at once are spoken faster than one on two cores
    with ThreadPoolExecutor(WORKERS) as pool:
        spoken = list(track(pool.map(speak, zip(heard, units, strict=True)), "speaking", total=len(heard)))
    cuts = [cut_of(u.id, AudioFile(arguments.out / u.audio.path, 0.0, u.audio.duration_s), u.text, u.language, u.speaker, {"prompt": u.group}) for u in spoken]
    CutSet.from_cuts(cuts).to_file(arguments.out / MANIFEST)
    print(f"{len(cuts)} clips, {sum(cut.duration for cut in cuts) / 3600:.1f} h")


if __name__ == "__main__":
    main()
