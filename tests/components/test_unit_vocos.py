"""unit-vocos: what its card promises of streaming, with and without a voice source, and to which past and future it listens."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from alm.api import testing
from alm.api.cards import VocoderCard
from alm.api.errors import AlmError
from alm.api.types import Audio, Prosody, Units
from alm.components.vocoders.cards import UnitVocosOptions
from alm.components.vocoders.streaming import Tempo
from alm.components.vocoders.unit_vocos import UnitVocos, UntrainedUnitVocos, load_vocoder

RATE = 16_000


def vocoder(**options) -> UnitVocos:
    torch.manual_seed(0)
    made = UnitVocosOptions(vocabulary_size=8, frame_rate_hz=25.0, hidden_size=32, **options)
    net = UntrainedUnitVocos(made, VocoderCard(RATE, 25.0, 8)).network(VocoderCard(RATE, 25.0, 8, units_fingerprint="f", speakers=("anna", "ben")), 0.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))  # so that every block is heard
        if made.voice_source:
            net.pitch.leave.bias[::2] = 0.0  # some frames voiced, some not
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


def spoken(made: UnitVocos, prosody: Prosody, codes: torch.Tensor) -> torch.Tensor:
    return made.synthesize([Units(codes, 25.0, "f")], ["ben"], [prosody])[0].samples


@pytest.mark.parametrize("tempo", [0.5, 0.8, 1.3, 3.0])
def test_another_tempo_is_another_length_and_streams_alike(tempo):
    made = vocoder(blocks=3, voice_source=True)
    codes = torch.randint(8, (1, 50))
    whole = spoken(made, Prosody(tempo), codes)
    assert whole.shape[1] == 160 * round(200 / tempo)
    stream = made.stream("ben", Prosody(tempo))
    pieces = [stream.push(Units(codes[:, start : start + 3], 25.0, "f")) for start in range(0, 50, 3)] + [stream.finish()]
    torch.testing.assert_close(torch.cat([piece.samples for piece in pieces if piece is not None], 1), whole, atol=1e-5, rtol=0)


def test_the_middle_of_a_slow_clip_is_the_middle_of_the_clip():
    """At half the tempo, each second frame is a frame of the plain clip."""
    tempo = Tempo(0.5)
    frames = torch.arange(10.0)[:, None]
    slow = torch.cat([piece for piece in (tempo.push(frames[:4], last=False), tempo.push(frames[4:], last=True)) if piece is not None])
    assert slow[:, 0].tolist() == [min(n / 2, 9.0) for n in range(20)]
    codes = Tempo(0.5).push(torch.arange(3), last=True)
    assert codes is not None and codes.tolist() == [0, 0, 1, 1, 2, 2], "codes are not averaged"


def test_a_higher_pitch_is_the_pitch_of_a_higher_voice():
    """An octave up sounds as if the network had predicted an octave more."""
    made, other = vocoder(blocks=2, voice_source=True), vocoder(blocks=2, voice_source=True)
    with torch.no_grad():
        for net, octave in ((made.net, 0.0), (other.net, 1.0)):
            net.pitch.leave.weight.zero_()
            net.pitch.leave.bias.copy_(torch.tensor([1.0, 0.7 + octave]).repeat(net.frames_per_unit))
    made, other = UnitVocos(made.net, made.card), UnitVocos(other.net, other.card)
    codes = torch.randint(8, (1, 20))
    torch.testing.assert_close(spoken(made, Prosody(pitch_semitones=12.0), codes), spoken(other, Prosody(), codes), atol=1e-3, rtol=0)
    assert not torch.allclose(spoken(made, Prosody(), codes), spoken(other, Prosody(), codes), atol=1e-2)


def test_clips_of_one_batch_have_each_their_own():
    made = vocoder(blocks=2, voice_source=True)
    clips = [Units(torch.randint(8, (1, n)), 25.0, "f") for n in (12, 20, 16)]
    plain = made.synthesize(clips, ["anna"] * 3)
    mixed = made.synthesize(clips, ["anna"] * 3, [Prosody(), Prosody(2.0), Prosody()])
    torch.testing.assert_close(mixed[0].samples, plain[0].samples, atol=1e-5, rtol=0)
    assert mixed[1].num_samples == plain[1].num_samples // 2


def test_what_cannot_be_changed_is_refused():
    with pytest.raises(AlmError, match="another pitch"):
        vocoder(blocks=2).stream("anna", Prosody(pitch_semitones=1.0))
    with pytest.raises(AlmError, match=r"0\.25 to 4"):
        Prosody(tempo=0.0)
    with pytest.raises(AlmError, match="-24 to 24"):
        Prosody(pitch_semitones=30)


def test_a_recording_may_stand_for_a_name(tmp_path):
    """By the vector of its voice; the name of a speaker stands for the mean of theirs."""
    from functools import partial

    from alm.components.speaker_encoder import load_speaker_encoder, prompt_vectors
    from alm.core.sources import SourceContext

    made = vocoder(blocks=2, voice_prompt=True)
    assert made.card.voice_prompt
    prompts = testing.test_clips(RATE)[1:3]
    encoder = load_speaker_encoder(SourceContext())
    made.net.know(prompt_vectors(encoder, prompts))
    testing.check_vocoder(made)
    made.save(tmp_path)
    loaded = load_vocoder(UnitVocosOptions(f"dir:{tmp_path}"), SourceContext())
    clips = [Units(torch.randint(8, (1, n)), 25.0, "f") for n in (14, 22)]
    named, heard = loaded.synthesize(clips, ["anna", "ben"]), loaded.synthesize(clips, prompts)
    mixed = UnitVocos(made.net, made.card, partial(load_speaker_encoder, SourceContext())).synthesize(clips, [prompts[0], "ben"])
    for one, two, three in zip(named, heard, mixed, strict=True):
        torch.testing.assert_close(one.samples, two.samples, atol=5e-3, rtol=0)
        torch.testing.assert_close(three.samples, two.samples, atol=5e-3, rtol=0)
    other = loaded.synthesize(clips[:1], [prompts[1]])[0]
    assert float((other.samples - heard[0].samples).abs().max()) > 5 * float((named[0].samples - heard[0].samples).abs().max())
    stream = loaded.stream(prompts[0])
    pieces = [stream.push(clips[0]), stream.finish()]
    torch.testing.assert_close(torch.cat([p.samples for p in pieces if p is not None], 1), heard[0].samples, atol=1e-5, rtol=0)


def test_a_short_prompt_is_repeated():
    from alm.components.speaker_encoder import load_speaker_encoder, prompt_vectors
    from alm.core.sources import SourceContext

    encoder = load_speaker_encoder(SourceContext())
    short = Audio(testing.test_clips(RATE)[0].samples, RATE)  # half a second
    assert torch.equal(prompt_vectors(encoder, [short]), encoder.embed([Audio(short.samples.repeat(1, 6), RATE)]))


def test_a_vocoder_of_names_refuses_a_recording():
    with pytest.raises(AlmError, match="voice_prompt: true"):
        vocoder(blocks=2).stream(testing.test_clips(RATE)[0])


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_in_double_precision_is_the_block(causal):
    from alm.components.nets import ConvNeXtBlock

    torch.manual_seed(0)
    block, x, mask = ConvNeXtBlock(6, causal=causal).requires_grad_(False), torch.randn(2, 9, 6), torch.arange(9) < torch.tensor([[9], [5]])
    torch.testing.assert_close(block.double()(x.double(), mask).float(), block.float()(x, mask), atol=1e-5, rtol=0)


def test_the_shipped_one_joins_without_clicks():
    """A click is a step, which has energy at all frequencies: between the pieces of real speech the curve bends as in the whole."""
    import alm

    pipeline = alm.load("prompts")
    clip = next(u for u in pipeline.parts.utterances("test") if u.language == "en" and u.audio and 2 < (u.audio.duration_s or 0) < 5)
    units, speaker = pipeline.tokenize(alm.read_audio(clip.audio)), pipeline.speaker_of("en")
    stream = pipeline.vocoder.stream(speaker)
    pieces = [piece.samples[0] for start in range(0, units.num_frames, 3) if (piece := stream.push(units[start : start + 3])) is not None]
    last = stream.finish()
    pieces += [last.samples[0]] if last is not None else []
    joined, whole = torch.cat(pieces), pipeline.vocoder.synthesize([units], [speaker])[0].samples[0]
    torch.testing.assert_close(joined, whole, atol=1e-5, rtol=0)
    bends = joined.diff(n=2).abs()
    joins = torch.tensor([len(piece) for piece in pieces]).cumsum(0)[:-1]
    assert len(joins) > 10
    at_joins = torch.stack([bends[join - 2 : join + 1].max() for join in joins])
    everywhere = bends.unfold(0, 3, 1).amax(-1)
    assert float(at_joins.mean()) < 1.5 * float(everywhere.mean()) and float(at_joins.max()) <= float(bends.max())


def test_a_long_clip_is_spoken_in_steps(monkeypatch):
    from alm.components.vocoders import streaming, unit_vocos

    made, long = vocoder(blocks=2, voice_source=True), Units(torch.randint(8, (1, 130)), 25.0, "f")
    short = long[:20]
    plain = made.synthesize([long, short], ["ben", "anna"])
    monkeypatch.setattr(unit_vocos, "BATCH_UNITS", 50)
    monkeypatch.setattr(streaming, "STEP_UNITS", 30)
    held = []
    push = streaming.StageStream.push

    def watched(self, units):
        piece = push(self, units)
        held.append(max(len(stage.held) for stage in self.stages if stage.held is not None))
        return piece

    monkeypatch.setattr(streaming.StageStream, "push", watched)
    again = made.synthesize([long, short], ["ben", "anna"])
    assert len(held) == 5 and max(held) < 4 * 130
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one.samples, other.samples, atol=1e-5, rtol=0)
