"""benchmarks/gpu.sh rehearsed on the CPU: with wheels from a folder, small shapes, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import ROOT
from processes import PATIENCE

SCRIPT = ROOT / "benchmarks/gpu.sh"


def make_wheel(folder: Path, name: str, code: str) -> None:
    folder.mkdir()
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def rehearse(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "TMPDIR": str(folder)}
    return subprocess.run(
        [SCRIPT, folder / "wheels", folder / "out", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.slow
def test_three_precisions_are_measured_with_packages_from_the_folder(tmp_path: Path) -> None:
    """A `sitecustomize`, which Python imports at its start, shows that the folder's packages are used."""
    witness = tmp_path / "witness"
    make_wheel(tmp_path / "wheels", "sitecustomize", f"open({str(witness)!r}, 'w').close()")
    done = rehearse(tmp_path, "--small")
    assert done.returncode == 0, done.stderr[-3000:]
    assert witness.exists()
    result = json.loads((tmp_path / "out/gpu.json").read_text())
    assert result["left_out"] == {}
    assert [row["precision"] for row in result["precisions"]] == ["bf16", "8bit", "4bit"]
    # embeddings and head 2 · 1000 · 64; q, k, v and o 64 · (64 + 32 + 32 + 64); MLP 3 · 64 · 128; 3 norms of 64
    assert result["parameters"] == 2 * 64_000 + 64 * 192 + 3 * 64 * 128 + 3 * 64
    for row in result["precisions"]:
        rollout, reward, update = (row["seconds"][phase] for phase in ("rollout", "reward", "update"))
        assert 0 < reward < rollout
        assert row["batch_seconds"][0] == pytest.approx(rollout + update, abs=2e-3)
        # 8 descriptions of at most 4 tokens
        assert 0 < row["response_tokens_per_second"] * row["batch_seconds"][0] <= 32.5
        assert row["batches_counted"] == 1, "the first warms up, the second is profiled"
    assert "aten::" in (tmp_path / "out/profile.txt").read_text()
    table = (tmp_path / "out/gpu.md").read_text()
    assert done.stdout.endswith(table)
    assert f"torch {result['machine']['torch']}" in table
    assert table.count("\n| ") == 4
    assert {path.name for path in tmp_path.iterdir()} == {"wheels", "out", "witness"}, "nothing is left behind"


def test_without_a_gpu_only_the_rehearsal_runs(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "empty", "")
    done = rehearse(tmp_path)
    assert done.returncode == 2
    assert "no GPU here; --small rehearses without one" in done.stderr
    assert subprocess.run([SCRIPT], capture_output=True, text=True, check=False).returncode == 2
