"""What k2's numbers are compared with, made in alm's own environment: `python plugins/alm-k2/tools/make_fixtures.py out/k2`.

Posteriors of real clips by the shipped model, torch's CTC loss of their transcripts, graphs of the training texts' n-grams with the readings that
kaldi-decoder finds in them, the readings of alm's torch search, and torchaudio's transducer loss.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from alm_k2 import graphs, kaldi_engine
from alm_k2.cards import GraphOptions
from alm_k2.searches import transducers
from safetensors.torch import save_file
from torch.nn import functional as F
from torchaudio.functional import rnnt_loss

from alm.components.language_models.ngram import estimate, read_arpa, write_arpa
from alm.components.searches.cards import BeamOptions
from alm.components.searches.ctc import CtcBeam
from alm.core.audio import read_audio
from alm.core.models import load
from alm.core.recognition import SearchRecognizer

CLIPS = 24
WIDE = GraphOptions(weight=0.5, word_bonus=1.0, beam=30.0, max_active=1_000_000)


def main(folder: Path) -> None:
    """Writes clips.safetensors, transducer.safetensors and expected.json."""
    torch.manual_seed(0)
    recognizer = load("prompts-reader").recognizer
    assert isinstance(recognizer, SearchRecognizer)
    parts, wording = recognizer.parts, recognizer.wording
    spoken = [u for u in parts.utterances("test") if u.language == "en" and u.audio is not None and u.text][:CLIPS]
    heard = recognizer.hear([read_audio(u.audio) for u in spoken if u.audio is not None])
    texts = [wording.written(u.text, "en") for u in spoken]
    labels = recognizer.labels
    classes = [[labels.names.index(piece) + 1 for piece in _pieces(text, labels.names)] for text in texts]
    losses = [float(F.ctc_loss(h[:, None], torch.tensor([c]), torch.tensor([len(h)]), torch.tensor([len(c)]), reduction="sum")) for h, c in zip(heard, classes, strict=True)]
    sentences = sorted({wording.written(u.text, "en") for u in parts.utterances("train") if u.language == "en" and u.text})
    expected = {"texts": texts, "classes": classes, "losses": losses, "labels": len(labels.names), "beam": WIDE.beam, "orders": {}}
    for order in (2, 3):
        path = folder / f"{order}.arpa"
        write_arpa(estimate(sentences, order), path)
        model = read_arpa(path)
        words, lexicon, grammar, back_off = transducers(labels, model, WIDE)
        graph = kaldi_engine.compile_graph(len(labels.names) + 1, lexicon, grammar, back_off, words.back_off)
        readings = [(found[0].words, found[0].score, found[0].acoustic) if found else None for found in kaldi_engine.decode(heard, graph, WIDE)]
        beam = CtcBeam(BeamOptions(weight=WIDE.weight, word_bonus=WIDE.word_bonus)).search(heard, labels, model)
        expected["orders"][order] = {
            "words": words.names,
            "lexicon": lexicon,
            "grammar": grammar,
            "back_off": back_off,
            "kaldi": readings,
            "torch": [[found[0].text, found[0].score, found[0].acoustic] for found in beam],
        }
    encoded, predicted = torch.randn(3, 20, 12), torch.randn(3, 8, 12)
    targets, frames, counts = torch.randint(1, 12, (3, 7)), torch.tensor([20, 17, 11]), torch.tensor([7, 5, 3])
    encoded.requires_grad_()
    loss = rnnt_loss((encoded[:, :, None] + predicted[:, None]).log_softmax(-1), targets.int(), frames.int(), counts.int(), blank=0, reduction="sum", fused_log_softmax=False)
    loss.backward()
    assert encoded.grad is not None
    tensors = {"encoded": encoded.detach(), "predicted": predicted, "targets": targets, "frames": frames, "labels": counts, "loss": loss.detach(), "gradient": encoded.grad}
    save_file(tensors, folder / "transducer.safetensors")
    save_file({f"{number:03}": clip.contiguous() for number, clip in enumerate(heard)}, folder / "clips.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected))
    print(f"{len(heard)} clips: {folder}")


def _pieces(text: str, names: tuple[str, ...]) -> list[str]:
    """A way to write a text in the labels: the longest piece first."""
    spelling, found = graphs.Spelling(names), []
    for word in text.split():
        at = 0
        arcs = spelling.arcs(word)
        while arcs and at < max(stop for _, stop, _ in arcs):
            _, at, label = max((arc for arc in arcs if arc[0] == at), key=lambda arc: arc[1])
            found.append(names[label - 1])
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    main(target)
