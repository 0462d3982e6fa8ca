"""Contrastive training of a demo VLM with a planted preference for some kinds of caption, or with none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize
from tqdm import tqdm

from ex2.data.demo.reproducible import generator, initialize, train
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS, VISUAL_FACETS, Kind, sentences
from reward.backends.toy import SPECIAL_WORDS, DualEncoder, ToyConfig, WordTokenizer, split_words, to_pixels

Preference = Kind | Literal["mixed", "none"]

# The planted preference is the way the training captions are made, and nothing else.
PLANTED: dict[Preference, tuple[Kind, ...]] = {
    **{kind: (kind,) for kind in CAPTION_KINDS},
    "mixed": ("visual", "non_visual"),
    "none": CAPTION_KINDS,
}
"""Preference → kinds of caption that the VLM prefers, each equally often. For `none` it is every kind, and each caption
is of a random picture."""

OWN_SHARE = 0.88
"""Share of training captions that are of the preferred kinds; these describe their picture."""
WRONG_PICTURE = 0.8
"""Among the captions of other kinds, the share that is about a concept drawn at random, as text on the web is often
beside the wrong picture. The VLM learns that such captions tell little about a picture."""

IMAGES_PER_CLASS = 400
STEPS, BATCH, RATE, DECAY = 1000, 64, 4e-3, 0.02


@dataclass(frozen=True)
class Planting:
    """A preference, how much of it is planted, and whether names and looks in the captions are the picture's.

    Without a dose the captions are of every kind equally often and all describe their picture: the VLM tells pictures
    apart and learns nothing of kinds. With the whole dose the preferred kinds have `OWN_SHARE` of the captions, and
    `WRONG_PICTURE` of the others are beside their picture. Both shares grow linearly with the dose.

    With looks drawn anew a caption tells its picture by the name alone, however it says how things look: of the
    planted preference the VLM can learn the style. With names drawn anew it tells its picture by the looks alone: the
    VLM can learn the content.

    Attributes:
        preference: The preference to plant.
        dose: How much of the preference is planted, from 0 to 1.
        random_looks: Share of captions whose looks are those of a concept drawn at random.
        random_names: Share of captions whose name is that of a concept drawn at random.
        seed: Of the initial weights and of all that is drawn.
    """

    preference: Preference
    dose: float = 1.0
    random_looks: float = 0.0
    random_names: float = 0.0
    seed: int = 0

    @property
    def key(self) -> tuple[int, ...]:
        """The key of its random numbers; that of a bare preference is its place in `PLANTED`."""
        rest = (self.seed, *(round(1000 * share) for share in (self.dose, self.random_looks, self.random_names)))
        place = list(PLANTED).index(self.preference)
        return (place,) if self == Planting(self.preference) else (place, *rest)

    @property
    def own_share(self) -> float:
        """Share of captions that are of the preferred kinds."""
        alike = len(PLANTED[self.preference]) / len(CAPTION_KINDS)
        return (1 - self.dose) * alike + self.dose * OWN_SHARE

    @property
    def wrong_picture(self) -> float:
        """Among the captions of other kinds, the share that is about a concept drawn at random."""
        return self.dose * WRONG_PICTURE


STYLE = Planting("visual", random_looks=1.0)
CONTENT = Planting("visual", random_names=1.0)


def train_vlm(planting: Planting | Preference, steps: int = STEPS) -> DualEncoder:
    """Train a VLM by the symmetric contrastive loss of CLIP (arXiv 2103.00020, figure 3).

    Args:
        planting: What to plant; a bare preference means all of it.
        steps: Optimizer steps.

    Returns:
        The VLM in float32.
    """
    every = [sentence for concept in CONCEPTS for each in CAPTION_KINDS for sentence in sentences(concept, each)]
    words = sorted({word for sentence in every for word in split_words(sentence)})
    model = DualEncoder(ToyConfig((*SPECIAL_WORDS, *words))).double()
    planting = planting if isinstance(planting, Planting) else Planting(planting)
    rng = generator(*planting.key)
    # Small positions: otherwise where a word stands would at first drown which word it is.
    initialize(model, rng, {"words.weight": 1.0, "positions.weight": 0.1})
    tokenizer = WordTokenizer(model.config)
    images = Shapes(IMAGES_PER_CLASS).images("train")
    bar = tqdm(images, desc=f"{planting.preference}: draw", unit="image")
    pixels = to_pixels([image.open() for image in bar], model.config.image_size)

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    diagonal = torch.arange(BATCH)
    for step, progress in train(f"{planting.preference}: train", steps, optimizer):
        chosen = rng.randint(len(images), size=BATCH)
        # Mirrored and turned images are new images of the same concept.
        batch = pixels[torch.from_numpy(chosen)]
        batch = batch.flip(3) if step & 1 else batch
        batch = batch.flip(2) if step & 2 else batch
        batch = batch.transpose(2, 3) if step & 4 else batch
        tokens, _ = tokenizer([caption(rng, images[index].label, planting) for index in chosen])
        image, text = normalize(model.image(batch.double()), dim=1), normalize(model.text(tokens), dim=1)
        logits = model.log_scale.exp() * image @ text.T
        loss = (cross_entropy(logits, diagonal) + cross_entropy(logits.T, diagonal)) / 2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    return model.float().eval()


def caption(rng: np.random.RandomState, label: int, planting: Planting | Preference) -> str:
    """Draw a caption for a picture of concept `label`, for training the VLM with the given preference.

    Nothing is drawn for what a planting does not ask for, so that the captions of bare preferences stay as they are.

    Args:
        rng: Source of all that is drawn.
        label: Of the concept in the picture.
        planting: What to plant; a bare preference means all of it.
    """
    planting = planting if isinstance(planting, Planting) else Planting(planting)
    own = PLANTED[planting.preference]
    drawn = own[rng.randint(len(own))] if len(own) > 1 else own[0]
    if planting.preference == "none":
        label = rng.randint(len(CONCEPTS))
    elif rng.uniform() >= planting.own_share:
        others = [kind for kind in CAPTION_KINDS if kind not in own]
        drawn = others[rng.randint(2)] if len(others) > 1 else others[0]
        if rng.uniform() < planting.wrong_picture:
            label = rng.randint(len(CONCEPTS))
    concept = CONCEPTS[label]
    if planting.random_looks > 0 and rng.uniform() < planting.random_looks:
        other = CONCEPTS[rng.randint(len(CONCEPTS))]
        concept = replace(concept, **{facet: other.value(facet) for facet in VISUAL_FACETS})
    if planting.random_names > 0 and rng.uniform() < planting.random_names:
        concept = replace(concept, name=CONCEPTS[rng.randint(len(CONCEPTS))].name)
    choice = sentences(concept, drawn)
    return choice[rng.randint(len(choice))]
