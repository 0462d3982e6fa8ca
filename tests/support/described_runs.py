"""Described runs to mine, and a VLM that hears their phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from vlms import CUE_CLASSES, CueVLM, cue_bank

import analysis.phrases.command
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.directory import RunDirectory
from reward.files import write_jsonl, write_text


def recipe(tmp_path: Path, name: str, vlm: str) -> Recipe:
    return Recipe.model_validate(
        {
            "name": name,
            "output_dir": str(tmp_path / "runs"),
            "seeds": [0, 1],
            "policy": {"model": "m"},
            "vlm": {"name": vlm},
            "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
            "judge": {"name": "scripted"},
        }
    )


def row(label: int, names: Sequence[str], policy: str, text: str, sample: int = 0) -> dict[str, Any]:
    return {
        "class": names[label],
        "label": label,
        "question_id": 0,
        "sample": sample,
        "policy": policy,
        "text": text,
    }


def write_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Write two runs over six classes, and let probes load `CueVLM` and its images.

    The first run's policy says "a blur of" everywhere and reached its KL target of 10; the second says "so sharp" and
    its two seeds reached 8 and 4.
    """
    folders = []
    for name, vlm, phrase in (("a", "demo-visual", "a blur of {}"), ("b", "demo-spurious", "so sharp")):
        made = recipe(tmp_path, name, vlm)
        run = RunDirectory.of(made)
        write_text(run.recipe, to_yaml(made))
        for seed in made.seeds:
            rows = [
                row(label, CUE_CLASSES, policy, text.replace("{}", CUE_CLASSES[label]) + f" {number}", number)
                for label in range(6)
                for number in range(5)
                for policy, text in (("base", "here is {}"), ("aligned", phrase))
            ]
            write_jsonl(run.seed(seed).descriptions, rows)
            kl = 10.0 if name == "a" else 8.0 - 4 * seed
            log = [{"batch": batch, "kl": kl, "kl_target": 10.0} for batch in range(1, 21)]
            write_jsonl(run.seed(seed).train_log, log)
        folders.append(run.root)

    class Names:
        class_names = CUE_CLASSES

    def load_vlm(name: str, settings: Any) -> CueVLM:
        return CueVLM("blur" if name == "demo-visual" else "nothing")

    monkeypatch.setattr(analysis.phrases.command, "load_dataset", lambda source: Names())
    monkeypatch.setattr(analysis.phrases.command, "load_vlm", load_vlm)
    monkeypatch.setattr(analysis.phrases.command, "test_embeddings", lambda source, vlm: cue_bank())
    return folders
