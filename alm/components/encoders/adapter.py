"""Files of a trained adapter and of its CTC head. Reads and writes weights; runs nothing."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from alm.api.errors import AlmError
from alm.components.encoders.cards import ADAPTER_FILE, ctc_vocabulary
from alm.components.nets import Adapter, CtcHead


def load_adapter(path: Path) -> Adapter:
    """A trained adapter, sized by its own weights."""
    state = load_file(path)
    adapter = Adapter(state["mean"].numel(), state["enter.weight"].shape[0], state["leave.weight"].shape[0], len({k.split(".")[1] for k in state if k.startswith("blocks.")}))
    adapter.load_state_dict(state)
    return adapter.requires_grad_(False).eval()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Weights as float16, the statistics of its input as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    buffers = {name for name, _ in adapter.named_buffers()}
    state = {name: (value if name in buffers else value.half()).detach().cpu().contiguous() for name, value in adapter.state_dict().items()}
    save_file(state, folder / ADAPTER_FILE)


def load_head(path: Path) -> CtcHead:
    with safe_open(path, "pt") as file:
        described = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    outputs = int(described["outputs_per_frame"])
    head = CtcHead(state["scores.weight"].shape[1], json.loads(described["labels"]), outputs)
    head.load_state_dict(state)
    return head.requires_grad_(False).eval()


def load_checkpoint_head(folder: Path) -> CtcHead:
    """The head of a transformers checkpoint (Wav2Vec2ForCTC, HubertForCTC and their like), its blank moved to class 0.

    Raises:
        AlmError: a folder without one in safetensors.
    """
    rows = ctc_vocabulary(folder)
    config = json.loads((folder / "config.json").read_text())
    state = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            state |= {name: file.get_tensor(name) for name in file.keys() if name.startswith("lm_head.")}  # noqa: SIM118 - it is no mapping
    if "lm_head.weight" not in state:
        raise AlmError(f"got CTC head {folder}, whose safetensors hold no lm_head", "a checkpoint of a model ...ForCTC", "save it again with save_pretrained")
    names = {row: name for name, row in rows.items()}
    blank = int(config.get("pad_token_id") or 0)
    order = [blank, *(row for row in range(len(state["lm_head.weight"])) if row != blank)]
    head = CtcHead(state["lm_head.weight"].shape[1], [names.get(row, f"<{row}>") for row in order[1:]], 1)
    head.load_state_dict({"scores.weight": state["lm_head.weight"][order].float(), "scores.bias": state["lm_head.bias"][order].float()})
    return head.requires_grad_(False).eval()


def save_head(head: CtcHead, path: Path) -> None:
    """Weights, with labels and outputs a frame in the file's metadata."""
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    save_file(state, path, {"labels": json.dumps(head.labels, ensure_ascii=False), "outputs_per_frame": str(head.outputs_per_frame)})
