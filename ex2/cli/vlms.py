"""`ex2 vlms`: lists the VLMs that a recipe can name, shows what a preset pins, and checks a VLM against the contract.

Listing reads the table of presets only; it loads neither weights nor torch.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reward import revisions
from reward.errors import UserError
from reward.numerals import compact
from reward.presets import PRESETS, VLMPreset, load_vlm, merged_settings, resolve_vlm, vlm_problems
from reward.terminal import PlainConsole
from reward.yaml_values import read_yaml

if TYPE_CHECKING:
    from reward.contract import ContractResult

UNVERIFIED = "unverified"
"""Shown in place of a commit for a hub repository that has not been loaded yet."""


def main(options: argparse.Namespace) -> int:
    """Run the verb.

    Args:
        options: `name`, `settings` and `check` of the command line.

    Returns:
        Exit status: 0 if done, 1 if the VLM breaks the contract.

    Raises:
        UserError: For an unknown name or setting.
    """
    console = PlainConsole(highlight=False)
    if options.name is None:
        if options.check:
            raise UserError("ex2 vlms: --check needs a name, such as: ex2 vlms clip-vit-b32 --check")
        console.print(_listing())
        console.print(f"revisions: {escape(str(revisions.record_file()))}", soft_wrap=True)
        return 0
    settings = _settings(options.settings)
    problems = vlm_problems(options.name, settings, "ex2 vlms")
    if problems:
        raise UserError("\n".join(problems))
    if not options.check:
        console.print(_description(options.name, settings), soft_wrap=True)
        return 0
    return _check(console, options.name, settings)


def _settings(words: Sequence[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for word in words:
        key, separator, text = word.partition("=")
        if not separator or not key:
            raise UserError(f"command line: '{word}' is no setting; write key=value, such as device=cpu.")
        settings[key] = read_yaml(text, f"command line: {key}")
    return settings


def _listing() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("name", "source", "revision"):
        table.add_column(column, overflow="fold")
    for column in ("parameters", "dim", "context", "image", "scale"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, preset in PRESETS.items():
        size = _amount(preset.parameters)
        numbers = (size, preset.dim, preset.value("context_length"), preset.value("image_size"), _scale(preset))
        revision = _revision(preset.repository, preset.value("revision"), short=True)
        table.add_row(name, escape(preset.source), revision, *map(str, numbers))
    return table


def _amount(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.3g} M"


def _scale(preset: VLMPreset) -> str:
    """Return the logit scale that the preset pins, else the one that was recorded at the first load, as text."""
    pinned = preset.value("scale")
    known = revisions.recorded(preset.repository, preset.value("revision")) if preset.repository else None
    if pinned is None and known is not None:
        pinned = known.scale
    return "learned" if pinned is None else f"{pinned:.4g}"


def _revision(repository: str | None, revision: str | None, *, short: bool) -> str:
    if repository is None:
        return "—"
    known = revisions.recorded(repository, revision)
    if known is None:
        return UNVERIFIED
    return known.commit[:8] if short else f"{known.commit} (recorded on {known.date})"


def _description(name: str, settings: dict[str, Any]) -> Table:
    """Return a table of every setting that loading would use, defaults included, and of the weights' known facts."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    preset = PRESETS.get(name)
    if preset is not None:
        table.add_row("backend", preset.backend)
        table.add_row("source", escape(preset.source))
        table.add_row("parameters", f"{preset.parameters:,}")
        table.add_row("dim", str(preset.dim))
    given = merged_settings(name, settings)
    fixed = {} if preset is None else {key: value for key, value in preset.built_in.items() if key not in given}
    for key, value in fixed.items():
        table.add_row(key, f"{escape(str(value))} (fixed by the backend)")
    for key, parameter in inspect.signature(resolve_vlm(name, "ex2 vlms")).parameters.items():
        if key in given:
            table.add_row(key, escape(str(given[key])))
        elif key not in fixed and parameter.default is not parameter.empty:
            unpinned = parameter.default is None
            table.add_row(key, "not pinned" if unpinned else f"{escape(str(parameter.default))} (default)")
    if preset is not None:
        for repository in preset.repositories:
            revision = given.get("revision") if repository == preset.repository else None
            table.add_row("hub", f"{escape(repository)}: {_revision(repository, revision, short=False)}")
        if preset.note:
            table.add_row("note", escape(preset.note))
    return table


def _check(console: Console, name: str, settings: dict[str, Any]) -> int:
    from reward.contract import check_vlm, failed

    vlm = load_vlm(name, settings, "ex2 vlms")
    console.print(
        f"{escape(name)}: D {vlm.dim}, context {vlm.context_length}, scale {vlm.scale:.6g}, bias {compact(vlm.bias)}"
    )
    results = check_vlm(vlm)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for result in results:
        table.add_row(*_row(result))
    console.print(table)
    broken, silent = failed(results), sum(result.passed is None for result in results)
    passed = len(results) - len(broken) - silent
    console.print(f"{passed} passed, {len(broken)} failed, {silent} not applicable")
    return 1 if broken else 0


def _row(result: ContractResult) -> tuple[str, str, str, str, str]:
    verdict = {True: "pass", False: "FAIL", None: "n/a"}[result.passed]
    measured, limit = ("" if value is None else compact(value, 3) for value in (result.measured, result.limit))
    return result.name, verdict, measured, limit, escape(result.message)
