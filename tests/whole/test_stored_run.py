"""A run that an earlier version stored is read by this one, with the same numbers.

`data/stored_run/runs/stored` was written by commit ddbea95 (demo world, two seeds, 12 batches, two questions; with
attributes, phrases, labels and agreement, without weights); `tables` is what that commit's `ex2 tables` made of it.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from paths import DATA

from ex2.cli import main
from ex2.recipe_io import read_recipe, to_yaml
from ex2.run.provenance import start_run
from reward.errors import UserError

STORED = DATA / "stored_run"
TABLES = sorted(path.name for path in (STORED / "tables").iterdir())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    shutil.copytree(STORED / "runs/stored", tmp_path / "runs/stored")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    assert main(["tables", str(STORED / "runs/stored"), "--out", str(folder), "--format", "csv"]) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_table_is_there(tables: Path) -> None:
    assert len(TABLES) == 14
    assert sorted(path.name for path in tables.iterdir()) == TABLES


def test_it_may_be_continued_with_its_settings_by_either_name_and_not_with_others(runs: Path) -> None:
    recipe = read_recipe(runs / "stored/recipe.yaml", [f"output_dir={runs}"])
    today = runs / "today.yaml"
    today.write_text(to_yaml(recipe))
    assert recipe.rl.batches == 12
    assert "rl:\n  batches: 12\n" in today.read_text()
    again = shutil.copytree(runs / "stored", runs.parent / "again/stored")
    for path, words in ((runs / "stored/recipe.yaml", ()), (today, (f"output_dir={again.parent}",))):
        assert (start_run(read_recipe(path, [f"output_dir={runs}", *words])).root / "seed-0").is_dir()
    with pytest.raises(UserError) as caught:
        start_run(read_recipe(today, ["rl.batches=11", "rl.clip_range=0.1"]))
    assert str(caught.value).splitlines() == [
        f"{runs / 'stored/recipe.yaml'}: rl.batches: now 11, the run used 12.",
        f"{runs / 'stored/recipe.yaml'}: rl.clip_range: now 0.1, the run used {recipe.rl.clip_range}.",
        f"Go on with what was used (rl.batches=12 rl.clip_range={recipe.rl.clip_range}), or give this recipe another "
        "name (name=…) for a new run.",
    ]
    assert (start_run(read_recipe(today, ["rl.batches=13"])).root / "seed-0").is_dir()  # more batches may be added


def test_it_was_trained_without_what_later_versions_do_for_the_value_head(runs: Path) -> None:
    """Its recipe has none of these keys; a new recipe has them by default, and does not continue it unsaid."""
    stored = read_recipe(runs / "stored/recipe.yaml", [f"output_dir={runs}"])
    assert (stored.ppo.value_trunk, stored.ppo.value_init) == ("shared", "default")
    assert (stored.ppo.value_clip_unit, stored.ppo.value_learning_rate) == ("reward", "policy")
    given = runs / "given.yaml"
    text = to_yaml(stored)
    given.write_text("".join(line + "\n" for line in text.splitlines() if not line.startswith("  value_")))
    new = read_recipe(given)
    assert (new.ppo.value_trunk, new.ppo.value_init) == ("detached", "zero")
    with pytest.raises(UserError) as caught:
        start_run(new)
    settings = str(caught.value).partition("(")[2].partition(")")[0].split()
    assert settings == [
        "ppo.value_clip_unit=reward",
        "ppo.value_init=default",
        "ppo.value_learning_rate=policy",
        "ppo.value_trunk=shared",
    ]
    assert (start_run(read_recipe(given, settings)).root / "seed-0").is_dir()


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


FEW = "The experiment has fewer than 3 seeds: there the sentence is of this run's descriptions, not yet of the VLM."


def signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−") if round(points, 1) else "0.0"


def drawn(found: re.Match[str]) -> str:
    return found[0] + (": no conclusion" if 2 * int(found[1]) > int(found[2]) else "")


def mean_kl(batches: int) -> float:
    """Mean over the stored seeds of the KL in their last batches, read from the logs."""
    logs = [
        [json.loads(line)["kl"] for line in (STORED / f"runs/stored/seed-{seed}/train.jsonl").read_text().splitlines()]
        for seed in (0, 1)
    ]
    return sum(sum(log[-batches:]) / batches for log in logs) / 2


BY_TEMPLATE = {"spurious only": 10, "informative only": 1, "visual only": 7, "non-visual only": 11}
"""Classes without a text of a kind, in the seed with the most."""

NEAR = 1.0
"""Points within which the two kinds of interval over images agree on this run."""


def as_today(table: str, row: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What this version makes of a row of then: seven things are other ones, nothing else.

    The KL at the end of training was the mean of the last two of 12 batches, too few for any statement; today it is of
    the later half. It stands in the column `kl` and in words. Tables of attributes keep the KL that `attributes.json`
    holds. And the t-interval over two seeds went beyond what a difference of shares can be: the columns `low` and
    `high` of differences in points now end at −100 and 100. A difference that is not significant says which sizes are
    possible: from the least to the most of 0 and its intervals. A sentence over runs says how many have few seeds.
    The interval over images of a mean over seeds was a percentile bootstrap, which covers too little where few images
    differ; today's, in `now`, is near it. And where the plain template stands for most classes, a cell says that
    nothing follows from it. A run's table says of every kind for how many classes the template stands, and does not
    call a kind "only" that is mostly the template.
    """
    if row["column"] == "sentence":
        row = row | {"text": f"{row['text']} {FEW}"}
    if row.get("unit") == "points" and row["low"]:
        row = row | {"low": repr(max(float(row["low"]), -100.0)), "high": repr(min(float(row["high"]), 100.0))}
    for end in ("images_low", "images_high"):
        if row.get(end) and abs(float(row[end]) - float(now[end])) < NEAR:
            row = row | {end: now[end]}
    if table == "run-stored-accuracy.csv":
        count = BY_TEMPLATE.get(row["texts"])
        if count and row["unit"] in ("percent", "points"):
            row = row | {"notes": row["notes"].replace("KL 3.8", f"{count} of 16 classes by template; KL 3.8")}
        for name, own in (("spurious", 6), ("non-visual", 5)):
            row = row | {"texts": re.sub(rf"\b{name} only", f"{name}, {own} of 16 classes", row["texts"])}
    said, _, more = row["notes"].partition("; ")
    if said.startswith("no significant difference"):
        ends = [0.0, *(float(row[end]) for end in ("low", "high", "images_low", "images_high") if row[end])]
        possible = f"between {signed(min(ends))} and {signed(max(ends))}\u00a0points are possible"
        found = re.search(r"between (\S+) and (\S+)\u00a0points are possible", now["notes"])
        assert found, "the sizes that are possible are said"
        shown = [float(end.replace("−", "-")) for end in found.groups()]
        # Seeds and images together may widen it a little beyond the two intervals that are printed.
        if now["images_low"] and 0 <= min(ends) - shown[0] < NEAR and 0 <= shown[1] - max(ends) < NEAR:
            possible = found[0]
        row = row | {"notes": f"{said}: {possible}" + (f"; {more}" if more else "")}
    row = row | {"notes": re.sub(r"(\d+) of (\d+) classes by template", drawn, row["notes"])}
    if table.startswith("figure-04") or not row.get("kl"):
        return row
    assert float(row["kl"]) == pytest.approx(mean_kl(2), rel=1e-9)
    words = {"KL 3.8 on average": "KL 3.9 on average", "3.6 in seed 0": "3.8 in seed 0"}
    changed = row | {"kl": repr(mean_kl(6))}
    for column in ("notes", "text"):
        for then, now in words.items():
            changed[column] = changed[column].replace(then, now)
    return changed


@pytest.mark.parametrize("name", TABLES)
def test_its_numbers_are_those_of_then(name: str, tables: Path) -> None:
    now, stored = rows(tables / name), rows(STORED / "tables" / name)
    then = [as_today(name, row, today) for row, today in zip(stored, now, strict=True)]
    assert len(now) > 0
    for ours, theirs in zip(now, then, strict=True):
        assert list(ours) == list(theirs)
        for column, value in theirs.items():
            if (expected := number(value)) is None:
                assert ours[column] == value, column
            else:
                assert float(ours[column]) == pytest.approx(expected, rel=1e-9, abs=1e-12), column


def test_report_and_index_show_what_is_stored(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(runs / "stored/recipe.yaml")
    assert main(["report", recipe, f"output_dir={runs}"]) == 0
    page = (runs / "stored/report.html").read_text(encoding="utf-8")
    (share,) = (
        row
        for row in rows(STORED / "tables/run-stored-breakdown.csv")
        if (row["kind"], row["column"]) == ("visual", "aligned, of all")
    )
    assert main(["index", str(runs)]) == 0
    index = (runs / "index.html").read_text(encoding="utf-8")
    shown = f"{float(share['value']):.0f}\u00a0%"
    assert shown in page
    (gain,) = (row for row in rows(STORED / "tables/table-01-accuracy.csv") if row["descriptions"] == "EX2 − templates")
    assert f"{float(gain['value']):.1f}".replace("-", "−") in page
    assert f"{float(gain['value']):.1f}".replace("-", "−") in index
    for word in ("attributes", "seen from afar", "κ"):
        assert word in page
    assert capsys.readouterr().err == f"note: {runs / 'stored'}: made before manifests: not checked.\n"
