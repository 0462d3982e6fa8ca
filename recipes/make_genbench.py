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
# Missing: Table 2's generators. Neither GLIDE nor Stable Diffusion 2.1 can be run from here yet; a class by dotted path
# can, and images that were drawn elsewhere, in one folder for each class, are read by the generator `folder`:
#   sd-dt: {{generator: {{name: folder, root: drawn/{dataset}/sd-dt}}, usd_per_hour: 1.47}}
# (Table 5: an A100 at 1.47 USD an hour takes 1.74 hours for 1,000 images.)
# The strategies of Table 2, for such a generator (section 2.3, section 9 and Table 6):
#   ST         strategy: {{name: name}}      # as Table 6 has it; section 2.3 says "a photo of a ...": {{name: simple}}
#   DT         strategy: {{name: defined}}   # CLIP's templates of the dataset, which EX2 knows
#   NP         strategy: {{name: negative, others: 5, quality: paper}}
#   NP, RD     strategy: {{name: negative, others: 5, quality: paper, over: {{name: restrictive, weighting: literal}}}}
#   CE         strategy: {{name: sentence}}  # needs a model that writes a sentence from a word, which is missing too
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
measure:
  metrics: [cler, probe]
  centers: unit
  ensemble: centers
"""


def text_of(row: BenchmarkDataset) -> str:
    """Return the recipe of a dataset."""
    fewer = FEWER.get(row.dataset)
    return RECIPE.format(
        dataset=row.dataset,
        title=row.title,
        group=row.group,
        classes=row.classes,
        metric=row.metric,
        shots=SHOTS,
        fewer=f", here {fewer} as there are no more" if fewer else "",
        own=f"      per_class: {fewer}\n" if fewer else "",
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
