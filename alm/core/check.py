"""Proves from cards alone that the parts of a recipe fit together, before any weight is loaded. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from alm.api.errors import AlmError, did_you_mean
from alm.api.layouts import make_layout
from alm.core.config import TaskConfig
from alm.core.parts import Parts, component_card, load_task

Problem = tuple[str, str, str]  # got, wanted, fix

NEEDS = {
    "lm": ("backbone", "prompt"),
    "dpo": ("backbone", "prompt"),
    "masked-lm": ("backbone", "prompt"),
    "denoise": ("backbone", "prompt"),
    "ctc": ("encoder",),
    "kmeans": ("tokenizer",),
    "bpe": (),
    "ngram": ("language_model",),
    "vocoder": ("tokenizer", "vocoder"),
    "unit-labels": ("tokenizer", "unit_decoder"),
    "best-rq": (),
    "hubert": ("tokenizer",),
    "wav2vec2": (),
    "encoder-ctc": ("encoder",),
    "transducer": ("encoder",),
    "rescore": ("encoder", "search", "rescorer"),
    "classify": ("encoder", "classifier"),
}
AUDIO_FORMS = ("units", "features", "both")
AT_ONCE = ("kmeans", "bpe", "ngram")  # objectives that fit in one go and need no limit
TRAINS = {
    "ctc": "encoder",
    "encoder-ctc": "encoder",
    "transducer": "encoder",
    "kmeans": "tokenizer",
    "vocoder": "vocoder",
    "unit-labels": "unit_decoder",
    "ngram": "language_model",
    "rescore": "rescorer",
    "classify": "classifier",
}


def check_recipe(parts: Parts) -> list[Problem]:
    """Every misfit, as (got, wanted, fix); an empty list means that the recipe fits and can be trained."""
    return [*check_model(parts), *_training_fits(parts), *_corpora_fit(parts)]


def check_model(parts: Parts) -> list[Problem]:
    """The same without its corpora, which a trained model no longer needs."""
    return list(_parts_fit(parts))


def _training_fits(parts: Parts) -> Iterator[Problem]:
    recipe = parts.recipe
    if parts.recipe.is_cascade:
        return
    if recipe.train.objective not in AT_ONCE and not (recipe.train.steps or recipe.train.tokens or recipe.train.minutes):
        yield "got a recipe without a limit", "train.steps, train.tokens or train.minutes", "add for instance train.minutes=10"
    if recipe.train.objective in AT_ONCE and recipe.train.init:
        yield f"got train.init for objective {recipe.train.objective}", "no train.init: it is fitted anew", "remove it"
    if recipe.train.objective == "dpo" and not recipe.train.init:
        yield "got objective dpo without train.init", "the model that is to prefer, which is the reference too", "set train.init: dir:FOLDER"
    if recipe.data.tasks and not any(task.weight > 0 for task in recipe.data.tasks):
        yield "got tasks without a weight above 0", "a positive weight", "correct data.tasks"


def _corpora_fit(parts: Parts) -> Iterator[Problem]:
    recipe = parts.recipe
    if not recipe.data.corpora and not parts.recipe.is_cascade:
        yield f"recipe {recipe.name!r} has no corpus", "data.corpora", "add `- use: prompts`"
    for corpus in recipe.data.corpora:
        if parts.left_out(corpus):
            continue
        try:
            card = component_card(parts.found, "corpus", corpus.use, corpus.options, parts.context)
        except AlmError as error:
            yield error.got, error.wanted, error.fix
            continue
        for language in corpus.languages:
            if card.languages and language not in card.languages:
                yield f"got language {language!r} of corpus {corpus.use!r}", "a language that it has", did_you_mean(language, card.languages)
        if corpus.repeat < 1:
            yield f"got repeat {corpus.repeat} of corpus {corpus.use!r}", "1 or more", "remove the corpus to leave it out"


def _parts_fit(parts: Parts) -> Iterator[Problem]:
    recipe, cards = parts.recipe, {}
    for kind in recipe.parts:
        try:
            cards[kind] = parts.planned_card(kind)
        except AlmError as error:
            if not parts.awaits_network(kind):
                yield error.got, error.wanted, error.fix
    objective = recipe.train.objective
    if recipe.searches:
        yield from _search_fits(parts, cards)
    for kind in () if recipe.is_cascade and "backbone" not in recipe.parts else NEEDS[objective]:
        if kind not in recipe.parts:
            yield f"recipe {recipe.name!r} of objective {objective} has no {kind}", f"parts.{kind}", f"add `{kind}: {{use: NAME}}` under parts"
    trained = TRAINS.get(objective)
    if trained in cards and objective not in cards[trained].trainable:
        yield f"got objective {objective} for {trained} {recipe.parts[trained].use!r}", f"one of {list(cards[trained].trainable) or 'none'}", "choose another objective or part"
    if "vocoder" in cards and "tokenizer" in cards:
        yield from _vocoder_fits(cards["vocoder"], cards["tokenizer"], recipe.parts["vocoder"].use)
    for kind in ("decoder", "unit_decoder"):
        if kind in cards:
            yield from _decoder_fits(parts, recipe.parts[kind].use, cards[kind], cards)
    if "encoder" in cards and "backbone" in cards:
        labels, pieces = cards["encoder"].text_labels, cards["backbone"].text_size
        if labels and pieces and labels > pieces:
            yield (
                f"got an encoder that hears {labels} labels",
                f"pieces of the backbone's text tokenizer, of which there are {pieces}",
                "train its CTC head on that text tokenizer (train.options.text_tokenizer), or choose another projector",
            )
    if "backbone" in cards and not parts.awaits_run("backbone"):
        yield from _start_fits(parts, cards)
    if "tokenizer" in cards and "backbone" in NEEDS[objective]:
        yield from _layout_fits(parts, cards["tokenizer"].codebooks, cards)
    if "frontend" in cards and cards["frontend"].symbols != "words" and "unit_decoder" in cards and cards["unit_decoder"].units_fingerprint:
        yield (
            f"got front end {recipe.part('frontend').use!r} writing {cards['frontend'].symbols} beside a decoder that holds units to letters",
            "the letters of the text",
            "set `symbols: words`, or leave unit_decoder out",
        )
    for task in recipe.data.tasks:
        yield from _task_fits(parts, task, cards)


def _start_fits(parts: Parts, cards: dict[str, Any]) -> Iterator[Problem]:
    """Where a backbone starts from a checkpoint that knows units, they are this recipe's."""
    tokenizer = cards.get("tokenizer")
    if tokenizer is None and parts.has("tokenizer") or tokenizer is not None and not tokenizer.fingerprint:
        return  # still to be made
    for option in cards["backbone"].starts:
        source = parts.recipe.parts["backbone"].options.get(option)
        saved = parts.context.folders(source)[0] / "vocabulary.json" if source else None
        blocks = json.loads(saved.read_text())["blocks"] if saved is not None and saved.exists() else []
        known = {block["fingerprint"] for block in blocks if block["name"].startswith("units")}
        if known - ({tokenizer.fingerprint} if tokenizer else set()):
            yield (
                f"got backbone.{option} {source}, which has rows for units",
                "the tokenizer that made those",
                "set parts.tokenizer to the checkpoint's own, or start from a checkpoint of text alone",
            )


def _search_fits(parts: Parts, cards: dict[str, Any]) -> Iterator[Problem]:
    """What a search is to read is posteriors; or objectives that train their CTC head make them."""
    recipe = parts.recipe
    encoder = cards.get("encoder")
    if "encoder" not in recipe.parts:
        yield f"recipe {recipe.name!r} has a search and no encoder", "parts.encoder", "add `encoder: {use: NAME}` under parts"
    elif encoder is not None and not encoder.posteriors and not parts.awaits_run("encoder") and recipe.train.objective not in ("ctc", "encoder-ctc"):
        yield (
            f"got encoder {recipe.parts['encoder'].use!r} for a search, which hears no labels",
            "posteriors of a CTC head",
            "set `output: posteriors` and an adapter or a head, or train one by objective ctc or encoder-ctc",
        )
    if "language_model" in recipe.parts and "search" in cards and not cards["search"].fuses:
        yield f"got a language model for search {recipe.parts['search'].use!r}, which asks none", "search: {use: ctc-beam}", "choose it, or leave language_model out"
    if "rescorer" in recipe.parts and "search" in cards and cards["search"].readings < 2:
        yield f"got a rescorer for search {recipe.parts['search'].use!r}, which gives one reading", "several to choose from", "set parts.search.readings, for instance to 8"
    if "recognizer" in recipe.parts:
        yield "got a search beside a recognizer", "one of them", "leave one out"


def _cascade_fits(parts: Parts, task: TaskConfig, card: Any, cards: dict[str, Any]) -> Iterator[Problem]:
    told = cards["classifier"].label if "classifier" in cards else ""
    if told and all(piece.kind in ("label", "marks") and piece.detail == told for piece in card.outputs):
        return
    if parts.recipe.classifies and not (parts.recipe.searches or parts.has("recognizer")):
        if told:
            yield f"task {task.use!r} wants {' and '.join(card.outputs)}", f"label {told!r}, which the classifier tells", "choose another task or classifier"
        return  # untrained: it may tell any
    if card.revoices and parts.has("converter"):
        return
    if card.reads == "audio" and not (parts.has("recognizer") or parts.recipe.searches):
        yield f"task {task.use!r} hears", "parts.recognizer", "add `recognizer: {use: whisper}` under parts"
    if any(piece.modality == "audio" for piece in card.outputs) and not parts.has("synthesizer"):
        yield f"task {task.use!r} speaks", "parts.synthesizer", "add `synthesizer: {use: NAME}` under parts"
    for kind, languages in (("recognizer", task.source if card.reads == "audio" else ()), ("synthesizer", (task.target if card.translates else task.source))):
        for language in languages if kind in cards and (kind == "recognizer" or card.outputs[-1].modality == "audio") else ():
            if language not in cards[kind].languages:
                yield f"task {task.use!r}: got language {language!r}", f"one of {kind} {parts.recipe.parts[kind].use!r}", did_you_mean(language, cards[kind].languages)


def _layout_fits(parts: Parts, codebooks: int, cards: dict[str, Any]) -> Iterator[Problem]:
    layout = parts.recipe.layout
    try:
        made = make_layout(layout.kind, codebooks, layout.delays, layout.turns, layout.text_beside)
    except AlmError as error:
        yield error.got, error.wanted, error.fix
        return
    if (layout.turns or layout.text_beside) and "prompt" in cards and not cards["prompt"].weaves:
        yield (
            f"got layout.{'turns' if layout.turns else 'text_beside'} for prompt format {parts.recipe.parts['prompt'].use!r}",
            "one that can write text and speech together, such as audiopalm",
            "leave it out",
        )
    if layout.depth_layers and not made.delays:
        yield f"got layout.depth_layers {layout.depth_layers} for {codebooks} codebooks one after another", "codebooks side by side", "write layout.kind: parallel or first-ahead"
    if layout.depth_layers < 0 or layout.depth_size < 4 or layout.depth_size % 4:
        yield f"got layout.depth_layers {layout.depth_layers} and depth_size {layout.depth_size}", "0 or more, and a multiple of 4", "correct the layout"


def _vocoder_fits(vocoder: Any, tokenizer: Any, name: str) -> Iterator[Problem]:
    if tokenizer.merges_repeats and not vocoder.predicts_durations:
        yield f"got a tokenizer that merges repeats for vocoder {name!r}", "a unit for every frame: it does not know how long a merged one lasts", "set merge_repeats: false"
        return
    if vocoder.predicts_durations and not tokenizer.merges_repeats:
        yield f"got a tokenizer that keeps repeats for vocoder {name!r}", "repeats merged: it gives every unit a length of its own", "set merge_repeats: true"
        return
    if vocoder.frame_rate_hz and vocoder.frame_rate_hz != tokenizer.frame_rate_hz:
        yield (
            f"got a tokenizer of {tokenizer.frame_rate_hz:g} units/s",
            f"{vocoder.frame_rate_hz:g} units/s for vocoder {name!r}",
            "change the tokenizer's stride or train a vocoder for this rate",
        )
    if vocoder.vocabulary_size and vocoder.vocabulary_size != tokenizer.vocabulary_size:
        yield (
            f"got a tokenizer with {tokenizer.vocabulary_size} units",
            f"{vocoder.vocabulary_size} units for vocoder {name!r}",
            "use the vocoder's tokenizer or train a vocoder for this one",
        )
    elif vocoder.units_fingerprint and vocoder.units_fingerprint != tokenizer.fingerprint:
        yield (
            f"got units of codebook {tokenizer.fingerprint or '(untrained)'}",
            f"units of codebook {vocoder.units_fingerprint}, for which vocoder {name!r} was made",
            "use the vocoder's own tokenizer or train a vocoder for this codebook",
        )
    if vocoder.codebooks != tokenizer.codebooks:
        yield f"got a tokenizer with {tokenizer.codebooks} codebooks", f"{vocoder.codebooks} codebooks for vocoder {name!r}", "use the vocoder's own tokenizer"


def _decoder_fits(parts: Parts, name: str, decoder: Any, cards: dict[str, Any]) -> Iterator[Problem]:
    encoder, tokenizer = cards.get("encoder"), cards.get("tokenizer")
    fits = encoder is not None and (parts.awaits_run("encoder") or (encoder.merges_frames and encoder.feature_size == 1 + encoder.text_labels))
    if decoder.needs_posteriors and not fits:
        yield (
            f"got decoder {name!r} for a model that hears {'no features' if encoder is None else 'other features'}",
            "posteriors over the text tokenizer's pieces, merged to about one frame a piece",
            "set `merge: ctc, output: posteriors, projector: mixture` of an encoder with such a CTC head, or choose decoder greedy",
        )
    if decoder.units_fingerprint and (tokenizer is None or decoder.units_fingerprint != tokenizer.fingerprint):
        yield (
            f"got units of codebook {tokenizer.fingerprint if tokenizer else '(none)'}",
            f"units of codebook {decoder.units_fingerprint}, for which decoder {name!r} was made",
            "train its labels for this codebook (objective unit-labels), or choose decoder greedy",
        )


def _task_fits(parts: Parts, task: TaskConfig, cards: dict[str, Any]) -> Iterator[Problem]:
    try:
        card = load_task(parts.found, task.use).card
    except AlmError as error:
        yield error.got, error.wanted, error.fix
        return
    prompt = cards.get("prompt")
    if parts.recipe.is_cascade or parts.recipe.searches or parts.recipe.classifies:
        yield from _cascade_fits(parts, task, card, cards)
        return
    if prompt is not None:
        for tag in card.tag.split():
            if not prompt.accepts_tag(tag):
                fix = did_you_mean(tag, prompt.tags) if prompt.tags else f"give the task a tag like {prompt.tag_pattern}"
                yield f"got task tag {tag!r}", f"a tag that prompt format {parts.recipe.parts['prompt'].use!r} can write", fix
        if not prompt.combines and len(card.outputs) > 1:
            yield (
                f"got task {task.use!r} with {len(card.outputs)} results",
                f"one result, for prompt format {parts.recipe.parts['prompt'].use!r}",
                "ask for one after the other, or choose another format",
            )
        if prompt.asks_in_words and card.pairing != "reply" and not load_task(parts.found, task.use).instructed:
            yield (
                f"got task {task.use!r} without instructions",
                f"a way to ask for it in words, for prompt format {parts.recipe.parts['prompt'].use!r}",
                "give its TaskCard `instructions`",
            )
        for modalities, pieces, what in ((prompt.inputs, card.inputs, "given"), (prompt.outputs, card.outputs, "emitted")):
            for piece in pieces:
                if piece.modality not in modalities:
                    yield (
                        f"task {task.use!r}: got {piece.modality} {what}",
                        f"{' or '.join(modalities)}, which prompt format {parts.recipe.parts['prompt'].use!r} can carry",
                        "choose another format",
                    )
        for language in (*task.source, *task.target):
            if prompt.languages and language not in prompt.languages:
                yield f"task {task.use!r}: got language {language!r}", "a language that the prompt format names", did_you_mean(language, prompt.languages)
    for metric in card.metrics:
        if metric not in parts.found.names("metric"):
            yield f"task {task.use!r}: got metric {metric!r}", "a registered metric", did_you_mean(metric, parts.found.names("metric"))
    if "frontend" in cards and card.reads_aloud:
        known = cards["frontend"].languages
        for language in task.source:
            if language not in known:
                yield f"task {task.use!r}: got language {language!r}", "a language that the front end can analyse", did_you_mean(language, known)
    uses = [corpus.use for corpus in parts.recipe.data.corpora]
    for use in task.corpora:
        if use not in uses:
            yield f"task {task.use!r}: got corpus {use!r}", "one of data.corpora", did_you_mean(use, uses)
    if task.audio not in AUDIO_FORMS:
        yield f"task {task.use!r}: got audio {task.audio!r}", f"one of {', '.join(AUDIO_FORMS)}", did_you_mean(task.audio, AUDIO_FORMS)
    if task.clause_characters < 0 or task.clause_characters and not (card.reads == "text" and [piece.modality for piece in card.outputs] == ["audio"]):
        yield f"task {task.use!r}: got clause_characters {task.clause_characters}", "0, or above it for a task from text to speech alone", "remove it"
    takes_units = card.hears and task.audio in ("units", "both") or card.continues
    if (takes_units or any(piece.modality == "audio" for piece in card.outputs)) and "tokenizer" not in parts.recipe.parts:
        yield f"task {task.use!r} reads or writes units", "parts.tokenizer", "add `tokenizer: {use: NAME}` under parts"
    perceived = {piece.modality for piece in card.inputs if piece.kind == "media"}
    perceived |= {"audio"} if card.hears and task.audio in ("features", "both") else set()
    if perceived and "encoder" not in parts.recipe.parts:
        yield f"task {task.use!r} reads features", "parts.encoder", "add `encoder: {use: NAME}` under parts"
    for modality in sorted(perceived if "encoder" in cards else ()):
        if cards["encoder"].reads != modality:
            yield f"task {task.use!r} reads {modality}", f"an encoder of it; {parts.recipe.parts['encoder'].use!r} reads {cards['encoder'].reads}", "choose another encoder or task"
