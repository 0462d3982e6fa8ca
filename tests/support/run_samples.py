"""Run directories as the stages leave them, with chosen numbers: no model is needed to test what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.accuracy.record import Accuracy, Arm, Comparison, Hits, RewardGain
from analysis.accuracy.zero_shot import pack_correct
from analysis.judge.base import Unparsed, Verdict
from analysis.statistics.intervals import PairedMean, wilson
from analysis.statistics.paired import paired_accuracy
from analysis.verdicts.breakdown import breakdown
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import Kind, Verdicts
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.descriptions import Description, append_descriptions
from ex2.run.directory import RunDirectory
from reward.files import write_json, write_jsonl, write_text

CLASSES = ("pug", "oak")
QUESTIONS = ("Describe a {}.", "What is a {}?")
IMAGES = 200
COMPARED = (
    ("base", "templates"),
    ("aligned", "templates"),
    ("aligned", "base"),
    ("spurious", "templates"),
    ("informative", "templates"),
    ("visual", "templates"),
    ("non_visual", "templates"),
    ("informative", "spurious"),
    ("visual", "non_visual"),
)


def write_run(
    root: Path,
    name: str,
    *,
    vlm: str = "clip-vit-b32",
    dataset: str = "pets",
    kinds: dict[Kind, int] | None = None,
    correct: dict[str, int] | None = None,
    kl: float = 10.0,
    target: float = 10.0,
    controller: str = "adaptive",
    seeds: dict[int, int] | None = None,
    texts: dict[int, str] | None = None,
) -> Path:
    """Write one run.

    Args:
        root: Folder of runs.
        name: Of the recipe and of the folder.
        vlm: Shown name.
        dataset: Shown name.
        kinds: Aligned descriptions of each kind; the base model's are all spurious.
        correct: Of 200 images, by arm; the first so many, so that two arms differ on one side only.
        kl: In every batch.
        target: Of the KL.
        controller: Of the KL.
        seeds: Seed → images that EX2 has right, instead of `correct["aligned"]`.
        texts: Replaces aligned descriptions by place.
    """
    kinds = kinds or {"visual": 20, "non_visual": 10, "spurious": 9, "unparsed": 1}
    correct = {"templates": 140, "base": 141, "aligned": 160, "spurious": 142, "informative": 158} | (correct or {})
    seeds = seeds or {0: correct["aligned"]}
    recipe = Recipe.model_validate(
        {
            "name": name,
            "output_dir": str(root),
            "seeds": list(seeds),
            "policy": {"model": "package:tiny"},
            "vlm": {"name": vlm},
            "dataset": {"name": dataset, "reward_split": "train", "test_split": "test"},
            "rl": {"kl": {"target": target, "controller": controller}},
            "judge": {"name": "scripted"},
        }
    )
    run = RunDirectory(root / name)
    write_text(run.recipe, to_yaml(recipe))
    for seed, aligned in seeds.items():
        where = run.seed(seed)
        rows, verdicts = _descriptions(kinds, texts or {}, seed)
        write_json(where.accuracy, _accuracy(vlm, dataset, correct | {"aligned": aligned}).to_json())
        shares = Breakdown(
            judge=JudgeIdentity("grammar & co", True, "paper-1", "d"),
            denominator="parsed",
            confidence=0.95,
            policies=breakdown(rows, verdicts, "parsed"),
        )
        write_json(where.breakdown, shares.to_json())
        append_descriptions(where, rows)
        write_jsonl(where.verdicts, _log(rows, verdicts))
        log = [{"batch": b, "reward_mean": 20 + b / 10, "kl": kl, "kl_target": target} for b in range(1, 21)]
        write_jsonl(where.train_log, log if controller != "fixed" else [row | {"kl_target": None} for row in log])
    return run.root


def _descriptions(kinds: dict[Kind, int], texts: dict[int, str], seed: int) -> tuple[list[Description], Verdicts]:
    verdicts, rows = Verdicts(), []
    for policy, counts in (("base", {"spurious": sum(kinds.values())}), ("aligned", kinds)):
        listed = [kind for kind, count in counts.items() for _ in range(count)]
        for index, kind in enumerate(listed):
            label, question = index % 2, index // 2 % 2
            text = f"{policy} {seed} {index} {kind}"
            if policy == "aligned":
                text = texts.get(index, text)
            no_answer = Unparsed("?")
            informative = no_answer if kind == "unparsed" else Verdict(kind != "spurious", "said")
            visual = no_answer if kind == "informative_unparsed" else Verdict(kind == "visual", "said")
            verdicts.add("informative", CLASSES[label], text, informative)
            verdicts.add("visual", CLASSES[label], text, visual)
            rows.append(
                Description(
                    policy=policy,
                    class_name=CLASSES[label],
                    label=label,
                    question_id=question,
                    question=QUESTIONS[question],
                    sample=index // 4,
                    text=text,
                    reward=20.0 + index / 10,
                )
            )
    return rows, verdicts


def _log(rows: list[Description], verdicts: Verdicts) -> list[dict[str, Any]]:
    log = []
    words = {True: "yes", False: "no", None: "unparsed"}
    for row in rows:
        for question in ("informative", "visual"):
            answer = verdicts.answer(question, *row.of_class)  # type: ignore[arg-type]
            log.append(
                {
                    "question": question,
                    "class": row.class_name,
                    "description": row.text,
                    "verdict": words[answer],
                    "raw": "said",
                    "judge": "grammar & co",
                    "rubric": "paper-1",
                    "settings": "d",
                }
            )
    return [row for number, row in enumerate(log) if row not in log[:number]]


def _accuracy(vlm: str, dataset: str, correct: dict[str, int]) -> Accuracy:
    right = {arm: [index < count for index in range(IMAGES)] for arm, count in correct.items()}
    return Accuracy(
        vlm=vlm,
        vlm_fingerprint=f"fingerprint of {vlm}",
        dataset=dataset,
        split="test",
        images=IMAGES,
        classes=2,
        confidence=0.95,
        samples=200,
        seed=0,
        arms={
            arm: arm_of(right[arm]) if arm in right else None
            for arm in ("templates", "base", "aligned", "spurious", "informative", "visual", "non_visual")
        },
        differences=tuple(
            Comparison(arm, other, paired_accuracy(right[arm], right[other]))
            for arm, other in COMPARED
            if arm in right and other in right
        ),
        covered_by_both=(),
        reward_gain=RewardGain(22.0, 21.0, PairedMean(1.0, 0.5, 1.5, 0.5, 1.5, 39), 0),
    )


def arm_of(right: Sequence[bool], fallback: Sequence[str] = ()) -> Arm:
    """An arm with these images right; classes without a text in `fallback`."""
    value, low, high, n = wilson(sum(right), len(right))
    assert low is not None
    assert high is not None
    top1 = Hits(value, low, high, n, sum(right), pack_correct(right))
    return Arm(top1, texts=10, unique_texts=9, fallback_classes=tuple(fallback))
