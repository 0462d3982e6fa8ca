"""The benchmark of analysis and report: every limit counts, and its dataset and VLM are what they say."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT

PATH = ROOT / "benchmarks/analysis_scale.py"


@pytest.fixture(scope="module")
def scale() -> Any:
    spec = importlib.util.spec_from_file_location("analysis_scale", PATH)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PATH.parent))  # as where a script runs
        patch.setitem(sys.modules, spec.name, made)
        patch.delitem(sys.modules, "common", raising=False)
        spec.loader.exec_module(made)
        yield made
        sys.modules.pop("common", None)


def test_every_limit_counts(scale: Any) -> None:
    nothing = {"judge": 0, "images": 0, "texts": 0}
    good = scale.Measured(59.0, 1.9, nothing)
    assert scale.broken(good, good, [2.9]) == []
    assert scale.broken(good, good, None) == []
    bad = scale.Measured(61.0, 2.1, nothing | {"judge": 3, "texts": 1200})
    assert scale.broken(bad, good, [1.0, 3.2]) == [
        "analyze, cached: 61.0 s, limit 60 s",
        "analyze, cached: 2.10 GB, limit 2 GB",
        "analyze, cached: 3 judge asked, limit 0",
        "analyze, cached: 1,200 texts asked, limit 0",
        "page: 3.20 s, limit 3 s",
    ]
    assert scale.broken(good, bad, None)[0] == "report: 61.0 s, limit 60 s", "the report's own time and memory"


def test_what_is_asked_is_counted(scale: Any) -> None:
    vlm, before = scale.NoiseVLM(), dict(scale.ASKED)
    texts = [f"The animal {label:04} is {index}." for label in (7, 8) for index in range(40)]
    found = vlm.encode_texts(texts).embeddings
    # a direction of length √D and twice as much noise: cosines of 1 / (1 + 2²) within a class, of 0 between two
    same, other = (found[:40] @ found[:40].T).fill_diagonal_(0), found[:40] @ found[40:].T
    assert float(same.sum() / (40 * 39)) == pytest.approx(0.2, abs=0.03)
    assert float(other.mean()) == pytest.approx(0, abs=0.03)
    vlm.encode_images([scale.Drawn(7, "test", 0).open()])
    assert scale.ASKED["texts"] - before["texts"] == 80
    assert scale.ASKED["images"] - before["images"] == 1
    rows = scale.descriptions()
    assert sum(row["policy"] == "aligned" for row in rows) == 25_000


def test_the_result_names_machine_versions_and_faults(scale: Any) -> None:
    text = scale.summary("what", [("report", "1.0", "0.5", "nothing", "60 s")], 2, ["page: 3.20 s, limit 3 s"])
    assert "| report | 1.0 | 0.5 | nothing | 60 s |" in text
    assert f"torch {torch.__version__}" in text
    assert "Broken: page: 3.20 s, limit 3 s." in text
    assert "No limit is broken." in scale.summary("what", [], 2, [])


def test_the_processor_is_named_as_linux_does(scale: Any, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.4 GHz: new\nprocessor\t: 1\nmodel name\t: Other\n")
    assert scale.processor(info) == f"{os.cpu_count()} cores, Some CPU @ 2.4 GHz: new"
    elsewhere = scale.processor(tmp_path / "none")
    assert elsewhere == f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}"
    assert f"{scale.processor()}; Python {platform.python_version()}" in scale.versions()
