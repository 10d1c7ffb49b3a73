"""CodeHiFiGAN: what fairseq's own code gives, what transformers' gives, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import SeamlessM4TCodeHifiGan, SeamlessM4TConfig
from typer.testing import CliRunner

from alm.api.errors import AlmError, UnknownNameError, VocabularyMismatchError
from alm.api.testing import check_vocoder
from alm.api.types import Units
from alm.components.vocoders.unit_hifigan import from_fairseq
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext

# State, input and output of fairseq's CodeGenerator (facebookresearch/fairseq, commit 3d262bb2) with random weights, seed 0.
GOLDEN = Path(__file__).parent / "data" / "code_hifigan.safetensors"


def golden(name: str):
    with safe_open(GOLDEN, "pt") as file:
        config = json.loads(file.metadata()[name])
    tensors = {key.removeprefix(f"{name}."): value for key, value in load_file(GOLDEN).items() if key.startswith(f"{name}.")}
    state = {key.removeprefix("generator."): value for key, value in tensors.items() if key.startswith("generator.")}
    return config, state, tensors


def convert(tmp_path, name: str) -> str:
    """As a user does it: a .pt file and a JSON file through the command."""
    from alm.cli import app

    config, state, _ = golden(name)
    torch.save({"generator": state}, tmp_path / "g.pt")
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = CliRunner().invoke(app, ["convert-vocoder", str(tmp_path / "g.pt"), str(tmp_path / "config.json"), str(tmp_path / "out")])
    assert result.exit_code == 0 and result.stdout.startswith("20 units"), result.output
    return f"dir:{tmp_path / 'out'}"


def load(weights: str, **options):
    return load_component(registry(), "vocoder", "unit-hifigan", {"weights": weights, **options}, SourceContext())


def units(codes, durations=None, fingerprint="") -> Units:
    return Units(torch.as_tensor(codes)[None], 400.0, fingerprint, durations)


def test_gives_what_fairseq_gives_with_predicted_durations(tmp_path):
    _, _, wanted = golden("single")
    vocoder = load(convert(tmp_path, "single"))
    assert vocoder.card.predicts_durations and vocoder.card.speakers == () and vocoder.card.frame_rate_hz == 400.0
    audio = vocoder.synthesize([units(wanted["code"])], [""])[0]
    assert audio.samples.shape == (1, 40 * int(wanted["durations"].sum()))
    torch.testing.assert_close(audio.samples[0], wanted["wanted"], atol=1e-5, rtol=0)
    told = vocoder.synthesize([units(wanted["code"], wanted["durations"])], [""])[0]
    torch.testing.assert_close(told.samples, audio.samples), "durations that the units carry are kept"
    longer = vocoder.synthesize([units(wanted["code"], wanted["durations"] + 1)], [""])[0]
    assert longer.samples.shape[1] == audio.samples.shape[1] + 40 * len(wanted["code"])


def test_gives_what_fairseq_gives_with_speakers(tmp_path):
    _, _, wanted = golden("speakers")
    vocoder = load(convert(tmp_path, "speakers"))
    assert not vocoder.card.predicts_durations and vocoder.card.speakers == ("0", "1", "2")
    audio = vocoder.synthesize([units(wanted["code"])], ["2"])[0]
    torch.testing.assert_close(audio.samples[0], wanted["wanted"], atol=1e-5, rtol=0)
    assert not torch.allclose(vocoder.synthesize([units(wanted["code"])], ["1"])[0].samples, audio.samples, atol=1e-3)
    check_vocoder(vocoder)


def test_weight_normalization_of_newer_torch_is_read_too():
    config, state, wanted = golden("single")
    newer = {key.replace("weight_g", "parametrizations.weight.original0").replace("weight_v", "parametrizations.weight.original1"): v for key, v in state.items()}
    model = from_fairseq(newer, config)
    hidden = model.unit_embedding(wanted["code"][None]).repeat_interleave(wanted["durations"], 1)
    torch.testing.assert_close(model.hifi_gan(hidden.transpose(1, 2))[0], wanted["wanted"], atol=1e-5, rtol=0)


@pytest.fixture
def seamless(tmp_path):
    """A small SeamlessM4TCodeHifiGan of two languages and three speakers, and its folder."""
    torch.manual_seed(0)
    sizes = {"unit_hifi_gan_vocab_size": 30, "unit_embed_dim": 8, "lang_embed_dim": 4, "spkr_embed_dim": 6, "vocoder_num_langs": 2, "vocoder_num_spkrs": 3}
    network = {
        "upsample_initial_channel": 16,
        "upsample_rates": [5, 4],
        "upsample_kernel_sizes": [11, 8],
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
    }
    model = SeamlessM4TCodeHifiGan(SeamlessM4TConfig(**sizes, **network)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        model.dur_predictor.proj.bias.fill_(1.2)
    model.save_pretrained(tmp_path / "vocoder")
    (tmp_path / "vocoder" / "generation_config.json").write_text(json.dumps({"vocoder_lang_code_to_id": {"eng": 0, "spa": 1}}))
    return model, tmp_path / "vocoder"


def test_gives_what_transformers_gives(seamless):
    model, folder = seamless
    vocoder = load(f"dir:{folder}", language="spa")
    codes = torch.randint(2, 30, (1, 12))
    wanted, lengths = model(codes, torch.tensor([[2]]), torch.tensor([[1]]))
    audio = vocoder.synthesize([units(codes[0])], ["2"])[0]
    torch.testing.assert_close(audio.samples, wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(load(f"dir:{folder}").synthesize([units(codes[0])], ["2"])[0].samples, wanted, atol=1e-3), "another language"
    vocoder.save(folder.parent / "again")
    again = load(f"dir:{folder.parent / 'again'}").synthesize([units(codes[0])], ["2"])[0]
    assert again.samples.shape == audio.samples.shape


def test_it_conforms_and_streams(seamless):
    vocoder = load(f"dir:{seamless[1]}")
    check_vocoder(vocoder)
    whole = units(torch.randint(2, 30, (60,)))
    wanted = vocoder.synthesize([whole], ["1"])[0].samples
    stream = vocoder.stream("1")
    pieces = [stream.push(whole[start : start + 7]) for start in range(0, 60, 7)] + [stream.finish()]
    joined = torch.cat([piece.samples for piece in pieces if piece is not None], 1)
    torch.testing.assert_close(joined, wanted, atol=1e-5, rtol=0, msg="lengths that are predicted in pieces are those of the whole")
    assert pieces[4] is not None, "it does not wait for the end"


def test_another_tempo_is_another_length(seamless):
    from alm.api.types import Prosody

    vocoder = load(f"dir:{seamless[1]}")
    clip = units(torch.randint(2, 30, (40,)), torch.full((40,), 3))
    plain, fast = (vocoder.synthesize([clip], ["1"], [Prosody(tempo)])[0] for tempo in (1.0, 2.0))
    assert plain.num_samples == 120 * 20 and fast.num_samples == 60 * 20
    with pytest.raises(AlmError, match="another pitch"):
        vocoder.synthesize([clip], ["1"], [Prosody(pitch_semitones=2.0)])


def test_the_vocoder_of_a_whole_seamless_m4t_is_found(seamless):
    _, folder = seamless
    alone = load(f"dir:{folder}").synthesize([units([3, 4, 5])], ["0"])[0]
    state = {f"vocoder.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    save_file({**state, "shared.weight": torch.zeros(4, 4)}, folder / "model.safetensors", metadata={"format": "pt"})
    whole = load(f"dir:{folder}").synthesize([units([3, 4, 5])], ["0"])[0]
    torch.testing.assert_close(whole.samples, alone.samples)


def test_it_speaks_the_units_of_the_codebook_that_it_is_told(seamless, tmp_path):
    from alm.components.codebook import Codebook

    codebook = Codebook(torch.randn(30, 5))
    codebook.save(tmp_path / "book")
    vocoder = load(f"dir:{seamless[1]}", codebook=f"dir:{tmp_path / 'book'}")
    merged = f"{codebook.fingerprint}-merged"
    assert vocoder.card.units_fingerprint == merged, "it was made for units whose repeats are merged"
    assert vocoder.synthesize([units([1, 2], fingerprint=merged)], [""])
    with pytest.raises(VocabularyMismatchError, match="use the tokenizer it was trained with"):
        vocoder.synthesize([units([1, 2], fingerprint="another")], [""])


def test_what_cannot_be_spoken_with_is_refused(seamless, tmp_path):
    _, folder = seamless
    with pytest.raises(UnknownNameError, match="eng, spa"):
        load(f"dir:{folder}", language="fra")
    config, state, _ = golden("single")
    with pytest.raises(AlmError, match="pitch"):
        from_fairseq(state, {**config, "f0": True})
    with pytest.raises(AlmError, match="speaker vector"):
        from_fairseq(state, {**config, "embedder_params": {"a": 1}})
    with pytest.raises(AlmError, match="do not fit"):
        from_fairseq({k: v for k, v in state.items() if k != "dict.weight"}, config)
    (folder / "config.json").write_text(json.dumps({"model_type": "speecht5_hifigan"}))
    with pytest.raises(AlmError, match="convert-vocoder"):
        load(f"dir:{folder}")


def test_a_checkpoint_that_is_more_than_tensors_is_not_run(tmp_path):
    from alm.cli import app

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    config, _, _ = golden("single")
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"generator": Evil()}, tmp_path / "g.pt")
    result = CliRunner().invoke(app, ["convert-vocoder", str(tmp_path / "g.pt"), str(tmp_path / "config.json"), str(tmp_path / "out")])
    assert result.exit_code != 0 and not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()
    (tmp_path / "g.pt").write_bytes(b"nothing")
    assert CliRunner().invoke(app, ["convert-vocoder", str(tmp_path / "g.pt"), str(tmp_path / "config.json"), str(tmp_path / "out")]).exit_code != 0
