"""A transducer's loss is that of all its alignments, and a Conformer from scratch becomes a model that transcribes by either loss."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_encoder, check_recognizer, test_clips as clips_at
from alm.components.encoders.cards import CONFORMER, ConformerOptions
from alm.components.encoders.frames import load_encoder
from alm.components.recognizers.cards import TransducerOptions, encoder_kind
from alm.components.recognizers.transducer import Transducer
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext
from alm.train.encoder_ctc import spec_augmented
from alm.train.options import EncoderCtcOptions
from alm.train.run import train
from tests.conftest import write_recipe

SMALL = "use: conformer, layers: [2], hidden_size: 32, heads: 2, ffn_size: 64, convolution_kernel: 7"


def small_transducer(labels=("a", "b", "c")):
    torch.manual_seed(0)
    return Transducer(5, labels, hidden_size=8).eval()


def test_the_loss_is_that_of_all_alignments():
    transducer, states, target = small_transducer(), torch.randn(1, 4, 5), [0, 2, 1]
    begun = torch.tensor([[transducer.blank, *target]])
    log_probs = transducer.joined(transducer.heard(states)[:, :, None], transducer.remember(begun)[0][:, None]).log_softmax(-1)[0]  # [F, U + 1, C]
    totals = []
    for chosen in combinations(range(4 + len(target) - 1), len(target)):  # which steps write a label; the last is a blank
        frame = written = 0
        total = torch.zeros(())
        for step in range(4 + len(target)):
            label = target[written] if step in chosen else transducer.blank
            total = total + log_probs[frame, written, label]
            frame, written = frame + (step not in chosen), written + (step in chosen)
        totals.append(total)
    wanted = -torch.stack(totals).logsumexp(0) / len(target)
    loss = transducer.loss(states, torch.tensor([4]), torch.tensor([target]), torch.tensor([3]))
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_greedy_search_does_not_depend_on_what_stands_beside():
    transducer, states = small_transducer(), [torch.randn(length, 5) for length in (9, 4, 6)]
    padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    mask = torch.arange(9) < torch.tensor([[9], [4], [6]])
    alone = [transducer.greedy(own[None], torch.ones(1, len(own), dtype=torch.bool))[0] for own in states]
    assert transducer.greedy(padded, mask) == alone and any(alone)


def test_spec_augment_hides_frames_and_bands_of_stacked_frames():
    torch.manual_seed(0)
    window = torch.randn(50, 4 * 8)
    time = spec_augmented(window, EncoderCtcOptions(time_masks_per_s=1, time_mask_frames=20), 4)
    assert time.shape == window.shape and 0 < int((time != window).any(1).sum()) < 50
    bands = spec_augmented(window, EncoderCtcOptions(frequency_masks=1, frequency_mask_bands=4), 4)
    hidden = (bands != window).reshape(200, 8).any(0)
    assert 0 < int(hidden.sum()) <= 4 and bool((bands.reshape(200, 8)[:, hidden] == window.mean()).all()), "the same bands in every frame"


def test_an_untrained_conformer_is_an_encoder():
    torch.manual_seed(0)
    check_encoder(load_encoder(CONFORMER, ConformerOptions(layers=(1, 2), hidden_size=32, heads=2, ffn_size=64), SourceContext()), clips_at(16_000))
    with pytest.raises(AlmError, match="a multiple of heads"):
        CONFORMER.card(ConformerOptions(hidden_size=30, heads=4), SourceContext())


@pytest.fixture(scope="module", params=["encoder-ctc", "transducer"])
def trained(request, workspace, small_corpus):
    search = "search: {use: ctc-greedy}" if request.param == "encoder-ctc" else ""
    recipe = write_recipe(
        workspace,
        request.param,
        f"""name: {request.param}
parts:
  encoder: {{{SMALL}}}
  {search}
data: {{corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}], batch_positions: 800}}
train: {{objective: {request.param}, steps: 60, learning_rate: 3e-3, warmup_steps: 5, dropout: 0.0, validate_every_steps: 30, options: {{time_masks_per_s: 0.3}}}}
""",
    )
    return request.param, train(recipe, [], quiet=True)


def test_training_leaves_a_model_that_transcribes(trained, clip):
    objective, folder = trained
    pipeline = alm.load(str(folder))
    text = pipeline.transcribe(clip, "en")
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzáéíóúñ' "), text
    if objective == "transducer":
        check_recognizer(pipeline.recognizer, [clip, clip.resample(8_000)])
        beam = load_component(registry(), "recognizer", "transducer", {**pipeline.recipe.part("recognizer").options, "weights": f"dir:{folder}", "beam": 2}, SourceContext())
        assert isinstance(beam.read([clip], "en")[0], str)
        with pytest.raises(AlmError, match="a transcript"):
            beam.read([clip], "en", "translate")


def test_what_is_missing_is_named():
    with pytest.raises(AlmError, match="a folder that objective transducer left"):
        load_component(registry(), "recognizer", "transducer", {}, SourceContext())
    with pytest.raises(AlmError, match="whisper"):
        encoder_kind(TransducerOptions(encoder="wisper"))
