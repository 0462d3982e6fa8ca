"""Stage 2: descriptions of every class by the aligned policy, and by the base model for comparison.

Each batch is sampled from a seed of its own, which depends on (seed, policy, batch), so that a run that was killed and
continued ends with the same file as one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from ex2 import banks
from ex2.data.prompts import Prompt, make_prompts
from ex2.data.selection import load_dataset
from ex2.monitoring.endings import shown_text
from ex2.policy.generation import (
    Generated,
    Generator,
    TransformersGenerator,
    WholeModelGenerator,
    derived_seed,
    prompt_ids,
)
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import PolicyName
from ex2.recipe import Recipe
from ex2.run.adapter import verify_adapter
from ex2.run.descriptions import Description, Key, append_descriptions, stored_descriptions
from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.lock import writing_stage
from ex2.run.made import adapter_identity, require
from ex2.run.manifest import (
    MENDS,
    Manifest,
    begin,
    complete,
    file_problems,
    flat_recipe,
    input_differences,
    manifest_of,
    progress,
    read_manifest,
    recipe_differences,
    refuse,
)
from ex2.runtime import quiet_libraries, set_threads
from ex2.sets.texts import Drawers
from ex2.training.inputs import inputs_of
from ex2.training.rewards import build_reward
from reward.errors import UserError
from reward.file_digests import GrowingLog
from reward.presets import load_vlm
from reward.vlm import VLM


class Work(NamedTuple):
    """One batch of prompts for one policy."""

    policy: PolicyName
    sample: int
    number: int
    prompts: list[Prompt]

    def row_keys(self) -> list[Key]:
        """Return the keys that identify the batch's descriptions."""
        return [(self.policy, p.label, p.class_name, p.question_id, self.sample) for p in self.prompts]


def describe(recipe: Recipe, seed: int) -> None:
    """Write `descriptions.jsonl` of one seed; descriptions that the file has already are kept.

    Args:
        recipe: A checked recipe.
        seed: One of `recipe.seeds`; its adapter must be trained if the aligned policy is asked for.

    Raises:
        UserError: If the adapter is missing, or the file was made with other questions or classes.
        EnvironmentFault: If the file cannot be written.
    """
    directory = RunDirectory.of(recipe).seed(seed)
    policies = recipe.describe.policies
    if "aligned" in policies and not directory.is_trained:
        raise UserError(
            f"{directory.adapter}: no aligned adapter of seed {seed}; run `ex2 train` (or `ex2 run`) first."
        )
    with writing_stage(directory.root, "describe"):
        _describe(recipe, seed, directory)


def _describe(recipe: Recipe, seed: int, directory: SeedDirectory) -> None:
    policies = recipe.describe.policies
    if "aligned" in policies:
        require(recipe, directory, "train")
        verify_adapter(directory.adapter)
    before = read_manifest(directory.root, "describe") if directory.descriptions.exists() else None
    if before is not None and before.complete:
        require(recipe, directory, "describe")
    elif before is not None:
        refuse(directory.root, recipe_differences(before, flat_recipe(recipe)))
        faults = [*file_problems(directory.root, before, MENDS["describe"], grows=True)]
        if faults:
            raise UserError("\n".join(faults))
    prompts = make_prompts(load_dataset(recipe.dataset.source()).class_names, recipe.prompts.questions)
    work = [
        Work(policy, sample, start // recipe.describe.batch_size, prompts[start : start + recipe.describe.batch_size])
        for policy in policies
        for sample in range(recipe.describe.per_question)
        for start in range(0, len(prompts), recipe.describe.batch_size)
    ]
    done = {description.key for description in stored_descriptions(directory)}
    wanted = {key for item in work for key in item.row_keys()}
    if done - wanted:
        raise UserError(
            f"{directory.descriptions}: holds descriptions of other classes, questions or samples than the recipe; "
            "move the file away to describe again."
        )
    missing = [item for item in work if not done.issuperset(item.row_keys())]
    if missing:
        before = _generate(recipe, seed, directory, missing, done)
    if before is not None and not before.complete:
        complete(directory.root, before, [directory.descriptions])


def _generate(recipe: Recipe, seed: int, directory: SeedDirectory, work: list[Work], done: set[Key]) -> Manifest:
    """Make what is missing; return the manifest of all."""
    quiet_libraries()
    set_threads(recipe.threads)
    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    class_means = banks.class_means(recipe.dataset.source(), vlm)
    drawers = Drawers(recipe.reward.settings)
    reward = build_reward(recipe.reward.name, recipe.reward.settings, vlm, class_means, seed, drawers)
    inputs = inputs_of(recipe, vlm, class_means, drawers)
    if "aligned" in recipe.describe.policies:
        inputs["adapter"] = adapter_identity(directory)
        trained = read_manifest(directory.root, "train")
        if trained is not None:
            refuse(directory.root, input_differences(trained, inputs))
    manifest = begin(
        directory.root, manifest_of("describe", recipe, inputs), has_output=directory.descriptions.exists(), write=True
    )
    log = GrowingLog(directory.descriptions)
    generator = build_generator(recipe, directory, [prompt for item in work for prompt in item.prompts])
    try:
        with tqdm(
            total=sum(len(item.prompts) for item in work), desc="describe", unit="text", dynamic_ncols=True
        ) as bar:
            for item in work:
                bar.set_postfix_str(item.policy, refresh=False)
                batch_seed = derived_seed(seed, item.policy, item.sample, item.number)
                generated = generator.generate(item.prompts, item.policy, batch_seed)
                reference = (
                    {"reference_logprobs": generator.reference_logprobs(item.prompts, generated)}
                    if getattr(reward, "needs_reference", False)
                    else {}
                )
                made = _descriptions(item, generated, seed, recipe, reward, vlm, reference)
                append_descriptions(directory, [one for one in made if one.key not in done])
                progress(directory.root, manifest, directory.descriptions, log.digest())
                bar.update(len(item.prompts))
    finally:
        generator.close()
    return manifest


def build_generator(recipe: Recipe, directory: SeedDirectory, prompts: Sequence[Prompt]) -> Generator:
    """Make the generator that a recipe asks for.

    Args:
        recipe: A checked recipe.
        directory: Folder of the seed whose adapter is used.
        prompts: All prompts that will be asked.

    Raises:
        UserError: If the engine is not installed or cannot serve the recipe.
        EnvironmentFault: If the model cannot be fetched.
    """
    base = recipe.policy.source()
    tokenizer = load_tokenizer(base)
    adapter = directory.adapter if "aligned" in recipe.describe.policies else None
    style, sampling = recipe.prompts.style, recipe.generation.sampling()
    if recipe.describe.engine == "vllm":
        from ex2.policy.vllm_engine import VLLMGenerator

        return VLLMGenerator(
            base,
            adapter=adapter,
            style=style,
            sampling=sampling,
            longest_prompt=max(len(ids) for ids in prompt_ids(tokenizer, prompts, style)),
            attach=recipe.describe.vllm_adapter,
            memory=recipe.describe.vllm_memory,
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if recipe.lora is None:
        return WholeModelGenerator(
            base, tokenizer, aligned=directory.adapter, device=device, style=style, sampling=sampling
        )
    model = load_model(base, device)
    return TransformersGenerator(model, tokenizer, adapter=adapter, style=style, sampling=sampling)


def _descriptions(
    item: Work,
    generated: Sequence[Generated],
    seed: int,
    recipe: Recipe,
    reward: Any,
    vlm: VLM,
    columns: dict[str, Any],
) -> list[Description]:
    cut = recipe.generation.cut_to_sentence
    texts = [shown_text(made.text, ended=not made.cut, cut=cut) for made in generated]
    scores = reward(
        prompts=[prompt.render(recipe.prompts.style) for prompt in item.prompts],
        completions=texts,
        class_name=[prompt.class_name for prompt in item.prompts],
        label=[prompt.label for prompt in item.prompts],
        question_id=[prompt.question_id for prompt in item.prompts],
        completion_ids=[list(made.ids) for made in generated],
        **columns,
    )
    vlm_cut = vlm.encode_texts(texts).cut.tolist()
    return [
        Description(
            policy=item.policy,
            class_name=prompt.class_name,
            label=prompt.label,
            question_id=prompt.question_id,
            question=prompt.question,
            sample=item.sample,
            seed=seed,
            text=text,
            tokens=len(made.ids),
            cut=made.cut,
            reward=score,
            vlm_cut=by_vlm,
        )
        for prompt, made, text, score, by_vlm in zip(item.prompts, generated, texts, scores, vlm_cut, strict=True)
    ]
