"""Opens models by name: an end-to-end one, or a cascade, as its recipe says."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path

from alm.api.errors import AlmError
from alm.core.cascade import Cascade
from alm.core.config import load_recipe, recipe_path, recipes
from alm.core.labelling import Labelling
from alm.core.pipeline import Pipeline
from alm.core.plugins import registry
from alm.core.sources import SourceContext


def load(name: str, overrides: Many[str] = ()) -> Pipeline:
    """Opens a registered model by name, a checkpoint folder, one on the hub (`hf:ORG/NAME@REVISION`), or a recipe whose backbone is pretrained.

    Args:
        overrides: `key=value` entries laid over its recipe, as on the command line.

    Raises:
        UnknownNameError: none of these.
        AlmError: a checkpoint whose parts do not fit, or a recipe that is to be trained first.
    """
    if name.startswith("hf:"):
        return _open(SourceContext().folders(name)[0], overrides)
    folder = Path(name)
    if (folder / "recipe.yaml").exists() or folder.suffix in (".yaml", ".yml"):
        return _open(recipe_path(name) if folder.is_file() else folder, overrides)
    if folder.is_dir() and any(folder.iterdir()):
        raise AlmError(f"got folder {name}, which has no recipe.yaml", "a checkpoint folder", "name the `final` folder of a run")
    models, known = {label for plugin, model, _ in registry().models for label in (model, f"{plugin}/{model}")}, recipes()
    if name not in models and any(name in (label, label.split("/")[-1]) for label in known):
        return _open(recipe_path(name), overrides)
    return _open(registry().model_folder(name), overrides)


def _open(source: Path, overrides: Many[str]) -> Pipeline:
    recipe = load_recipe(str(source), overrides)
    kind = Labelling if recipe.classifies and not recipe.searches else Cascade if recipe.is_cascade or recipe.searches else Pipeline
    return kind(source, None, overrides)
