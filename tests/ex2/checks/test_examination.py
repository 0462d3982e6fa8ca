"""What lies outside a recipe is looked at before anything runs: images, files, judge, folder; by every stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from judge_stub import Server, completion, starting
from paths import ROOT
from PIL import Image

from analysis.judge.readiness import judge_readiness
from ex2.checks.images import looks_whole, unreadable_images
from ex2.cli import main, stages
from ex2.data.datasets.base import ImageFile
from ex2.data.demo.shapes import Shapes
from ex2.run.directory import RunDirectory

serve = pytest.fixture(starting)
DEMO = str(ROOT / "recipes/demo/visual.yaml")
SERVED = "judge={name: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tiny.save_image_folder(tmp_path / "photos")


def folder(root: Path) -> list[str]:
    dataset = f"dataset={{name: folder, root: '{root}', reward_split: reward, test_split: test}}"
    return [dataset, "rl.batch_size=8", "rl.minibatch_size=8"]


def errors(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> list[str]:
    assert main(list(arguments)) == status
    said = [line for line in capsys.readouterr().err.splitlines() if "passed over: " not in line]
    return [line.removeprefix("ex2: ").removeprefix(f"{DEMO}: ") for line in said]


UNFIT = (
    "judge.name: 'scripted' knows the demo world only, and 4 of the dataset's 4 classes are not of it, such as "
    "'class 0'; choose another judge for this dataset."
)


@pytest.mark.parametrize("verb", ["validate", "train", "train --dry-run", "describe", "analyze", "run", "sweep"])
def test_every_stage_refuses_the_demos_judge_on_another_dataset_at_its_start(
    verb: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *flags = verb.split()
    given = [*folder(photos), f"output_dir={tmp_path / 'runs'}"]
    if name == "sweep":
        given = [word for one in given for word in ("--set", one)]
    assert errors(capsys, name, DEMO, *flags, *given) == [UNFIT]
    assert not (tmp_path / "runs").exists()


def test_problems_of_every_kind_come_at_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "test/class_1/0.png").write_bytes(b"no image")
    texts = photos / "texts.json"
    texts.write_text("[]")
    wrong = [*folder(photos), "lora.target_modules=[nope]", "training.report_to=[nope]", "prompts.style=chat"]
    more = [f"analysis.description_files={{'{texts}': cupl}}", "vlm.name=demo-visul"]
    found = errors(capsys, "validate", DEMO, *wrong, *more)
    assert [line.partition(":")[0] for line in found] == [
        "vlm.name",
        "training.report_to",
        "prompts.style",
        "lora.target_modules",
        "judge.name",
        str(photos / "test/class_1/0.png"),
        "analysis.description_files",
    ]
    assert "not a readable image" in found[5]
    assert found[6] == f"analysis.description_files: {texts}: a list; give an object of class → list of texts."


def test_a_plan_is_shown_with_what_this_machine_lacks(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = [*folder(photos / "gone"), "judge={name: openai, model: m, api_key_env: NO_SUCH_KEY}"]
    assert main(["train", DEMO, "--dry-run", *lacking]) == 0
    missing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing: ")]
    assert [line.partition(";")[0] for line in missing] == [
        f"missing: dataset.root: no folder '{photos / 'gone'}'. Give the folder that holds one folder per split, each "
        "with one folder per class.",
        "missing: judge: the environment variable NO_SUCH_KEY is not set",
    ]


def test_training_can_do_without_the_judges_key_and_says_so(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Describing ends for another reason, which comes after the checks: nothing is trained."""
    given = [*folder(photos), f"output_dir={tmp_path}", "judge={name: openai, model: m, api_key_env: NO_SUCH_KEY}"]
    found = errors(capsys, "describe", DEMO, *given)
    assert found[0].startswith(f"note: {DEMO}: judge: the environment variable NO_SUCH_KEY is not set; ")
    assert found[0].endswith(" The analysis will need it.")
    assert "no aligned adapter of seed 0" in found[1]
    (refused,) = errors(capsys, "analyze", DEMO, *given)
    assert refused.startswith("judge: the environment variable NO_SUCH_KEY is not set; ")


def test_a_folder_with_another_recipes_results_is_found_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"output_dir={tmp_path}"
    assert main(["validate", DEMO, where]) == 0
    resolved = capsys.readouterr().out
    run = RunDirectory(tmp_path / "demo-visual")
    run.seed(0).checkpoints.mkdir(parents=True)
    run.recipe.write_text(resolved)
    run.provenance.write_text("{}")
    assert main(["validate", DEMO, where]) == 0
    before = run.recipe.read_bytes()
    capsys.readouterr()
    assert errors(capsys, "validate", DEMO, where, "generation.temperature=0.5") == [
        f"{run.recipe}: generation.temperature: now 0.5, the run used 1.0.",
        "Go on with what was used (generation.temperature=1.0), or give this recipe another name (name=…) for a new "
        "run.",
    ]
    assert run.recipe.read_bytes() == before


def test_validate_tells_what_it_looked_at_and_what_it_could_not(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", DEMO, *folder(photos), SERVED, "policy.model=nobody/nothing"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"# {DEMO}: valid",
        "# checked: keys, types and ranges; names; settings of every component; 20 images; the run's folder; the judge",
        "# not checked: policy.model: the tokenizer of nobody/nothing (chat template, length of the prompts); "
        "policy.model: nobody/nothing is not in the local cache (LoRA targets, positions, memory); judge: whether "
        "http://127.0.0.1:9/v1 answers (ex2 validate --online asks it)",
    ]


def test_online_asks_whether_the_judges_server_is_there(
    serve: Callable[..., Server], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (refused,) = errors(capsys, "validate", DEMO, "--online", *folder(photos), SERVED)
    assert refused.startswith("judge http://127.0.0.1:9/v1: cannot be reached (")
    server = serve(lambda body, number: completion("yes"))
    there = f"judge={{name: openai, model: m, base_url: '{server.url}'}}"
    assert main(["validate", DEMO, "--online", *folder(photos), there]) == 0
    assert "answers" not in capsys.readouterr().out


def test_every_judge_of_a_panel_is_looked_at() -> None:
    judges = [{"name": "scripted"}, {"name": "openai", "model": "m", "api_key_env": "NO_SUCH_KEY"}]
    found = judge_readiness("panel", {"judges": [*judges, {"name": "local", "model": "./gone"}]}, ["tench", "hen"])
    assert [line.partition(";")[0] for line in found.lacking] == [
        "judge.judges[1]: the environment variable NO_SUCH_KEY is not set",
        "judge.judges[2].model: no folder './gone'",
    ]
    assert found.wrong == [
        "judge.judges[0].name: 'scripted' knows the demo world only, and 2 of the dataset's 2 classes are not of it, "
        "such as 'tench'; choose another judge for this dataset."
    ]


def test_a_local_judge_without_tokens_for_its_answers_is_told_before_training() -> None:
    found = judge_readiness("local", {"model": "package:ex2/data/demo_policy"}, None)
    assert found.lacking == ["judge.model: its tokenizer has no single token for 'Yes'; use another model."]
    assert found.unchecked == []
    unknown = judge_readiness("local", {"model": "some/where"}, None)
    assert (unknown.lacking, unknown.unchecked) == (
        [],
        ["judge: whether the tokenizer of 'some/where' has tokens for yes and no"],
    )


def test_headers_and_endings_tell_a_whole_file(tmp_path: Path) -> None:
    """Noise of 40 × 48 points is a file of some thousand bytes: without its last third it has no ending."""
    root = tiny.save_image_folder(tmp_path / "p", classes=1, reward=1, test=1)
    with Image.open(root / "test/class_0/0.png") as picture:
        for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
            picture.save(tmp_path / f"whole.{suffix}")
    padded = tmp_path / "padded.jpg"
    padded.write_bytes((tmp_path / "whole.jpg").read_bytes() + b"\0" * 10)
    assert [looks_whole(tmp_path / f"whole.{suffix}") for suffix in ("png", "jpg", "gif")] == [True] * 3
    assert looks_whole(padded)
    for suffix in ("bmp", "tif", "webp"):
        assert unreadable_images([ImageFile(tmp_path / f"whole.{suffix}", 0)]) == [], "decoded, since in doubt"
    for suffix in ("png", "jpg", "bmp", "tif"):
        cut = tmp_path / f"cut.{suffix}"
        content = (tmp_path / f"whole.{suffix}").read_bytes()
        cut.write_bytes(content[: len(content) * 2 // 3])
        (problem,) = unreadable_images([ImageFile(cut, 0)])
        assert problem.startswith(f"{cut}: not a readable image (")


def test_a_few_unreadable_images_are_named_and_the_others_counted(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.png" for index in range(13)]
    for file in files:
        file.write_bytes(b"")
    problems = unreadable_images([ImageFile(file, 0) for file in files])
    assert len(problems) == 11
    assert problems[9].startswith(f"{files[9]}: not a readable image")
    assert problems[10] == "and 3 more images that cannot be read"


def test_images_that_are_no_files_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Shapes(images_per_class=4).images("test")
    opened: list[str] = []
    kind = type(drawn[0])
    monkeypatch.setattr(kind, "open", lambda self: opened.append(self.name))
    assert unreadable_images(drawn) == []
    assert 16 <= len(opened) < 32 < len(drawn)


def test_the_checks_that_the_command_line_names_exist() -> None:
    checks = stages.analysis_checks()
    assert checks.judge is judge_readiness
    assert json.dumps(sorted(checks.judges)) == '["local", "openai", "panel", "scripted"]'
    assert checks.files.__name__ == "read_arms"
