"""The analyze stage: judge the descriptions, measure accuracy with each kind, break them down."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from analysis.accuracy import ARMS, Settings, accuracy, reward_gain, texts_by_arm
from analysis.breakdown import GROUPS, breakdown
from analysis.judge.rubric import RUBRIC_VERSION
from analysis.judge.table import build_judge
from analysis.judging import judge_descriptions, settings_digest
from ex2.banks import load_vlm, test_embeddings
from ex2.recipe import Recipe
from ex2.run_dir import JSON, RunDirectory, SeedDirectory, read_jsonl, write_json
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
    descriptions = _descriptions(where)
    digest = settings_digest(recipe.judge.name, recipe.judge.settings)
    judge = build_judge(recipe.judge.name, recipe.judge.settings, "judge")
    verdicts = judge_descriptions(judge, descriptions, where.verdicts, digest=digest)

    vlm = load_vlm(recipe.vlm)
    images = test_embeddings(recipe, vlm)
    _check_labels(descriptions, images.class_names, where)
    settings = Settings(recipe.analysis.confidence, recipe.analysis.bootstrap_samples)
    arms = texts_by_arm(descriptions, verdicts, images.class_names)
    measured: JSON = {
        "vlm": shown_name(recipe.vlm.name, vlm),
        "vlm_fingerprint": vlm.fingerprint(),
        "dataset": recipe.dataset.name,
        "split": recipe.dataset.test_split,
        "images": len(images.labels),
        "classes": len(images.class_names),
        **settings._asdict(),
        **accuracy(vlm, images, arms, settings),
        "reward_gain": reward_gain(descriptions, settings),
    }
    shares: JSON = {
        "judge": {"name": judge.name, "exact": judge.exact, "rubric": RUBRIC_VERSION, "settings": digest},
        "denominator": recipe.analysis.denominator,
        "confidence": settings.confidence,
        "policies": breakdown(descriptions, verdicts, recipe.analysis.denominator, settings.confidence),
    }
    write_json(where.accuracy, measured)
    write_json(where.breakdown, shares)
    print_summary(recipe.name, seed, measured, shares, Console())


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
    against = {d["arm"]: d for d in measured["differences"] if d["against"] == "templates"}
    table = Table(
        "accuracy with",
        f"n = {measured['images']} images",
        "against the templates",
        title=f"{name}, seed {seed}, {percent}",
        box=box.SIMPLE_HEAD,
    )
    for arm in ARMS:
        result, difference = measured["arms"].get(arm), against.get(arm)
        compared = ""
        if difference:
            significant = difference["p"] < 1 - measured["confidence"]
            compared = f"{100 * difference['difference']:+.1f} points, p = {difference['p']:.2g}"
            compared += "" if significant else " (n.s.)"
        label = ("  of these, " if arm in GROUPS else "") + arm.replace("_", "-")
        table.add_row(label, _interval(result, "accuracy") if result else "no descriptions", compared)
    console.print(table)
    policies = shares["policies"]
    table = Table(
        "share of descriptions",
        *(f"{policy}, n = {policies[policy]['descriptions']}" for policy in policies),
        box=box.SIMPLE_HEAD,
    )
    for group in GROUPS:
        cells = [_interval(part["groups"][group]["of_all"], "share") for part in policies.values()]
        table.add_row(group.replace("_", "-"), *cells)
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


def _descriptions(where: SeedDirectory) -> list[JSON]:
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
