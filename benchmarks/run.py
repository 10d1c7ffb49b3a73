"""Speed against the plain way of doing the same, in one run on one machine: `make bench` writes out/bench.json.

Each row has alm's figure, the peer's, and their ratio. The peers are what most scripts do with transformers and
scikit-learn: clips one at a time padded to 30 s and all layers; batches in random order padded to the longest and scores
for every position; requests one at a time through `generate`; SpeechT5's HiFi-GAN as the vocoder.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import long_audio
import search
import sound_in
import sound_out
import torch
from measure import Bench, Row, row, timed
from rich.console import Console
from rich.table import Table

from alm.core.results import Request

OUT = Path("out/bench.json")


def training(bench: Bench) -> list[Row]:
    """Positions with content per second of a training step."""
    from torch.nn import functional as F

    from alm.api.batching import batches_by_length, pad_frames
    from alm.api.types import Sample, Segment, Turn

    pipeline, clips = bench.pipeline, bench.clips
    vocabulary, prompt, backbone = pipeline.model.vocabulary, pipeline.prompt, pipeline.model.backbone
    samples = []
    for clip, units in zip(clips, pipeline.tokenizer.encode(clips), strict=True):
        text = " ".join(["press one to continue"] * max(1, round(clip.duration_s / 2)))
        turns = (Turn("user", (Segment(units, False, "en"),)), Turn("assistant", (Segment(text, True, "en"),)))
        samples.append(prompt.encode(Sample("b", ("ASR",), ("en",), turns, (("text", "en"),)), vocabulary))
    positions = sum(len(s) for s in samples)

    def step(group: list[Any], *, learnt_only: bool) -> None:
        ids, mask = pad_frames([s.ids for s in group])
        learn, _ = pad_frames([s.learn for s in group])
        hidden = backbone.hidden(backbone.embed(ids)[:, :-1], None if learnt_only else mask[:, :-1])
        if learnt_only:
            loss = F.cross_entropy(backbone.scores(hidden[learn[:, 1:]]), ids[:, 1:][learn[:, 1:]])
        else:
            labels = ids[:, 1:].masked_fill(~learn[:, 1:], -100)
            loss = F.cross_entropy(backbone.scores(hidden).flatten(0, 1), labels.flatten())
        loss.backward()
        backbone.zero_grad()

    def mine() -> None:
        for group in batches_by_length([len(s) for s in samples], 2500):
            step([samples[i] for i in group], learnt_only=True)

    def plain() -> None:
        order = random.Random(0).sample(samples, len(samples))
        for start in range(0, len(order), 8):
            step(order[start : start + 8], learnt_only=False)

    backbone.train()
    for parameter in backbone.parameters():
        parameter.requires_grad_(True)
    result = row("train/lm/throughput", "positions per s", positions, timed(mine), "random batches of 8, scores for every position", timed(plain))
    backbone.eval()
    return [result]


def generation(bench: Bench) -> list[Row]:
    """Emitted ids per second: requests batched with a plan, against transformers' generate, one at a time."""
    sentences = ["please enter your password", "thank you for calling", "press one to hear the message again", "goodbye"] * 4
    pipeline, requests = bench.pipeline, [Request("TTS", text, "en") for text in sentences]
    results = pipeline.run_batch(requests)
    emitted = sum(len(r.emitted) for r in results)
    model = pipeline.model

    def mine() -> None:
        pipeline.run_batch(requests)

    @torch.inference_mode()
    def plain() -> None:
        for result in results:
            model.backbone.model.generate(result.prompt.ids[None], max_new_tokens=len(result.emitted), min_new_tokens=len(result.emitted), do_sample=False, pad_token_id=0)

    mine_s, plain_s = timed(mine), timed(plain)
    peer = "transformers generate, one request at a time, no vocoder"
    return [row("generate/lm/throughput", "ids per s, vocoder included", emitted, mine_s, peer, plain_s, len(sentences))]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "whisper": sound_in.whisper,
    "hubert": sound_in.hubert,
    "kmeans-fit": sound_in.kmeans_fit,
    "kmeans-memory": sound_in.kmeans_memory,
    "search": search.search,
    "long-audio": long_audio.long_audio,
    "training": training,
    "generation": generation,
    "vocoding": sound_out.vocoding,
}


def main(chosen: list[str]) -> None:
    """Runs the parts that are named, or all; rows of others that are there already stay."""
    bench = Bench()
    OUT.parent.mkdir(exist_ok=True)
    rows = {r["name"]: r for r in json.loads(OUT.read_text())} if chosen and OUT.exists() else {}
    table = Table("figure", "alm", "unit", "peer", "peer's", "ratio")
    for part in chosen or PARTS:
        for r in PARTS[part](bench):
            rows[r.name] = asdict(r)
            OUT.write_text(json.dumps(list(rows.values()), indent=1))
            table.add_row(r.name, f"{r.value:g}", r.unit, r.baseline, f"{r.baseline_value:g}", f"{r.ratio:g}")
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
