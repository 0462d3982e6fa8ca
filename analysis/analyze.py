"""The analyze stage: judge the descriptions, measure accuracy with each kind, break them down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from analysis.accuracy import ARMS, accuracy, reward_gain, texts_by_arm
from analysis.breakdown import GROUPS, breakdown
from analysis.control_arms import ControlArm, build_controls
from analysis.description_files import read_arms
from analysis.judge.base import Estimates, Judge
from analysis.judge.panel import PanelJudge, panel_summary, write_disagreements
from analysis.judge.table import build_judge
from analysis.judging import Verdicts, judge_descriptions, judge_digest, rubric_version
from analysis.statistics import Settings
from analysis.text_bank import text_banks
from ex2.banks import load_dataset, load_vlm, test_embeddings
from ex2.export import refresh_card
from ex2.recipe import Recipe
from ex2.run_dir import ANALYSIS_ID, JSON, RunDirectory, SeedDirectory, read_jsonl, write_json
from reward.errors import UserError
from reward.presets import shown_name


def analyze(recipe: Recipe, seed: int) -> None:
    """Write `verdicts.jsonl`, `accuracy.json` and `breakdown.json` of one seed, then print a summary.

    Args:
        recipe: The experiment, whose descriptions have been made.
        seed: One of its seeds.

    Raises:
        UserError: If there are no descriptions, or they do not fit the dataset, or the judge refuses the requests.
        EnvironmentFault: If the judge cannot be reached or the run directory not be written; verdicts received so far
            are kept and not asked again.
    """
    where = RunDirectory.of(recipe).seed(seed)
    descriptions = read_descriptions(where)
    files = _files(recipe)  # before the judge is asked: a wrong name must cost nothing
    digest = judge_digest(recipe.judge.name, recipe.judge.settings)
    judge = build_judge(recipe.judge.name, recipe.judge.settings, "judge", where.root)
    verdicts = judge_descriptions(judge, descriptions, where.verdicts, digest=digest)
    write_disagreements(verdicts.items(), where.root)

    vlm = load_vlm(recipe.vlm)
    images = test_embeddings(recipe, vlm)
    _check_labels(descriptions, images.class_names, where)
    settings = Settings(recipe.analysis.confidence, recipe.analysis.bootstrap_samples)
    controls = build_controls(recipe.analysis.controls, descriptions, images.class_names, seed) | files
    arms = texts_by_arm(descriptions, verdicts, images.class_names)
    arms |= {arm: control.texts for arm, control in controls.items()}
    measured: JSON = {
        "vlm": shown_name(recipe.vlm.name, vlm),
        "vlm_fingerprint": vlm.fingerprint(),
        "dataset": recipe.dataset.name,
        "split": recipe.dataset.test_split,
        "images": len(images.labels),
        "classes": len(images.class_names),
        **settings._asdict(),
        **accuracy(vlm, images, arms, settings, banks=text_banks()),
        "controls": {arm: {"name": control.name, "note": control.note} for arm, control in controls.items()},
        "reward_gain": reward_gain(descriptions, settings),
    }
    shares: JSON = {
        "judge": {"name": judge.name, "exact": judge.exact, "rubric": rubric_version(judge), "settings": digest},
        "usage": usage(judge, verdicts),
        "panel": panel_summary(verdicts.items()),
        "denominator": recipe.analysis.denominator,
        "confidence": settings.confidence,
        "policies": breakdown(descriptions, verdicts, recipe.analysis.denominator, settings.confidence),
    }
    # In both files: a kill between the two must not pair new accuracies with old shares unnoticed.
    content = json.dumps([measured, shares], sort_keys=True)
    stamp = {ANALYSIS_ID: hashlib.sha256(content.encode()).hexdigest()[:16]}
    write_json(where.accuracy, measured | stamp)
    refresh_card(recipe, seed)  # the adapter's model card states the accuracy too
    write_json(where.breakdown, shares | stamp)
    print_summary(recipe.name, seed, measured, shares, Console())


def usage(judge: Judge, verdicts: Verdicts) -> JSON | None:
    """Return what all verdicts took: `requests`, `input_tokens`, `output_tokens` and `cost`, None without prices.

    Of a panel, `judges` says the same for each of its judges, with `name`.

    Args:
        judge: Knows the prices.
        verdicts: The result is None if their judge does not count.
    """
    spent = verdicts.spent
    if spent is None:
        return None
    if isinstance(judge, PanelJudge):
        rows = judge.usage(spent, verdicts.parts)
        return {**spent._asdict(), "cost": judge.cost(spent, verdicts.parts), "judges": rows}
    return {**spent._asdict(), "cost": judge.cost(spent) if isinstance(judge, Estimates) else None}


def print_summary(name: str, seed: int, measured: JSON, shares: JSON, console: Console) -> None:
    """Print accuracy of each arm, share of each group, and the reward gained.

    Args:
        name: Of the recipe.
        seed: Of the run.
        measured: Content of `accuracy.json`.
        shares: Content of `breakdown.json`.
        console: Where to print.
    """
    percent = f"{measured['confidence']:.0%} intervals"
    differences = {(d["arm"], d["against"]): d for d in measured["differences"]}
    controls: dict[str, JSON] = measured.get("controls", {})
    table = Table(
        "accuracy with",
        Column(f"n = {measured['images']} images", no_wrap=True),
        Column("against the templates", no_wrap=True),
        title=f"{name}, seed {seed}, {percent}",
        box=box.SIMPLE_HEAD,
    )
    for arm in (*ARMS, *controls):
        result = measured["arms"].get(arm)
        label = ("  of these, " if arm in GROUPS else "") + arm.replace("_", "-")
        label = escape(controls[arm]["name"]) if arm in controls else label
        compared = _compared(differences.get((arm, "templates")), measured["confidence"])
        table.add_row(label, _interval(result, "accuracy") if result else "no descriptions", compared)
    console.print(table)
    for arm, control in controls.items():
        compared = _compared(differences.get((arm, "aligned")), measured["confidence"])
        against = f"; against EX2 {compared}" if compared else ""
        console.print(f"{control['name']}: {control['note']}{against}", highlight=False, markup=False)
    policies = shares["policies"]
    any_unparsed = any(any(part["unparsed"].values()) for part in policies.values())
    table = Table(
        "share of descriptions",
        *(f"{policy}, n = {policies[policy]['descriptions']}" for policy in policies),
        box=box.SIMPLE_HEAD,
    )
    for group in GROUPS:
        label = group.replace("_", "-")
        if not any_unparsed:
            table.add_row(label, *(_interval(part["groups"][group]["of_all"], "share") for part in policies.values()))
            continue
        for way, words in (("parsed", "of readable answers"), ("all", "of all")):  # the paper's is of all
            cells = [_interval(part["by_denominator"][way][group]["of_all"], "share") for part in policies.values()]
            table.add_row(f"{label}, {words}", *cells)
    console.print(table)
    gain = measured["reward_gain"]
    if gain:
        interval = f" [{gain['low']:+.3f}, {gain['high']:+.3f}]" if gain["low"] is not None else ""
        console.print(
            f"reward, aligned − base on the same class and question: {gain['difference']:+.3f}{interval} "
            f"(n = {gain['n']} pairs)",
            highlight=False,
            markup=False,
        )
    for policy, part in policies.items():
        unparsed = part["unparsed"]
        console.print(
            f"{policy}: {part['descriptions']} descriptions, {part['empty']} empty (counted as spurious), unparsed "
            f"answers: {unparsed['informative']} informative, {unparsed['visual']} visual",
            highlight=False,
        )


def _compared(difference: JSON | None, confidence: float) -> str:
    if difference is None:
        return ""
    words = f"{100 * difference['difference']:+.1f} points, p = {difference['p']:.2g}"
    return words if difference["p"] < 1 - confidence else f"{words} (n.s.)"


def _files(recipe: Recipe) -> dict[str, ControlArm]:
    files = recipe.analysis.description_files
    if not files:
        return {}
    return read_arms(files, load_dataset(recipe.dataset).class_names, partial=recipe.analysis.partial_files)


def read_descriptions(where: SeedDirectory) -> list[JSON]:
    """Read a seed's descriptions.

    Raises:
        UserError: If there are none, or a row is not one.
    """
    rows = read_jsonl(where.descriptions)
    if not rows:
        raise UserError(f"{where.descriptions}: no descriptions; run `ex2 describe RECIPE` first (ex2 run does all).")
    needed = ("class", "label", "question_id", "sample", "policy", "text", "reward")
    for number, row in enumerate(rows, start=1):
        missing = [key for key in needed if key not in row]
        if missing or row["policy"] not in ("base", "aligned"):
            problem = f"lacks {', '.join(missing)}" if missing else f"policy is '{row['policy']}', not base or aligned"
            raise UserError(f"{where.descriptions}: line {number}: {problem}; delete the file and describe again.")
    return rows


def _check_labels(descriptions: Sequence[JSON], class_names: Sequence[str], where: SeedDirectory) -> None:
    for row in descriptions:
        label = row["label"]
        if not 0 <= label < len(class_names) or class_names[label] != row["class"]:
            raise UserError(
                f"{where.descriptions}: class '{row['class']}' with label {label} is not in the dataset, whose classes "
                f"are {', '.join(class_names[:5])}, …: the dataset changed since; delete the file and describe again."
            )


def _interval(result: JSON | None, key: str) -> str:
    if result is None:
        return "–"
    return f"{100 * result[key]:.1f} % [{100 * result['low']:.1f}–{100 * result['high']:.1f}]"
