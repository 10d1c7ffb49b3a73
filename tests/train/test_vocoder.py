"""Training a vocoder: its discriminators tell, its average is kept, its progress can be heard and seen."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from alm.train.discriminators import Discriminators, PeriodDiscriminator
from alm.train.run import train
from tests.conftest import write_recipe


def tones(seed: int) -> torch.Tensor:
    """[4, 8000]"""
    generator = torch.Generator().manual_seed(seed)
    hz = 100 + 300 * torch.rand(4, 1, generator=generator)
    return torch.sin(2 * torch.pi * hz * torch.arange(8000) / 16_000)


def test_discriminators_learn_to_tell_a_tone_from_noise():
    torch.manual_seed(0)
    judges = Discriminators((2, 5), (320, 640, 1280))
    assert len(judges) == 5
    optimizer = torch.optim.AdamW(judges.parameters(), 2e-3)
    made = 0.5 * torch.randn(4, 8000)
    before = [float(x) for x in judges.against(made, tones(0))]
    for step in range(25):
        optimizer.zero_grad()
        loss = judges.loss(0.5 * torch.randn(4, 8000), tones(step))
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.6, "2 is what one pays that cannot tell"
    deceived, _ = judges.against(made, tones(99))
    assert float(deceived) > 1.2 > before[0], "noise is told apart now"
    assert float(judges.against(tones(98), tones(99))[0]) < float(deceived)


def test_what_a_vocoder_pays_reaches_the_vocoder_alone():
    judges = Discriminators((3,), (320,))
    made, real = torch.randn(2, 4000, requires_grad=True), tones(0)[:2, :4000].requires_grad_()
    deceived, matching = judges.against(made, real)
    (deceived + matching).backward()
    assert made.grad is not None and bool(made.grad.abs().sum() > 0) and real.grad is None
    same = judges.against(real.detach(), real.detach())
    assert float(same[1]) == 0.0


@pytest.mark.parametrize("period", [2, 7])
def test_a_period_is_seen_side_by_side(period):
    """A sample changes the scores of its own phase of the period alone."""
    judge = PeriodDiscriminator(period, 4)
    samples = torch.randn(1, 70 * period + 1)
    changed = samples.clone()
    changed[0, 30 * period + 1] += 5
    differs = (judge(samples)[0] - judge(changed)[0]).abs().amax((0, 1, 2))
    assert (differs > 0).nonzero()[:, 0].tolist() == [1]


def test_the_average_is_kept_and_progress_is_heard(workspace, small_model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ["train.steps=6", "train.validate_every_steps=3", "train.learning_rate=1e-2", "train.options.adversarial_from=0.3", "train.options.periods=[2,3]"]
    kept = train(str(workspace / "vocoder.yaml"), [*options, "train.options.ema=0.9"], tmp_path / "average", quiet=True)
    last = train(str(workspace / "vocoder.yaml"), [*options, "train.options.ema=0"], tmp_path / "last", quiet=True)
    state = torch.load(tmp_path / "average/last.ckpt", weights_only=True)["state_dict"]
    averaged, final = (load_file(folder / "vocoder.safetensors") for folder in (kept, last))
    for name, value in averaged.items():
        torch.testing.assert_close(value.float(), state[f"average.module.{name}"], atol=2e-3, rtol=1e-2)
    assert any(not torch.allclose(averaged[name], final[name], atol=1e-3) for name in averaged), "the last weights are others"
    for name, value in final.items():
        torch.testing.assert_close(value.float(), torch.load(tmp_path / "last/last.ckpt", weights_only=True)["state_dict"][f"net.{name}"], atol=2e-3, rtol=1e-2)
    board = EventAccumulator(str(tmp_path / "average" / "tensorboard"))
    board.Reload()
    assert {"made/0", "real/0"} <= set(board.Tags()["audio"]) and {"made/0", "real/0"} <= set(board.Tags()["images"])
    assert {"val/mel", "critic", "mel"} <= set(board.Tags()["scalars"])


@pytest.mark.parametrize("merged", [False, True])
def test_a_code_hifigan_trains_resumes_and_speaks(workspace, small_corpus, small_model, tmp_path, merged):
    from alm.api.testing import check_vocoder
    from alm.core.parts import load_component
    from alm.core.plugins import registry
    from alm.core.sources import SourceContext

    recipe = write_recipe(
        workspace,
        f"hifigan-{merged}",
        f"""name: hifigan-{merged}
parts:
  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units', merge_repeats: {merged}}}
  vocoder: {{use: unit-hifigan, channels: 32, embedding_size: 8, predict_durations: {merged}}}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]}}
train: {{objective: vocoder, steps: 2, options: {{segment_units: 8, batch_segments: 4, adversarial_from: 0.5}}, validate_every_steps: 2}}
""",
    )
    out = tmp_path / "run"
    train(recipe, ["train.steps=1"], out, quiet=True)
    folder = train(recipe, [], out, quiet=True)
    vocoder = load_component(registry(), "vocoder", "unit-hifigan", {"weights": f"dir:{folder}"}, SourceContext())
    assert vocoder.card.predicts_durations == merged and len(vocoder.card.speakers) == 2
    check_vocoder(vocoder)
    again = train(recipe, ["train.steps=1", "train.learning_rate=0", f"train.init=dir:{folder}"], tmp_path / "again", quiet=True)
    was, now = (load_file(some / "model.safetensors") for some in (folder, again))
    assert all(torch.allclose(was[name], now[name], atol=1e-5) for name in was)


def test_lengths_are_learnt_from_units_alone():
    from alm.api.cards import VocoderCard
    from alm.components.vocoders.cards import UnitHifiganOptions
    from alm.components.vocoders.unit_hifigan import UntrainedUnitHifigan

    torch.manual_seed(0)
    options = UnitHifiganOptions(predict_durations=True, channels=8, embedding_size=16)
    net = UntrainedUnitHifigan(options, VocoderCard(16_000, 50.0, 6)).network(VocoderCard(16_000, 50.0, 6, predicts_durations=True), 0.0)
    optimizer = torch.optim.Adam(net.model.dur_predictor.parameters(), 1e-2)
    for _ in range(150):  # unit n lasts n + 1 frames
        codes = torch.stack([torch.randperm(6).repeat_interleave(3)[:12].unique_consecutive() for _ in range(4)])
        rows = [row.repeat_interleave(row + 1) for row in codes]
        length = min(map(len, rows))
        optimizer.zero_grad()
        loss = net._duration_loss(torch.stack([row[:length] for row in rows]))
        loss.backward()
        optimizer.step()
    predicted = net.vocoder()._lengths(torch.tensor([2, 4, 1, 5, 3]))
    assert predicted[1:-1].tolist() == [5, 2, 6]


def test_units_of_an_odd_length_are_refused():
    from alm.api.errors import AlmError
    from alm.components.vocoders.hifigan import upsampling

    assert upsampling(320) == [8, 8, 5] and upsampling(640) == [8, 8, 5, 2] and upsampling(441) == [7, 7, 3, 3]
    with pytest.raises(AlmError, match="a product of"):
        upsampling(22)


def test_the_steps_of_a_generator_may_be_chosen():
    from alm.api.errors import AlmError
    from alm.components.vocoders.cards import GeneratorSizes
    from alm.components.vocoders.hifigan import generator_sizes

    sizes = generator_sizes(GeneratorSizes(64, (2, 4, 5, 8, 2), (3, 5), (1, 3)), 640)
    assert sizes["upsample_rates"] == [2, 4, 5, 8, 2] and sizes["upsample_kernel_sizes"] == [4, 8, 11, 16, 4]
    assert sizes["resblock_kernel_sizes"] == [3, 5] and sizes["resblock_dilation_sizes"] == [[1, 3], [1, 3]]
    with pytest.raises(AlmError, match="a product of 640"):
        generator_sizes(GeneratorSizes(64, (2, 4, 5)), 640)
    with pytest.raises(AlmError, match="a multiple of 32"):
        generator_sizes(GeneratorSizes(48, (2, 4, 5, 8, 2)), 640)


def test_voices_are_learnt_from_vectors(workspace, small_corpus, small_model, tmp_path):
    """Each speaker's mean vector is kept under their name; training reads the vectors of single clips from the cache."""
    from alm.components.vocoders.unit_vocos import read_net

    options = ["train.steps=2", "parts.vocoder.voice_prompt=true", "parts.vocoder.voice_source=true"]
    folder = train(str(workspace / "vocoder.yaml"), options, tmp_path / "run", quiet=True)
    net = read_net(folder)
    assert net.card.voice_prompt and len(net.card.speakers) == 2
    assert bool((net.voices.norm(dim=1) > 0.7).all()), "means of vectors of length 1 that are alike"
    assert float(torch.nn.functional.cosine_similarity(net.voices[0], net.voices[1], dim=0)) < 0.95


@pytest.mark.parametrize("kind", ["unit-vocos", "unit-hifigan"])
def test_a_vocoder_goes_on_with_other_speakers(kind, tmp_path):
    """Those that it knows keep their voice."""
    from alm.api.cards import VocoderCard
    from alm.components.vocoders.cards import UnitHifiganOptions, UnitVocosOptions
    from alm.components.vocoders.unit_hifigan import UntrainedUnitHifigan
    from alm.components.vocoders.unit_vocos import UntrainedUnitVocos

    cards = [VocoderCard(16_000, 50.0, 6, units_fingerprint="f", speakers=names) for names in (("anna", "ben", "eva"), ("eva", "anna", "max", "ben"))]
    if kind == "unit-vocos":
        untrained = UntrainedUnitVocos(UnitVocosOptions(hidden_size=16, blocks=2, voice_source=True), VocoderCard(16_000, 50.0, 6))
    else:
        untrained = UntrainedUnitHifigan(UnitHifiganOptions(channels=32, embedding_size=8), VocoderCard(16_000, 50.0, 6))
    nets = [untrained.network(card, 0.0) for card in cards]
    nets[0].vocoder().save(tmp_path)
    new = nets[1].state_dict()
    new = {name: value.clone() for name, value in new.items()}
    nets[1].start_from(tmp_path)
    tables = [name for name in new if name.endswith(("speaker.weight", "speaker_embedding.weight"))]
    assert len(tables) == (2 if kind == "unit-vocos" else 1)
    for name, value in nets[1].state_dict().items():
        before = nets[0].state_dict()[name]
        if name in tables:
            torch.testing.assert_close(value[[0, 1, 3]], before[[2, 0, 1]], atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(value[2], new[name][2], msg="a new one starts anew")
        elif "parametrizations" not in name:
            torch.testing.assert_close(value, before, atol=1e-3, rtol=1e-3)
