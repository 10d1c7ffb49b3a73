"""unit-vocos: what its card promises of streaming, with and without a voice source, and to which past and future it listens."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from alm.api import testing
from alm.api.cards import VocoderCard
from alm.api.types import Units
from alm.components.vocoders.cards import UnitVocosOptions
from alm.components.vocoders.unit_vocos import UnitVocos, UntrainedUnitVocos

RATE = 16_000


def vocoder(**options) -> UnitVocos:
    torch.manual_seed(0)
    made = UnitVocosOptions(vocabulary_size=8, frame_rate_hz=25.0, hidden_size=32, **options)
    net = UntrainedUnitVocos(made, VocoderCard(RATE, 25.0, 8)).network(VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna", "ben")), 0.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))  # so that every block is heard
        if made.voice_source:
            net.pitch.bias[0] = 0.0  # some frames voiced, some not
    return net.vocoder()


@pytest.mark.parametrize(
    "options", [{"blocks": 2}, {"blocks": 5}, {"blocks": 3, "voice_source": True}, {"blocks": 4, "causal": True, "voice_source": True}, {"blocks": 4, "fft_samples": 1024}]
)
def test_it_conforms_and_streams(options):
    testing.check_vocoder(vocoder(**options))


def test_a_causal_one_waits_for_two_units_at_most():
    causal, other = UnitVocosOptions(frame_rate_hz=25.0, voice_source=True, causal=True), UnitVocosOptions(frame_rate_hz=25.0, voice_source=True)
    assert causal.reach_units()[1] == 2 and other.reach_units()[1] > 12
    assert causal.reach_units()[0] > other.reach_units()[0]


@pytest.mark.parametrize("causal", [True, False])
def test_the_card_says_how_far_it_listens(causal):
    """A unit changes the sound as far as the card says, and no farther."""
    made = vocoder(blocks=4, causal=causal)
    before, behind = made.card.context_units, made.card.lookahead_units
    codes = torch.zeros(1, 120, dtype=torch.int64)
    other = codes.clone()
    other[0, 60] = 5
    plain, changed = (made.synthesize([Units(c, 25.0, "f")], ["ben"])[0].samples[0].reshape(120, -1) for c in (codes, other))
    heard = ((plain - changed).abs().amax(1) > 1e-7).nonzero()[:, 0]
    assert 60 - behind <= int(heard.min()) and int(heard.max()) <= 60 + before
    assert int(heard.min()) <= 61 - behind and int(heard.max()) >= 59 + before, "it is not said to be farther than it is"


def test_memory_does_not_grow_with_what_was_said():
    made = vocoder(blocks=3, voice_source=True)
    stream, held = made.stream("anna"), []
    for _ in range(60):
        stream.push(Units(torch.randint(8, (1, 5)), 25.0, "f"))
        held.append(sum(stage.held.numel() for stage in stream.stages if stage.held is not None))
    assert max(held[20:]) == held[20] == held[-1]


def test_a_stream_without_units_has_no_sound():
    stream = vocoder(blocks=2).stream("anna")
    assert stream.push(Units(torch.empty(1, 0, dtype=torch.int64), 25.0, "f")) is None
    assert stream.finish() is None


def test_a_saved_one_says_the_same(tmp_path):
    from alm.components.vocoders.cards import saved_card

    made = vocoder(blocks=3, causal=True)
    made.save(tmp_path)
    assert saved_card(tmp_path) == made.card
    assert dataclasses.replace(saved_card(tmp_path), streams=False) != made.card
