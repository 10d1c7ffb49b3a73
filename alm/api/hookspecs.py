"""Every extension point of alm. A plugin implements the ones it needs with `@alm.hookimpl`.

Each hook is given `register(name, load, card, options=None)`:

    name:     how recipes name the component; `plugin/name` works always, also when two plugins share a name.
    load:     a function (options, context) -> component; called when the component is used, not when it is listed.
    card:     a card, or a function (options, context) -> card for a card that depends on options.
    options:  the frozen dataclass of the component's options, or None if it has none. Recipe keys are checked against
              its fields before anything loads.

Registering must import nothing heavy: put torch imports inside the load function.
"""

from collections.abc import Callable
from typing import Any

import pluggy

PROJECT = "alm"
PLUGIN_API = (1, 2)
"""Major and minor version of what stands here and in alm.api. A plugin says what it was written for: ALM_PLUGIN_API = (1, 1); 1 means (1, 0). Within a major
version nothing is taken away: what has another name now works under the old one, and `alm plugins` says so. A plugin that wants a later minor version, or
another major one, is set aside. 1.1: register_demo_tabs is called register_demos; recognizers may have `read_closely`. 1.2: `LoadContext.kept`."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register = Callable[..., None]


@hookspec
def register_tokenizers(register: Register) -> Any:
    """Audio -> Units: `load` returns an alm.api.interfaces.Tokenizer, `card` is a TokenizerCard."""


@hookspec
def register_encoders(register: Register) -> Any:
    """What is perceived -> Features: `load` returns an Encoder, `card` is an EncoderCard."""


@hookspec
def register_backbones(register: Register) -> Any:
    """The language model: `load` returns a Backbone, `card` is a BackboneCard."""


@hookspec
def register_prompt_formats(register: Register) -> Any:
    """Turns <-> Sequence: `load` returns a PromptFormat, `card` is a PromptFormatCard."""


@hookspec
def register_tasks(register: Register) -> Any:
    """Utterances -> Sample: `register(name, card)` for a task that its TaskCard describes whole; `load` only for more."""


@hookspec
def register_frontends(register: Register) -> Any:
    """Text -> what is read aloud of it: `load` returns a TextFrontend, `card` is a FrontendCard."""


@hookspec
def register_vocoders(register: Register) -> Any:
    """Units -> Audio: `load` returns a Vocoder, `card` is a VocoderCard."""


@hookspec
def register_recognizers(register: Register) -> Any:
    """Audio -> text, for cascades: `load` returns a Recognizer, `card` is a RecognizerCard."""


@hookspec
def register_synthesizers(register: Register) -> Any:
    """Text -> Audio, for cascades: `load` returns a Synthesizer, `card` is a SynthesizerCard."""


@hookspec
def register_converters(register: Register) -> Any:
    """Audio -> the same words by another voice: `load` returns a VoiceConverter, `card` is a ConverterCard."""


@hookspec
def register_decoders(register: Register) -> Any:
    """Scores -> ids: `load` returns a Decoder, `card` is a DecoderCard."""


@hookspec
def register_searches(register: Register) -> Any:
    """Log-probabilities of labels -> texts: `load` returns an alm.api.recognition.Search, `card` is a SearchCard."""


@hookspec
def register_language_models(register: Register) -> Any:
    """How likely a word is after others: `load` returns an alm.api.recognition.LanguageModel, `card` is a LanguageModelCard."""


@hookspec
def register_classifiers(register: Register) -> Any:
    """Features -> labels of a clip or of its frames: `load` returns an alm.api.understanding.Classifier, `card` is a ClassifierCard."""


@hookspec
def register_rescorers(register: Register) -> Any:
    """How good a reading is, as a text: `load` returns an alm.api.recognition.Rescorer, `card` is a RescorerCard."""


@hookspec
def register_speech_detectors(register: Register) -> Any:
    """Where speech is: `load` returns an alm.api.recognition.SpeechDetector, `card` is a SpeechDetectorCard."""


@hookspec
def register_corpora(register: Register) -> Any:
    """Utterances by split: `load` returns a Corpus, `card` is a CorpusCard."""


@hookspec
def register_metrics(register: Register) -> Any:
    """Hypotheses and references -> a number: `load` returns a Metric, `card` is a MetricCard."""


@hookspec
def register_recipes(register: Register) -> Any:
    """A folder of YAML recipes: `register(folder)`. Each file is a recipe, named by its stem."""


@hookspec
def register_models(register: Register) -> Any:
    """A trained checkpoint folder: `register(name, folder)`; `alm.load(name)` opens it."""


@hookspec
def register_engines(register: Register) -> Any:
    """Where `alm tokenize` runs: `register(name, run)`; `run` is an alm.api.engines.Engine."""


@hookspec
def register_demos(register: Register) -> Any:
    """A tab of the Gradio page: `register(title, build)`; `build(page)` is called inside a gr.Tab with an alm.api.demos.DemoPage."""


@hookspec(warn_on_impl=DeprecationWarning("hook register_demo_tabs is called register_demos since plugin API 1.1; the old name goes with 2.0"))
def register_demo_tabs(register: Register) -> Any:
    """A tab of the Gradio page as plugin API 1.0 had it: `build(pipeline)` is called with the first model."""
