"""How Audio, Units and results show themselves in a notebook or a page: HTML with a player and small pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence as Many
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from alm.api.types import Audio, Marks, Sequence, Span, Units
    from alm.api.vocabulary import JointVocabulary

KIND_COLOURS = {"tag": "#c9b6e4", "text": "#b7d7f0", "units": "#f6c9a0", "features": "#f2a7a0", "end": "#d0d0d0"}


def wav_bytes(audio: Audio) -> bytes:
    """The clip as a 16-bit WAV file in memory."""
    import soundfile as sf

    buffer = io.BytesIO()
    sf.write(buffer, audio.samples.clamp(-1, 1).T.numpy(), audio.sample_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def player_html(audio: Audio) -> str:
    data = base64.b64encode(wav_bytes(audio)).decode()
    return f'<audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>'


def audio_html(audio: Audio) -> str:
    """Player and waveform."""
    caption = f"{audio.duration_s:.2f} s, {audio.sample_rate_hz} Hz, {audio.num_channels} channel{'s' * (audio.num_channels > 1)}"
    return f"<div>{player_html(audio)}<br>{picture_html(waveform_figure(audio), 'waveform')}<br><small>{caption}</small></div>"


def units_html(units: Units) -> str:
    """Units over time, and their codes in a line that can be unfolded."""
    codes = html.escape(str(units.codes.tolist()))
    caption = f"{units.num_frames} frames at {units.frame_rate_hz:g} Hz, codebook {units.fingerprint}"
    return f"<div>{picture_html(units_figure(units), 'units over time')}<br><small>{caption}</small><details><summary>codes</summary>{codes}</details></div>"


def result_html(result: Any) -> str:
    """Every emitted piece, the sequence with its spans coloured, and the player."""
    from alm.api.text import marks_text

    rows = []
    for segment in result.segments:
        content = marks_text(segment.content) if isinstance(segment.content, tuple) else segment.content
        shown = html.escape(content) if isinstance(content, str) else f"{content.num_frames} units"
        rows.append(f"<li><b>{html.escape(segment.language)}</b> {shown}</li>")
    sound = player_html(result.audio) if result.audio is not None else ""
    return f"<div><ol>{''.join(rows)}</ol>{sequence_html(result.spans)}{sound}</div>"


def sequence_html(spans: Any) -> str:
    """A bar of the sequence: one block a span, as wide as it is long."""
    total = max(1, sum(span.stop - span.start for span in spans))
    blocks = "".join(
        f'<span title="{span.kind} {span.stop - span.start}" style="display:inline-block;height:16px;background:{KIND_COLOURS[span.kind]};'
        f'width:{100 * (span.stop - span.start) / total:.3f}%"></span>'
        for span in spans
    )
    legend = " ".join(f'<span style="background:{colour};padding:0 6px">{kind}</span>' for kind, colour in KIND_COLOURS.items())
    return f'<div style="width:640px;max-width:100%;font-size:0;white-space:nowrap">{blocks}</div><small>{legend}</small>'


def sequence_view(sequence: Sequence, vocabulary: JointVocabulary | None = None) -> str:
    """Every span in the colour of what it holds, with its text where a vocabulary can spell it; framed is what the loss covers."""
    spelt = sequence.ids.tolist()
    boxes = []
    for start, stop, kind in _stretches(sequence):
        ids = spelt[start:stop]
        if vocabulary is not None and kind in ("tag", "text", "end"):
            text = vocabulary.spelt(ids)
        else:
            text = f"{stop - start} {kind}" if kind in ("units", "features") else f"{stop - start} ids of {kind}"
        frame = "#333 solid 2px" if bool(sequence.learn[start]) else "transparent solid 2px"
        boxes.append(
            f'<span title="{kind}, positions {start} to {stop - 1}" style="background:{KIND_COLOURS[kind]};color:#111;border:{frame};padding:1px 4px;margin:1px;'
            f'display:inline-block;white-space:pre-wrap">{html.escape(text)}</span>'
        )
    learnt = int(sequence.learn.sum())
    return f'<div style="font-family:monospace;line-height:1.9">{"".join(boxes)}<br><small>{len(sequence)} positions; framed: the {learnt} that the loss covers</small></div>'


def _stretches(sequence: Sequence) -> Iterator[tuple[int, int, str]]:
    """Spans, divided where the loss begins or ends."""
    for span in sequence.spans:
        start = span.start
        for position in range(span.start + 1, span.stop + 1):
            if position == span.stop or bool(sequence.learn[position]) != bool(sequence.learn[start]):
                yield start, position, span.kind
                start = position


def picture_html(figure: Any, alt: str = "") -> str:
    """A matplotlib figure as an inline PNG; `alt` says in words what it shows."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
    return f'<img alt="{html.escape(alt)}" style="max-width:100%" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _axes(width: float = 7.0, height: float = 1.4) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # no pyplot: nothing global, no backend

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def layers_figure(accuracies: dict[str, list[float]], chance: dict[str, float]) -> Any:
    """Accuracy in per cent over the layers of an encoder, from 1, a line a label; dashed what the most frequent label would reach."""
    figure, axes = _axes(height=2.8)
    for label, values in accuracies.items():
        (line,) = axes.plot(range(1, len(values) + 1), values, marker="o", label=label)
        axes.axhline(chance[label], color=line.get_color(), linestyle="--", linewidth=0.8)
    axes.set(xlabel="layer", ylabel="right, %", ylim=(0, 102), xticks=range(1, max(map(len, accuracies.values()), default=1) + 1))
    axes.legend()
    return figure


def posteriors_figure(log_probs: Tensor, names: Many[str], frame_rate_hz: float, most: int = 24) -> Any:
    """What a CTC head hears over seconds: of the classes that are ever likely, a row each in the order in which they come; the blank on top.

    Args:
        log_probs: [F, C], the blank first.
        names: of the other classes.
    """
    probabilities = log_probs.exp()
    heard = [c for c in dict.fromkeys(probabilities.argmax(1).tolist()) if c][:most]
    rows = [0, *heard]
    figure, axes = _axes(height=0.5 + 0.2 * len(rows))
    axes.imshow(probabilities[:, rows].T.numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1, extent=(0, len(probabilities) / frame_rate_hz, len(rows) - 0.5, -0.5))
    axes.set(xlabel="s", yticks=range(len(rows)), yticklabels=["(blank)", *(repr(names[c - 1].replace("Ġ", " "))[1:-1] for c in heard)])
    return figure


def lattice_figure(readings: Many[tuple[Many[tuple[str, float]], float]], duration_s: float) -> Any:
    """Readings of one clip as paths through the words that they share: the likelier a word among them, the darker.

    Args:
        readings: of each its words with the seconds at which they begin, and its share of all readings' probability.
    """
    nodes: dict[tuple[str, float], float] = {}
    edges: dict[tuple[tuple[str, float], tuple[str, float]], float] = {}
    for words, share in readings:
        path = [("", 0.0), *((word, round(start, 1)) for word, start in words), ("", round(duration_s, 1))]
        for node in path:
            nodes[node] = nodes.get(node, 0.0) + share
        for edge in pairwise(path):
            edges[edge] = edges.get(edge, 0.0) + share
    rivals: dict[float, list[tuple[str, float]]] = {}
    for node in sorted(nodes, key=lambda node: -nodes[node]):
        rivals.setdefault(node[1], []).append(node)
    place = {node: (start, -row - 0.35 * (number % 2)) for number, (start, found) in enumerate(sorted(rivals.items())) for row, node in enumerate(found)}  # neighbours apart
    figure, axes = _axes(width=max(7.0, 3.0 * duration_s), height=1.2 + 0.5 * max(map(len, rivals.values())))
    for (first, second), share in edges.items():
        axes.annotate("", place[second], place[first], arrowprops={"arrowstyle": "->", "color": str(0.85 * (1 - min(1.0, share)))})
    for (word, _), (x, y) in place.items():
        axes.text(x, y, word or "●", ha="center", va="center", fontsize=8, bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "none", "pad": 0.15})
    axes.set(xlim=(-0.1, duration_s + 0.2), ylim=(min(y for _, y in place.values()) - 0.4, 0.4), xlabel="s", yticks=[])
    return figure


def attention_figure(weights: Tensor, spans: Many[Span], names: Many[str] = ()) -> Any:
    """Which positions (columns) each position (row) looks at; lines divide the spans.

    Args:
        weights: [S, S], rows sum to 1.
        names: of the spans, in place of their kinds.
    """
    figure, axes = _axes(width=6.0, height=5.0)
    axes.imshow(weights.sqrt().numpy(), cmap="Greys", aspect="auto", interpolation="nearest")
    for span in spans[1:]:
        axes.axhline(span.start - 0.5, color="tab:orange", linewidth=0.6)
        axes.axvline(span.start - 0.5, color="tab:orange", linewidth=0.6)
    middles, labels = [(span.start + span.stop - 1) / 2 for span in spans], names or [span.kind for span in spans]
    axes.set(xticks=middles, yticks=middles, xlabel="is looked at", ylabel="looks")
    axes.set_xticklabels(labels, rotation=60, ha="right", fontsize=7)
    axes.set_yticklabels(labels, fontsize=7)
    return figure


def alignment_figure(audio: Audio, marks: Marks) -> Any:
    """A spectrogram with the words at their times."""
    figure = spectrogram_figure(audio)
    axes = figure.axes[0]
    top = axes.get_ylim()[1]
    for mark in marks:
        axes.axvspan(mark.start_s, mark.stop_s, facecolor="none", edgecolor="white", linewidth=0.8)
        axes.text((mark.start_s + mark.stop_s) / 2, top, mark.text, ha="center", va="bottom", fontsize=8, rotation=30)
    return figure


def waveform_figure(audio: Audio) -> Any:
    """Amplitude over seconds."""
    figure, axes = _axes()
    samples = audio.mono().samples[0].numpy()
    step = max(1, len(samples) // 4000)
    axes.plot([i / audio.sample_rate_hz for i in range(0, len(samples), step)], samples[::step], linewidth=0.5)
    axes.set(xlim=(0, audio.duration_s), ylim=(-1, 1), xlabel="s")
    return figure


def spectrogram_figure(audio: Audio) -> Any:
    """Log power over seconds and kHz, 25 ms windows."""
    import torch

    figure, axes = _axes(height=1.8)
    size = int(0.025 * audio.sample_rate_hz)
    spectrum = torch.stft(audio.mono().samples[0], size, size // 2, window=torch.hann_window(size), return_complex=True)
    power = 20 * (spectrum.abs() + 1e-4).log10()
    axes.imshow(power.numpy(), origin="lower", aspect="auto", cmap="magma", extent=(0, audio.duration_s, 0, audio.sample_rate_hz / 2000))
    axes.set(xlabel="s", ylabel="kHz")
    return figure


def units_figure(units: Units) -> Any:
    """Codes over seconds, a row of dots a codebook."""
    figure, axes = _axes()
    for k, codes in enumerate(units.codes.tolist()):
        axes.plot([f / units.frame_rate_hz for f in range(len(codes))], codes, ".", markersize=3, label=f"codebook {k}")
    axes.set(xlim=(0, max(units.duration_s, 1e-3)), xlabel="s", ylabel="unit")
    return figure
