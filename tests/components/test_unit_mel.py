"""unit-mel: SpeechT5's spectrogram of units, spoken by HiFi-GAN or Griffin-Lim."""

from __future__ import annotations

import numpy
import pytest
import torch
from transformers import SpeechT5FeatureExtractor, SpeechT5HifiGan, SpeechT5HifiGanConfig

from alm.api import testing
from alm.api.cards import VocoderCard
from alm.api.errors import AlmError
from alm.api.types import Units
from alm.components.vocoders.cards import UnitMelOptions
from alm.components.vocoders.unit_mel import LogMel, UnitMel, UntrainedUnitMel, griffin_lim, load_vocoder, read_net
from alm.core.sources import SourceContext

RATE = 16_000


def vocoder(**options) -> UnitMel:
    torch.manual_seed(0)
    made = UnitMelOptions(hidden_size=32, blocks=4, channels=32, **options)
    net = UntrainedUnitMel(made, VocoderCard(RATE, 25.0, 8)).network(VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna", "ben")), 0.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))  # so that every block is heard
    return net.vocoder()


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"hop_samples": 160, "fft_samples": 640}])
def test_it_conforms_and_streams(options):
    testing.check_vocoder(vocoder(**options))


def test_the_spectrogram_is_speecht5s():
    samples = 0.3 * torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    wanted = SpeechT5FeatureExtractor()(audio_target=samples[0].numpy(), sampling_rate=RATE)["input_values"][0]
    made = LogMel(RATE, 256, 1024)(samples)[0]
    assert len(made) == 5000 // 256
    numpy.testing.assert_allclose(made.numpy(), wanted[: len(made)], atol=1e-4)


def test_a_saved_one_says_the_same(tmp_path):
    made = vocoder(hop_samples=160)
    made.save(tmp_path)
    again = load_vocoder(UnitMelOptions(weights=f"dir:{tmp_path}"), SourceContext())
    units = Units(torch.randint(8, (1, 12)), 25.0, "f")
    assert again.card == made.card
    one, other = (v.synthesize([units], ["ben"])[0].samples for v in (again, made))
    assert float((one - other).norm() / other.norm()) < 0.02, "but for half precision"
    assert read_net(tmp_path).options.hop_samples == 160


def test_griffin_lim_speaks_the_same_spectrogram(tmp_path):
    made = vocoder()
    made.save(tmp_path)
    plain = load_vocoder(UnitMelOptions(weights=f"dir:{tmp_path}", griffin_lim=True), SourceContext())
    assert not plain.card.streams and plain.card.lookahead_units == 0
    testing.check_vocoder(plain)
    with pytest.raises(AlmError, match="train it first"):
        load_vocoder(UnitMelOptions(griffin_lim=True), SourceContext())


def test_griffin_lim_gives_back_a_tone():
    """The pitch of a recording survives its spectrogram."""
    options = UnitMelOptions()
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)
    made = griffin_lim(LogMel(RATE, options.hop_samples, options.fft_samples)(tone[None])[0], options)
    spectrum = torch.fft.rfft(made[4000:12000]).abs()
    assert abs(int(spectrum.argmax()) * RATE / 8000 - 440) < 20
    assert 0.3 < float(made[4000:12000].abs().max()) < 0.8


def test_a_published_generator_goes_on(tmp_path):
    config = SpeechT5HifiGanConfig(upsample_initial_channel=32)
    generator = SpeechT5HifiGan(config)
    with torch.no_grad():
        generator.mean.fill_(-2.0)
        generator.scale.fill_(1.5)
    generator.save_pretrained(tmp_path)
    untrained = load_vocoder(UnitMelOptions(hifigan=f"dir:{tmp_path}", hidden_size=16, blocks=2), SourceContext())
    card = VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna",))
    made = untrained.network(card, 0.0).vocoder()
    mel = torch.randn(20, 80)
    torch.testing.assert_close(made.net.hifigan(mel), generator.eval()(mel), atol=1e-4, rtol=1e-3)
    with pytest.raises(AlmError, match="set `hop_samples: 256`"):
        load_vocoder(UnitMelOptions(hifigan=f"dir:{tmp_path}", hop_samples=160), SourceContext()).network(card, 0.0)


def test_training_lowers_the_error_of_the_spectrogram():
    torch.manual_seed(0)
    card = VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna",))
    net = UntrainedUnitMel(UnitMelOptions(hidden_size=32, blocks=2, channels=16), VocoderCard(RATE, 25.0, 8)).network(card, 0.0)
    codes, speaker = torch.randint(8, (2, 16)), torch.zeros(2, dtype=torch.int64)
    recording = torch.sin(2 * torch.pi * (200 + 50 * codes).repeat_interleave(640, 1).cumsum(1) / RATE)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    errors = []
    for _ in range(20):
        made, beside = net.sound(codes, speaker, torch.zeros(2, 0), recording)
        assert made.shape == recording.shape
        optimizer.zero_grad()
        beside["spectrogram"].backward()
        optimizer.step()
        errors.append(float(beside["spectrogram"]))
    assert errors[-1] < 0.6 * errors[0]


def test_training_hears_the_spectrogram_that_is_spoken():
    made, codes = vocoder(), torch.randint(8, (2, 15))
    with torch.inference_mode():
        trained = made.net.spectrogram(codes, torch.tensor([1, 0]))
    for row, name in enumerate(("ben", "anna")):
        torch.testing.assert_close(made.spectrogram(Units(codes[row : row + 1], 25.0, "f"), name), trained[row], atol=1e-5, rtol=0)


def test_it_may_start_from_the_frames_of_a_unit_vocos(tmp_path):
    from alm.components.vocoders.cards import UnitVocosOptions
    from alm.components.vocoders.unit_vocos import UntrainedUnitVocos

    card = VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("ben", "anna"))
    other = UntrainedUnitVocos(UnitVocosOptions(hidden_size=32, blocks=4, voice_source=True), card).network(card, 0.0)
    other.vocoder().save(tmp_path)
    untrained = UntrainedUnitMel(UnitMelOptions(hidden_size=32, blocks=4, channels=32, hop_samples=160), VocoderCard(RATE, 25.0, 8))
    net = untrained.network(VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna", "ben")), 0.0)
    head = net.head.weight.clone()
    net.start_from(tmp_path)
    torch.testing.assert_close(net.detail[1].expand.weight, other.detail[1].expand.weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(net.speaker.weight, other.speaker.weight[[1, 0]], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(net.head.weight, head)
    with pytest.raises(RuntimeError, match="spread"):
        UntrainedUnitMel(UnitMelOptions(hidden_size=32, blocks=4, channels=32), VocoderCard(RATE, 25.0, 8)).network(card, 0.0).start_from(tmp_path)
