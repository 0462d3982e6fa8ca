"""From a dataset and a VLM to image banks: selects images, checks that splits do not overlap, and uses the cache."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from ex2.data.datasets.base import ImageDataset
from ex2.data.prompts import generic_templates
from ex2.data.selection import check_overlap, load_dataset, passed_over, reward_images
from ex2.data.source import DatasetSource
from ex2.runtime import tell_once
from reward import image_bank
from reward.cache import cache_dir
from reward.embedding import Loading, Share
from reward.image_bank import ClassMeans, ImageEmbeddings
from reward.standardization import Standardization, stored_standardization
from reward.vlm import VLM


def class_means(source: DatasetSource, vlm: VLM) -> ClassMeans:
    """Return a VLM's class means over the images that feed the reward, from the cache if it has them."""
    dataset = _opened(source)
    return image_bank.class_means(
        vlm,
        reward_images(source, dataset),
        dataset.class_names,
        cache=bank_cache(),
        where=f"dataset {source.name}, split '{source.reward_split}'",
        loading=Loading(workers=source.workers),
        share=own_share(),
    )


def test_embeddings(source: DatasetSource, vlm: VLM) -> ImageEmbeddings:
    """Return the test images' embeddings, after checking that none of these images feeds the reward."""
    dataset = _opened(source)
    test = list(dataset.images(source.test_split))
    check_overlap(reward_images(source, dataset), test, source)
    return image_bank.image_embeddings(
        vlm,
        test,
        dataset.class_names,
        cache=bank_cache(),
        where=f"dataset {source.name}, split '{source.test_split}'",
        loading=Loading(workers=source.workers),
        share=own_share(),
    )


def _opened(source: DatasetSource) -> ImageDataset:
    """Open a dataset, and tell what its folders hold that is not read."""
    dataset = load_dataset(source)
    note = passed_over(source, dataset)
    if note:
        tell_once(f"note: {note}")
    return dataset


def standardization(vlm: VLM, class_means: ClassMeans) -> Standardization:
    """Return a VLM's standardization on a dataset with the generic templates, from the cache if it has it."""
    return stored_standardization(vlm, class_means, generic_templates(), cache=bank_cache())


def bank_cache() -> Path:
    """Return the folder of image banks, shared by all runs."""
    return cache_dir() / "banks"


def own_share() -> Share:
    """Return this process's share of the work on an image bank: the processes of one machine build it together."""
    if not torch.distributed.is_initialized():
        return Share()
    state = PartialState()
    return Share(state.local_process_index, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), gather_object)
