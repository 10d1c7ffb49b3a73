"""Network parts that several components share. Plain tensors in, plain tensors out."""

from __future__ import annotations

from collections.abc import Sequence as Many

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CTC_OUTPUTS_PER_S = 50  # CTC needs more outputs than characters; 25 Hz frames give two each


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over frames, then a two-layer MLP (arXiv 2201.03545, one-dimensional as in Vocos).

    Frames behind a clip's end are zeroed before the convolution, so that a padded batch equals single clips.

    Args:
        causal: a frame sees `kernel` - 1 frames before it and none behind it, in place of half as many on either side.
    """

    def __init__(self, size: int, kernel: int = 7, expansion: int = 3, dropout: float = 0.0, scale: float = 0.3, *, causal: bool = False) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(size, size, kernel, padding=0 if causal else kernel // 2, groups=size)
        self.before = kernel - 1 if causal else 0
        self.norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, expansion * size)
        self.contract = nn.Linear(expansion * size, size)
        self.scale = nn.Parameter(torch.full((size,), scale))
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, F, D], mask [B, F] -> [B, F, D]."""
        y = self._convolved(F.pad((x * mask[..., None]).transpose(1, 2), (self.before, 0))).transpose(1, 2)
        y = self.contract(F.gelu(self.expand(self.norm(y))))
        return x + self.scale * F.dropout(y, self.dropout, self.training)

    def _convolved(self, x: Tensor) -> Tensor:
        """The depthwise convolution, [B, D, F] -> [B, D, F]. PyTorch has no kernel for it in double precision and would go channel by channel."""
        if x.dtype != torch.float64:
            return self.depthwise(x)
        assert self.depthwise.bias is not None
        windows = F.pad(x, self.depthwise.padding * 2).unfold(-1, self.depthwise.kernel_size[0], 1)
        return (windows * self.depthwise.weight[:, 0, None]).sum(-1) + self.depthwise.bias[:, None]


class Adapter(nn.Module):
    """Encoder features -> a narrow space that keeps what was said and how it sounded.

    It is trained with a CTC loss on characters and a reconstruction loss on log-mel frames (alm.train.ctc), as USM-v2 is
    an encoder further trained with a recognition loss (AudioPaLM, arXiv 2306.12925); the codebook is fitted afterwards.
    """

    def __init__(self, input_size: int, hidden_size: int = 256, output_size: int = 64, blocks: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_size))
        self.register_buffer("std", torch.ones(input_size))
        self.enter = nn.Linear(input_size, hidden_size)
        self.blocks = nn.ModuleList(ConvNeXtBlock(hidden_size, dropout=dropout) for _ in range(blocks))
        self.leave = nn.Linear(hidden_size, output_size)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features [B, F, D], mask [B, F] -> [B, F, output_size], each frame with mean 0 and variance 1."""
        hidden = self.enter((features - self.mean) / self.std)
        for block in self.blocks:
            hidden = block(hidden, mask)
        hidden = self.leave(hidden)
        return F.layer_norm(hidden, hidden.shape[-1:])


class CtcHead(nn.Module):
    """Scores of labels (characters, or pieces of a text tokenizer), and of the blank as class 0, from an adapter's output.

    Args:
        labels: class i + 1 is labels[i].
        outputs_per_frame: CTC needs more outputs than labels; a frame of 40 ms may hold two characters.
    """

    def __init__(self, size: int, labels: Many[str], outputs_per_frame: int) -> None:
        super().__init__()
        self.labels, self.outputs_per_frame = tuple(labels), outputs_per_frame
        self.scores = nn.Linear(size, outputs_per_frame * (len(self.labels) + 1))

    def forward(self, output: Tensor) -> Tensor:
        """[B, F, D] -> log-probabilities [B, F x outputs_per_frame, classes]."""
        return self.scores(output).unflatten(-1, (self.outputs_per_frame, -1)).flatten(1, 2).float().log_softmax(-1)

    def greedy(self, log_probs: Tensor, mask: Tensor) -> list[list[int]]:
        """Indices of labels on the best path of each clip, repeats merged and blanks dropped; mask [B, F]."""
        return ctc_greedy(log_probs, mask, self.outputs_per_frame)


def ctc_greedy(log_probs: Tensor, mask: Tensor, outputs_per_frame: int) -> list[list[int]]:
    """See `CtcHead.greedy`, for scores [B, F x outputs_per_frame, classes] of any table."""
    rows = []
    for best, frames in zip(log_probs.argmax(-1), mask.sum(1), strict=True):
        merged = torch.unique_consecutive(best[: int(frames) * outputs_per_frame]).tolist()
        rows.append([i - 1 for i in merged if i])
    return rows


def label_classes(text: str, labels: Many[str]) -> list[int]:
    """CTC classes of a text's characters, from 1; characters without a label are left out."""
    index = {label: i + 1 for i, label in enumerate(labels)}
    return [index[c] for c in text if c in index]


def merge_by_ctc(frames: Tensor, log_probs: Tensor) -> Tensor:
    """Frames [F, D] with the same best class in a row become their mean, and blanks are dropped: about one frame is left a
    label (CTC-based compression, arXiv 2102.01578). Where all is blank, the mean of all is left.

    Args:
        log_probs: [F, classes], blank first.
    """
    classes, runs = torch.unique_consecutive(log_probs.argmax(-1), return_inverse=True)
    if not bool(classes.any()):
        return frames.mean(0, keepdim=True)
    counts = torch.bincount(runs, minlength=len(classes))
    means = frames.new_zeros(len(classes), frames.shape[1]).index_add_(0, runs, frames) / counts[:, None]
    return means[classes > 0]
