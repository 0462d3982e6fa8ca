"""Analysed runs over the demo world with chosen sentences: the exact judge knows what each speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.accuracy.record import Accuracy
from analysis.attributes.answers import Answered, Row, SeedAnswers
from analysis.attributes.judges import NamedAttributes
from analysis.judge.scripted import ScriptedJudge
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.breakdown import breakdown
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import judge_digest
from ex2.data.demo.world import CONCEPTS, slots
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.files import write_json, write_jsonl, write_text


def named(*names: str) -> NamedAttributes:
    """An answer that names these attributes."""
    return NamedAttributes(names, (), "")


def answered(vlm: str, *seeds: list[Row], dataset: str = "d", run: str = "") -> Answered:
    """The answers on a run's descriptions, seed by seed."""
    parts = [SeedAnswers(number, rows) for number, rows in enumerate(seeds)]
    return Answered(run or vlm.lower(), vlm, dataset, parts, judge="j", texts=f"texts of {vlm} {run} {dataset}")


def saying(name: str, count: int, *attributes: str) -> list[Row]:
    """So many descriptions of a class that each mention the attributes."""
    return [(name, named(*attributes))] * count


def write_attributed(
    root: Path,
    name: str,
    sentences: Mapping[int, Sequence[str]],
    *,
    vlm: str = "demo-visual",
    concepts: slice = slice(None),
    kl: Mapping[int, float] | None = None,
    not_analyzed: Sequence[int] = (),
) -> Path:
    """Write one run.

    Args:
        root: Folder of runs.
        name: Of the recipe and of the folder.
        sentences: Patterns that each seed says of every class.
        vlm: Shown name.
        concepts: Classes that are described.
        kl: In every batch of a seed; default: 10, the target.
        not_analyzed: Further seeds of the recipe.
    """
    recipe = Recipe.model_validate(
        {
            "name": name,
            "output_dir": str(root),
            "seeds": [*sentences, *not_analyzed],
            "policy": {"model": "m"},
            "vlm": {"name": vlm},
            "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
            "judge": {"name": "scripted"},
        }
    )
    run = RunDirectory.of(recipe)
    write_text(run.recipe, to_yaml(recipe))
    for seed, patterns in sentences.items():
        where = run.seed(seed)
        rows = [
            Description(
                policy="aligned",
                class_name=concept.name,
                label=label,
                question_id=question,
                question="q",
                sample=0,
                seed=seed,
                text=pattern.format(**slots(concept)),
                tokens=5,
                reward=1.0,
                vlm_cut=False,
            )
            for label, concept in list(enumerate(CONCEPTS))[concepts]
            for question, pattern in enumerate(patterns)
        ]
        append_descriptions(where, rows)
        digest = judge_digest("scripted", {})
        verdicts = judge_descriptions(ScriptedJudge(), [one.of_class for one in rows], where.verdicts, digest=digest)
        shares = Breakdown(
            judge=JudgeIdentity("scripted", True, "r", digest),
            denominator="parsed",
            confidence=0.95,
            policies=breakdown(rows, verdicts, "parsed"),
        )
        write_json(where.breakdown, shares.to_json())
        measured = Accuracy(
            vlm=vlm,
            dataset="shapes",
            split="test",
            images=9,
            classes=16,
            confidence=0.95,
            arms={},
            differences=(),
            covered_by_both=(),
        )
        write_json(where.accuracy, measured.to_json())
        reached = (kl or {}).get(seed, 10.0)
        write_jsonl(where.train_log, [{"batch": batch, "kl": reached, "kl_target": 10.0} for batch in range(1, 21)])
    return run.root
