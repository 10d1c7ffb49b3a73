"""What this machine can compute with. Asks torch; places nothing."""

from __future__ import annotations

import torch

from alm.api.errors import AlmError


def pick_device(name: str = "") -> str:
    """The device that was named, or the GPU where there is one, or "cpu".

    Raises:
        AlmError: a device that torch does not know or that is not here.
    """
    if not name:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise AlmError(f"got device {name!r} ({str(error).splitlines()[0][:120]})", "cpu, cuda or cuda:N that is here", "leave it out to take what is here") from error
    return name


def has_bfloat16(device: str) -> bool:
    """Whether it computes with bfloat16 itself; what emulates it takes a hundred times as long."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
