"""Discovery: a broken plugin is set aside, names that clash are refused only when used, docs agree with the specs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alm.api import hookspecs
from alm.api.cards import DecoderCard, MetricCard, TaskCard
from alm.api.errors import AlmError, UnknownNameError
from alm.api.hookspecs import hookimpl
from alm.core.conformance import verdicts
from alm.core.plugins import KINDS, Registry, hook_documentation

CARD = TaskCard("X", ("source.text",), ("source.text",))


class Good:
    @hookimpl
    def register_tasks(self, register):
        register("echo", card=CARD)


class Misspelt:
    @hookimpl
    def register_taks(self, register):
        register("echo", card=CARD)


class HalfWay:
    @hookimpl
    def register_tasks(self, register):
        register("early", card=CARD)
        raise RuntimeError("half-way")


class WrongArgument:
    @hookimpl
    def register_tasks(self, registrar):
        registrar("echo", card=CARD)


class NoCard:
    @hookimpl
    def register_tokenizers(self, register):
        register("bare", lambda options, context: None)


def missing():
    raise ImportError("No module named 'heavy'")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (missing, "heavy"),
        (sys.exit, "SystemExit"),
        (Misspelt, "did you mean register_tasks"),
        (HalfWay, "half-way"),
        (WrongArgument, "registrar"),
        (NoCard, "without a card"),
        (lambda: SimpleNamespace(ALM_PLUGIN_API=99), "plugin API 99"),
        (lambda: SimpleNamespace(ALM_PLUGIN_API=(1, 99)), "plugin API (1, 99)"),
        (lambda: SimpleNamespace(ALM_PLUGIN_API="1.0"), "API 1.0 to 1."),
    ],
)
def test_broken_plugin_is_set_aside_and_the_rest_works(load, message):
    found = Registry()
    found.add("good", Good)
    found.add("bad", load, "1.2")
    assert message in found.broken["bad"].error and found.broken["bad"].version == "1.2" and "Traceback" in found.broken["bad"].traceback
    assert [c.plugin for c in found.components] == ["good"]
    assert found.find("task", "echo").plugin == "good"
    with pytest.raises(UnknownNameError, match="set aside: bad"):
        found.find("task", "nothing")


def test_a_plugin_of_an_older_api_works_and_is_told():
    """As it was written for plugin API 1.0: a version in one number, and a hook under the name that it had."""

    class Older:
        ALM_PLUGIN_API = 1

        @hookimpl
        def register_demo_tabs(self, register):
            register("Mine", lambda pipeline: f"built of {pipeline}")

        @hookimpl
        def register_tasks(self, register):
            register("echo", card=CARD)

    found = Registry()
    found.add("older", Older)
    found.add("newer", Good)
    assert not found.broken and [title for _, title, _ in found.demos] == ["Mine"]
    page = SimpleNamespace(models=lambda fits: ["one", "two"], open=lambda name: f"pipeline {name}")
    assert found.demos[0][2](page) == "built of pipeline one"  # as in API 1.0, where a tab was given a pipeline
    ((plugin, message),) = found.deprecated
    assert plugin == "older" and "register_demos since plugin API 1.1" in message


def test_what_is_installed_is_checked():
    class Stranger:
        @hookimpl
        def register_tasks(self, register):
            register("echo", card=CARD)

        @hookimpl
        def register_decoders(self, register):
            register("nowhere", lambda options, context: SimpleNamespace(card=None, choose=lambda scores, generator: scores.argmin(-1)), DecoderCard())
            register("wanting", wanting, DecoderCard())

        @hookimpl
        def register_metrics(self, register):
            register("breaks", lambda options, context: 1 / 0, MetricCard("%", "lower"))

    def wanting(options, context):
        raise AlmError("got no weights", "weights", "name some")

    found = Registry()
    found.add("stranger", Stranger)
    found.add("bad", missing)
    told = {(v.kind, v.name): (v.outcome, v.why) for v in verdicts(found)}
    assert told["task", "echo"] == ("passed", "") and told["decoder", "wanting"] == ("unchecked", "weights")
    assert told["decoder", "nowhere"][0] == "failed" and "ZeroDivisionError" in told["metric", "breaks"][1]
    assert told["plugin", "bad"][0] == "failed" and [v.plugin for v in verdicts(found, "bad")] == ["bad"]


def test_two_plugins_with_one_component_name():
    found = Registry()
    found.add("a", Good)
    found.add("b", Good)
    with pytest.raises(AlmError, match="a/echo or b/echo"):
        found.find("task", "echo")
    assert found.find("task", "b/echo").plugin == "b"


def test_two_plugins_with_one_model_name(tmp_path):
    class Model:
        @hookimpl
        def register_models(self, register):
            register("m", tmp_path)

    found = Registry()
    found.add("a", Model)
    assert found.model_folder("m") == tmp_path
    found.add("b", Model)
    with pytest.raises(AlmError, match="a/m or b/m"):
        found.model_folder("m")
    assert found.model_folder("b/m") == tmp_path


def test_second_distribution_of_one_name_is_set_aside():
    found = Registry()
    found.add("a", Good)
    found.add("a", Good)
    assert list(found.versions) == ["a"] and list(found.broken) == ["a (second)"]


def test_unknown_name_suggests():
    found = Registry()
    found.add("a", Good)
    with pytest.raises(UnknownNameError, match="did you mean echo"):
        found.find("task", "ehco")


def test_every_kind_has_a_hook_and_every_hook_is_documented():
    specs = {name for name in dir(hookspecs) if name.startswith("register_")}
    assert set(KINDS.values()) | {"register_recipes", "register_models", "register_engines", "register_demos", "register_demo_tabs"} == specs
    documentation = hook_documentation()
    assert all(f"{name}(register): " in documentation for name in specs)
    readme = Path("docs/how-to/write-a-plugin.md").read_text()
    assert {name for name in specs if name in readme} == specs


def run_python(code, **env):
    import os

    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **env}).stdout


def test_listing_and_checking_import_no_torch():
    heavy = "[m for m in ('torch', 'transformers', 'pytorch_lightning', 'gradio', 'lhotse') if m in sys.modules]"
    assert run_python(f"import sys, alm; print({heavy})").strip() == "[]"
    code = f"import sys\nfrom alm.core.check import check_recipe\nfrom alm.core.config import load_recipe, recipes\nfrom alm.core.parts import Parts\nfor name, path in recipes().items():\n    assert not check_recipe(Parts(load_recipe(str(path)), path.parent)), name\nprint({heavy})"
    assert run_python(code).strip() == "[]"
    help_code = f"import sys\nfrom alm.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\nprint({heavy})"
    assert run_python(help_code).strip().endswith("[]")


def test_environment_limits_plugins():
    listed = run_python("from alm.core.plugins import registry; import json; print(json.dumps(list(registry().versions)))", ALM_PLUGINS="none")
    assert json.loads(listed) == ["alm"]
