"""Stage 2: descriptions of every class by the aligned policy, and by the base model for comparison.

Each batch is sampled from its own seed, a function of (seed, policy, batch), so that a run that was killed ends with
the same file as one that was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from peft import PeftModel
from tqdm import tqdm

from ex2 import banks
from ex2.data.prompts import Prompt, make_prompts
from ex2.policy import load_model, load_tokenizer
from ex2.recipe import Recipe
from ex2.run_dir import JSON, RunDirectory, SeedDirectory, append_jsonl, read_jsonl
from ex2.train import build_reward, is_trained, quiet_libraries, set_threads
from reward.errors import UserError


def describe(recipe: Recipe, seed: int) -> None:
    """Write `descriptions.jsonl` of one seed; what is there already is kept.

    Args:
        recipe: A checked recipe.
        seed: One of `recipe.seeds`; its adapter must be trained if the aligned policy is asked for.

    Raises:
        UserError: If the adapter is missing, or the file was made with other questions or classes.
        EnvironmentFault: If the file cannot be written.
    """
    directory = RunDirectory.of(recipe).seed(seed)
    policies = recipe.describe.policies
    if "aligned" in policies and not is_trained(directory):
        raise UserError(
            f"{directory.adapter}: no aligned adapter of seed {seed}; run `ex2 train` (or `ex2 run`) first."
        )
    prompts = make_prompts(banks.load_dataset(recipe.dataset).class_names, recipe.prompts.questions)
    work = [
        (policy, start // recipe.describe.batch_size, prompts[start : start + recipe.describe.batch_size], sample)
        for policy in policies
        for sample in range(recipe.describe.per_question)
        for start in range(0, len(prompts), recipe.describe.batch_size)
    ]
    done = {_key(row) for row in read_jsonl(directory.descriptions)}
    wanted = {
        (policy, p.label, p.class_name, p.question_id, sample) for policy, _, batch, sample in work for p in batch
    }
    if done - wanted:
        raise UserError(
            f"{directory.descriptions}: holds descriptions of other classes, questions or samples than the recipe; "
            "move the file away to describe again."
        )
    missing = [item for item in work if any((item[0], *_of(p), item[3]) not in done for p in item[2])]
    if missing:
        _generate(recipe, seed, directory, missing, done)


def _generate(recipe: Recipe, seed: int, directory: SeedDirectory, work: list[Any], done: set[Any]) -> None:
    quiet_libraries()
    set_threads(recipe.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(recipe.policy)
    model: Any = load_model(recipe.policy, device)
    if "aligned" in recipe.describe.policies:
        model = PeftModel.from_pretrained(model, str(directory.adapter))
    model.eval()
    vlm = banks.load_vlm(recipe.vlm)
    reward = build_reward(recipe, vlm, banks.class_means(recipe, vlm))
    total = sum(len(batch) for _, _, batch, _ in work)
    with tqdm(total=total, desc="describe", unit="text", dynamic_ncols=True) as bar:
        for policy, number, batch, sample in work:
            bar.set_postfix_str(policy, refresh=False)
            torch.manual_seed(batch_seed(seed, policy, sample, number))
            adapter_off = model.disable_adapter() if policy == "base" and hasattr(model, "disable_adapter") else None
            with adapter_off or nullcontext():
                texts, tokens, cut = generate(model, tokenizer, batch, recipe)
            names = [prompt.class_name for prompt in batch]
            scores = reward(
                prompts=[prompt.render(recipe.prompts.style) for prompt in batch],
                completions=texts,
                class_name=names,
                label=[prompt.label for prompt in batch],
                question_id=[prompt.question_id for prompt in batch],
            )
            vlm_cut = vlm.encode_texts(texts).cut.tolist()
            rows = [
                {
                    "class": prompt.class_name,
                    "label": prompt.label,
                    "question_id": prompt.question_id,
                    "question": prompt.question,
                    "policy": policy,
                    "seed": seed,
                    "sample": sample,
                    "text": text,
                    "tokens": count,
                    "cut": was_cut,
                    "reward": score,
                    "vlm_cut": by_vlm,
                }
                for prompt, text, count, was_cut, score, by_vlm in zip(
                    batch, texts, tokens, cut, scores, vlm_cut, strict=True
                )
            ]
            append_jsonl(directory.descriptions, [row for row in rows if _key(row) not in done])
            bar.update(len(batch))


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], recipe: Recipe
) -> tuple[list[str], list[int], list[bool]]:
    """Sample one description per prompt from the current random state.

    Args:
        model: Language model, in eval mode.
        tokenizer: Its tokenizer, padding on the left.
        prompts: One batch.
        recipe: For prompt style and sampling.

    Returns:
        Texts without special tokens; numbers of tokens, the end token included; and whether the text was cut at the
        token limit, without an end token.
    """
    rendered = [prompt.render(recipe.prompts.style) for prompt in prompts]
    if recipe.prompts.style == "chat":
        encoded = tokenizer.apply_chat_template(
            rendered, add_generation_prompt=True, tokenize=True, return_dict=True, padding=True, return_tensors="pt"
        )
    else:
        encoded = tokenizer(rendered, padding=True, return_tensors="pt")
    sampling = recipe.generation
    ends = end_tokens(model, tokenizer)
    with torch.inference_mode():
        output = model.generate(
            **{key: encoded[key].to(model.device) for key in ("input_ids", "attention_mask")},
            max_new_tokens=sampling.max_new_tokens,
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends,
        )
    texts, counts, cut = [], [], []
    for ids in output[:, encoded["input_ids"].shape[1] :].tolist():
        end = next((index for index, token in enumerate(ids) if token in ends), None)
        kept = ids if end is None else ids[: end + 1]
        texts.append(tokenizer.decode(kept, skip_special_tokens=True))
        counts.append(len(kept))
        cut.append(end is None)
    return texts, counts, cut


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Return every token that ends a description: the tokenizer's end token and those the model declares."""
    declared = model.generation_config.eos_token_id
    declared = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    return list(dict.fromkeys([tokenizer.eos_token_id, *declared]))


def batch_seed(seed: int, policy: str, sample: int, number: int) -> int:
    """Return a batch's sampling seed, the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{policy}:{sample}:{number}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _of(prompt: Prompt) -> tuple[int, str, int]:
    return prompt.label, prompt.class_name, prompt.question_id


def _key(row: JSON) -> tuple[str, int, str, int, int]:
    return row["policy"], row["label"], row["class"], row["question_id"], row["sample"]
