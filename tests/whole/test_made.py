"""What made an output is written beside it, and whoever goes on with it, or reads it, compares first."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import JUDGE, Base, make
from PIL import Image

from analysis.analyze import analyze
from analysis.report.page import write_report
from ex2 import runtime
from ex2.cli.main import main
from ex2.describe import describe
from ex2.run.directory import SeedDirectory
from ex2.run.lock import writing_stage
from ex2.run.manifest import DEPENDS, MAY_CHANGE, flat, path_of, read_manifest, write_manifest
from ex2.run.provenance import start_run
from ex2.training.stage import train
from reward.errors import EnvironmentFault, UserError
from reward.files import read_jsonl


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made-cache")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, mistral: Path, clip: Path, image_folder: Path, cache: Path
) -> Iterator[Base]:
    with pytest.MonkeyPatch.context() as patch:
        base = make(tmp_path_factory.mktemp("made"), mistral, clip, image_folder, batches=1)
        patch.setenv("EX2_CACHE", str(cache))
        patch.syspath_prepend(str(base.folder))
        start_run(base.read())
        train(base.read(), 0)
        describe(base.read(), 0)
        analyze(base.read(), 0)
        yield base


@pytest.fixture
def base(finished: Base, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """A copy of the finished run under the same paths, so that recipe and folder may be changed."""
    monkeypatch.setenv("EX2_CACHE", str(cache))
    kept = tmp_path / "kept"
    shutil.copytree(finished.folder, kept)
    monkeypatch.setattr(runtime, "_nothing", None, raising=False)
    runtime.tell_once.cache_clear()
    copy = Base(kept, kept / "made.yaml")
    for path in (copy.recipe, copy.run.recipe):
        path.write_text(path.read_text().replace(f"{finished.folder}/runs", f"{kept}/runs"))
    return copy


def half_described(base: Base) -> None:
    """Leave what a kill in the middle of describing leaves: four of 16 rows."""
    lines = base.seed.descriptions.read_text().splitlines(keepends=True)
    base.seed.descriptions.write_text("".join(lines[:4]))
    manifest = read_manifest(base.seed.root, "describe")
    assert manifest is not None
    write_manifest(base.seed.root, replace(manifest, complete=False, files={}))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }


def test_a_manifest_holds_recipe_inputs_and_hashes_of_files(base: Base) -> None:
    stored = {stage: json.loads(path_of(base.seed.root, stage).read_text()) for stage in DEPENDS if stage != "the run"}
    outputs = {
        "train": ["adapter/training.json", "train.jsonl"],
        "describe": ["descriptions.jsonl"],
        "analyze": ["accuracy.json", "arm_texts.jsonl", "breakdown.json", "verdicts.jsonl"],
    }
    for stage, names in outputs.items():
        assert stored[stage]["complete"] is True
        assert sorted(stored[stage]["files"]) == names
        for name in names:
            content = (base.seed.root / name).read_bytes()
            state = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            assert stored[stage]["files"][name] == state
    assert stored["describe"]["recipe"]["generation.temperature"] == 1.0
    assert "rl.batches" not in stored["describe"]["recipe"]
    assert stored["analyze"]["used"]["analysis.bootstrap_samples"] == 50
    assert sorted(stored["train"]["inputs"]) == [
        "policy.model's files",
        "the VLM's weights",
        "the code of reward.name",
        "the images that feed the reward",
    ]


def test_every_key_of_a_recipe_is_depended_on_or_may_change(base: Base) -> None:
    known = (*DEPENDS["train"], *DEPENDS["describe"], *MAY_CHANGE)
    unknown = [key for key in flat(base.read().model_dump(mode="json")) if not key.startswith(known)]
    assert unknown == []


CHANGES = {
    "vlm.context_length": (41, 40),
    "reward.price": (0.5, 0.25),
    "dataset.images_per_class": (2, 256),
    "generation.temperature": (0.7, 1.0),
    "generation.max_new_tokens": (7, 6),
    "prompts.questions": ("[0]", "[0, 1]"),
    "policy.dtype": ("bfloat16", "float32"),
    "lora.r": (3, 2),
}


@pytest.mark.parametrize("key", CHANGES)
@pytest.mark.parametrize("stage", ["train", "describe", "analyze", "report"])
def test_a_later_stage_refuses_another_recipe(base: Base, key: str, stage: str) -> None:
    now, had = CHANGES[key]
    if stage == "describe":
        half_described(base)
    before = snapshot(base.run.root)
    stages = {
        "train": train,
        "describe": describe,
        "analyze": analyze,
        "report": lambda recipe, _: write_report(recipe),
    }
    with pytest.raises(UserError) as caught:
        stages[stage](base.read(f"{key}={now}"), 0)
    told = f'{key}="{had}"' if " " in str(had) else f"{key}={had}"
    assert str(caught.value).splitlines() == [
        f"{base.seed.root}: {key}: now {now}, train used {had}.",
        f"Go on with what was used ({told.replace(chr(34), chr(39)) if ' ' not in told else _quoted(key, had)}), or "
        "give this recipe another name (name=…) for a new run.",
    ]
    assert snapshot(base.run.root) == before


def _quoted(key: str, had: object) -> str:
    return f"'{key}={had}'"


def test_describe_refuses_its_own_keys(base: Base) -> None:
    half_described(base)
    with pytest.raises(UserError, match=r"seed-0: describe\.batch_size: now 3, describe used 4\.\nGo on with what was"):
        describe(base.read("describe.batch_size=3"), 0)


def test_what_may_change_does(base: Base) -> None:
    recipe = base.read("threads=2", "analysis.confidence=0.9", "training.save_every=2", "rl.micro_batch_size=2")
    train(recipe, 0)
    describe(recipe, 0)
    analyze(recipe, 0)
    manifest = read_manifest(base.seed.root, "analyze")
    assert manifest is not None
    assert (manifest.used["threads"], manifest.used["analysis.confidence"]) == (2, 0.9)
    told = "train used threads=1; train used rl.micro_batch_size=null; train used training.save_every=1; train used ana"
    page = write_report(recipe).read_text(encoding="utf-8")
    assert "not as this recipe says, seed 0" in page
    assert told in page
    assert "analyze used" not in page
    page = write_report(base.read("threads=2", "judge.name=scripted")).read_text(encoding="utf-8")
    assert "analyze used judge.name=made_judge.Even; analyze used analysis.confidence=0.9" in page


def test_more_descriptions_are_added_to_those_that_are_there(base: Base) -> None:
    before = base.seed.descriptions.read_text()
    describe(base.read("describe.per_question=2"), 0)
    after = base.seed.descriptions.read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 2 * len(before.splitlines()) == 32
    with pytest.raises(
        UserError, match=r"accuracy\.json: made from other descriptions than are there now; run `ex2 an"
    ):
        write_report(base.read("describe.per_question=2"))
    with pytest.raises(UserError, match=r"describe\.per_question: now 1, describe used 2\."):
        describe(base.read(), 0)


def test_images_that_changed_meanwhile_are_noticed(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    half_described(base)
    image = sorted((base.folder / "images/reward").rglob("*.png"))[0]
    moved = base.read(f"dataset.root={base.folder / 'images'}")
    monkeypatch.setattr("ex2.run.manifest.MAY_CHANGE", (*MAY_CHANGE, "dataset.root"))  # the copy is elsewhere
    Image.new("RGB", (32, 32), "white").save(image)
    with pytest.raises(
        UserError, match=r"the images that feed the reward: now \w{16}, train used \w{16}\.\nGo on with"
    ):
        describe(moved, 0)


@pytest.mark.parametrize("name", ["made_reward", "made_words"])  # the module, and one that it imports
def test_code_that_changed_meanwhile_is_noticed(
    base: Base, finished: Base, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_described(base)
    path = finished.folder / f"{name}.py"
    text = path.read_text()
    try:
        path.write_text(text + "\n# another\n")
        with pytest.raises(UserError, match=r"the code of reward\.name: now \w{16}, train used \w{16}\."):
            describe(base.read(), 0)
    finally:
        path.write_text(text)


def test_a_changed_judge_is_asked_anew(base: Base, finished: Base) -> None:
    asked = len(read_jsonl(base.seed.verdicts))
    analyze(base.read(), 0)
    assert len(read_jsonl(base.seed.verdicts)) == asked
    path = finished.folder / "made_judge.py"
    try:
        path.write_text(JUDGE + "\n# another\n")
        analyze(base.read(), 0)
    finally:
        path.write_text(JUDGE)
    assert len(read_jsonl(base.seed.verdicts)) == 2 * asked


@pytest.mark.parametrize("name", ["descriptions.jsonl", "accuracy.json", "breakdown.json", "verdicts.jsonl"])
def test_a_file_that_is_not_what_its_stage_wrote_is_not_read(
    base: Base, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = base.seed.root / name
    content = path.read_text()
    path.write_text(content.replace("1", "2", 1))
    stage = "describe" if name == "descriptions.jsonl" else "analyze"
    with pytest.raises(UserError, match=rf"{name}: its content is not what {stage} wrote; "):
        write_report(base.read())
    assert main(["tables", str(base.run.root), "--out", str(base.folder / "tables")]) == UserError.exit_code
    assert f"{name}: its content is not what {stage} wrote; " in capsys.readouterr().err
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}: not found, but {stage} wrote it; "):
        write_report(base.read())


def test_the_reports_versions_are_those_that_were_written(base: Base) -> None:
    start_run(base.read())
    path = base.run.provenance
    path.write_text(path.read_text().replace("3.", "2.", 1))
    with pytest.raises(UserError, match=r"provenance\.json: its content is not what run wrote; put it back as"):
        write_report(base.read())
    path.unlink()
    with pytest.raises(UserError, match=r"provenance\.json: not found"):
        write_report(base.read())


def test_half_described_is_not_analyzed(base: Base) -> None:
    half_described(base)
    with pytest.raises(UserError, match=r"seed-0: describe has not finished; run `ex2 describe RECIPE`"):
        analyze(base.read(), 0)
    describe(base.read(), 0)
    assert len(read_jsonl(base.seed.descriptions)) == 16


def test_without_manifests_one_line_says_that_nothing_was_checked(
    base: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(base.seed.root / "manifests")
    write_report(base.read())
    assert capsys.readouterr().err == f"note: {base.run.root}: made before manifests: not checked.\n"


def test_what_a_kill_before_the_manifests_end_leaves_is_finished(base: Base) -> None:
    stored = {stage: path_of(base.seed.root, stage).read_text() for stage in ("train", "describe")}
    for stage in stored:
        manifest = read_manifest(base.seed.root, stage)
        assert manifest is not None
        write_manifest(base.seed.root, replace(manifest, complete=False, files={}))
    train(base.read(), 0)
    describe(base.read(), 0)
    assert {stage: path_of(base.seed.root, stage).read_text() for stage in stored} == stored


def test_a_damaged_adapter_is_neither_described_with_nor_taken_for_done(base: Base) -> None:
    path = base.seed.adapter / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    half_described(base)
    for stage in (train, describe):
        with pytest.raises(UserError, match=r"adapter/adapter_model\.safetensors"):
            stage(base.read(), 0)


def test_a_second_writer_is_refused(base: Base) -> None:
    half_described(base)
    recipe = base.read()
    for stage, call in (("describe", describe), ("analyze", analyze)):
        with (
            writing_stage(base.seed.root, stage),
            pytest.raises(
                EnvironmentFault, match=rf"seed-0: another process \(process \d+ on .+\) is at the stage '{stage}"
            ),
        ):
            call(recipe, 0)
        call(recipe, 0)
    assert len(read_jsonl(base.seed.descriptions)) == 16


def test_a_run_with_more_batches_is_the_longer_run(
    base: Base, tmp_path: Path, mistral: Path, clip: Path, image_folder: Path, finished: Base
) -> None:
    longer = base.read("rl.batches=3")
    start_run(longer)
    train(longer, 0)
    whole = make(tmp_path / "whole", mistral, clip, image_folder, batches=3)
    train(whole.read(), 0)
    for name in ("adapter_model.safetensors", "value_head.safetensors"):
        assert (base.seed.adapter / name).read_bytes() == (whole.seed.adapter / name).read_bytes()
        first = (finished.seed.adapter / name).read_bytes()
        assert (base.seed.root / "adapter.batch-1" / name).read_bytes() == first
        assert (base.seed.adapter / name).read_bytes() != first
    assert _metrics(base.seed) == _metrics(whole.seed)
    with pytest.raises(UserError, match=r"descriptions\.jsonl: made with another adapter than .* is now; move it away"):
        describe(longer, 0)
    with pytest.raises(UserError, match=r"rl\.batches: now 2, train used 3\."):
        train(base.read("rl.batches=2"), 0)


def test_a_damaged_adapter_is_not_taken_for_another(base: Base, capsys: pytest.CaptureFixture[str]) -> None:
    done = base.seed.adapter / "training.json"
    done.write_text(done.read_text().replace("batches", "ba7ches", 1))
    assert main(["report", str(base.recipe)]) == 2
    said = capsys.readouterr().err
    assert f"{done}: its content is not what train wrote; move the seed's folder away and run `ex2 run" in said
    assert "descriptions.jsonl" not in said


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_a_longer_run_over_descriptions_ends_before_it_trains(
    base: Base, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = base.seed.train_log.read_bytes()
    assert main([verb, str(base.recipe), "rl.batches=3"]) == 2
    said = capsys.readouterr().err
    assert f"{base.seed.descriptions}: is of the policy after rl.batches=1, now 3; move it away to describe" in said
    assert base.seed.train_log.read_bytes() == before
    base.seed.descriptions.rename(base.folder / "away.jsonl")
    assert main(["validate", str(base.recipe), "rl.batches=3"]) == 0


def _metrics(where: SeedDirectory) -> list[dict[str, Any]]:
    varying = ("seconds", "per_second", "memory")
    return [{k: v for k, v in row.items() if not any(w in k for w in varying)} for row in read_jsonl(where.train_log)]


def test_tables_are_of_the_stored_recipe(base: Base) -> None:
    base.run.recipe.write_text(base.run.recipe.read_text().replace("temperature: 1.0", "temperature: 0.5"))
    assert main(["tables", str(base.run.root), "--out", str(base.folder / "tables")]) == UserError.exit_code
