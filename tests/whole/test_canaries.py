"""Secrets planted wherever a user may have one: none is written or printed by any command."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_stub import NO, YES, completion, described, starting
from paths import DATA

from analysis.judge.server.client import OpenAIJudge
from analysis.verdicts.asking import judge_descriptions
from ex2.cli import main
from ex2.recipe_io import read_stored_recipe
from ex2.run.card import stored_card
from ex2.run.descriptions import DescribedClass
from ex2.run.directory import RunDirectory
from ex2.run.provenance import provenance
from reward.files import write_json

CANARY = "CANARY"
VERBS = ("validate", "train", "describe", "analyze", "report", "run", "sweep")
JUDGE = "name: openai, model: m"

IN_SETTINGS = {
    "user": 'judge={name: openai, model: m, base_url: "http://me:CANARY01@127.0.0.1:9/v1"}',
    "query": 'judge={name: openai, model: m, base_url: "http://127.0.0.1:9/v1?Sig%6Eature=CANARY02"}',
    "fragment": 'judge={name: openai, model: m, base_url: "http://127.0.0.1:9/v1#access_token=CANARY03"}',
    "key": "judge={name: openai, model: m, api_key: CANARY04}",
    "in place of a name": "judge={name: openai, model: m, api_key_env: sk-CANARY05-0123456789}",
    "panel": 'judge={name: panel, judges: [{name: openai, model: m, base_url: "CANARY06:CANARY06@host"}]}',
    "headers": "judge={name: openai, model: m, extra_body: {headers: {Authorization: Bearer CANARY07}}}",
    "own reward": "reward={name: my.Reward, db_password: CANARY08}",
    "hub": "policy.model=https://me:CANARY09@hub.example/model",
    "broken": "judge.api_key=[CANARY10",
}
IN_ENVIRONMENT = {
    "JUDGE_LOGIN": "CANARY11.of.the.judge",
    "OPENAI_API_KEY": "sk-CANARY12-0123456789",
    "HF_TOKEN": "hf_CANARY13aaaaaaaaaaa",
    "HTTPS_PROXY": "http://me:CANARY14@127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}
STORED_BEFORE = {"recipe.yaml": "CANARY15", "provenance.json": "CANARY16"}
"""What earlier versions have written into runs."""


@pytest.fixture
def serve() -> Iterator[Any]:
    yield from starting()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "stored_run/runs/stored", tmp_path / "runs/stored")
    return tmp_path / "runs"


def found(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files if text.encode() in path.read_bytes())


@pytest.mark.parametrize("place", IN_SETTINGS)
def test_a_secret_in_a_recipe_ends_every_command_before_it_writes(
    runs: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = str(runs / "stored/recipe.yaml")
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    for verb in VERBS:
        words = ["--set", IN_SETTINGS[place]] if verb == "sweep" else [IN_SETTINGS[place]]
        assert main([verb, recipe, *words]) == 2, verb
    said = capsys.readouterr()
    assert said.err.count("(not shown)") == (0 if place == "broken" else len(VERBS))
    assert CANARY not in said.out + said.err
    assert found(runs.parent, CANARY) == []
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_secrets_in_the_environment_stay_there(
    runs: Path, serve: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    repeated = json.dumps({"error": {"message": IN_ENVIRONMENT["JUDGE_LOGIN"], "code": "content_filter"}})

    def answer(body: dict[str, Any], number: int) -> Any:
        return (400, {}, repeated) if described(body) == "text 4" else completion(YES if number % 2 else NO)

    server = serve(answer)
    asking = OpenAIJudge("m", f"{server.url}?api-version=2024-06-01", "JUDGE_LOGIN", folder=runs / "stored/seed-0")
    rows = [DescribedClass("oak", f"text {number}") for number in range(10)]
    judge_descriptions(asking, rows, runs / "stored/seed-0/another.jsonl", digest="d")
    judge = f'judge={{{JUDGE}, base_url: "{server.url}?api-version=2024-06-01", api_key_env: JUDGE_LOGIN}}'
    recipe = [str(runs / "stored/recipe.yaml"), f"output_dir={runs}", judge]
    monkeypatch.setattr(sys, "argv", ["ex2", "run", *recipe, "judge.api_key=CANARY04"])
    write_json(runs / "stored/provenance.json", provenance())
    for words in (
        ["validate", *recipe, "--recipe-only"],
        ["report", *recipe],
        ["index", str(runs)],
    ):
        assert main(words) == 0, (words, capsys.readouterr().err[-2000:])
    assert len(server.asked) >= 15
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert found(runs.parent, CANARY) == []
    assert "stored/report.html" in found(runs, "api-version=2024-06-01"), "what is no secret is shown"
    assert found(runs, "content filter: ***") == ["stored/seed-0/another.jsonl"]


def test_what_earlier_versions_stored_is_not_repeated(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    run = RunDirectory(runs / "stored")
    plain = run.recipe.read_text()
    url = f"http://me:{STORED_BEFORE['recipe.yaml']}@127.0.0.1:9/v1"
    start, _, rest = plain.partition("judge:\n")
    with_secret = f"{start}judge:\n  base_url: {url}\n{rest}"
    run.recipe.write_text(with_secret)
    secret = STORED_BEFORE["provenance.json"]
    write_json(run.provenance, {"command": f"ex2 run r.yaml judge.base_url={url}?key={secret}"})
    out = runs.parent / "out"
    assert main(["tables", str(runs), "--out", str(out), "--format", "csv,json,latex"]) == 0
    assert main(["index", str(runs)]) == 0
    adapter = run.seed(0).adapter
    write_json(adapter / "training.json", {"batches": 12, "kl": 1.0, "kl_coef": 0.2})
    (out / "card.md").write_text(stored_card(read_stored_recipe(run.recipe), 0, run.seed(0)))
    assert "base_url: http://***@127.0.0.1:9/v1" in (out / "card.md").read_text()
    assert main(["report", str(run.recipe)]) == 2
    assert "judge.base_url: holds a user name or a password" in capsys.readouterr().err
    run.recipe.write_text(plain)
    assert main(["report", str(run.recipe), f"output_dir={runs}"]) == 0
    assert "ex2 run r.yaml judge.base_url=http://***@127.0.0.1:9/v1?key=***" in run.report.read_text()
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert found(runs.parent, CANARY) == ["runs/stored/provenance.json"]
