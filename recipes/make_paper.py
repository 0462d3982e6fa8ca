"""Write the paper's recipes, and the table of all recipes: `python recipes/make_paper.py [--check]`.

One file per VLM and dataset, each self-contained: a recipe inherits nothing, so that a diff of two shows the
experiment. The numbers in the headers come from `recipes/paper/paper_accuracy.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = ROOT / "recipes/paper/paper_accuracy.json"
README = ROOT / "recipes/README.md"
BEGIN, END = "<!-- table: recipes/make_paper.py -->", "<!-- end of table -->"


class VLM(NamedTuple):
    """A VLM of the paper: its name there, the preset, the precision, and what a header has to say about it."""

    paper: str
    preset: str
    dtype: str = "float16"
    note: str = ""


class Dataset(NamedTuple):
    """A dataset of the paper: its splits, and what a header has to say about them."""

    reward_split: str
    test_split: str
    note: str


VLMS = {
    "clip": VLM("CLIP", "clip-vit-b32"),
    "align": VLM("ALIGN", "align-base", "float32"),
    "eva": VLM("EVA", "eva01-g14-laion400m"),
    "siglip": VLM("SigLIP", "siglip-vit-b16-webli"),
    "metaclip": VLM("MetaCLIP", "metaclip-vit-b16-400m"),
    "clipa": VLM(
        "CLIPA",
        "clipa-vit-h14-336-datacomp1b",
        note="The paper's CLIPA saw LAION-400M; open_clip has no such weights, those of DataComp-1B stand in.",
    ),
    "dfn": VLM("DFN", "dfn5b-vit-h14-378"),
}
DATASETS = {
    "flowers": Dataset("train", "test", "Images of train feed the reward, as in the paper's code; val is not used."),
    "pets": Dataset("trainval", "test", "Images of trainval feed the reward."),
    "cub": Dataset("train", "test", "Images of train feed the reward."),
    "stanford_dogs": Dataset("train", "test", "Images of train feed the reward."),
    "fgvc_aircraft": Dataset("trainval", "test", "Images of trainval feed the reward."),
    "stanford_cars": Dataset("train", "test", "Images of train feed the reward."),
    "dtd": Dataset("train", "test", "Images of train feed the reward; val is not used."),
}
KL20_DATASETS = ("flowers", "cub")
HARDWARE = "1 GPU of 40 GB or more · duration not measured yet"

BODY = """\
name: {name}
policy:
  model: mistralai/Mistral-7B-v0.1
  quantization: 8bit
  dtype: float16
lora: {{r: 16, alpha: 32, dropout: 0.05, target_modules: [q_proj, v_proj]}}
prompts: {{questions: all, style: plain}}
vlm: {{name: {preset}, dtype: {dtype}}}
reward: {{name: cosine}}
dataset:
  name: {dataset}
  root: data/{dataset}
  reward_split: {reward_split}
  test_split: {test_split}
  images_per_class: 256
  selection: first
rl:
  batches: 1000
  batch_size: 32
  minibatch_size: 8
  epochs: 4
  learning_rate: 1.41e-5
  kl: {{controller: adaptive, init_coef: 0.2, target: {target}, horizon: 10000}}
ppo:
  loss_mean: responses
  score_centering: none
  value_trunk: shared
  value_init: default
  value_clip_unit: reward
  value_learning_rate: policy
generation: {{max_new_tokens: 32, temperature: 1.0, top_p: 1.0, top_k: 0}}
seeds: [0]
resources: {{gpus: 1, cpus: 4}}
judge: {{name: openai, model: gpt-3.5-turbo-1106, rubric: paper}}
analysis: {{denominator: all}}
"""


class Experiment(NamedTuple):
    """One recipe of the paper."""

    vlm: str
    dataset: str
    target: int

    @property
    def name(self) -> str:
        """Of the run."""
        return f"{self.vlm}-{self.dataset}" + ("" if self.target == 10 else f"-kl{self.target}")

    @property
    def path(self) -> str:
        """Of the file, from the project's root."""
        return f"recipes/paper/{self.vlm}/{self.name.removeprefix(self.vlm + '-')}.yaml"


def experiments() -> Iterator[Experiment]:
    """Yield every VLM with every dataset at KL target 10, then those of Table 9 at 20."""
    for vlm in VLMS:
        for dataset in DATASETS:
            yield Experiment(vlm, dataset, 10)
        for dataset in KL20_DATASETS:
            yield Experiment(vlm, dataset, 20)


def paper_result(experiment: Experiment, numbers: dict[str, Any]) -> str:
    """Return the paper's accuracy, in words for a header and a table cell."""
    vlm = VLMS[experiment.vlm].paper
    at_10 = numbers["table1_accuracy"][vlm].get(experiment.dataset)
    if at_10 is None:
        return "none in the paper"
    if experiment.target == 10:
        return f"{at_10['templates']:.2f} (templates) → {at_10['ex2']:.2f} (EX2)"
    at_20 = numbers["table9_accuracy_at_kl_20"][vlm][experiment.dataset]
    return f"{at_10['templates']:.2f} (templates) → {at_20:.2f} (EX2, KL 20); {at_10['ex2']:.2f} at KL 10"


def recipe_text(experiment: Experiment, numbers: dict[str, Any]) -> str:
    """Return a recipe file's content."""
    vlm, dataset = VLMS[experiment.vlm], DATASETS[experiment.dataset]
    table = "Table 1" if experiment.target == 10 else "Tables 1 and 9"
    result = paper_result(experiment, numbers)
    said = f"paper, top-1: {result} ({table})" if "→" in result else "the paper reports no accuracy on this dataset"
    header = [
        f"accelerate launch --config_file accelerate_configs/single_gpu.yaml -m ex2.train {experiment.path}",
        f"{HARDWARE} · {said}",
        "Every setting is the paper's (arXiv 2403.16442), raw scores included.",
        dataset.note,
    ]
    body = BODY.format(
        name=experiment.name,
        preset=vlm.preset,
        dtype=vlm.dtype,
        dataset=experiment.dataset,
        reward_split=dataset.reward_split,
        test_split=dataset.test_split,
        target=experiment.target,
    )
    return "".join(f"# {line}\n" for line in [*header, *filter(None, [vlm.note])]) + body


def table(numbers: dict[str, Any]) -> str:
    """Return the paper's recipes as a Markdown table."""
    rows = ["| recipe | command | paper, top-1 in % |", "|---|---|---|"]
    rows += [
        f"| {experiment.name} | `ex2 run {experiment.path}` | {paper_result(experiment, numbers)} |"
        for experiment in experiments()
    ]
    return "\n".join([BEGIN, "", *rows, "", END])


def files() -> dict[Path, str]:
    """Return every file that this script writes, with its content."""
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8"))
    written = {ROOT / experiment.path: recipe_text(experiment, numbers) for experiment in experiments()}
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    written[README] = before + table(numbers) + rest.partition(END)[2]
    return written


def main() -> int:
    """Write what differs; with --check, only list it and return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not as it should be")
    check = parser.parse_args().check
    wanted = {path: text.encode("utf-8") for path, text in files().items()}
    differing = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text]
    for path in differing:
        print(f"{'differs' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[path])
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
