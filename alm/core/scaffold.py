"""`alm new-plugin`: writes a plugin package from the templates. Knows files and names."""

from __future__ import annotations

import re
from pathlib import Path

from alm.api.errors import AlmError
from alm.core.files import atomic_folder

TEMPLATES = Path(__file__).parents[1] / "templates" / "plugin"


def new_plugin(name: str, folder: Path = Path()) -> Path:
    """Makes FOLDER/NAME with a tokenizer, a task, a recipe and tests; returns its path.

    Raises:
        AlmError: a name that no package can have, or a folder that exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise AlmError(f"got plugin name {name!r}", "lower-case words joined by hyphens", "choose for instance alm-mydata")
    target = folder / name
    if target.exists():
        raise AlmError(f"got {target}, which exists", "a new folder", "choose another name or remove it")
    module = name.replace("-", "_")
    with atomic_folder(target) as temporary:
        for source in sorted(TEMPLATES.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                relative = str(source.relative_to(TEMPLATES)).replace("MODULE", module).replace("NAME", name)
                (temporary / relative).parent.mkdir(parents=True, exist_ok=True)
                (temporary / relative).write_text(source.read_text().replace("MODULE", module).replace("NAME", name))
    return target
