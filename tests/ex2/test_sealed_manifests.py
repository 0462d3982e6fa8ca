"""A manifest that was changed, or is of another seed, counts for nothing; a result and its manifest survive a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from ex2.recipe import Recipe
from ex2.run import sealed
from ex2.run.directory import SeedDirectory
from ex2.run.manifest import Manifest, begin, complete, path_of, read_manifest, write_manifest
from ex2.run.provenance import clash, start_run
from ex2.run.sealed import check_sealed, write_sealed
from ex2.run.training_log import read_train_log
from ex2.trainers.checkpoints import mark_complete, newest_checkpoint
from ex2.training.stage import _check_log
from reward.errors import UserError

TRAIN = Manifest(stage="train", complete=False, recipe={"lora.r": 2, "rl.batches": 3}, inputs={"images": "ab"})


def refused(folder: Path, stage: str) -> str:
    with pytest.raises(UserError) as error:
        read_manifest(folder, stage)
    return str(error.value)


def test_a_changed_manifest_is_no_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0"
    write_manifest(folder, TRAIN)
    path = path_of(folder, "train")
    path.write_text(path.read_text().replace('"lora.r": 2', '"lora.s": 2'))
    assert refused(folder, "train") == (
        f"{path}: its content is not what was written; put it back as it was, or move the seed's folder away and run "
        "`ex2 run RECIPE`."
    )


def test_a_manifest_counts_at_its_place_only(tmp_path: Path) -> None:
    write_manifest(tmp_path / "seed-1", TRAIN)
    (tmp_path / "seed-1").rename(tmp_path / "seed-0")
    assert refused(tmp_path / "seed-0", "train") == (
        f"{tmp_path}/seed-0/manifests/train.json: was written for seed-1/train, and this is seed-0/train; put back "
        "what was here, or move the seed's folder away and run `ex2 run RECIPE`."
    )
    (tmp_path / "seed-0").rename(tmp_path / "seed-1")
    path_of(tmp_path / "seed-1", "train").rename(path_of(tmp_path / "seed-1", "describe"))
    assert refused(tmp_path / "seed-1", "describe").endswith(
        "was written for seed-1/train, and this is seed-1/describe; put back what was here, or move descriptions.jsonl "
        "away and run `ex2 describe RECIPE`, then `ex2 analyze RECIPE`."
    )


def test_a_run_may_be_renamed(tmp_path: Path) -> None:
    write_sealed(tmp_path / "one/agreement.json", {"kappa": 1})
    (tmp_path / "one").rename(tmp_path / "two")
    check_sealed(tmp_path / "two/agreement.json", "run it again")


def test_an_identity_is_of_seed_recipe_and_inputs_and_stays_when_a_run_grows(tmp_path: Path) -> None:
    def identity(seed: int, recipe: dict[str, object], *, goes_on: bool = False) -> str:
        made = Manifest(stage="train", complete=False, recipe=recipe, inputs={"images": "ab"})
        return begin(tmp_path / f"seed-{seed}", made, has_output=goes_on, write=True).identity

    first = identity(0, {"lora.r": 2, "rl.batches": 3})
    assert identity(0, {"lora.r": 2, "rl.batches": 3}) == first
    assert identity(0, {"lora.r": 2, "rl.batches": 5}, goes_on=True) == first
    assert identity(0, {"lora.r": 2, "rl.batches": 5}) == first
    others = {identity(1, {"lora.r": 2, "rl.batches": 3}), identity(2, {"lora.r": 4, "rl.batches": 3})}
    assert len({first, *others}) == 3


@pytest.mark.parametrize("written", [True, False])
def test_a_kill_between_a_manifest_and_its_file_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    path, put = tmp_path / "cross.json", sealed.write_text
    write_sealed(path, {"rows": 1})
    old = path.read_text()

    def killed(where: Path, text: str) -> None:
        if written:
            put(where, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(sealed, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_sealed(path, {"rows": 2})
    assert ('"rows": 2' in path.read_text()) == written
    check_sealed(path, "run `ex2 cross` again")
    monkeypatch.undo()
    write_sealed(path, {"rows": 2})
    check_sealed(path, "run `ex2 cross` again")
    path.write_text(old)
    with pytest.raises(UserError, match=r"cross\.json: its content is not what cross wrote; run `ex2 cross` again\.$"):
        check_sealed(path, "run `ex2 cross` again")


def checkpoint(root: Path, step: int, **facts: object) -> Path:
    folder = root / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"abc")
    mark_complete(folder, {"global_step": step, **facts})
    return folder


def test_a_checkpoint_of_another_training_is_passed_over(tmp_path: Path) -> None:
    own, other = checkpoint(tmp_path, 2, identity="own"), checkpoint(tmp_path, 4, identity="other")
    said: list[str] = []
    assert newest_checkpoint(tmp_path, of="own", say=said.append) == own
    assert said == [f"{other}: passed over: is of another seed or run"]
    assert newest_checkpoint(tmp_path, of="other") == other
    assert newest_checkpoint(tmp_path) == other


def test_the_log_of_training_must_be_what_it_was_at_the_checkpoint(tmp_path: Path) -> None:
    where = SeedDirectory(tmp_path / "seed-0")
    sha = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"  # of a line feed after `a`
    newest = checkpoint(where.checkpoints, 2, log={"size": 2, "sha256": sha})
    where.train_log.write_text("a\n")
    _check_log(where, newest)
    where.train_log.write_text("a\nlater\n")
    _check_log(where, newest)
    remedy = f" until {newest}; put it back as it was, or move the seed's folder away and run `ex2 run RECIPE`."
    for content in ("b\nlater\n", "a", ""):
        where.train_log.write_text(content)
        with pytest.raises(UserError) as error:
            _check_log(where, newest)
        assert str(error.value) == f"{where.train_log}: its content is not what train wrote{remedy}"
    where.train_log.unlink()
    with pytest.raises(UserError) as error:
        _check_log(where, newest)
    assert str(error.value) == f"{where.train_log}: not found, but train wrote it{remedy}"
    _check_log(where, checkpoint(where.checkpoints, 4))  # of an earlier version


def test_the_log_of_training_is_what_train_left(tmp_path: Path) -> None:
    where = SeedDirectory(tmp_path / "seed-0")
    where.root.mkdir()
    where.train_log.write_text('{"batch": 1}\n{"batch": 2}\n')
    complete(where.root, TRAIN, [where.train_log])
    assert [row["batch"] for row in read_train_log(where)] == [1, 2]
    remedy = "move the seed's folder away and run `ex2 run RECIPE`."
    where.train_log.write_text('{"batch": 1}\n')
    with pytest.raises(UserError) as error:
        read_train_log(where)
    assert str(error.value) == f"{where.train_log}: its content is not what train wrote; {remedy}"
    where.train_log.unlink()
    with pytest.raises(UserError) as error:
        read_train_log(where)
    assert str(error.value) == f"{where.train_log}: not found, but train wrote it; {remedy}"
    write_manifest(where.root, TRAIN)  # training goes on: the log is checked at the checkpoint
    assert read_train_log(where) == []


def described_by(batch: int) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "made",
            "policy": {"model": "package:ex2/data/demo_policy"},
            "vlm": {"name": "demo-visual"},
            "dataset": {"name": "shapes", "reward_split": "train", "test_split": "test"},
            "judge": {"name": "scripted"},
            "describe": {"batch_size": batch},
        }
    )


def test_how_a_run_describes_may_change_until_one_seed_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, now = (described_by(size) for size in (4, 3))
    run = start_run(before)
    run.seed(1).root.mkdir()
    run.seed(1).train_log.write_text("")
    assert clash(now) is None
    run.seed(1).descriptions.write_text("")
    assert clash(now) == (
        "runs/made/recipe.yaml: describe.batch_size: now 3, the run used 4.\nGo on with what was used "
        "(describe.batch_size=4), or give this recipe another name (name=…) for a new run."
    )


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ("", "a recipe is a mapping of sections, this is a NoneType."),
        ("generation: {misring_end: 1.0}", "generation: unknown 'misring_end'."),
    ],
)
def test_a_damaged_recipe_of_a_run_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = described_by(4)
    run = start_run(recipe)
    whole = run.recipe.read_text()
    run.seed(1).root.mkdir()
    run.seed(1).train_log.write_text("")
    run.recipe.write_text(stored and whole.replace("generation:\n", "generation:\n  misring_end: 1.0\n"))
    with pytest.raises(UserError) as told:
        start_run(recipe)
    first, *_, last = str(told.value).split("\n")
    assert first.startswith(f"runs/made/recipe.yaml: {problem}")
    assert last == (
        "runs/made/recipe.yaml: if it was damaged, put it back, or delete it and run `ex2 run RECIPE`, which writes it "
        "again."
    )
    run.recipe.unlink()
    start_run(recipe)
    assert run.recipe.read_text() == whole
