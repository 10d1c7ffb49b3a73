"""SpeechT5 folders made here, small and random: recognized, spoken and converted as transformers does, through recipes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import save_file

import alm
from alm.api.errors import AlmError
from alm.api.testing import check_converter, check_recognizer, test_clips as clips_at
from alm.components.speecht5.network import SpeechT5Converter
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext
from tests.conftest import write_recipe

sentencepiece = pytest.importorskip("sentencepiece", reason="SpeechT5's text tokenizer needs sentencepiece")
SIZES = {
    "hidden_size": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_mel_bins": 20,
    "speech_decoder_prenet_units": 16,
    "speech_decoder_postnet_units": 16,
    "speaker_embedding_dim": 8,
    "max_text_positions": 40,
    "max_speech_positions": 400,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each of the three models with its processor, the vocoder's, and two with voices."""
    root = tmp_path_factory.mktemp("speecht5")
    model = io.BytesIO()
    sentences = ["press one for the calendar", "goodbye, and thank you", "a quick brown fox jumps over lazy dogs"]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences * 20), model_writer=model, model_type="char", vocab_size=34, pad_id=1, bos_id=0, eos_id=2, unk_id=3)
    (root / "spm_char.model").write_bytes(model.getvalue())
    tokenizer = hf.SpeechT5Tokenizer(str(root / "spm_char.model"))
    processor = hf.SpeechT5Processor(hf.SpeechT5FeatureExtractor(num_mel_bins=20), tokenizer)
    config = hf.SpeechT5Config(**SIZES, vocab_size=len(tokenizer))
    torch.manual_seed(0)
    for name in ("SpeechToText", "TextToSpeech", "SpeechToSpeech"):
        getattr(hf, f"SpeechT5For{name}")(config).save_pretrained(root / name)
        processor.save_pretrained(root / name)
    hf.SpeechT5HifiGan(hf.SpeechT5HifiGanConfig(model_in_dim=20, upsample_initial_channel=16)).save_pretrained(root / "vocoder")
    (root / "voices").mkdir()
    save_file({"ann": torch.randn(8), "bob": torch.randn(8)}, root / "voices" / "voices.safetensors")
    (root / "arrays").mkdir()
    np.save(root / "arrays" / "cmu-bdl.npy", np.ones((1, 8), dtype=np.float32))
    return root


def part(kind, folders, network, voices="voices", **options):
    options = {"weights": f"dir:{folders / network}", **options}
    if kind != "recognizer":
        options |= {"vocoder": f"dir:{folders / 'vocoder'}", "voices": f"dir:{folders / voices}"}
    return load_component(registry(), kind, "speecht5", options, SourceContext())


def test_it_reads_what_transformers_reads(folders, clip):
    recognizer = part("recognizer", folders, "SpeechToText")
    check_recognizer(recognizer, clips_at(16_000))
    model = hf.SpeechT5ForSpeechToText.from_pretrained(folders / "SpeechToText").eval()
    processor = hf.SpeechT5Processor.from_pretrained(folders / "SpeechToText")
    given = processor(audio=clip.resample(16_000).samples[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        wanted = processor.batch_decode(model.generate(**given, max_new_tokens=30 * given["input_values"].shape[1] // 16_000), skip_special_tokens=True)
    assert recognizer.read([clip], "en") == [wanted[0].strip()]
    with pytest.raises(AlmError, match="a transcript"):
        recognizer.read([clip], "en", "translate")


def test_it_speaks_and_knows_its_voices(folders):
    synthesizer = part("synthesizer", folders, "TextToSpeech")
    assert synthesizer.card.speakers == ("ann", "bob")
    torch.manual_seed(1)
    spoken = synthesizer.speak(["press one"], "en", "bob")[0]
    network = hf.SpeechT5ForTextToSpeech.from_pretrained(folders / "TextToSpeech").eval()
    vocoder = hf.SpeechT5HifiGan.from_pretrained(folders / "vocoder").eval()
    ids = hf.SpeechT5Processor.from_pretrained(folders / "TextToSpeech")(text="press one", return_tensors="pt")["input_ids"]
    torch.manual_seed(1)
    with torch.inference_mode():
        wanted = network.generate_speech(ids, synthesizer.voices.vectors["bob"][None], vocoder=vocoder)
    torch.testing.assert_close(spoken.samples[0], wanted)
    assert spoken.sample_rate_hz == 16_000
    for text, language, speaker, why in (
        (" ", "en", "", "something to say"),
        ("yes", "fr", "", "the model's: en"),
        ("yes", "en", "anne", "ann"),
        ("yes " * 40, "en", "", "at most 40"),
    ):
        with pytest.raises(AlmError, match=why):
            synthesizer.speak([text], language, speaker)


def test_it_converts_a_voice_through_a_recipe(folders, clip, tmp_path):
    converter = part("converter", folders, "SpeechToSpeech", "arrays")
    assert isinstance(converter, SpeechT5Converter) and converter.card.speakers == ("cmu-bdl",)
    check_converter(converter, [clip, clip.resample(8_000)])
    options = ", ".join(f"{name}: 'dir:{folders / folder}'" for name, folder in (("weights", "SpeechToSpeech"), ("vocoder", "vocoder"), ("voices", "voices")))
    recipe = write_recipe(tmp_path, "other-voice", f"name: other-voice\nparts:\n  converter: {{use: speecht5, {options}}}\ndata: {{tasks: [{{use: VC}}]}}\n")
    pipeline = alm.load(recipe)
    assert pipeline.convert(clip, "en", speaker="bob").num_samples
    pieces = list(pipeline.stream("VC", clip, "en", speaker="bob"))
    assert pieces[0].audio is not None and pieces[-1].result.audio is pieces[0].audio
    with pytest.raises(AlmError, match="one of the voices"):
        pipeline.convert(clip, "en", speaker="eve")
    with pytest.raises(AlmError, match="a task that the model was trained on"):
        pipeline.transcribe(clip, "en")


def test_what_does_not_fit_is_named(folders, tmp_path):
    with pytest.raises(AlmError, match="a weight source"):
        load_component(registry(), "recognizer", "speecht5", {}, SourceContext())
    with pytest.raises(AlmError, match="voices.safetensors, or a .npy file"):
        part("synthesizer", folders, "TextToSpeech", "vocoder")
    np.save(tmp_path / "eve.npy", np.ones(4, dtype=np.float32))
    with pytest.raises(AlmError, match="8, as the network knows speakers"):
        part("synthesizer", folders, "TextToSpeech", tmp_path)
    with pytest.raises(AlmError, match="the SpeechT5Processor"):
        part("recognizer", folders, "vocoder")
