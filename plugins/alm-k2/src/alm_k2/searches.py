"""`k2` and `kaldi`: searches over lexicon and grammar as one graph. A reading has no other words than the n-gram's.

The graph is compiled when a search first meets labels and n-gram, and kept. `kaldi` decodes with kaldi-decoder, which installs from wheels
everywhere; it gives the best reading alone.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence as Many
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from alm.api.errors import AlmError
from alm.api.interfaces import LoadContext
from alm.api.recognition import Hypothesis, Labels, LanguageModel
from alm_k2 import graphs
from alm_k2.cards import GraphOptions, K2Options, graph_card

K2_WANTED = "k2, which is built for one version of torch each: see https://k2-fsa.github.io/k2/installation"


class Ngram(Protocol):
    """A language model that says what words it knows and where it is kept in ARPA format."""

    path: Path | None

    @property
    def words(self) -> list[str]: ...


class GraphSearch:
    """What both have in common.

    Args:
        engine: module of alm_k2 that compiles and decodes.
    """

    def __init__(self, options: GraphOptions, engine: Any) -> None:
        if options.beam <= 0 or options.max_active < 1 or options.readings < 1:
            raise AlmError(f"got {options}", "beam above 0, max_active and readings from 1", "correct the search's options")
        self.options, self.engine, self.card = options, engine, graph_card(options, None)  # type: ignore[arg-type]
        self._compiled: dict[tuple[Labels, Path], tuple[Any, graphs.Words]] = {}

    def search(self, log_probs: Many[Any], labels: Labels, language_model: LanguageModel | None = None) -> list[list[Hypothesis]]:
        graph, words = self._graph(labels, language_model)
        for clip in log_probs:
            if clip.ndim != 2 or clip.shape[1] != len(labels.names) + 1:
                raise AlmError(f"got log-probabilities of shape {list(clip.shape)}", f"[F, {len(labels.names) + 1}]", "give those of its CTC head")
        found = self.engine.decode([clip.detach().float().cpu() for clip in log_probs], graph, self.options)
        nothing = Hypothesis("", float("-inf"), float("-inf"))
        return [[Hypothesis(words.text(r.words), r.score, r.acoustic, r.language) for r in readings] or [nothing] for readings in found]

    def _graph(self, labels: Labels, language_model: Any) -> tuple[Any, graphs.Words]:
        path = getattr(language_model, "path", None)
        if path is None:
            raise AlmError("got no n-gram in a file, of which a graph is made", "an ARPA file", "set `language_model: {use: ngram, weights: ...}`; make one: alm adapt TEXTFILE")
        if (labels, path) not in self._compiled:
            texts = transducers(labels, language_model, self.options)
            self._compiled[labels, path] = self.engine.compile_graph(len(labels.names) + 1, texts.lexicon, texts.grammar, texts.back_off, texts.words.back_off), texts.words
        return self._compiled[labels, path]


class Transducers(NamedTuple):
    """What a graph is compiled of; `back_off` is the back-off symbol's class."""

    words: graphs.Words
    lexicon: str
    grammar: str
    back_off: int


def transducers(labels: Labels, language_model: Ngram, options: GraphOptions) -> Transducers:
    """Lexicon and weighed grammar of an n-gram that is kept in a file.

    Raises:
        AlmError: labels in which words cannot be written, or none of the n-gram's.
    """
    assert language_model.path is not None
    try:
        spelling = graphs.Spelling(labels.names)
    except ValueError as error:
        raise AlmError(f"got {error}", "characters with a space, or pieces that mark where a word begins", "use search ctc-beam") from error
    known = [word for word in language_model.words if spelling.arcs(word)]
    if not known:
        raise AlmError("got an n-gram of whose words the labels can write none", "words in the labels' characters", "spell the texts as the recipe does")
    words, back_off = graphs.Words(language_model.words), len(labels.names) + 1
    grammar = graphs.weighed(grammar_of(language_model.path, words), options.weight, options.word_bonus, words.back_off)
    return Transducers(words, graphs.lexicon(known, words, spelling, back_off), grammar, back_off)


def grammar_of(path: Path, words: graphs.Words) -> str:
    """An ARPA file as a transducer in text form, by Kaldi's arpa2fst.

    Raises:
        AlmError: kaldilm is not installed.
    """
    try:
        import kaldilm
    except ImportError as error:
        raise AlmError("got no kaldilm, which compiles n-grams", "kaldilm", "run: pip install kaldilm") from error
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "words.txt").write_text(words.table())
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        (folder / "lm.arpa").write_bytes(content)
        with _quiet():
            return str(kaldilm.arpa2fst(str(folder / "lm.arpa"), disambig_symbol=graphs.BACK_OFF, read_symbol_table=str(folder / "words.txt"), max_arpa_warnings=0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Kaldi's tools tell standard error what they read, whatever they are told."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def load_k2(options: K2Options, context: LoadContext) -> GraphSearch:
    """
    Raises:
        AlmError: k2 is not installed, or was built for another torch.
    """
    try:
        import k2  # noqa: F401
    except (ImportError, OSError) as error:
        raise AlmError(f"got search 'k2' without k2 ({' '.join(str(error).split())[:80]})", K2_WANTED, "install it, or choose search kaldi or ctc-beam") from error
    from alm_k2 import k2_engine

    return GraphSearch(options, k2_engine)


def load_kaldi(options: GraphOptions, context: LoadContext) -> GraphSearch:
    """
    Raises:
        AlmError: its packages are not installed.
    """
    try:
        import kaldi_decoder  # noqa: F401
        import kaldifst  # noqa: F401
    except ImportError as error:
        raise AlmError(f"got search 'kaldi' without {error.name}", "kaldi-decoder and kaldifst", "run: pip install 'alm-k2[kaldi]', or choose search ctc-beam") from error
    from alm_k2 import kaldi_engine

    if options.readings > 1:
        raise AlmError(f"got readings {options.readings} for search 'kaldi'", "1: it gives the best reading alone", "choose search k2 or ctc-beam")
    return GraphSearch(options, kaldi_engine)
