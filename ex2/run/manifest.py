"""What made a stage's output: the part of the recipe, the inputs and the files, so that nothing is mixed unnoticed.

Each stage leaves `manifests/STAGE.json` in the folder that it writes into. `train` and `describe` write theirs before
their first result, without files, and again when they are done; a stage that replaces its output whole writes it once,
at the end. Whoever goes on with a stage's output, or reads it, compares first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from ex2.recipe import Recipe
from ex2.run.directory import MANIFESTS
from ex2.runtime import tell_once
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.files import read_record, write_json
from reward.records import JSON, Record
from reward.yaml_values import yaml_line

MENDS = {
    "train": "move the seed's folder away and run `ex2 run RECIPE`",
    "describe": "move it away and run `ex2 describe RECIPE`, then `ex2 analyze RECIPE`",
    "analyze": "run `ex2 analyze RECIPE` again",
}
"""Stage → what makes its output anew."""

_SEED = re.compile(r"seed-\d+")

_MADE_OF = ("policy", "lora", "prompts", "vlm", "reward", "dataset", "generation")
_TRAINED = ("algorithm", *_MADE_OF, "rl", "ppo", "group", "watch")
DEPENDS: Mapping[str, tuple[str, ...]] = {
    "the run": _TRAINED,
    "train": _TRAINED,
    "describe": (*_MADE_OF, "describe"),
    "analyze": ("vlm", "dataset"),
}
"""Stage of a seed, or the run as a whole → the sections of the recipe that its output depends on."""

MAY_CHANGE = (
    "name",
    "seeds",
    "output_dir",
    "threads",
    "resources",
    "training",
    "judge",
    "analysis",
    "rl.micro_batch_size",
    "policy.gradient_checkpointing",
    "dataset.workers",
    "describe.vllm_memory",
)
"""Sections and keys that may differ between the calls on one run: where and how it is computed, and what is redone
whole. What a stage used of them is recorded in its manifest."""

MAY_GROW = ("rl.batches", "describe.per_question", "describe.policies")
"""Keys whose value may grow: what is there stays, and more is added to it."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """What made a stage's output.

    Attributes:
        stage: Name of the stage.
        format: Version of this record.
        complete: Whether the stage has ended; then `files` has its output.
        recipe: What the output depends on of the recipe: dotted key → value.
        inputs: Identities of what lies outside the recipe: name → hash or name.
        used: What may differ between calls, as the last one had it: dotted key → value.
        files: Output: path below the folder → state. A log may have grown since.
        unchecked: Whether a part of the output was made before there were manifests.
        earlier: While the only file is being replaced: its content before.
        place: Seed and stage that the manifest was written for; of a run's folder, which may be renamed, the stage.
        identity: Hash of place, recipe and inputs as they were when the stage began; `train` keeps it when it goes on.
        seal: Hash of all the rest, without which a changed manifest could not be told from a changed recipe.
    """

    stage: str
    format: int = 1
    complete: bool
    recipe: dict[str, Any]
    inputs: dict[str, str]
    used: dict[str, Any] = field(default_factory=dict)
    files: dict[str, FileDigest] = field(default_factory=dict)
    unchecked: bool = False
    earlier: FileDigest | None = None
    place: str = ""
    identity: str = ""
    seal: str = ""


def not_checked(folder: Path) -> None:
    """Say once for a run that it was made before there were manifests.

    Args:
        folder: The run's folder, or a seed's.
    """
    run = folder.parent if folder.name.startswith("seed-") else folder
    tell_once(f"note: {run}: made before manifests: not checked.")


def path_of(folder: Path, stage: str) -> Path:
    """Return the file of a stage's manifest."""
    return folder / MANIFESTS / f"{stage}.json"


def read_manifest(folder: Path, stage: str) -> Manifest | None:
    """Read a stage's manifest; None if there is none.

    Raises:
        UserError: If the file is no manifest, was changed, or was written for another seed or stage.
    """
    path = path_of(folder, stage)
    if not path.exists():
        return None
    again = MENDS.get(stage, "delete it and make again the result that it is of")
    again = again.replace("move it away", "move descriptions.jsonl away")
    manifest = read_record(path, Manifest.from_json, remedy=f"put it back as it was, or {again}")
    if manifest.seal != _seal(manifest):
        raise UserError(f"{path}: its content is not what was written; put it back as it was, or {again}.")
    if manifest.place != _place(folder, stage):
        raise UserError(
            f"{path}: was written for {manifest.place}, and this is {_place(folder, stage)}; put back what was here, "
            f"or {again}."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest, *, name: str | None = None) -> Manifest:
    """Write a manifest, sealed and for its place, and return it.

    Args:
        folder: Folder that the stage writes into.
        manifest: The manifest.
        name: Of the file without its ending, if it is not the stage's.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    name = name or manifest.stage
    placed = replace(manifest, place=_place(folder, name))
    sealed = replace(placed, seal=_seal(placed))
    write_json(path_of(folder, name), sealed.to_json())
    return sealed


def _place(folder: Path, name: str) -> str:
    return f"{folder.name}/{name}" if _SEED.fullmatch(folder.name) else name


def _seal(manifest: Manifest) -> str:
    return _hash({**manifest.to_json(), "seal": ""})


def _hash(content: JSON) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def manifest_of(stage: str, recipe: Recipe, inputs: Mapping[str, str]) -> Manifest:
    """Return the manifest of a stage that is about to begin."""
    everything = flat_recipe(recipe)
    return Manifest(
        stage=stage,
        complete=False,
        recipe={key: value for key, value in everything.items() if _is_of(key, DEPENDS[stage]) and not is_free(key)},
        inputs=dict(inputs),
        used={key: value for key, value in everything.items() if is_free(key)},
    )


def begin(folder: Path, manifest: Manifest, *, has_output: bool, write: bool) -> Manifest:
    """Check what is there of a stage's output against what is about to be added to it, and write the manifest.

    Args:
        folder: Folder that the stage writes into.
        manifest: That of the call, from `manifest_of`.
        has_output: Whether there is output of the stage; without it, an earlier manifest does not count.
        write: Whether this process writes; all of a launch check.

    Returns:
        The manifest to hand to `complete`.

    Raises:
        UserError: If the output was made otherwise; one line for each key or input that differs, with both values.
    """
    before = read_manifest(folder, manifest.stage) if has_output else None
    if before is not None:
        refuse(folder, differences(before, manifest))
    unchecked = has_output if before is None else before.unchecked
    fixed = {key: value for key, value in manifest.recipe.items() if key not in MAY_GROW}
    identity = _hash({"place": _place(folder, manifest.stage), "recipe": fixed, "inputs": manifest.inputs})
    made = replace(manifest, unchecked=unchecked, files={} if before is None else before.files, identity=identity)
    if before is not None and before.identity:
        made = replace(made, identity=before.identity)
    if write:
        write_manifest(folder, made)
    return made


def progress(folder: Path, manifest: Manifest, log: Path, state: FileDigest) -> None:
    """Record how far the log of a stage has come, so that a change of what is there is noticed when it goes on."""
    files = {str(log.relative_to(folder)): state}
    write_manifest(folder, replace(manifest, files=files))


def complete(folder: Path, manifest: Manifest, files: Sequence[Path]) -> None:
    """Write the manifest of a stage that has ended, with the state of its files, which lie below `folder`."""
    states = {str(path.relative_to(folder)): FileDigest.of(path) for path in files if path.is_file()}
    write_manifest(folder, replace(manifest, complete=True, files=states))


class Difference(NamedTuple):
    """Something that is not as a stage used it.

    Attributes:
        name: Dotted key of the recipe, or an input in words.
        line: What it is now, and what it was.
        setting: The word for the command line that gives a key what was used; empty for an input.
    """

    name: str
    line: str
    setting: str = ""


def differences(before: Manifest, now: Manifest) -> list[Difference]:
    """Return each key of the recipe and each input that differs."""
    return recipe_differences(before, now.recipe) + input_differences(before, now.inputs)


def input_differences(before: Manifest, now: Mapping[str, str]) -> list[Difference]:
    """Return each input of a stage that is another one now, or is missing."""
    return [
        Difference(name, f"{name}: now {now.get(name, 'none')}, {before.stage} used {had}")
        for name, had in sorted(before.inputs.items())
        if now.get(name) != had
    ]


def recipe_differences(before: Manifest, now: Mapping[str, Any]) -> list[Difference]:
    """Return each key of a recipe, of those that a stage depended on, that differs.

    A key that the stage's version did not know yet differs if it has not its default.

    Args:
        before: The stage's manifest.
        now: Flat recipe: dotted key → value.
    """
    found = []
    for key in sorted({*before.recipe, *(key for key in now if _is_of(key, DEPENDS[before.stage]))}):
        had, has = before.recipe.get(key, ABSENT), now.get(key, ABSENT)
        if is_free(key) or had == has or (key in MAY_GROW and _grown(had, has)):
            continue
        if had is ABSENT and _is_default(key, has):
            continue
        line = f"{key}: now {shown(has)}, {before.stage} used {shown(had)}"
        found.append(Difference(key, line, "" if had is ABSENT else shlex.quote(f"{key}={shown(had)}")))
    return found


ABSENT = object()
"""Value of a key that is not there."""


def refuse(folder: Path, found: Sequence[Difference]) -> None:
    """Raise a `UserError` about what differs in a folder, one line for each; do nothing if nothing does."""
    told = refusal(folder, found)
    if told is not None:
        raise UserError(told)


def refusal(folder: Path, found: Sequence[Difference]) -> str | None:
    """Return what `refuse` raises; None if nothing differs."""
    if not found:
        return None
    settings = " ".join(one.setting for one in found if one.setting)
    lines = [f"{folder}: {one.line}." for one in found]
    remedy = "Go on with what was used" + (f" ({settings})" if settings else "")
    return "\n".join([*lines, f"{remedy}, or give this recipe another name (name=…) for a new run."])


def flat(tree: Mapping[str, Any], prefix: str = "") -> JSON:
    """Return a nested mapping as dotted key → value; an empty mapping is a value."""
    found: JSON = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def flat_recipe(recipe: Recipe) -> JSON:
    """Return a recipe as dotted key → value."""
    return flat(recipe.model_dump(mode="json"))


def is_free(key: str) -> bool:
    """Say whether a key may differ between the calls on one run."""
    return _is_of(key, MAY_CHANGE)


def file_problems(folder: Path, manifest: Manifest, again: str, *, grows: bool = False) -> Iterator[str]:
    """Yield one line for each file that is not as its stage left it.

    Args:
        folder: Folder that the stage wrote into.
        manifest: The stage's manifest.
        again: What to do about it.
        grows: Whether the stage is under way, so that its log may have come further than was recorded.
    """
    for name, state in manifest.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: not found, but {manifest.stage} wrote it; {again}."
        elif not (state.begins(path) if grows or _may_grow(name) else FileDigest.of(path) == state):
            yield f"{path}: its content is not what {manifest.stage} wrote; {again}."


def _may_grow(name: str) -> bool:
    """Say whether a file is a log that is appended to, and read by what its rows are about."""
    return os.path.basename(name) in ("verdicts.jsonl", "attributes.jsonl")


def _is_of(key: str, names: Sequence[str]) -> bool:
    return any(f"{key}.".startswith(f"{name}.") for name in names)


def _grown(before: Any, now: Any) -> bool:
    if isinstance(before, list) and isinstance(now, list):
        return set(before) <= set(now)
    return isinstance(before, int) and isinstance(now, int) and now >= before


def _is_default(key: str, value: Any) -> bool:
    """Say whether a value is the default of a recipe's key."""
    model: Any = Recipe
    *sections, last = key.split(".")
    for section in sections:
        field_info = model.model_fields.get(section)
        kinds = [] if field_info is None else [field_info.annotation, *get_args(field_info.annotation)]
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if model is None:
            return False
    known = model.model_fields.get(last)
    return known is not None and not known.is_required() and known.get_default(call_default_factory=True) == value


def shown(value: Any) -> str:
    """Return a recipe's value as YAML on one line, as the command line takes it."""
    if value is ABSENT:
        return "not given"
    return yaml_line(value)
