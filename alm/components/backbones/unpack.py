"""A GGUF file -> a transformers folder, once: reading it takes transformers half a minute for 135M weights, and a second afterwards."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from alm.api.interfaces import LoadContext
from alm.components.backbones.cards import gguf_file

LARGEST_BYTES = 1 << 28  # of a file that is kept unpacked, which takes some six times as much
SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def transformers_folder(folder: Path, context: LoadContext) -> tuple[Path, dict[str, str]]:
    """Where transformers finds config, tokenizer and weights of a source, and what its loaders want besides."""
    if any((folder / name).exists() for name in ("config.json", "tokenizer.json")):
        return folder, {}
    file = gguf_file(folder)
    if file.stat().st_size > LARGEST_BYTES:
        return folder, {"gguf_file": file.name}

    def unpack(made: Path) -> None:
        with quietly():
            packed = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, gguf_file=file.name)
            del packed.config.quantization_config  # the weights are plain numbers by now, but are not let go as a quantized model's
            model = AutoModelForCausalLM.from_config(packed.config, dtype=torch.float32)
            model.load_state_dict(packed.state_dict())
            model.save_pretrained(made)
        AutoTokenizer.from_pretrained(folder, gguf_file=file.name).save_pretrained(made)

    return context.kept(f"gguf-{_hash(file)}", unpack), {}


@contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' bars for every file, which no setting turns off; warnings go through logging."""
    with redirect_stderr(io.StringIO()):
        yield


def _hash(file: Path) -> str:
    """Of its size and of pieces from all over it."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as opened:
        for number in range(SAMPLES):
            opened.seek(number * max(0, size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(opened.read(SAMPLE_BYTES))
    return digest.hexdigest()[:24]
