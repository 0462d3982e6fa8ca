"""A report with everything that a page can show, for tests in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from labeled_runs import give, session_of
from pages import against, arm
from PIL import Image
from record_samples import not_exact, with_arms
from run_samples import write_run

from analysis.accuracy.record import Control, read_accuracy
from analysis.agreement.command import agreement
from analysis.agreement.labels import read_run
from analysis.judge.base import Usage
from analysis.judge.panel import PanelVotes
from analysis.report.page import write_report
from analysis.statistics.paired import paired_accuracy
from analysis.verdicts.record import JudgingCost, read_breakdown
from ex2.data.demo.shapes import Shapes
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import write_json

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> {{ 7 * 7 }} "
    "{% raw %} ${7*7} &lt;b&gt; <!-- \u2028"
)


KINDS = {"visual": 61, "non_visual": 20, "spurious": 37, "unparsed": 1, "informative_unparsed": 1}
"""Of 120 aligned descriptions; as many base ones are spurious."""


def full_report(root: Path) -> Path:
    """A run with everything on its page: unparsed answers, controls, labels, images, a hostile description."""
    folder = write_run(root, "full", kinds=KINDS, texts={0: HOSTILE}, correct={"visual": 158, "non_visual": 141})  # type: ignore[arg-type]
    where = RunDirectory(folder).seed(0)
    controls = {
        "class_name": Control("class name alone", "one text a class: its name"),
        "cupl.json": Control("<b>cupl</b>", "a file's <i>descriptions</i>"),
    }
    measured = with_arms(read_accuracy(where.accuracy), {}, (), controls)
    for name, correct in (("class_name", 120), ("cupl.json", 165)):
        measured = with_arms(measured, {name: arm(correct)})
        for other, right in (("templates", 140), ("aligned", 160)):
            pair = [[index < count for index in range(200)] for count in (correct, right)]
            found = paired_accuracy(*pair)
            measured = with_arms(measured, {}, [against(name, other, found.difference, found.p)])
    write_json(where.accuracy, measured.to_json())
    votes = {"one": {"yes": 90, "no": 110, "unparsed": 0}, "two": {"yes": 80, "no": 115, "unparsed": 5}}
    shares = replace(
        not_exact(read_breakdown(where.breakdown)),
        usage=JudgingCost(Usage(1234, 99000, 4321), 0.125),
        panel={"informative": PanelVotes(200, 180, 3, votes)},
    )
    write_json(where.breakdown, shares.to_json())
    session = session_of(folder, n=40)
    while ask := session.state()["ask"]:
        yes = ask["question"] == "informative" and " spurious" not in ask["description"]
        give(session, "yes" if yes or ask["description"].endswith(" visual") else "no")
    write_json(folder / "agreement.json", agreement([read_run(folder, None)])[0].to_json())
    recipe = read_recipe(folder / "recipe.yaml", ["dataset.name=full_report.PugAndOak"])
    return write_report(recipe)


class PugAndOak:
    """The run's classes, with the demo world's first two as images; one of these cannot be read."""

    class_names, splits = ("pug", "oak"), ("train", "test")

    def images(self, split: str) -> list[Any]:
        drawn = [image for image in Shapes(images_per_class=3).images(split) if image.label < 2]
        return [Unreadable() if index == 0 else image for index, image in enumerate(drawn)]


class Unreadable(NamedTuple):
    label: int = 0
    name: str = "torn.jpg"

    def open(self) -> Image.Image:
        raise UserError("torn.jpg: cannot be read")

    def digest(self) -> str:
        return "torn"
