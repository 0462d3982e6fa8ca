"""Drawing a set: what is asked for, where it stands, and asking a generator for what is not there yet.

A set stands once under a root, whatever uses it: `<root>/<name>-<8 hex>/seed-<n>/`, the digits being those of the hash
of generator, strategy, classes and images a class. A set that is there is never drawn again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import PIL
from tqdm import tqdm

from ex2.data.datasets.image_sets import ImageSet, raise_first, read_set
from ex2.data.datasets.naming import class_name_problems
from ex2.data.datasets.set_records import SetRecord, folder_names
from ex2.run.lock import writing_stage
from ex2.sets.generators.base import Generator
from ex2.sets.requests import DrawRequest, Failure, image_seed
from ex2.sets.store import SetStore
from reward.errors import shown
from reward.signals import deferred

ROOT = "sets"
"""Folder in which sets stand."""
BATCH_SIZE = 8
"""Most requests that a generator is asked at once, unless it says otherwise."""
STAGE = "draw"


@dataclass(frozen=True, kw_only=True)
class SetPlan:
    """A set that is to be there.

    Attributes:
        name: Of the set: letters, digits, underscores, dots and hyphens.
        generator: What draws.
        class_names: In label order.
        requests: In the order in which they are asked.
        seed: Of the set.
        strategy: Name of what made the prompts; empty where there are none.
        strategy_settings: Its settings, with a hash of what it read.
        usd_per_hour: Price of the machine that draws; None if it is not known.
        license: Of the images; empty if it is not known.
    """

    name: str
    generator: Generator
    class_names: tuple[str, ...]
    requests: tuple[DrawRequest, ...]
    seed: int
    strategy: str = ""
    strategy_settings: Mapping[str, Any] = field(default_factory=dict)
    usd_per_hour: float | None = None
    license: str = ""

    @property
    def per_class(self) -> int:
        """Most images that a class is to have."""
        return max((request.index + 1 for request in self.requests), default=0)

    def record(self) -> SetRecord:
        """Return what `set.json` is to say before anything is drawn.

        Raises:
            UserError: If the name, the classes, the requests or the settings cannot be those of a set.
        """
        raise_first(self.problems())
        fingerprint = self.generator.fingerprint()
        versions = {"ex2": importlib.metadata.version("ex2"), "pillow": PIL.__version__}
        versions |= getattr(self.generator, "versions", {})
        return SetRecord(
            name=self.name,
            digest=self._digest(fingerprint),
            seed=self.seed,
            generator=self.generator.name,
            generator_settings=dict(self.generator.settings),
            fingerprint=fingerprint,
            strategy=self.strategy,
            strategy_settings=dict(self.strategy_settings),
            class_names=self.class_names,
            per_class=self.per_class,
            requests="",
            asked=0,
            usd_per_hour=self.usd_per_hour,
            license=self.license,
            sandbox=getattr(self.generator, "sandbox", ""),
            versions=versions,
        )

    def _digest(self, fingerprint: str) -> str:
        decides = {
            "generator": self.generator.name,
            "generator_settings": self.generator.settings,
            "fingerprint": fingerprint,
            "strategy": self.strategy,
            "strategy_settings": self.strategy_settings,
            "class_names": self.class_names,
            "per_class": self.per_class,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True, default=dict).encode()).hexdigest()

    def problems(self) -> list[str]:
        """Return a line for each reason why this cannot be a set, which are found without reading what is copied."""
        where = f"set '{self.name}'"
        problems = class_name_problems(self.class_names, where)
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.name, re.ASCII):
            problems.append(
                f"sets: given {shown(self.name)}; a set's name has at most 100 letters, digits, underscores, dots and "
                "hyphens, the first no dot or hyphen."
            )
        for kind, settings in (("generator", self.generator.settings), ("strategy", self.strategy_settings)):
            try:
                json.dumps(settings, allow_nan=False, default=dict)
            except (TypeError, ValueError) as error:
                problems.append(f"{where}: settings of its {kind}: {error}; they are stored as JSON.")
        if not self.requests:
            problems.append(f"{where}: no images are asked for; give per_class.")
        places = [(request.label, request.index) for request in self.requests]
        if len(set(places)) < len(places):
            problems.append(f"{where}: an image is asked for twice; every class and index is asked once.")
        wrong = [
            request
            for request in self.requests
            if request.label not in range(len(self.class_names))
            or self.class_names[request.label] != request.class_name
        ]
        if wrong:
            given = f"class {shown(wrong[0].class_name)}, label {wrong[0].label}"
            problems.append(f"{where}: {given} is none of its classes; ask for those it has.")
        return problems


def requests_for(
    class_names: Sequence[str],
    per_class: int,
    set_seed: int,
    prompt: Callable[[int, int], tuple[str, str]] | None = None,
) -> tuple[DrawRequest, ...]:
    """Return the requests of a set, class by class.

    Args:
        class_names: In label order.
        per_class: Number of images of each class.
        set_seed: Seed of the set.
        prompt: Label and index → prompt and negative prompt; None for a generator that needs none.
    """
    requests = []
    for label, name in enumerate(class_names):
        for index in range(per_class):
            text, negative = ("", "") if prompt is None else prompt(label, index)
            requests.append(
                DrawRequest(
                    class_name=name,
                    label=label,
                    index=index,
                    prompt=text,
                    negative_prompt=negative,
                    seed=image_seed(set_seed, name, index),
                    set_seed=set_seed,
                )
            )
    return tuple(requests)


def set_folder(plan: SetPlan, root: str | Path = ROOT) -> Path:
    """Return where a set stands, or will stand.

    Raises:
        UserError: As `SetPlan.record`.
    """
    return _folder(plan.record(), root)


def draw_set(
    plan: SetPlan, root: str | Path = ROOT, *, progress: bool = True, bar: tqdm[NoReturn] | None = None
) -> ImageSet:
    """Return a set, after drawing what is not there of it.

    Args:
        plan: The set.
        root: Folder in which sets stand.
        progress: Whether to show a bar with the time left.
        bar: Shown in its place; it is told of each image that is drawn here.

    Raises:
        UserError: If the plan is faulty, or what is there of the set is damaged.
        EnvironmentFault: If another process draws this set, or the folder cannot be written. What has been drawn stays,
            and is not drawn again.
    """
    record = plan.record()
    folder = _folder(record, root)
    folder_names(plan.class_names)
    store = SetStore(folder, record, plan.requests)
    if store.finished():
        found = read_set(folder)
        found.check_content()  # it is not drawn again, so that it has to be what was drawn
        return found
    ask = getattr(plan.generator, "request_problems", None)
    raise_first([] if ask is None else ask(plan.requests))
    check_machine(plan.generator)
    with writing_stage(folder, STAGE):
        if not store.finished():  # another process may have drawn it meanwhile
            _draw(plan, store, progress, bar)
            store.finish()
    return read_set(folder)


def check_machine(generator: Generator) -> None:
    """Check that this machine has what a generator draws with.

    Raises:
        UserError: If something is not installed.
        EnvironmentFault: If the machine refuses something.
    """
    check = getattr(generator, "check_machine", None)
    if check is not None:
        check()


def _folder(record: SetRecord, root: str | Path) -> Path:
    return Path(root).expanduser() / record.folder_name / f"seed-{record.seed}"


def _draw(plan: SetPlan, store: SetStore, progress: bool, given: tqdm[NoReturn] | None) -> None:
    left = store.begin()
    size = max(1, int(getattr(plan.generator, "batch_size", BATCH_SIZE)))
    failed = 0
    with contextlib.ExitStack() as stack:
        bar = given if given is not None else stack.enter_context(_bar(plan, len(left), progress))
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            with deferred() as told:
                answers = plan.generator.draw(batch)
                store.add(batch, answers)
                there = len(plan.requests) - len(left) + start + len(batch)
                place = f"of {len(plan.requests):,} of set '{plan.name}', seed {plan.seed}"
                told.said = f"after image {there:,} {place}, which is kept"
            failed += sum(isinstance(answer, Failure) for answer in answers)
            if failed:
                bar.set_postfix_str(f"{failed} failed", refresh=False)
            bar.update(len(batch))


def _bar(plan: SetPlan, left: int, shown: bool) -> tqdm[NoReturn]:
    return tqdm(
        total=len(plan.requests),
        initial=len(plan.requests) - left,
        desc=f"draw {plan.name}, seed {plan.seed}",
        unit="img",
        dynamic_ncols=True,
        disable=not shown,
    )
