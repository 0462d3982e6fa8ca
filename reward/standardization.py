"""One scale for the rewards of different VLMs, measured on generic templates.

Each VLM's logits have their own scale, while a recipe's KL target and learning rate are plain numbers. Standardised
scores are an increasing affine map of a VLM's scores, so that the order of descriptions never changes. A standardized
0 is the average score of the right class's generic templates. A difference of 1 is the standard deviation of the
scores that other classes' templates get against the same images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from reward.errors import UserError
from reward.files import bank_file
from reward.image_bank import ClassMeans, bank_metadata, read_bank
from reward.vlm import VLM

STANDARDIZATION_FORMAT = "1"


class Standardization(NamedTuple):
    """Means and deviations of the scores of generic templates against the classes' images, in the VLM's logits.

    Attributes:
        own_mean: Mean score of the right class's templates, over classes and templates.
        own_std: Standard deviation of those scores within a class (root of the variance averaged over classes).
        other_mean: Mean score of all other classes' templates.
        other_std: Standard deviation of those scores against one class's images (root of the averaged variance).
    """

    own_mean: float
    own_std: float
    other_mean: float
    other_std: float

    def standardize(self, scores: torch.Tensor) -> torch.Tensor:
        """Return (score − `own_mean`) / `other_std` of scores in the VLM's units, of any shape."""
        return (scores - self.own_mean) / self.other_std


def standardization(
    texts: torch.Tensor, class_means: torch.Tensor, *, scale: float, bias: float = 0.0
) -> Standardization:
    """Score every class's templates against every class's images.

    Args:
        texts: Unit-norm embeddings of T templates filled with each of C class names, shape (C, T, D).
        class_means: Mean unit image embedding of each class, shape (C, D).
        scale: Factor on the cosine.
        bias: Constant that the VLM adds to its logits.

    Returns:
        Means and standard deviations. A variance is over the scores against one class's images; it is averaged over
        classes before the root is taken.

    Raises:
        ValueError: For fewer than two classes, or shapes that do not fit.
    """
    classes = len(class_means)
    if classes < 2 or texts.shape[0] != classes or texts.shape[-1] != class_means.shape[-1]:
        raise ValueError(f"texts {tuple(texts.shape)} and class_means {tuple(class_means.shape)} do not fit")
    own, other = [], []
    for label in range(classes):  # one class at a time: all together would be C²·T scores
        scores = scale * (texts.double() @ class_means[label].double()) + bias
        others = torch.arange(classes) != label
        own.append(_moments(scores[label]))
        other.append(_moments(scores[others]))
    own_mean, own_variance = torch.stack(own).mean(0).tolist()
    other_mean, other_variance = torch.stack(other).mean(0).tolist()
    return Standardization(own_mean, own_variance**0.5, other_mean, other_variance**0.5)


def stored_standardization(
    vlm: VLM, class_means: ClassMeans, templates: Sequence[str], *, cache: Path
) -> Standardization:
    """Return the standardization of a VLM on a dataset; it is computed once and stored in the folder of image banks.

    Args:
        vlm: The VLM, which encodes the templates.
        class_means: Mean image embedding of each class under that VLM.
        templates: Generic templates with one `{}` for the class name.
        cache: Folder of banks.

    Raises:
        UserError: For fewer than two classes.
        EnvironmentFault: If the cache cannot be written.
    """
    names = class_means.class_names
    if len(names) < 2:
        raise UserError("reward.units: standardized scores need two classes or more; use units: vlm.")
    state = hashlib.sha256(json.dumps([STANDARDIZATION_FORMAT, vlm.fingerprint(), names, list(templates)]).encode())
    state.update(class_means.means.numpy().tobytes())
    path = cache / f"standardization-{state.hexdigest()[:32]}.safetensors"
    stored = read_bank(path, ("moments",))
    if stored is None:
        texts = [template.format(name) for name in names for template in templates]
        embedded = vlm.encode_texts(texts).embeddings.view(len(names), len(templates), -1)
        made = standardization(embedded, class_means.means, scale=vlm.scale, bias=vlm.bias)
        stored = {"moments": torch.tensor(made, dtype=torch.float64)}
        with bank_file(path) as temporary:
            save_file(stored, temporary, bank_metadata(vlm, names, "standardization"))
    return Standardization(*stored["moments"].tolist())


def _moments(scores: torch.Tensor) -> torch.Tensor:
    return torch.stack([scores.mean(), scores.var(unbiased=False)])
