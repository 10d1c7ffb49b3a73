"""Decoder-only language models: from scratch (`llama`) or any transformers checkpoint (`hf`). Sees no audio.

AudioPaLM (arXiv 2306.12925): only the embedding matrix grows, and input and output rows stay tied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alm.api.cards import BackboneCard
from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.components.backbones.cards import HfOptions, LlamaOptions, StartOptions, hf_card, llama_card
from alm.components.backbones.unpack import quietly, transformers_folder

PREFIX = "backbone.model."  # of its weights in a checkpoint of alm


class CausalBackbone(nn.Module):
    """A transformers causal LM as an alm Backbone.

    Attributes:
        started_from: the checkpoint of alm whose rows it has; the joint vocabulary must begin alike.
    """

    def __init__(
        self, model: Any, text_tokenizer: Any, card: BackboneCard, *, new_rows: str = "normal", freeze_text_rows: bool = False, scale: float = 1.0, started_from: Path | None = None
    ) -> None:
        super().__init__()
        self.started_from = started_from
        self.scale = scale
        self.model, self.text_tokenizer, self.card = model, text_tokenizer, card
        self.new_rows, self.freeze_text_rows = new_rows, freeze_text_rows

    def resize(self, vocabulary_size: int) -> None:
        """Grows embedding and tied output rows; the model's answers to text stay as they are, given text-only masks."""
        table = self.model.get_input_embeddings()
        old = table.weight.shape[0]
        if vocabulary_size < len(self.text_tokenizer):
            raise AlmError(
                f"got a vocabulary of {vocabulary_size} ids",
                f"at least the {len(self.text_tokenizer)} of the text tokenizer",
                "build the vocabulary from this backbone's tokenizer",
            )
        if vocabulary_size != old:
            self.model.resize_token_embeddings(vocabulary_size, mean_resizing=False)
        table = self.model.get_input_embeddings()
        text = len(self.text_tokenizer)
        if self.new_rows == "zeros":
            table.weight.data[text:].zero_()
        if self.freeze_text_rows:
            self.freeze_rows(text)

    def freeze_rows(self, count: int) -> None:
        """Of the table, only the rows behind the first `count` are trained."""
        weight = self.model.get_input_embeddings().weight.requires_grad_(True)
        weight.frozen_rows = count  # an optimizer must not let them decay
        weight.register_hook(lambda gradient: torch.cat([torch.zeros_like(gradient[:count]), gradient[count:]]))

    def embed(self, ids: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(ids) * self.scale

    def hidden(self, embeddings: Tensor, mask: Tensor | None = None, cache: Any = None) -> Tensor:
        positions = None
        if mask is not None and mask.dim() == 3:
            mask = embeddings.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(embeddings.dtype).min)[:, None]
        elif mask is not None:
            positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -embeddings.shape[1] :]
        output = self.model.base_model(
            inputs_embeds=embeddings,
            attention_mask=mask if mask is None or mask.dim() == 4 else None if bool(mask.all()) else mask.long(),
            position_ids=positions,
            cache=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def scores(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden)

    def block_scores(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        output = self.model.get_output_embeddings()
        return nn.functional.linear(hidden, output.weight[start:stop], None if output.bias is None else output.bias[start:stop])

    def new_cache(self) -> DynamicCache:
        return DynamicCache()


def load_llama(options: LlamaOptions, context: LoadContext) -> CausalBackbone:
    """A Llama with random weights; rotary positions, RMS norm, SwiGLU, tied embeddings."""
    (folder,) = context.folders(options.text_tokenizer)
    text_tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(text_tokenizer),
        hidden_size=options.hidden_size,
        intermediate_size=options.ffn_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        max_position_embeddings=options.max_positions,
        attention_dropout=options.dropout,
        tie_word_embeddings=True,
        eos_token_id=text_tokenizer.eos_token_id,
    )
    scale = options.hidden_size**0.5 if options.scale_embeddings else 1.0
    return _started(LlamaForCausalLM(config), text_tokenizer, llama_card(options, context), options, context, scale=scale)


def load_hf(options: HfOptions, context: LoadContext) -> CausalBackbone:
    """A transformers checkpoint or GGUF file, optionally with LoRA injected through peft."""
    folder, extra = transformers_folder(context.folders(options.weights)[0], context)
    text_tokenizer = AutoTokenizer.from_pretrained(folder, **extra)
    config = AutoConfig.from_pretrained(folder, **extra)
    part = getattr(config, "text_config", None) if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING else None
    if options.scratch:
        model = AutoModelForCausalLM.from_config(part or config, dtype=torch.float32)
    elif part is not None:
        model = _language_model(config, folder)
    else:
        with quietly():
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **extra)
    if options.lora:
        model = _with_lora(model, context.folders(options.lora)[0])
    return _started(model, text_tokenizer, hf_card(options, context), options, context, new_rows=options.new_rows)


def _language_model(config: Any, folder: Path) -> Any:
    """The language model of a checkpoint that hears or sees too, as a causal one by itself."""
    (architecture,) = config.architectures
    whole = getattr(transformers, architecture).from_pretrained(folder, dtype=torch.float32)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config.text_config, dtype=torch.float32)
    setattr(model, model.base_model_prefix, whole.model.language_model)
    model.set_output_embeddings(whole.lm_head)
    return model


def _started(model: Any, text_tokenizer: Any, card: BackboneCard, options: StartOptions, context: LoadContext, *, new_rows: str = "normal", scale: float = 1.0) -> CausalBackbone:
    """The network with a checkpoint's weights and with LoRA, where the options want them.

    Raises:
        AlmError: a checkpoint that does not fit, or LoRA for rows that are not tied.
    """
    started_from = None
    if options.checkpoint:
        (started_from,) = context.folders(options.checkpoint)
        if _take_checkpoint(model, started_from) > len(text_tokenizer):
            new_rows = "normal"  # its unit rows are to stay
    if options.lora_rank:
        from peft import LoraConfig, inject_adapter_in_model

        if not model.config.tie_word_embeddings:
            raise AlmError("got LoRA for a model whose input and output rows are not tied", "tied rows", "train the whole model: lora_rank: 0")
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        config = LoraConfig(r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout, target_modules=list(options.lora_targets) or "all-linear")
        model = inject_adapter_in_model(config, model)
    return CausalBackbone(model, text_tokenizer, card, new_rows=new_rows, freeze_text_rows=bool(options.lora_rank), scale=scale, started_from=started_from)


def _take_checkpoint(model: Any, folder: Path) -> int:
    """Puts the weights of a checkpoint of alm in the place of the model's own; returns how many rows its table has.

    Raises:
        AlmError: no checkpoint, one that holds LoRA alone, or one of another network.
    """
    rows = next(name for name, value in model.named_parameters() if value is model.get_input_embeddings().weight)
    path = folder / "model.safetensors"
    state = {name.removeprefix(PREFIX): value.float() for name, value in load_file(path).items() if name.startswith(PREFIX)} if path.is_file() else {}
    if rows not in state:
        raise AlmError(f"got backbone checkpoint {folder}", "a checkpoint of alm whose backbone was trained as a whole", "name the `final` folder of such a run")
    model.resize_token_embeddings(len(state[rows]), mean_resizing=False)
    wanted = model.state_dict(keep_vars=True)
    misfits = [name for name, value in state.items() if name not in wanted or wanted[name].shape != value.shape]
    tables = {name for name, value in wanted.items() if value is wanted[rows]}  # input and output rows, where they are tied
    misfits += [name for name in wanted if name not in state and name not in tables]
    if misfits:
        raise AlmError(f"got backbone checkpoint {folder}, which differs in {misfits[0]}", "one of the same network", "correct the backbone's options or the checkpoint")
    model.load_state_dict(state, strict=False)
    return len(state[rows])


def _with_lora(model: Any, folder: Path) -> Any:
    """The model with a trained LoRA folder merged into its weights.

    Raises:
        AlmError: no such folder of safetensors, or one for another network.
    """
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise AlmError(f"got LoRA folder {folder}", "adapter_config.json and adapter_model.safetensors", "check the path; save it with safetensors")
    try:
        return PeftModel.from_pretrained(model, folder, use_safetensors=True).merge_and_unload()
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AlmError(f"got LoRA folder {folder}, which does not fit ({reason})", "one trained on these weights", "use the weights that it was trained on") from error
