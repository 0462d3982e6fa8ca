"""A VLM and a reward of the user's own, each in a file outside the packages, through train, describe and analyze."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paths import ROOT
from processes import run_ex2

VLM = '''
import torch
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings


class Brightness:
    """Images as their mean colour; texts as counts of the words red, green and blue."""

    name, dim, bias, context_length = "brightness", 3, 0.0, 12

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def fingerprint(self) -> str:
        return f"brightness {self.scale}"

    def encode_images(self, images):
        means = [torch.tensor(to_rgb(image).resize((1, 1)).getpixel((0, 0))).float() for image in images]
        return torch.nn.functional.normalize(torch.stack(means), dim=-1)

    def encode_texts(self, texts):
        counts = torch.tensor([[0.1 + text.lower().count(word) for word in ("red", "green", "blue")] for text in texts])
        cut = torch.tensor([len(text.split()) > self.context_length for text in texts])
        return TextEmbeddings(torch.nn.functional.normalize(counts, dim=-1), cut)
'''

REWARD = '''
from reward.completions import texts_of
from reward.cosine import CosineReward


class TerseCosine:
    """The cosine minus a price per word; what has more than `most` words cannot be scored."""

    __name__ = "terse_cosine"
    needs_reference = True

    def __init__(self, vlm, class_means, price: float, most: int = 30) -> None:
        self.cosine, self.price, self.most = CosineReward(vlm, class_means), price, most

    def __call__(self, completions, class_name, reference_logprobs, **columns):
        assert all(len(row) > 0 for row in reference_logprobs)
        words = [len(text.split()) for text in texts_of(completions)]
        scores = self.cosine(completions, class_name)
        return [
            None if score is None or count > self.most else score - self.price * count
            for score, count in zip(scores, words, strict=True)
        ]
'''


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "my_vlm.py").write_text(VLM)
    (folder / "my_reward.py").write_text(REWARD)
    words = [
        str(ROOT / "recipes/demo/visual.yaml"),
        "name=swapped",
        f"output_dir={folder}/runs",
        "vlm={name: my_vlm.Brightness, scale: 20.0}",
        "reward={name: my_reward.TerseCosine, price: 0.25}",
        "rl.batches=2",
        "rl.batch_size=32",  # three questions make 48 prompts
        "prompts.questions=[0, 5, 7]",
    ]
    for stage in ("train", "describe", "analyze", "report"):
        done = run_ex2(stage, *words, folder=folder, EX2_CACHE=str(folder / "cache"))
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_description_is_scored_by_the_swapped_reward(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recomputed here: brute force over the images with the user's own VLM."""
    monkeypatch.syspath_prepend(str(finished))
    import torch

    from ex2.data.demo.shapes import Shapes
    from reward.presets import load_vlm

    vlm = load_vlm("my_vlm.Brightness", {"scale": 20.0})
    dataset = Shapes()
    embedded: dict[int, torch.Tensor] = {}
    rows = [json.loads(line) for line in (finished / "runs/swapped/seed-0/descriptions.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 16 * 3
    for row in rows[::7]:
        label, text = row["label"], row["text"]
        if label not in embedded:
            images = [image.open() for image in dataset.images("reward") if image.label == label]
            embedded[label] = vlm.encode_images(images)
        cosines = embedded[label] @ vlm.encode_texts([text]).embeddings[0]
        words = len(text.split())
        expected = None if words > 30 else 20.0 * float(cosines.mean()) - 0.25 * words
        assert row["reward"] == (None if expected is None or not text.strip() else pytest.approx(expected, abs=1e-4))
        assert row["vlm_cut"] == (words > 12)


def test_training_and_analysis_name_them(finished: Path) -> None:
    run = finished / "runs/swapped"
    log = [json.loads(line) for line in (run / "seed-0/train.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in log] == [1, 2]
    accuracy = json.loads((run / "seed-0/accuracy.json").read_text())
    assert accuracy["vlm"] == "my_vlm.Brightness"
    assert accuracy["vlm_fingerprint"] == "brightness 20.0"
    page = (run / "report.html").read_text()
    assert "my_vlm.Brightness" in page
    assert "my_reward.TerseCosine" in page
