"""Hostile recipes, overrides, names of components and accelerate configurations: read, or refused in words."""

from __future__ import annotations

import functools
import json
import operator
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import yaml
from fuzzing import Refused, fuzz, outcome
from hypothesis import strategies as st

from analysis.judge.table import JUDGES
from ex2.checks.launch import (
    check_launch,
    config_of_environment,
    full_training_problems,
    launch_problems,
    missing_packages,
    read_accelerate_config,
)
from ex2.data.datasets.base import DATASETS
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe, to_yaml
from reward.components import check_component
from reward.errors import UserError
from reward.table import REWARDS

ROOT = Path(__file__).resolve().parents[2]
DEMO = (ROOT / "recipes/demo/visual.yaml").read_bytes()
RECIPE = Recipe.model_validate(yaml.safe_load(DEMO))
TREE: dict[str, Any] = RECIPE.model_dump(mode="json")
SMALL: dict[str, Any] = yaml.safe_load(DEMO) | {
    "seeds": [0, 1],
    "analysis": {"controls": ["waffle"], "confidence": 0.9},
}
CONFIGS = [path.read_bytes() for path in sorted((ROOT / "accelerate_configs").glob("*.yaml"))]

FRAGMENTS = (
    *("!!int abc", "!!float abc", "!!timestamp abc", "2024-99-99", "2024-01-01", "!!binary '%%'", "!!bool 7"),
    *("!!python/object/apply:os.system [id]", "!!set {a, b}", "!!omap [1]", "!!pairs [1]", "!own x", "!!null x"),
    *(
        "&a [*a]",
        "&a {b: *a}",
        "*none",
        "<<: 5",
        "{<<: [1]}",
        "{? [a] : b}",
        "{? {a: b} : c}",
        "{1: 2, 1: 3}",
        "{null: 1}",
    ),
    *("9" * 5000, "0x" + "f" * 5000, "0b2", "0o9", "1_000", "190:20:30", "1e400", ".nan", ".inf", "~", "yes", "on"),
    *(
        "[" * 300,
        "{a: " * 300,
        "[" * 150 + "]" * 150,
        '"\\ud800"',
        '"\\0"',
        "'\u2028'",
        "|\n  a",
        "- a\n- b",
        "a: b: c",
    ),
    *("@x", "`x`", "%x", "\t", "#", "? ", "''", "[]", "{}", "!!str", "!!map", "!!seq x", "...", "---", "--- a\n--- b"),
)
"""What PyYAML's own constructors, and those who print values, stumble over."""

BOMB = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Forty million elements in nine lines, if somebody prints them."""

REFUSED = (
    *(
        "!!int abc",
        "!!float abc",
        "!!timestamp abc",
        "!!bool 7",
        "!!binary '%%'",
        "!!python/object/apply:os.system [id]",
    ),
    *(
        "2024-99-99",
        "2024-01-01",
        "9" * 5000,
        "0x" + "f" * 5000,
        "[" * 300,
        "[" * 3000 + "]" * 3000,
        ".nan",
        ".inf",
        "1e400",
    ),
    *("&a [*a]", "{<<: 5}", "{? [a] : b}", "\\", "x" * 3000),
)
"""YAML that is no number of threads: half of it once ended in a traceback."""

SECTIONS = [".".join(map(str, path)) for path in hostile.paths_of(TREE) if path]

MODULES = {
    "raises": "raise RuntimeError('no')",
    "exits": "import sys; sys.exit(0)",
    "no_syntax": "def",
    "lacks": "import no_such_module_at_all",
    "has": "value = 3.14\nasync def later(): ...\nclass Odd:\n    def __init__(self, a, *, b: 'nowhere.Type'): ...\n",
    "lazy": "def __getattr__(name):\n    raise RuntimeError(name)\n",
    "bytes": "\udcff",
}
"""Modules of a user that go wrong in their own way."""

NAMES = (
    *(f"ex2_fuzz_{module}.Odd" for module in MODULES),
    *("ex2_fuzz_has.value", "ex2_fuzz_has.later", "ex2_fuzz_has.Odd.x", "ex2_fuzz_has:Odd", "ex2_fuzz_has"),
    *("math.pi", "os.path", "os.getcwd", "builtins.print", "json.JSONDecoder", "collections.abc.Sized", "typing.Any"),
    *(".foo.bar", "..", ".", "foo.", ".foo", "foo..bar", "a b.c", "ä.ö", "1.2", "reward.cosine", "reward.cosine.", ":"),
    *("cosine", "cosin", "openai", "scripted", "folder", "shapes", "manifest", "huggingface", "panel", "margin"),
    *hostile.HOSTILE_TEXTS,
)
"""Names of components: of tables, of modules, of neither."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture(scope="module", autouse=True)
def _modules(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name, text in MODULES.items():
            (folder / f"ex2_fuzz_{name}.py").write_bytes(text.encode(errors="surrogateescape"))
        patched.syspath_prepend(folder)
        yield


def read(folder: Path, content: bytes, overrides: list[str] | tuple[str, ...] = ()) -> Recipe | Refused:
    """Read a recipe of this content; what is read must come back from what is written of it."""
    path = folder / "hostile.yaml"
    path.write_bytes(content)
    found = outcome(lambda: read_recipe(path, overrides))
    if isinstance(found, Recipe):
        written = to_yaml(found)
        path.write_text(written, encoding="utf-8")
        assert to_yaml(read_recipe(path)) == written
    return found


remarks = st.text("abcxyz :#-{}[]'\"", max_size=20).map(lambda remark: DEMO + f"# {remark}\n".encode())


@fuzz("recipe bytes", content=remarks | hostile.damaged([DEMO, to_yaml(RECIPE).encode()]) | st.binary(max_size=40))
def test_a_damaged_recipe_is_read_or_refused(folder: Path, content: bytes) -> None:
    read(folder, content)


@fuzz("recipe trees", tree=hostile.spoiled(SMALL) | hostile.spoiled(SMALL) | hostile.spoiled(TREE))
def test_a_recipe_with_other_values_is_read_or_refused(folder: Path, tree: Any) -> None:
    read(folder, json.dumps(tree).encode())


@fuzz(
    "recipe fragments",
    path=st.sampled_from([path for path in hostile.paths_of(SMALL) if path]),
    fragment=st.sampled_from(FRAGMENTS),
)
def test_a_recipe_with_odd_yaml_is_read_or_refused(folder: Path, path: tuple[Any, ...], fragment: str) -> None:
    text = yaml.safe_dump(hostile.put(SMALL, path, "PLACEHOLDER"), sort_keys=False)
    read(folder, text.replace("PLACEHOLDER", fragment).encode(errors="surrogatepass"))


@pytest.mark.parametrize("fragment", REFUSED, ids=lambda fragment: fragment[:12])
def test_odd_yaml_is_refused_with_its_place(folder: Path, fragment: str) -> None:
    of_file = read(folder, DEMO.replace(b"threads: 1\n", f"threads: {fragment}\n".encode()))
    assert isinstance(of_file, Refused)
    assert "hostile.yaml" in of_file.message
    of_command = read(folder, DEMO, [f"threads={fragment}"])
    assert isinstance(of_command, Refused)
    assert "threads" in of_command.message


@pytest.mark.parametrize("key", ["threads", "vlm", "no_such_key", "seeds", "dataset"])
def test_a_value_too_large_to_print_is_refused_in_time(folder: Path, key: str) -> None:
    refused = read(folder, DEMO + BOMB.encode() + f"{key}x: *i\n{key}: *i\n".encode())
    assert isinstance(refused, Refused)
    assert "hostile.yaml" in refused.message
    kept = "\n".join(line for line in DEMO.decode().splitlines() if not line.startswith(f"{key}:"))
    refused = read(folder, f"{BOMB.replace('a: &a', 'name: &a', 1)}{key}: *i\n{kept}".encode())
    assert isinstance(refused, Refused)


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udfff x"'])
@pytest.mark.parametrize("key", ["policy.revision", "vlm.root", "dataset.test_split", "output_dir"])
def test_half_of_a_character_is_refused(folder: Path, key: str, text: str) -> None:
    refused = read(folder, DEMO, [f"{key}={text}"])
    assert isinstance(refused, Refused)
    assert key in refused.message


OWN_WORDS = [
    f"{'.'.join(path)}={json.dumps(value)}"
    for path in hostile.paths_of(TREE)
    if path and all(isinstance(key, str) for key in path)
    for value in [functools.reduce(operator.getitem, path, TREE)]
]
"""Every key with the value that it has."""

VALUES = st.sampled_from(["1", "2", "64", "0.5", "true", "null", "[0, 1]", "x"])
words = st.builds(
    "{}={}".format,
    st.sampled_from(SECTIONS)
    | st.sampled_from(["ppo", "ppo.batches", "ppo.kl.target", "reward", "x.y"])
    | hostile.texts,
    VALUES | VALUES | st.sampled_from(FRAGMENTS) | hostile.texts | hostile.scalars.map(str),
)


own_words = st.sampled_from(OWN_WORDS)


@fuzz(
    "overrides",
    given=st.lists(own_words, min_size=1, max_size=3)
    | st.lists(words | own_words, min_size=1, max_size=2)
    | st.lists(words | hostile.texts, min_size=1, max_size=3),
)
def test_overrides_are_taken_or_refused(folder: Path, given: list[str]) -> None:
    read(folder, DEMO, given)


TABLES = {"reward": REWARDS, "dataset": DATASETS, "judge": JUDGES}


GOOD = [
    *(("reward", name, {}) for name in ("cosine", "margin")),
    ("dataset", "shapes", {}),
    ("dataset", "folder", {"root": "photographs"}),
    ("judge", "scripted", {}),
]
"""Components with settings that they take: kind, name, settings."""

odd_settings = st.dictionaries(
    hostile.texts | st.sampled_from(["model", "root", "path", "weights", "judges"]), hostile.values, max_size=3
)


@fuzz(
    "components",
    component=st.sampled_from(GOOD)
    | st.text("abc/ ._", min_size=1).map(lambda root: ("dataset", "folder", {"root": root}))
    | st.tuples(st.sampled_from(sorted(TABLES)), st.sampled_from(NAMES), odd_settings)
    | st.tuples(st.sampled_from(sorted(TABLES)), st.sampled_from(NAMES), odd_settings),
)
def test_a_component_is_found_or_refused(component: tuple[str, str, dict[str, Any]]) -> None:
    kind, name, settings = component
    outcome(lambda: stated(check_component(name, settings, TABLES[kind], f"x.yaml: {kind}")))


@pytest.mark.parametrize(
    "name",
    [
        *(f"ex2_fuzz_{module}.Odd" for module in ("raises", "exits", "no_syntax", "lacks", "lazy", "bytes")),
        *(
            "ex2_fuzz_has.value",
            "math.pi",
            "os.path",
            ".foo.bar",
            "..",
            ".",
            "foo.",
            "reward.cosine",
            "1.2",
            "a b.c",
            "x" * 3000,
        ),
    ],
    ids=lambda name: name[:30],
)
@pytest.mark.parametrize("kind", sorted(TABLES))
def test_a_name_of_no_component_is_refused(name: str, kind: str) -> None:
    refused = outcome(lambda: stated(check_component(name, {}, TABLES[kind], f"x.yaml: {kind}")))
    assert isinstance(refused, Refused)
    assert f"x.yaml: {kind}" in refused.message or "ex2_fuzz_" in refused.message


def stated(problems: list[str]) -> None:
    """Raise problems as `validate` does."""
    if problems:
        raise UserError("\n".join(problems))


@pytest.mark.parametrize(
    "change",
    [
        *({"num_processes": value} for value in ([1], {"a": 1}, "many", -1, 0.5, "nan")),
        *({"distributed_type": "DEEPSPEED", "deepspeed_config": value} for value in ([1], "x", 5)),
        *({"distributed_type": "FSDP", "fsdp_config": value} for value in ([1], "x", 5)),
    ],
    ids=str,
)
def test_accelerate_values_of_another_kind_are_refused(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "hostile_accelerate.yaml"
    path.write_bytes(hostile.as_json({"num_processes": 1} | change))
    refused = outcome(lambda: check_launch(RECIPE, read_accelerate_config(path)))
    assert isinstance(refused, Refused)
    assert any(key in refused.message for key in change)


@pytest.mark.parametrize("value", ["", "x", "1.5", "9" * 5000, "-1"], ids=lambda value: value[:5])
@pytest.mark.parametrize("name", ["WORLD_SIZE", "FSDP_VERSION", "ACCELERATE_DEEPSPEED_ZERO_STAGE"])
def test_variables_of_another_kind_are_refused(name: str, value: str) -> None:
    on = {"FSDP_VERSION": "ACCELERATE_USE_FSDP", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "ACCELERATE_USE_DEEPSPEED"}
    environment = {on.get(name, "LOCAL_RANK"): "true", name: value}
    refused = outcome(lambda: check_launch(RECIPE, config_of_environment(environment)))
    assert isinstance(refused, Refused)
    assert name in refused.message or name != "WORLD_SIZE"


variables = st.sampled_from(
    ["WORLD_SIZE", "ACCELERATE_USE_FSDP", "FSDP_VERSION", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_ZERO_STAGE"]
)


@fuzz(
    "accelerate",
    content=hostile.damaged(CONFIGS)
    | st.sampled_from(FRAGMENTS).map(str.encode)
    | st.sampled_from(CONFIGS).map(yaml.safe_load).flatmap(hostile.spoiled).map(hostile.as_json),
    environment=st.dictionaries(variables, hostile.texts | st.sampled_from(["true", "1", "2", "0", "-1"])),
)
def test_an_accelerate_configuration_is_read_or_refused(
    folder: Path, content: bytes, environment: dict[str, str]
) -> None:
    path = folder / "hostile_accelerate.yaml"
    path.write_bytes(content)

    def check(config: Any) -> list[str]:
        return [*launch_problems(RECIPE, config), *full_training_problems(RECIPE), *missing_packages(config)]

    outcome(lambda: check(read_accelerate_config(path)))
    outcome(lambda: check(config_of_environment(environment)))
