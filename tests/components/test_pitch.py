"""Pitch against a tone of known pitch, and the voice source against the pitch it is asked for."""

from __future__ import annotations

import math

import pytest
import torch

from alm.components.vocoders.pitch import Source, track_pitch, voice_source

RATE, HOP = 16_000, 160


def voice(hz):
    """Harmonics that grow weaker, [T], at a pitch by sample."""
    phase = 2 * math.pi * (hz / RATE).cumsum(0)
    return sum((torch.cos(k * phase) / k for k in range(1, 20)), torch.zeros(len(hz)))


@pytest.mark.parametrize("pitch_hz", [80, 200, 400])
def test_pitch_of_a_glide(pitch_hz):
    hz = pitch_hz * (1 + 0.05 * torch.sin(2 * math.pi * torch.arange(2 * RATE) / RATE))
    found = track_pitch(voice(hz), RATE, HOP)
    assert len(found) == 200
    wanted = hz[::HOP]
    inner = slice(5, -5)
    assert bool((found[inner] > 0).all())
    assert float(((found - wanted) / wanted)[inner].abs().max()) < 0.01


def test_noise_and_silence_have_no_pitch():
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert float((track_pitch(noise, RATE, HOP) > 0).float().mean()) < 0.1
    assert not bool(track_pitch(torch.zeros(RATE), RATE, HOP).any())
    assert len(track_pitch(torch.zeros(100), RATE, HOP)) == 0


def test_the_source_has_the_pitch_it_is_asked_for():
    """Its energy is at multiples of the pitch where there is one, and everywhere where there is none."""
    pitch_hz = torch.full((1, 100), 200.0)
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(voice_source(pitch_hz, torch.ones(1, 100, dtype=torch.bool), noise, RATE, HOP)[0]).abs().square()
    assert float(spectrum[200::200].sum() / spectrum.sum()) > 0.9
    silent = voice_source(torch.zeros(1, 100), torch.ones(1, 100, dtype=torch.bool), noise, RATE, HOP)[0]
    assert torch.allclose(silent, noise)
    assert not bool(voice_source(pitch_hz, torch.zeros(1, 100, dtype=torch.bool), noise, RATE, HOP).any())


def test_the_source_goes_on_where_it_was():
    """In pieces it is what it is at once, over more than one round of its noise."""
    hz = torch.rand(1, 3 * RATE, generator=torch.Generator().manual_seed(0)).mul(300) * (torch.arange(3 * RATE) % 7000 > 900)
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(1))
    pieces = Source(noise, RATE)
    torch.testing.assert_close(torch.cat([pieces(part) for part in hz.split(1234, 1)], 1), Source(noise, RATE)(hz))
