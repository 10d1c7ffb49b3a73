"""Constants of docs/how-to/scale.md, measured on this machine, and what follows from them for a large run: `python benchmarks/scale.py`.

Bytes, ids and operations do not depend on the machine; how fast it tokenizes does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import alm
from alm.core.audio import write_audio
from alm.train.run import train

CLIPS, FEW = 400, 20
PEAK_FLOPS, MFU = 989e12, 0.4  # H100 and H200, bfloat16 without sparsity (their data sheet); the share of it that is hoped for, not measured
WEIGHTS, HOURS = 1e9, 100_000


def main() -> None:
    model = alm.load("prompts")
    rate_hz = model.parts.card("tokenizer").frame_rate_hz
    chosen = list(islice((u for u in model.parts.utterances("train") if u.audio is not None), CLIPS))
    hours = sum(alm.read_audio(u.audio).duration_s for u in chosen) / 3600
    kept = {u.audio.path: u.audio.path.stat().st_size for u in chosen}
    text_ids = sum(len(model.model.vocabulary.text_tokenizer(model.wording.written(u.text, u.language)).input_ids) for u in chosen)
    with tempfile.TemporaryDirectory() as place:
        lines = []
        for number, utterance in enumerate(chosen):
            path = Path(place) / f"{number}.wav"
            write_audio(path, alm.read_audio(utterance.audio))
            lines.append(json.dumps({"audio": str(path), "text": utterance.text, "language": utterance.language, "speaker": utterance.speaker}))
        few_s, _ = tokenized(lines[:FEW], Path(place) / "few")
        tokenize_s, units_bytes = tokenized(lines, Path(place) / "all")
        units = train(
            "mfcc-units", ["data.corpora=[{use: prompts, languages: [en]}]", "parts.tokenizer.clusters=32", "parts.tokenizer.hop_samples=640"], Path(place) / "u", quiet=True
        )
        text = train("prompts-text", ["data.corpora=[{use: prompts, languages: [en]}]", "train.options.vocabulary_size=300"], Path(place) / "t", quiet=True)
        recipe = Path(place) / "small.yaml"
        recipe.write_text(
            f'name: small\nparts:\n  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: "dir:{units}"}}\n'
            f'  backbone: {{use: llama, text_tokenizer: "dir:{text}", hidden_size: 256, layers: 4, heads: 4, ffn_size: 704}}\n  prompt: {{use: audiopalm}}\n'
            "data: {corpora: [{use: prompts, languages: [en]}], audio: units, tasks: [{use: ASR}], batch_positions: 400}\n"
            "train: {objective: lm, steps: 2, validate_every_steps: 0}\n"
        )
        folder = train(str(recipe), [], Path(place) / "small", quiet=True)
        small = alm.load(str(folder))
        weights = sum(p.numel() for p in small.model.backbone.parameters())
        state_bytes = (folder.parent / "last.ckpt").stat().st_size / weights
    operations = operations_of_a_position(model)
    found = {
        "audio as shipped, bytes an hour": sum(kept.values()) / hours,
        "units, ids an hour": rate_hz * 3600,
        "units as `alm tokenize` keeps them, bytes an hour": units_bytes / hours,
        "transcripts, ids an hour": text_ids / hours,
        "tokenizing, seconds an hour on this machine": (tokenize_s - few_s) / (hours * (1 - FEW / len(chosen))),
        "operations of a training position, a weight": operations,
        "state of a run (weights and AdamW, float32), bytes a weight": state_bytes,
    }
    for name, value in found.items():
        print(f"{name:62} {value:14,.1f}")
    positions = HOURS * (rate_hz * 3600 + text_ids / hours)
    flops, hours_of_gpus = operations * WEIGHTS * positions, operations * WEIGHTS * positions / PEAK_FLOPS / MFU / 3600
    print(f"\n{WEIGHTS:.0e} weights on {HOURS:,} hours, one epoch: {positions:.2e} positions, {flops:.2e} operations,")
    print(f"{hours_of_gpus:,.0f} GPU-hours at {MFU:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s; audio {HOURS * sum(kept.values()) / hours / 1e12:.1f} TB,")
    print(
        f"units {HOURS * units_bytes / hours / 1e9:.0f} GB, state {WEIGHTS * state_bytes / 1e9:.0f} GB; tokenizing {HOURS * found['tokenizing, seconds an hour on this machine'] / 3600:,.0f} hours of machines like this one"
    )


def tokenized(lines: list[str], folder: Path) -> tuple[float, int]:
    """Seconds that `alm tokenize` takes with a manifest, its start included, and bytes of what it writes."""
    folder.mkdir()
    manifest, out = folder / "speech.jsonl", folder / "units"
    manifest.write_text("\n".join(lines) + "\n")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "alm", "tokenize", str(manifest), str(out), "--model", "prompts"], check=True, capture_output=True)
    return time.perf_counter() - started, sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def operations_of_a_position(model: alm.Pipeline, positions: int = 256) -> float:
    """Counted over a forward and a backward pass of the backbone, divided by its weights; the table of rows counts once, as the output layer that it is too."""
    backbone = model.model.backbone.float().requires_grad_(True)
    ids = torch.randint(0, len(model.model.vocabulary), (1, positions))
    with FlopCounterMode(display=False) as counter:
        backbone.scores(backbone.hidden(backbone.embed(ids))).float().logsumexp(-1).sum().backward()
    return counter.get_total_flops() / positions / sum(p.numel() for p in backbone.parameters())


if __name__ == "__main__":
    main()
