"""Sound on the demo page that is heard while it is still being made, by the browser's own means: Gradio streams by the program ffmpeg, which
is not everywhere, and some seconds later."""

from __future__ import annotations

import base64
import uuid
from typing import Any

from alm.api.types import Audio

TEMPLATE = '<div class="alm-player"><p class="state" role="status"></p><audio controls hidden aria-label="${label}"></audio></div>'
STYLE = "audio {width: 100%} .state {min-height: 1.5em; margin: 0}"
# Pieces are 16-bit samples in base64. Each is played behind the one before; when all are there, they become a file to hear again or to keep.
SCRIPT = """
let context = null, id = null, played = 0, until = 0, sources = [], url = null;
const samplesOf = (piece) => new Int16Array(Uint8Array.from(atob(piece), (c) => c.charCodeAt(0)).buffer);
const silence = () => { sources.forEach((source) => source.stop()); sources = []; until = 0; };
const fileOf = (pieces, rate) => {
    const data = pieces.map(samplesOf), bytes = data.reduce((sum, piece) => sum + piece.byteLength, 0);
    const header = new DataView(new ArrayBuffer(44)), tag = (at, text) => [...text].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
    tag(0, 'RIFF'); header.setUint32(4, 36 + bytes, true); tag(8, 'WAVEfmt '); header.setUint32(16, 16, true); header.setUint16(20, 1, true);
    header.setUint16(22, 1, true); header.setUint32(24, rate, true); header.setUint32(28, 2 * rate, true); header.setUint16(32, 2, true);
    header.setUint16(34, 16, true); tag(36, 'data'); header.setUint32(40, bytes, true);
    return new Blob([header, ...data], { type: 'audio/wav' });
};
const show = () => {
    const value = props.value, state = element.querySelector('.state'), whole = element.querySelector('audio');
    if (!value || value.id !== id) {
        silence();
        id = value ? value.id : null;
        played = 0;
        if (url) { URL.revokeObjectURL(url); url = null; }
    }
    if (!value || !value.pieces.length) { state.textContent = ''; whole.hidden = true; element.dataset.played = 0; element.dataset.done = false; return; }
    if (value.aloud) { context = context || new AudioContext(); context.resume(); }
    for (; value.aloud && played < value.pieces.length; played++) {
        const samples = samplesOf(value.pieces[played]), buffer = context.createBuffer(1, samples.length, value.rate_hz), source = context.createBufferSource();
        buffer.getChannelData(0).set(Float32Array.from(samples, (sample) => sample / 32768));
        source.buffer = buffer;
        source.connect(context.destination);
        until = Math.max(until, context.currentTime + 0.05);
        source.start(until);
        until += buffer.duration;
        sources.push(source);
    }
    element.dataset.played = played;
    element.dataset.done = value.done;
    state.textContent = value.done ? '' : 'Playing while the rest is made …';
    whole.hidden = !value.done;
    if (value.done && !url) { url = URL.createObjectURL(fileOf(value.pieces, value.rate_hz)); }
    if (value.done && whole.src !== url) { whole.src = url; }
};
watch('value', show);
"""


def player(label: str) -> Any:
    """A gr.HTML whose values are `Playing.so_far`; None silences it."""
    import gradio as gr

    return gr.HTML(None, html_template=TEMPLATE, css_template=STYLE, js_on_load=SCRIPT, label=label, show_label=True, container=True, padding=True)


class Playing:
    """Sound that comes in pieces of one rate.

    Args:
        aloud: whether it is played as it comes; otherwise it is there to be played when it is whole.
    """

    def __init__(self, *, aloud: bool = True) -> None:
        self.id, self.rate_hz, self.pieces, self.done, self.aloud = uuid.uuid4().hex, 0, list[str](), False, aloud

    def add(self, audio: Audio | None) -> dict[str, Any]:
        """What the player is shown with a further piece; None adds none."""
        if audio is not None:
            samples = (audio.mono().samples[0].clamp(-1, 1) * 32767).short().numpy()
            self.rate_hz = audio.sample_rate_hz
            self.pieces.append(base64.b64encode(samples.astype("<i2").tobytes()).decode())
        return self.so_far

    def end(self) -> dict[str, Any]:
        """The same when all is there."""
        self.done = True
        return self.so_far

    @property
    def so_far(self) -> dict[str, Any]:
        return {"id": self.id, "rate_hz": self.rate_hz, "pieces": list(self.pieces), "done": self.done, "aloud": self.aloud}


def whole(audio: Audio | None) -> dict[str, Any] | None:
    """What a player is shown of a sound that is there already and waits to be played."""
    if audio is None:
        return None
    playing = Playing(aloud=False)
    playing.add(audio)
    return playing.end()
