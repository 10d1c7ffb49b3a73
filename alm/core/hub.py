"""Models to and from the Hugging Face hub, by its own client: a folder that is whole by itself, with a card. Computes nothing."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError
from alm.core.checkpoint import TRAINING_ONLY
from alm.core.config import PartConfig, to_yaml
from alm.core.files import atomic_folder
from alm.core.loaded import LoadedModel
from alm.core.model_card import CardScore, write_model_card

LOCAL = ("dir:", "run:")


def save_pretrained(model: LoadedModel, folder: Path, scores: Many[CardScore] = ()) -> Path:
    """Copies a model into a folder that another machine can open: weights, recipe, model card. What comes from packages or from the hub
    (`pip:`, `hf:`) stays there.

    Raises:
        AlmError: a place that cannot be written to, or weights that are not here.
    """
    with atomic_folder(folder) as target:
        if model.folder is not None:
            shutil.copytree(model.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("README.md", ".*"))
        made = {kind: PartConfig(part.use, _gathered(kind, part.options, model, target)) for kind, part in model.recipe.parts.items()}
        recipe = dataclasses.replace(model.recipe, parts=made)
        (target / "recipe.yaml").write_text(to_yaml(recipe))
        write_model_card(target, recipe, model.parts, scores)
    return folder


def _gathered(kind: str, options: dict[str, Any], model: LoadedModel, target: Path) -> dict[str, Any]:
    """Options of a part, with what lies outside the model's folder copied into the new one."""
    gathered = dict(options)
    copied: dict[Path, str] = {}
    for key, value in options.items():
        if not (isinstance(value, str) and value.startswith(LOCAL)):
            continue
        source = model.parts.context.folders(value)[0]
        if model.folder is not None and source.is_relative_to(model.folder.resolve()):
            gathered[key] = f"dir:{source.relative_to(model.folder.resolve())}"
        elif source in copied:
            gathered[key] = copied[source]
        else:
            shutil.copytree(source, target / f"{kind}-{key}", dirs_exist_ok=True, ignore=shutil.ignore_patterns(*TRAINING_ONLY))
            gathered[key] = copied[source] = f"dir:{kind}-{key}"
    return gathered


def push_to_hub(model: LoadedModel, repository: str, scores: Many[CardScore] = (), *, private: bool = False, message: str = "", token: str | None = None) -> str:
    """Saves a model and uploads it; returns the address of the commit.

    Raises:
        AlmError: a name that the hub does not take, no token, or a hub that cannot be reached.
    """
    import tempfile

    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if repository.count("/") != 1:
        raise AlmError(f"got repository {repository!r}", "ORG/NAME", "name both")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as place:
        folder = save_pretrained(model, Path(place) / "model", scores)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message or f"Upload {model.recipe.name}")
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise AlmError(
                f"got repository {repository!r}, to which nothing can be uploaded ({reason})", "a hub that takes it", "check the name, `hf auth login` and the network"
            ) from error
    return str(commit.commit_url)
