"""The analyze stage: judge the descriptions, measure accuracy with each kind, break them down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from analysis.accuracy.attribution import Rearranged, rearrange
from analysis.accuracy.control_arms import ControlArm, build_controls
from analysis.accuracy.description_files import read_arms
from analysis.accuracy.measure import accuracy, draws_by_arm, reward_gain, texts_by_arm
from analysis.accuracy.record import Accuracy, Control
from analysis.accuracy.text_bank import text_banks
from analysis.judge.base import EstimatesCost, Judge
from analysis.judge.panel import PanelJudge, panel_summary, write_disagreements
from analysis.judge.table import JUDGES, build_judge
from analysis.results.kl import kl_with_cut
from analysis.results.load import SeedResult
from analysis.results.seeds import pool_seeds
from analysis.results.shown_images import SHOWN_IMAGES, shown_digest
from analysis.results.summary import print_seed
from analysis.statistics.intervals import IntervalSettings
from analysis.verdicts.asking import judge_descriptions
from analysis.verdicts.breakdown import breakdown
from analysis.verdicts.record import Breakdown, JudgeIdentity, JudgingCost
from analysis.verdicts.verdicts import Verdicts, former_digests, judge_digest, rubric_version
from ex2.banks import test_embeddings
from ex2.data.names_in_texts import ClassNames
from ex2.data.selection import load_dataset
from ex2.recipe import Recipe
from ex2.run.arm_texts import write_arm_texts
from ex2.run.card import refresh_card
from ex2.run.descriptions import Description, _check_labels, read_descriptions
from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.lock import writing_stage
from ex2.run.made import TEST_IMAGES, descriptions_identity, require
from ex2.run.manifest import complete, manifest_of
from ex2.run.training_log import read_train_log
from reward.files import write_json
from reward.own_code import code_digest
from reward.presets import load_vlm, shown_name
from reward.terminal import PlainConsole


def analyze(recipe: Recipe, seed: int) -> None:
    """Write `verdicts.jsonl`, `arm_texts.jsonl`, `accuracy.json` and `breakdown.json` of one seed.

    A summary is printed at the end.

    Args:
        recipe: The experiment, whose descriptions have been made.
        seed: One of its seeds.

    Raises:
        UserError: If there are no descriptions, if they do not fit the dataset, or if the judge refuses the requests.
        EnvironmentFault: If the judge cannot be reached or the run directory cannot be written. Verdicts received so
            far are kept and are not asked for again.
    """
    where = RunDirectory.of(recipe).seed(seed)
    require(recipe, where, "describe")
    with writing_stage(where.root, "analyze"):
        _analyze(recipe, seed, where)


def _analyze(recipe: Recipe, seed: int, where: SeedDirectory) -> None:
    descriptions, made_from = read_descriptions(where), descriptions_identity(where)
    files, train = _files(recipe), read_train_log(where)  # before the judge is asked: a fault must cost nothing
    digest = judge_digest(recipe.judge.name, recipe.judge.settings)
    earlier = former_digests(recipe.judge.name, recipe.judge.settings)
    judge = build_judge(recipe.judge.name, recipe.judge.settings, "judge", where.root)
    asked = [one.of_class for one in descriptions]
    verdicts = judge_descriptions(judge, asked, where.verdicts, digest=digest, earlier=earlier)
    write_disagreements(verdicts.items(), where.root)

    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    images = test_embeddings(recipe.dataset.source(), vlm)
    _check_labels(descriptions, images.class_names, where)
    settings = IntervalSettings(recipe.analysis.confidence, recipe.analysis.bootstrap_samples)
    names = ClassNames(images.class_names)
    controls = build_controls(recipe.analysis.controls, descriptions, names, seed) | files
    rearranged = _rearranged(recipe, descriptions, names, seed)
    arms = texts_by_arm(descriptions, verdicts, images.class_names)
    arms |= {arm: control.texts for arm, control in controls.items() if not control.further}
    averaged = {arm: control.every for arm, control in controls.items() if control.further}
    if rearranged:
        controls |= rearranged.controls()
    measured = Accuracy(
        vlm=shown_name(recipe.vlm.name, vlm),
        vlm_fingerprint=vlm.fingerprint(),
        dataset=recipe.dataset.name,
        split=recipe.dataset.test_split,
        images=len(images.labels),
        classes=len(images.class_names),
        **settings._asdict(),
        **accuracy(
            vlm,
            images,
            arms,
            settings,
            averaged=averaged,
            rearranged=rearranged,
            banks=text_banks(),
            draws=draws_by_arm(descriptions, verdicts),
            fixed=("templates", *files),
        )._asdict(),
        controls={arm: Control(control.name, control.note) for arm, control in controls.items()},
        reward_gain=reward_gain(descriptions, settings),
    )
    shares = Breakdown(
        judge=JudgeIdentity(judge.name, judge.exact, rubric_version(judge), digest),
        usage=usage(judge, verdicts),
        panel=panel_summary(verdicts.items()),
        denominator=recipe.analysis.denominator,
        confidence=settings.confidence,
        policies=breakdown(descriptions, verdicts, recipe.analysis.denominator, settings.confidence),
    )
    stored = arms | {arm: control.texts for arm, control in controls.items() if control.further}
    write_arm_texts(where, {arm: texts for arm, texts in stored.items() if arm != "templates"}, images.class_names)
    # In both files: a kill between the two must not pair new accuracies with old shares unnoticed.
    content = json.dumps([measured.to_json(), shares.to_json()], sort_keys=True)
    stamp = hashlib.sha256(content.encode()).hexdigest()[:16]
    write_json(where.accuracy, replace(measured, analysis_id=stamp).to_json())
    refresh_card(recipe, seed)  # the adapter's model card states the accuracy too
    write_json(where.breakdown, replace(shares, analysis_id=stamp).to_json())
    inputs = {
        "the VLM's weights": vlm.fingerprint(),
        TEST_IMAGES: images.images,
        SHOWN_IMAGES: shown_digest(recipe.dataset.source()),
        "descriptions": made_from,
        "the judge and its rubric": digest,
    }
    code = code_digest(recipe.judge.name, JUDGES)
    if code is not None:
        inputs["the code of judge.name"] = code
    complete(
        where.root,
        manifest_of("analyze", recipe, inputs),
        [where.accuracy, where.breakdown, where.verdicts, where.arm_texts],
    )
    result = SeedResult(seed, measured, shares, descriptions, verdicts, train)
    pooled = pool_seeds(recipe.name, [result])
    print_seed(replace(pooled, kl=kl_with_cut(pooled.kl, recipe)), PlainConsole())


def usage(judge: Judge, verdicts: Verdicts) -> JudgingCost | None:
    """Return the requests, tokens and money that all verdicts took, or None if their judge does not count them.

    Args:
        judge: The judge that gave the verdicts; it knows the prices.
        verdicts: The verdicts of one seed.
    """
    spent = verdicts.spent
    if spent is None:
        return None
    if isinstance(judge, PanelJudge):
        return JudgingCost(spent, judge.cost(spent, verdicts.parts), tuple(judge.usage(spent, verdicts.parts)))
    return JudgingCost(spent, judge.cost(spent) if isinstance(judge, EstimatesCost) else None)


def _rearranged(recipe: Recipe, descriptions: Sequence[Description], names: ClassNames, seed: int) -> Rearranged | None:
    asked = recipe.analysis.attribution
    if asked is None:
        return None
    return rearrange(
        descriptions,
        names,
        seed=seed,
        confidence=recipe.analysis.confidence,
        most_pool=asked.pool,
        most_encodings=asked.encodings,
    )


def _files(recipe: Recipe) -> dict[str, ControlArm]:
    files = recipe.analysis.description_files
    if not files:
        return {}
    return read_arms(files, load_dataset(recipe.dataset.source()).class_names, partial=recipe.analysis.partial_files)
