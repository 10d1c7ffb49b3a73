"""Metrics of sound against sound: known differences give known figures, and voices are told apart."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from alm import read_audio
from alm.api.types import Audio, AudioFile
from alm.components.metrics.signal import SignalMetric, mel_cepstra, warp
from alm.components.speaker_encoder import load_speaker_encoder
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext

# Vectors that Resemblyzer 0.1.4 itself gives for clips of the prompts, levelled and with their pauses.
GOLDEN = Path(__file__).parent / "data" / "resemblyzer.safetensors"


def metric(name: str):
    return load_component(registry(), "metric", name, {}, SourceContext())


def prompts(languages=("en", "es", "fr", "it", "ru")) -> dict[str, list[Audio]]:
    """Six clips of two seconds or more of each speaker."""
    corpus = load_component(registry(), "corpus", "prompts", {}, SourceContext())
    found = defaultdict(list)
    for utterance in corpus.utterances("test"):
        if utterance.audio and utterance.language in languages and len(found[utterance.language]) < 6:
            clip = read_audio(utterance.audio)
            if clip.duration_s > 2:
                found[utterance.language].append(clip)
    return found


def voice(pitch_hz: float, seconds: float = 1.0, rate: int = 16_000) -> Audio:
    time = torch.arange(round(seconds * rate)) / rate
    return Audio(sum(torch.sin(2 * math.pi * k * pitch_hz * time) / k for k in range(1, 15))[None].float() / 4, rate)


def test_the_cheapest_way_is_found():
    costs = np.array([[0.0, 9, 9, 9], [9, 0, 0, 9], [9, 9, 9, 0]])
    rows, columns = warp(costs)
    assert list(zip(rows, columns, strict=True)) == [(0, 0), (1, 1), (1, 2), (2, 3)]
    generator = np.random.default_rng(0)
    costs = generator.random((7, 5))
    rows, columns = warp(costs)

    def cheapest(i, j):
        before = [cheapest(i - a, j - b) for a, b in ((1, 1), (1, 0), (0, 1)) if i >= a and j >= b]
        return costs[i, j] + min(before, default=0.0)

    assert costs[rows, columns].sum() == pytest.approx(cheapest(6, 4))
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, 6, 4) and set(np.diff(rows)) <= {0, 1} and set(np.diff(columns)) <= {0, 1}


def test_distortion_hears_another_voice_and_not_another_speed():
    clips = prompts(("en", "es"))
    clip = clips["en"][0]
    slower = Audio(torch.nn.functional.interpolate(clip.samples[None], scale_factor=1.03, mode="linear")[0], clip.sample_rate_hz)
    distortion = metric("mcd")
    same, other = distortion.score([slower], [clip], "en"), distortion.score([clips["es"][0]], [clip], "en")
    assert 0 < same < 0.6 * other
    louder = Audio(clip.samples * 0.5, clip.sample_rate_hz)
    assert distortion.score([louder], [clip], "en") < 0.2 * other, "loudness is left out"
    assert mel_cepstra(clip.resample(16_000).samples[0]).shape[1] == 24


@pytest.mark.parametrize(("made_hz", "rate"), [(220.0, 16_000), (190.0, 48_000), (205.0, 8_000)])
def test_pitch_is_compared_in_hz(made_hz, rate):
    found = metric("f0_rmse").score([voice(made_hz, 1.3, rate)], [voice(200.0)], "en")
    assert found == pytest.approx(abs(made_hz - 200), abs=0.5)


def test_clips_without_a_pitch_are_left_out():
    noise = Audio(torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)), 16_000)
    pitch = metric("f0_rmse")
    assert math.isnan(pitch.score([noise], [voice(200.0)], "en"))
    assert pitch.score([noise, voice(210.0)], [voice(200.0), voice(200.0)], "en") == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(("name", "best", "worst"), [("stoi", 1.0, 0.0), ("pesq", 4.64, 1.0)])
def test_noise_costs_intelligibility_and_quality(name, best, worst):
    clip = prompts(("en",))["en"][0].resample(16_000)
    noise = torch.randn(clip.samples.shape, generator=torch.Generator().manual_seed(0))
    heard = metric(name)
    scores = [heard.score([Audio(clip.samples + share * noise, 16_000)], [clip], "en") for share in (0.0, 0.003, 0.03, 0.3)]
    assert scores[0] == pytest.approx(best, abs=0.01) and scores == sorted(scores, reverse=True)
    assert heard.score([Audio(torch.zeros(1, 16_000), 16_000)], [clip], "en") == worst
    longer = Audio(torch.cat([clip.samples, noise[:, :8000]], 1), 16_000)
    assert heard.score([longer], [clip], "en") == pytest.approx(best, abs=0.01), "what is longer is cut off"


def test_a_signal_metric_is_the_mean():
    counted = SignalMetric(metric("mcd").card, lambda made, real: float(made.numel()))
    assert counted.score([voice(200, 1.0), voice(200, 2.0)], [voice(200)] * 2, "en") == 24_000


def test_the_speaker_encoder_gives_what_resemblyzer_gives():
    encoder = load_speaker_encoder(SourceContext())
    corpus = load_component(registry(), "corpus", "prompts", {}, SourceContext())
    files: dict[str, AudioFile] = {f"{u.audio.path.parent.name}/{u.audio.path.name}": u.audio for split in ("train", "dev", "test") for u in corpus.utterances(split) if u.audio}
    compared = 0
    for name, wanted in load_file(GOLDEN).items():
        if name in files:
            torch.testing.assert_close(encoder.embed([read_audio(files[name])])[0], wanted, atol=1e-4, rtol=0)
            compared += 1
    assert compared >= 4


def test_voices_are_told_apart():
    clips = prompts()
    encoder = load_speaker_encoder(SourceContext())
    speakers = list(clips)
    vectors = torch.stack([encoder.embed(clips[speaker]) for speaker in speakers])  # [5, 6, 256]
    centres = vectors[:, :3].mean(1)
    nearest = (vectors[:, 3:] @ centres.T).argmax(-1)
    assert torch.equal(nearest, torch.arange(len(speakers))[:, None].expand_as(nearest))
    similarity = metric("speaker_similarity")
    assert similarity.score(clips["en"][:3], clips["en"][3:], "en") > similarity.score(clips["en"][:3], clips["ru"][3:], "en") + 0.1
    batch = encoder.embed([clips["en"][0], clips["es"][1]])
    torch.testing.assert_close(batch[1], encoder.embed([clips["es"][1]])[0]), "a clip does not depend on the one beside it"
