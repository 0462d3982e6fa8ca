"""Recorded revisions of hub repositories, and `ex2 vlms`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny
import torch
from processes import new_interpreter

from ex2.cli import main
from reward import revisions
from reward.errors import EnvironmentFault, UserError
from reward.presets import PRESETS, VLMPreset, load_vlm

FIRST, SECOND = "1" * 40, "2" * 40
CLIP = {"context_length": 40, "image_size": 32, "device": "cpu"}


# --- revisions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache; the hub itself is out of reach."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


def test_the_first_load_records_the_commit_and_later_loads_use_it(clip: Path, hub: Path) -> None:
    tiny.put_in_hub_cache(hub, "tiny/clip", clip, FIRST)
    first = load_vlm("huggingface", {"model": "tiny/clip", **CLIP})
    known = revisions.recorded("tiny/clip")
    assert known is not None
    assert known.commit == FIRST
    assert known.scale == pytest.approx(first.scale)
    assert FIRST in first.fingerprint()
    # The branch moves on; both snapshots are cached: the recorded one is loaded.
    tiny.put_in_hub_cache(hub, "tiny/clip", tiny.save_clip(hub.parent / "newer", seed=1), SECOND)
    assert load_vlm("huggingface", {"model": "tiny/clip", **CLIP}).fingerprint() == first.fingerprint()
    accepted = load_vlm("huggingface", {"model": "tiny/clip", "revision": SECOND, **CLIP})
    assert SECOND in accepted.fingerprint()
    assert revisions.recorded("tiny/clip") == known


def test_another_commit_than_the_recorded_one_is_an_error(clip: Path, hub: Path) -> None:
    tiny.put_in_hub_cache(hub, "tiny/clip", clip, SECOND)
    revisions.confirm("vlm.model", "tiny/clip", None, FIRST)
    message = rf"'tiny/clip' is at {SECOND}, but {FIRST} was recorded on \d{{4}}-\d\d-\d\d .*'revision: {SECOND}'"
    with pytest.raises(UserError, match=message):
        load_vlm("huggingface", {"model": "tiny/clip", **CLIP})
    with pytest.raises(UserError, match=message):
        revisions.confirm("vlm.model", "tiny/clip", None, SECOND)
    with pytest.raises(UserError, match=f"was loaded at {SECOND}, but revision {FIRST} is given"):
        revisions.confirm("vlm.model", "tiny/clip", FIRST, SECOND)
    with pytest.raises(UserError, match="cannot tell which revision of 'tiny/other' was loaded"):
        revisions.confirm("vlm.model", "tiny/other", None, None)


def test_open_clip_hub_models_are_recorded_too(hub: Path, tmp_path: Path) -> None:
    """Weights from one repository, the tokenizer from another, each at its own commit."""
    folder = tiny.save_open_clip_kind(tmp_path / "siglip", "siglip")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "tiny/tokenizer"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    tiny.put_in_hub_cache(hub, "tiny/siglip", folder, FIRST)
    tiny.put_in_hub_cache(hub, "tiny/tokenizer", folder, SECOND)
    settings = {"model": "hf-hub:tiny/siglip", "context_length": 24, "image_size": 160, "device": "cpu"}
    vlm = load_vlm("open_clip", {**settings, "tokenizer": "tiny/tokenizer", "cleaning": "canonicalize"})
    weights, tokenizer = revisions.recorded("tiny/siglip"), revisions.recorded("tiny/tokenizer")
    assert weights is not None
    assert tokenizer is not None
    assert (weights.commit, tokenizer.commit) == (FIRST, SECOND)
    assert weights.bias == -10.0
    assert tokenizer.scale is None
    assert FIRST in vlm.fingerprint()
    assert SECOND in vlm.fingerprint()
    local = load_vlm("open_clip", {**settings, "model": f"local-dir:{folder}"})
    assert torch.equal(vlm.encode_texts(["a dog"]).embeddings, local.encode_texts(["a dog"]).embeddings)
    revisions.record_file().unlink()
    revisions.confirm("vlm.model", "tiny/siglip", None, SECOND)
    with pytest.raises(UserError, match=f"'tiny/siglip' is at {FIRST}, but {SECOND} was recorded on"):
        load_vlm("open_clip", settings)


def test_open_clip_tags_are_fetched_at_a_commit(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag of open_clip's own table, for a small architecture that stands in for the real one."""
    folder = tiny.save_open_clip_kind(tmp_path / "timm", "timm")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "EVA01-g-14", config)
    tiny.put_in_hub_cache(hub, "timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k", folder, FIRST)
    small = {"context_length": 24, "image_size": 160, "device": "cpu"}
    vlm: Any = load_vlm("eva01-g14-laion400m", small)
    known = revisions.recorded("timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k")
    assert known is not None
    assert known.commit == FIRST
    # The tag's normalisation, not the folder's: the preset pins CLIP's.
    assert vlm.measured_normalization().mean == pytest.approx((0.48145466, 0.4578275, 0.40821073), abs=1e-6)


def test_a_name_that_is_nowhere_is_the_environments_fault(hub: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"'tiny/none' is neither in the local cache nor could it be downloaded"):
        load_vlm("huggingface", {"model": "tiny/none", **CLIP})
    with pytest.raises(EnvironmentFault, match=r"'laion/CLIP-ViT-B-32-laion2B-s34B-b79K' is neither in"):
        load_vlm("openclip-vit-b32-laion2b", {"device": "cpu"})


def test_records_of_branches_are_kept_apart_and_a_damaged_file_is_told() -> None:
    revisions.confirm("vlm.model", "org/a", None, FIRST)
    revisions.confirm("vlm.model", "org/a", "v2", SECOND, scale=10.0, bias=-1.0)
    revisions.confirm("vlm.model", "org/b", FIRST, FIRST)  # a commit in the recipe needs no record
    assert revisions.revision_to_load("org/a", None) == FIRST
    assert revisions.revision_to_load("org/a", "v2") == SECOND
    assert revisions.revision_to_load("org/a", "v3") == "v3"
    assert revisions.revision_to_load("org/b", None) is None
    assert revisions.revision_to_load("org/b", FIRST) == FIRST
    # A tokenizer's repository that later brings weights: its scale is added, its date kept up.
    revisions.confirm("vlm.model", "org/a", None, FIRST, scale=5.0, bias=0.0)
    known = revisions.recorded("org/a")
    assert known is not None
    assert known.scale == 5.0
    assert list(json.loads(revisions.record_file().read_text())) == ["org/a", "org/a@v2"]
    assert [path.name for path in revisions.record_file().parent.iterdir()] == [
        "revisions.json"
    ]  # nothing half written
    revisions.record_file().write_text('{"org/a": {"commit": "main", "date": "today"}}')
    with pytest.raises(UserError, match=r"revisions.json: not a file of revisions \('main' is no commit\)"):
        revisions.recorded("org/a")


def test_commit_of_a_cached_file() -> None:
    assert revisions.commit_of(f"/c/models--a--b/snapshots/{FIRST}/model.bin") == FIRST
    assert revisions.commit_of("/c/snapshots/main/model.bin") is None


# --- the verb ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_every_preset_without_torch() -> None:
    code = (
        "import sys; from ex2.cli import main; assert main(['vlms']) == 0\n"
        "assert not {'torch', 'transformers', 'open_clip', 'timm'} & set(sys.modules), 'heavy import'\n"
    )
    result = new_interpreter("-c", code, COLUMNS="200")
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert set(PRESETS) <= set(rows)
    assert re.search(r"unverified +151 M +512 +77 +224 +100 *$", rows["clip-vit-b32"])
    assert re.search(r"unverified +2\.54 B +1280 +77 +224 +learned *$", rows["openclip-vit-bigg14-laion2b"])
    assert re.search(r"— +0\.188 M +64 +20 +32 +learned *$", rows["demo-visual"])


def test_the_list_shows_recorded_revisions_and_scales(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    revisions.confirm("vlm.model", "kakaobrain/align-base", None, FIRST, scale=17.25, bias=0.0)
    assert main(["vlms"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("align-base"))
    assert re.search(r"11111111 +172 M +640 +64 +289 +17\.25 *$", row)
    assert main(["vlms", "align-base"]) == 0
    assert f"kakaobrain/align-base: {FIRST} (recorded on " in capsys.readouterr().out


def test_a_presets_settings_are_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vlms", "clipa-vit-h14-336-datacomp1b", "device=cpu"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    preset: VLMPreset = PRESETS["clipa-vit-h14-336-datacomp1b"]
    for key, value in preset.settings.items():
        assert shown[key].strip() == str(value)
    assert shown["device"].strip() == "cpu"
    assert shown["parameters"].strip() == "968,644,609"


def test_check_runs_the_contract_and_its_status_tells(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    words = ["vlms", "huggingface", f"model={clip}", "context_length=40", "image_size=32", "device=cpu", "--check"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "17 passed, 0 failed, 0 not applicable" in shown
    assert re.search(r"own logits +pass +[\d.e-]+ +1e-05", shown)

    from reward.backends.huggingface import HuggingFaceVLM

    monkeypatch.setattr(HuggingFaceVLM, "in_training_mode", lambda self: True)
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "16 passed, 1 failed, 0 not applicable" in shown
    assert re.search(r"eval mode +FAIL +1 +0", shown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip-vit-b23"], "ex2 vlms.name: unknown 'clip-vit-b23'. Did you mean 'clip-vit-b32'?"),
        (["clip-vit-b32", "imagesize=3"], "ex2 vlms: unknown 'imagesize'. Did you mean 'image_size'?"),
        (["clip-vit-b32", "device"], "command line: 'device' is no setting; write key=value, such as device=cpu."),
        (["clip-vit-b32", "mean=[1"], "command line: mean: line 1: not valid YAML: expected ',' or ']'"),
        (["--check"], "ex2 vlms: --check needs a name"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vlms", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
