"""What verbs leave as files, and what they say where a machine cannot draw PNG."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest
from attributed_runs import write_attributed
from described_runs import write_described
from markupsafe import Markup
from run_samples import write_run

import analysis.paper.command
from analysis.figures import svg
from analysis.tables.files import write_everything
from analysis.tables.table import Cell, Row, Table
from ex2.cli import main
from ex2.cli.options import parser
from ex2.data.demo.world import SENTENCES
from reward.errors import UserError

TABLE = Table("t", "Title", ("row",), ("column",), (Row(("r",), (Cell("count", 1.0),)),))
NO_PACKAGE = "figures as PNG: the package resvg-py is missing; pip install resvg-py"


def drawing(word: str = "word") -> Markup:
    return svg.document(20, 20, [svg.text(0, 10, word, "small")], title="t", description="d", key="k")


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)


def test_everything_is_written_where_all_can_be(tmp_path: Path) -> None:
    written = write_everything([TABLE], {"d": drawing()}, tmp_path)
    assert written == (["t.csv", "t.json", "t.tex", "d.svg", "d.png"], "")
    assert {path.name for path in tmp_path.iterdir()} == set(written.names)


def test_without_the_package_png_is_a_note_unless_it_is_named(no_package: None, tmp_path: Path) -> None:
    written = write_everything([TABLE], {"d": drawing()}, tmp_path)
    assert written.names == ["t.csv", "t.json", "t.tex", "d.svg"]
    assert written.lacking.startswith(NO_PACKAGE)
    with pytest.raises(UserError, match=NO_PACKAGE):
        write_everything([TABLE], {"d": drawing()}, tmp_path / "named", ["png", "csv", "svg"])
    assert {path.name for path in (tmp_path / "named").iterdir()} == {"t.csv", "d.svg"}, "all else is written"
    assert write_everything([TABLE], {}, tmp_path).lacking == "", "there is nothing to draw"


@pytest.mark.parametrize(
    ("formats", "lacking"),
    [
        (None, "figures as PNG: characters that Liberation Sans does not have: 蘭 🌺. The SVG files hold them."),
        (["png"], "figures as PNG: characters that Liberation Sans does not have: 蘭 🌺. The SVG files hold them."),
        (["svg"], ""),
    ],
)
def test_characters_that_the_font_lacks_are_named(formats: list[str] | None, lacking: str, tmp_path: Path) -> None:
    drawings = {"one": drawing("蘭 é"), "two": drawing("🌺蘭")}
    written = write_everything([], drawings, tmp_path, formats)
    assert written.lacking == lacking
    assert {path.suffix for path in tmp_path.iterdir()} == {f".{name}" for name in formats or ("svg", "png")}
    assert {"one.svg", "two.svg"} <= set(written.names) or formats == ["png"]


def test_attributes_and_probe_end_well_without_the_package(
    no_package: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attributed = write_attributed(tmp_path / "attributed", "one", {0: SENTENCES["visual"][:2]})
    described = write_described(tmp_path, monkeypatch)[0]
    for verb, folder, stem in (
        ("attributes", attributed, "figure-04-attributes"),
        ("phrases", described, "table-07-hypotheses"),
    ):
        assert main([verb, str(folder)]) == 0
        said = capsys.readouterr().out
        assert f"left out: {NO_PACKAGE}" in said
        assert f"written: {folder}: {verb}.json, {stem}.csv" in said
        assert f"{stem}.svg" in said
        assert f"{stem}.png" not in said
        assert (folder / f"{stem}.svg").exists()
        assert not (folder / f"{stem}.png").exists()


def table_options(runs: Path, out: Path, *more: str, formats: str | None = None) -> Namespace:
    options = parser().parse_args(["tables", str(runs), "--out", str(out), *more])
    options.formats = formats
    return options


def test_tables_end_well_without_the_package_unless_png_is_named(
    no_package: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs", "clip")
    assert analysis.paper.command.main(table_options(tmp_path / "runs", tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert f"tables: left out: {NO_PACKAGE}" in said
    assert f"files in {tmp_path / 'out'}" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"figure-grid.svg", "table-01-accuracy.csv", "table-01-accuracy.json", "table-01-accuracy.tex"} <= names
    assert not any(name.endswith(".png") for name in names)
    with pytest.raises(UserError, match=NO_PACKAGE):
        analysis.paper.command.main(table_options(tmp_path / "runs", tmp_path / "named", formats="csv,png"))
    assert (tmp_path / "named" / "table-01-accuracy.csv").exists()


def test_drawings_are_given_the_tolerance_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    for name in ("attribute_drawings", "phrases_drawings"):
        monkeypatch.setattr(
            analysis.paper.command, name, lambda runs, tolerance: given.append(tolerance) or {"d": drawing()}
        )
    write_run(tmp_path / "runs", "clip")
    words = ("--kl-tolerance", "50")
    assert analysis.paper.command.main(table_options(tmp_path / "runs", tmp_path / "out", *words, formats="svg")) == 0
    assert given == [0.5, 0.5]
