"""YAML -> OmegaConf -> frozen dataclasses, once. Beyond this file nobody sees a DictConfig. Imports no torch.

A recipe names its parts by registered names and gives their options; `extends` names another recipe or a file beside
it; command-line overrides are `key=value` with dots.
"""

import dataclasses
import re
import typing
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.types import Utterance
from alm.core.plugins import Registry, registry

OBJECTIVES = (
    "lm",
    "bpe",
    "ngram",
    "ctc",
    "kmeans",
    "vocoder",
    "unit-labels",
    "best-rq",
    "hubert",
    "wav2vec2",
    "encoder-ctc",
    "transducer",
    "classify",
    "rescore",
    "dpo",
    "masked-lm",
    "denoise",
)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SCHEDULES = ("cosine", "constant")
OPTIMIZERS = ("adamw", "adafactor")
BASE = "base"  # of the ablations of a recipe, what all have in common
CASCADE = ("recognizer", "synthesizer", "converter")  # parts that make a recipe one whose parts work one after another, each by itself
PART_KINDS = (
    "tokenizer",
    "encoder",
    "search",
    "language_model",
    "rescorer",
    "classifier",
    "speech_detector",
    "backbone",
    "prompt",
    "frontend",
    "vocoder",
    "decoder",
    "unit_decoder",
    *CASCADE,
)
COMPONENT_KINDS = {"unit_decoder": "decoder"}  # what a part is registered as, where that is not its own name


@dataclass(frozen=True)
class PartConfig:
    """A part by its registered name; `options` are its own, checked against its options dataclass."""

    use: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CorpusConfig:
    """A corpus in the mixture. `languages` empty means all that it has.

    Attributes:
        optional: left out where its folder is missing (speech that a tool makes, which no repository carries).
        repeat: how often each of its utterances is trained on for once of a corpus with 1.
        weight: of a corpus of ready-made samples, as that of a task.
    """

    use: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    optional: bool = False
    repeat: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class TaskConfig:
    """A task in the mixture: `use` is one registered task, or several joined by spaces for a combined one.

    Attributes:
        weight: share of samples, relative to the other tasks.
        source, target: languages to use; empty means all.
        audio: "units", "features" or "both" (features, then units: Kimi-Audio, arXiv 2504.18425): how source audio enters the
            model; "" as `data.audio` says.
        corpora: names (`use`) of the corpora that it is trained and scored on; empty means all.
        clause_characters: a text that is longer is spoken clause by clause, as a model trained on short texts needs it; 0
            leaves every text whole. For tasks that turn text into speech alone.
    """

    use: str = ""
    weight: float = 1.0
    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    audio: str = ""
    clause_characters: int = 0
    corpora: tuple[str, ...] = ()

    def takes(self, utterance: Utterance) -> bool:
        """Whether an utterance may be its source: by its language and, where that is known, its corpus."""
        return (not self.source or utterance.language in self.source) and (not self.corpora or utterance.corpus in ("", *self.corpora))


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        audio: how tasks hear that say nothing of their own: as "units" of the tokenizer, "features" of the encoder, or "both".
    """

    corpora: tuple[CorpusConfig, ...] = ()
    tasks: tuple[TaskConfig, ...] = ()
    normalize_text: bool = True
    accents: bool = True
    max_duration_s: float = 20.0
    batch_positions: int = 4096
    validation_split: str = "dev"
    audio: str = "units"

    def __post_init__(self) -> None:
        tasks = tuple(dataclasses.replace(task, audio=task.audio or self.audio) for task in self.tasks)
        object.__setattr__(self, "tasks", tasks)


@dataclass(frozen=True)
class LayoutConfig:
    """How the codes of a tokenizer with several codebooks stand in a sequence (alm.api.layouts).

    Attributes:
        kind: flattened, parallel, delayed or first-ahead.
        delays: of each codebook for `delayed`, in place of 0, 1, 2, ...
        turns: ids of text and frames of speech that take turns where an answer's text is spoken, such as [13, 26]; [] for one after the
            other.
        text_beside: such a text stands beside its speech, at the same positions.
        depth_layers, depth_size: of the transformer that chooses the codes of a position one after another; 0 layers choose them
            all at once.
    """

    kind: str = "flattened"
    delays: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    text_beside: bool = False
    depth_layers: int = 0
    depth_size: int = 128


@dataclass(frozen=True)
class TrainConfig:
    """How long and how to train. Training stops at the first limit reached; 0 means no limit.

    Attributes:
        optimizer: of all but the vocoder; "adafactor" (arXiv 1804.04235) without relative steps, as AudioPaLM trains.
        precision: as Lightning names it: "32-true", "16-mixed" (GPU), or "bf16-mixed", which a CPU with AVX512-BF16 computes twice
            as fast.
        init: weight source of an earlier run of the same objective to start from, or "".
        strategy: how several processes train together, as Lightning names it: "ddp" (each holds the model), "deepspeed_stage_2", ...; "fsdp2" shares the weights
            out among them. "auto" is one process, or ddp.
        devices, nodes: processes on each machine (GPUs, or on CPUs processes that talk by gloo), and machines.
        accumulate: batches whose gradients are added up for a step.
        keep_states: how many of the states that are saved every `save_every_minutes` stay, so that one that turns out broken costs minutes.
    """

    objective: str = "lm"
    steps: int = 0
    tokens: int = 0
    minutes: float = 0.0
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    optimizer: str = "adamw"
    precision: str = "32-true"
    warmup_steps: int = 100
    weight_decay: float = 0.05
    dropout: float = 0.1
    gradient_clip: float = 1.0
    seed: int = 0
    validate_every_steps: int = 500
    save_every_minutes: float = 5.0
    keep_states: int = 2
    init: str = ""
    strategy: str = "auto"
    devices: int = 1
    nodes: int = 1
    accumulate: int = 1
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FusionConfig:
    """What a language model weighs in the transcripts that a backbone writes (alm.core.fusion); a search has weights of its own.

    Attributes:
        weight: of ln P by parts.language_model, beside the backbone's own.
        word_bonus: added for each word that is over, by a model of words.
        own_weight: of ln P by the backbone without what it hears; below 0 takes back what it expects.
    """

    weight: float = 0.3
    word_bonus: float = 0.0
    own_weight: float = 0.0


@dataclass(frozen=True)
class RecipeConfig:
    """One system: its parts, its data, its training."""

    name: str = ""
    description: str = ""
    parts: dict[str, PartConfig] = field(default_factory=dict)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def is_cascade(self) -> bool:
        """Whether nothing of it is trained together: parts that work one after another, or a search or a classifier on what a trained encoder
        hears."""
        return any(kind in self.parts for kind in CASCADE) or (self.searches or self.classifies) and self.train.objective == TrainConfig.objective

    @property
    def searches(self) -> bool:
        """Whether it reads what its encoder hears by a search over labels."""
        return "search" in self.parts

    @property
    def fuses(self) -> bool:
        """Whether something beside the backbone has a say in the transcripts that it writes."""
        return "backbone" in self.parts and not self.is_cascade and ("language_model" in self.parts or bool(self.fusion.own_weight))

    @property
    def classifies(self) -> bool:
        """Whether a classifier tells labels of what its encoder hears."""
        return "classifier" in self.parts

    def part(self, kind: str) -> PartConfig:
        """The part of a kind.

        Raises:
            AlmError: the recipe has none.
        """
        if kind not in self.parts:
            raise AlmError(f"recipe {self.name!r} has no {kind}", f"parts.{kind}", f"add `{kind}: {{use: NAME}}` under parts")
        return self.parts[kind]


def recipe_path(name: str, found: Registry | None = None) -> Path:
    """The file of a recipe given by path, by checkpoint folder or by registered name.

    Raises:
        UnknownNameError: no such recipe, with close names.
    """
    path = Path(name)
    if path.is_dir() and (path / "recipe.yaml").exists():
        return path / "recipe.yaml"
    if path.suffix in (".yaml", ".yml"):
        if not path.exists():
            raise UnknownNameError(f"got recipe file {name!r}, which does not exist", "a YAML file or a recipe's name", "check the path")
        return path
    known = recipes(found)
    hits = [p for label, p in known.items() if label == name or label.split("/")[-1] == name]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise AlmError(f"recipe {name!r} is in several plugins", "one of them", "write " + " or ".join(k for k, p in known.items() if p in hits))
    raise UnknownNameError(f"got recipe {name!r}", "a recipe's name or a YAML file", did_you_mean(name, [label.split("/")[-1] for label in known]))


def recipes(found: Registry | None = None) -> dict[str, Path]:
    """`plugin/name` -> file, of every registered recipe folder."""
    folders = (found or registry()).recipe_folders
    return {f"{plugin}/{path.stem}": path for plugin, folder in folders for path in sorted(folder.glob("*.yaml"))}


def ablations_of(name: str, found: Registry | None = None) -> dict[str, Any]:
    """What a recipe's `ablations` lay over it, by name.

    Raises:
        AlmError: as `load_recipe`.
    """
    return _read(name, (), found)[1]


def load_recipe(name: str, overrides: Many[str] = (), found: Registry | None = None, ablation: str = "") -> RecipeConfig:
    """Reads a recipe, its `extends` chain and the overrides, and checks every key.

    Args:
        ablation: one of the recipe's own `ablations`, laid over it before the overrides; and before it the one named "base", if there is
            one, which all have in common.

    Raises:
        AlmError: an unknown key (with "did you mean"), a wrong type, a cycle of `extends`, a file that is not YAML.
    """
    content, _ = _read(name, overrides, found, ablation)
    recipe = _build(RecipeConfig, {"name": recipe_path(name, found).stem, **content}, f"recipe {name!r}")
    if recipe.train.objective not in OBJECTIVES:
        raise UnknownNameError(f"recipe {name!r}: got train.objective {recipe.train.objective!r}", "an objective", did_you_mean(recipe.train.objective, OBJECTIVES))
    if recipe.train.schedule not in SCHEDULES:
        raise UnknownNameError(f"recipe {name!r}: got train.schedule {recipe.train.schedule!r}", "a schedule", did_you_mean(recipe.train.schedule, SCHEDULES))
    if recipe.train.optimizer not in OPTIMIZERS:
        raise UnknownNameError(f"recipe {name!r}: got train.optimizer {recipe.train.optimizer!r}", "an optimizer", did_you_mean(recipe.train.optimizer, OPTIMIZERS))
    if recipe.train.precision not in PRECISIONS:
        raise UnknownNameError(f"recipe {name!r}: got train.precision {recipe.train.precision!r}", "a precision", did_you_mean(recipe.train.precision, PRECISIONS))
    for kind in recipe.parts:
        if kind not in PART_KINDS:
            raise UnknownNameError(f"recipe {name!r}: got part {kind!r}", "a kind of part", did_you_mean(kind, PART_KINDS))
    return recipe


def _read(name: str, overrides: Many[str], found: Registry | None, ablation: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe's keys, all merged, and its ablations."""
    try:
        merged: Any = _read_chain(recipe_path(name, found), found, ())
        own = merged.pop("ablations", None)
        ablations = _mapping(OmegaConf.to_container(own, resolve=True) if isinstance(own, DictConfig) else own or {}, f"recipe {name!r}: ablations")
        if ablation and ablation not in ablations:
            raise UnknownNameError(f"recipe {name!r}: got ablation {ablation!r}", "one of its ablations", did_you_mean(ablation, ablations) if ablations else "it has none")
        for overlay in dict.fromkeys((BASE, ablation)) if ablation else ():
            if overlay in ablations:
                merged = _laid_over(merged, OmegaConf.create(_mapping(ablations[overlay], overlay)))
        for override in overrides:
            if "=" not in override or override.startswith("-"):
                raise AlmError(f"got override {override!r}", "key=value", "write for instance train.steps=200")
        merged = _laid_over(merged, OmegaConf.from_dotlist(list(overrides)))
        return _mapping(OmegaConf.to_container(merged, resolve=True), name), ablations
    except (OmegaConfBaseException, yaml.YAMLError, TypeError, AttributeError, IndexError) as error:
        raise AlmError(f"recipe {name!r}: {str(error).splitlines()[0]}", "a value that fits its key", "correct the recipe or the override") from error


def to_yaml(recipe: RecipeConfig) -> str:
    """The resolved recipe, as `load_recipe` reads it again."""
    return yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True)


def build_options(options_type: type | None, options: dict[str, Any], where: str) -> Any:
    """The options dataclass of a component from a recipe's mapping; unknown keys are refused."""
    if options_type is None:
        if options:
            raise UnknownNameError(f"{where}: got option {next(iter(options))!r}", "no options: this component has none", "remove it")
        return None
    return _build(options_type, options, where)


def _read_chain(path: Path, found: Registry | None, seen: tuple[Path, ...]) -> DictConfig:
    if path in seen:
        raise AlmError(f"recipe {path.name} extends itself through {' -> '.join(p.stem for p in seen)}", "a chain that ends", "remove one extends")
    try:
        content = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())[:200]
        raise AlmError(f"recipe {path} cannot be read ({reason})", "a YAML file", "correct the file") from error
    if not isinstance(content, DictConfig):
        raise AlmError(f"recipe {path} holds no mapping", "keys like parts, data, train", "see `alm plugins --recipes`")
    _refuse_resolvers(OmegaConf.to_container(content, resolve=False), path)
    base = content.pop("extends", None)
    if base is None:
        return content
    beside = path.parent / f"{base}.yaml"
    base_path = beside if beside.exists() and beside != path else recipe_path(str(base), found)
    inherited: Any = _read_chain(base_path, found, (*seen, path))
    inherited.pop("name", None)  # a run is named by its own recipe
    return _laid_over(inherited, content)


def _refuse_resolvers(content: Any, path: Path) -> None:
    """A recipe may come from anyone, with a checkpoint: OmegaConf's functions would write this machine's environment into it.

    Raises:
        AlmError: one that calls a function, such as ${oc.env:NAME}; another key's value, ${train.steps}, is none.
    """
    for value in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        if isinstance(value, str) and "${" in ANOTHER_KEY.sub("", value):
            raise AlmError(f"recipe {path} has {value!r}", "values, or ${another.key}", "write the value, or give it on the command line: key=$NAME")
        _refuse_resolvers(value, path)


def _laid_over(inherited: Any, content: DictConfig) -> DictConfig:
    """The two merged; a part that names another component has none of the old one's options, nor has another objective."""
    objective = OmegaConf.select(content, "train.objective")
    if objective not in (None, OmegaConf.select(inherited, "train.objective")) and OmegaConf.select(inherited, "train.options") is not None:
        inherited = OmegaConf.merge(inherited)
        inherited.train.pop("options")
    for kind, part in (content.get("parts") or {}).items():
        if isinstance(part, DictConfig) and part.get("use") not in (None, OmegaConf.select(inherited, f"parts.{kind}.use")):
            inherited = OmegaConf.merge(inherited, {"parts": {kind: None}})
    merged = OmegaConf.merge(inherited, content)
    assert isinstance(merged, DictConfig)
    return merged


ANOTHER_KEY = re.compile(r"\$\{[\w.\[\]-]+\}")
SHORTHAND = (PartConfig, CorpusConfig)  # their own options stand beside `use`


def _build(kind: Any, content: dict[str, Any], where: str) -> Any:
    fields = typing.get_type_hints(kind)
    content = dict(content)
    if kind in SHORTHAND:
        own = {key: content.pop(key) for key in list(content) if key not in fields}
        content["options"] = {**content.get("options", {}), **own}
    values = {}
    for key, value in content.items():
        if key not in fields:
            raise UnknownNameError(f"{where}: got key {key!r}", f"a key of {kind.__name__}", did_you_mean(str(key), fields))
        values[key] = _convert(fields[key], value, f"{where}: {key}")
    try:
        return kind(**values)
    except TypeError as error:
        raise AlmError(f"{where}: {error}", f"all required keys of {kind.__name__}", "add the missing key") from error


NESTED: dict[Any, Any] = {kind: kind for kind in (DataConfig, FusionConfig, LayoutConfig, TrainConfig)}
LISTS = {tuple[CorpusConfig, ...]: CorpusConfig, tuple[TaskConfig, ...]: TaskConfig}


def _convert(wanted: Any, value: Any, where: str) -> Any:
    if wanted in NESTED:
        return _build(NESTED[wanted], _mapping(value, where), where)
    if wanted in LISTS:
        if not isinstance(value, list):
            raise AlmError(f"{where}: got {value!r}", "a list", "begin each entry with `- use: NAME`")
        return tuple(_build(LISTS[wanted], _mapping(entry, where), f"{where}[{i}]") for i, entry in enumerate(value))
    if wanted == dict[str, PartConfig]:
        return {name: _build(PartConfig, _mapping(entry, where), f"{where}.{name}") for name, entry in _mapping(value, where).items() if entry is not None}
    if wanted == dict[str, Any]:
        return _mapping(value, where)
    if wanted in (tuple[str, ...], tuple[int, ...], tuple[float, ...]):
        if not isinstance(value, list | tuple):
            raise AlmError(f"{where}: got {value!r}", "a list", f"write [{value}]")
        item = wanted.__args__[0]
        return tuple(_convert(item, entry, where) for entry in value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(wanted, type) and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
        raise AlmError(f"{where}: got {value!r}", f"a value of type {wanted.__name__}", "correct it")
    return value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AlmError(f"{where}: got {value!r}", "a mapping", "write `key: value` lines under it")
    return {str(key): entry for key, entry in value.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, PartConfig):
        return {"use": value.use, **_plain(value.options)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        entries = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, CorpusConfig):
            entries = {**{k: v for k, v in entries.items() if k != "options"}, **entries["options"]}
        return entries
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
