"""What ships in the box, registered through the same hooks as anyone's. Importing this imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = (1, 1)


def _late(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that is imported when it is first called."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"alm.components.{module}"), name)(*arguments)

    return call


@hookimpl
def register_tokenizers(register: Callable[..., None]) -> None:
    from alm.components.codecs.cards import CODECS, CodecOptions, tokenizer_card
    from alm.components.encoders.cards import KINDS
    from alm.components.tokenizers.cards import TOKENIZER_OPTIONS, FrameTokenizerOptions, MfccOptions, frame_card, mfcc_card

    register("mfcc", _late("tokenizers.mfcc", "load_tokenizer"), mfcc_card, MfccOptions)
    load = _late("tokenizers.frames", "load_tokenizer")
    for kind in KINDS:
        register(kind.name, partial(load, kind), partial(frame_card, kind), TOKENIZER_OPTIONS.get(kind.name, FrameTokenizerOptions))
    load_codec = _late("codecs.network", "load_tokenizer")
    for name in CODECS:
        register(name, partial(load_codec, name), partial(tokenizer_card, name), CodecOptions)


@hookimpl
def register_encoders(register: Callable[..., None]) -> None:
    from alm.components.encoders.cards import KINDS, Qwen2AudioOptions, qwen2_audio_card

    load = _late("encoders.frames", "load_encoder")
    for kind in KINDS:
        register(kind.name, partial(load, kind), kind.card, kind.options)
    register("qwen2-audio", _late("encoders.qwen2_audio", "load_encoder"), qwen2_audio_card, Qwen2AudioOptions)


@hookimpl
def register_backbones(register: Callable[..., None]) -> None:
    from alm.components.backbones.cards import HfOptions, LlamaOptions, hf_card, llama_card

    register("llama", _late("backbones.causal", "load_llama"), llama_card, LlamaOptions)
    register("hf", _late("backbones.causal", "load_hf"), hf_card, HfOptions)


@hookimpl
def register_prompt_formats(register: Callable[..., None]) -> None:
    from alm.components.prompts.cards import AUDIOPALM_CARD, SPEECHGPT_CARD, ChatMlOptions, QwenAudioOptions, SpeechGptOptions, chatml_card, qwen_audio_card

    load_audiopalm, load_speechgpt = _late("prompts.audiopalm", "AudioPalmFormat"), _late("prompts.speechgpt", "SpeechGptFormat")
    register("audiopalm", lambda options, context: load_audiopalm(), AUDIOPALM_CARD)
    register("speechgpt", lambda options, context: load_speechgpt(options), SPEECHGPT_CARD, SpeechGptOptions)
    load_qwen_audio, load_chatml = _late("prompts.qwen_audio", "QwenAudioFormat"), _late("prompts.chatml", "ChatMlFormat")
    register("qwen-audio", lambda options, context: load_qwen_audio(options), qwen_audio_card, QwenAudioOptions)
    register("chatml", lambda options, context: load_chatml(options), chatml_card, ChatMlOptions)


@hookimpl
def register_tasks(register: Callable[..., None]) -> None:
    from alm.components.tasks import TASKS
    from alm.components.tasks.woven import CARD as WOVEN

    for card in TASKS:
        register(card.tag, card=card)
    register("WOVEN", _late("tasks.woven", "load_woven"), WOVEN)


@hookimpl
def register_frontends(register: Callable[..., None]) -> None:
    from alm.components.frontends.cards import GruutOptions, gruut_card

    register("gruut", _late("frontends.gruut", "load_frontend"), gruut_card, GruutOptions)


@hookimpl
def register_vocoders(register: Callable[..., None]) -> None:
    from alm.components.codecs.cards import CodecOptions, vocoder_card
    from alm.components.vocoders.cards import (
        GriffinLimOptions,
        UnitHifiganOptions,
        UnitMelOptions,
        UnitVocosOptions,
        griffin_lim_card,
        unit_hifigan_card,
        unit_mel_card,
        unit_vocos_card,
    )

    register("unit-vocos", _late("vocoders.unit_vocos", "load_vocoder"), unit_vocos_card, UnitVocosOptions)
    register("unit-hifigan", _late("vocoders.unit_hifigan", "load_vocoder"), unit_hifigan_card, UnitHifiganOptions)
    register("unit-mel", _late("vocoders.unit_mel", "load_vocoder"), unit_mel_card, UnitMelOptions)
    register("codec", _late("codecs.network", "load_vocoder"), vocoder_card, CodecOptions)
    register("griffin-lim", _late("vocoders.griffin_lim", "load_vocoder"), griffin_lim_card, GriffinLimOptions)


@hookimpl
def register_recognizers(register: Callable[..., None]) -> None:
    from alm.components.recognizers.cards import TransducerOptions, WhisperRecognizerOptions, transducer_card, whisper_recognizer_card
    from alm.components.speecht5.cards import SpeechT5RecognizerOptions, recognizer_card

    register("whisper", _late("recognizers.whisper", "load_recognizer"), whisper_recognizer_card, WhisperRecognizerOptions)
    register("transducer", _late("recognizers.transducer", "load_recognizer"), transducer_card, TransducerOptions)
    register("speecht5", _late("speecht5.network", "load_recognizer"), recognizer_card, SpeechT5RecognizerOptions)


@hookimpl
def register_synthesizers(register: Callable[..., None]) -> None:
    from alm.components.speecht5.cards import SpeechT5VoiceOptions, synthesizer_card

    register("speecht5", _late("speecht5.network", "load_synthesizer"), synthesizer_card, SpeechT5VoiceOptions)


@hookimpl
def register_converters(register: Callable[..., None]) -> None:
    from alm.components.speecht5.cards import SpeechT5VoiceOptions, converter_card

    register("speecht5", _late("speecht5.network", "load_converter"), converter_card, SpeechT5VoiceOptions)


@hookimpl
def register_decoders(register: Callable[..., None]) -> None:
    from alm.components.decoders.cards import CTC_TEXT_CARD, GREEDY_CARD, SAMPLE_CARD, CtcTextOptions, CtcUnitsOptions, SampleOptions, ctc_units_card

    register("greedy", _late("decoders.stepwise", "load_greedy"), GREEDY_CARD)
    register("sample", _late("decoders.stepwise", "load_sample"), SAMPLE_CARD, SampleOptions)
    register("ctc-text", _late("decoders.ctc", "load_ctc_text"), CTC_TEXT_CARD, CtcTextOptions)
    register("ctc-units", _late("decoders.ctc", "load_ctc_units"), ctc_units_card, CtcUnitsOptions)


@hookimpl
def register_searches(register: Callable[..., None]) -> None:
    from alm.components.searches.cards import GREEDY_CARD, BeamOptions, beam_card

    register("ctc-greedy", _late("searches.ctc", "load_greedy"), GREEDY_CARD)
    register("ctc-beam", _late("searches.ctc", "load_beam"), beam_card, BeamOptions)


@hookimpl
def register_language_models(register: Callable[..., None]) -> None:
    from alm.components.language_models.cards import HfLanguageModelOptions, NgramOptions, hf_language_model_card, ngram_card

    register("ngram", _late("language_models.ngram", "load_ngram"), ngram_card, NgramOptions)
    register("hf", _late("language_models.causal", "load_causal"), hf_language_model_card, HfLanguageModelOptions)


@hookimpl
def register_classifiers(register: Callable[..., None]) -> None:
    from alm.components.classifiers.cards import MlpOptions, mlp_card

    register("mlp", _late("classifiers.mlp", "load_classifier"), mlp_card, MlpOptions)


@hookimpl
def register_rescorers(register: Callable[..., None]) -> None:
    from alm.components.rescorers.cards import BertRescorerOptions, CausalRescorerOptions, bert_rescorer_card, causal_rescorer_card

    register("bert", _late("rescorers.bert", "load_rescorer"), bert_rescorer_card, BertRescorerOptions)
    register("causal", _late("rescorers.causal", "load_causal_rescorer"), causal_rescorer_card, CausalRescorerOptions)


@hookimpl
def register_corpora(register: Callable[..., None]) -> None:
    from alm.components.corpora.benchmarks import CARD, READERS, BenchmarkOptions, load_benchmark
    from alm.components.corpora.manifests import CutsOptions, PairsOptions, cuts_card, load_cuts, load_pairs, pairs_card
    from alm.components.corpora.samples import InstructOptions, PreferencesOptions, instruct_card, load_instruct, load_preferences, preferences_card

    for name in READERS:
        register(name, partial(load_benchmark, name), CARD, BenchmarkOptions)
    register("cuts", load_cuts, cuts_card, CutsOptions)
    register("pairs", load_pairs, pairs_card, PairsOptions)
    register("speech-instruct", load_instruct, instruct_card, InstructOptions)
    register("preferences", load_preferences, preferences_card, PreferencesOptions)


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    from alm.components.metrics.cards import (
        DNSMOS_CARD,
        GENERATIVE_PERPLEXITY_CARD,
        MARK_CARDS,
        SIGNAL_CARDS,
        SPOKEN,
        TEXT_CARDS,
        GenerativePerplexityOptions,
        spoken_card,
    )

    load_text, load_spoken = _late("metrics.text", "text_metric"), _late("metrics.spoken", "load_spoken")
    for name, card in TEXT_CARDS.items():
        register(name, lambda options, context, name=name: load_text(name), card)
    for name in SPOKEN:
        register(f"asr_{name}", lambda options, context, name=name: load_spoken(name, context), spoken_card(name))
    load_marks = _late("metrics.marks", "MarkMetric")
    for name, card in MARK_CARDS.items():
        register(name, lambda options, context, name=name: load_marks(name), card)
    register("dnsmos", _late("metrics.spoken", "load_dnsmos"), DNSMOS_CARD)
    register("generative_perplexity", _late("metrics.spoken", "load_generative_perplexity"), GENERATIVE_PERPLEXITY_CARD, GenerativePerplexityOptions)
    load_signal = _late("metrics.signal", "load_signal")
    for name, card in SIGNAL_CARDS.items():
        register(name, lambda options, context, name=name: load_signal(name, context), card)


@hookimpl
def register_demos(register: Callable[..., None]) -> None:
    register("Chat", _late("demos.chat", "chat_tab"))
    register("Translate", _late("demos.translate", "translate_tab"))
    register("Tokens", _late("demos.tokens", "tokens_tab"))
    register("Tasks", _late("demos.tasks", "tasks_tab"))
    register("Compare", _late("demos.tasks", "compare_tab"))
    register("Plugins", _late("demos.plugins", "plugins_tab"))
