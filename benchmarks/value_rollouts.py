"""Is PPO's value function worth having on a real language model? Rollouts of `make real`, replayed in order.

    python benchmarks/value_rollouts.py [--rollouts FILE.npz] [--steps 0.1 0.2 …] [--out FILE.md]

Trains value heads on recorded rollouts (`recorded_rollouts.py`), batch after batch, by the trainer's own functions, and
asks before each batch how much of the variance of its returns they explain. Beside them stand ridge regression on the
earlier batches, the earlier mean at each position, and a constant. All read the last hidden states of the base model,
recomputed from the token ids; the run's own head read those of the policy, which the adapter had moved.

Two returns: the rewards to go, which are the same for all predictors and are what a value function estimates; and the
λ-returns with the predictor's own values, on which a head is trained and whose explained variance the trainer logs.

Exits with 1 unless the recipe's head explains at least half of what ridge regression does on average over batches 10
to the last (where that is 0.1 or more), and the paper's head and the constant do not. Needs `make real-assets`; some
ten minutes on one core, one where the hidden states are cached.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from recorded_rollouts import RECIPE, ROLLOUTS, Rollouts, read_rollouts, recipe_of
from safetensors.torch import load_file, save_file
from value_predictors import Constant, Head, PositionMeans, Predictor, Ridge, hidden_states, loss_mask, replay

from ex2.policy.loading import load_model
from ex2.recipe_io import FORMER, read_recipe
from ex2.run.directory import RunDirectory
from ex2.runtime import quiet_libraries
from ex2.trainers.advantages import explained_variance
from ex2.trainers.config import PPOConfig
from ex2.training.arguments import trainer_arguments
from reward.cache import cache_dir

FROM, SHARE, LEAST_RIDGE = 10, 0.5, 0.1
"""Means are over batches from this one on; the head is to reach this share of ridge regression's explained variance,
where that is at least the last."""


def all_hidden_states(rollouts: Rollouts, digest: str) -> list[torch.Tensor]:
    """Return the base model's hidden states of every batch, computed once and cached.

    Args:
        rollouts: The rollouts.
        digest: Hash of their file, by which the hidden states are cached.

    Raises:
        SystemExit: If the model gives other probabilities than the one the rollouts were recorded with.
    """
    cached = cache_dir() / f"value_rollouts-{digest}.safetensors"
    if cached.exists():
        stored = load_file(cached)
        return [stored[str(number)] for number in range(len(rollouts.batches))]
    model: Any = load_model(recipe_of(rollouts).policy.source(), torch.device("cpu"))
    model.eval()
    hidden = []
    for number, batch in enumerate(rollouts.batches):
        hidden.append(hidden_states(model, batch))
        if number == 0:
            with torch.no_grad():
                logprobs = torch.log_softmax(model.lm_head(hidden[0]), -1)
            own = logprobs.gather(-1, batch.completion_ids.unsqueeze(-1)).squeeze(-1)
            far = float(((own - batch.ref_logprobs) * batch.response_mask).abs().max())
            if far > 0.01:
                raise SystemExit(f"the model is not that of the rollouts: its log-probabilities are {far:.3g} away")
        print(f"hidden states: batch {number + 1} of {len(rollouts.batches)}", end="\r", flush=True)
    cached.parent.mkdir(parents=True, exist_ok=True)
    save_file({str(number): states.contiguous() for number, states in enumerate(hidden)}, cached)
    return hidden


def config_of(rollouts: Rollouts, changes: Sequence[str] = ()) -> PPOConfig:
    """Return the trainer's arguments: the recorded recipe's, with the value head of today's recipe.

    Args:
        rollouts: The rollouts.
        changes: `ppo.key=value`, for another head than the recipe's.
    """
    recipe = recipe_of(rollouts).model_copy(update={"ppo": read_recipe(RECIPE, changes).ppo})
    seed = rollouts.about["seed"]
    config = trainer_arguments(recipe, seed, RunDirectory.of(recipe).seed(seed), 1)
    assert isinstance(config, PPOConfig)
    return config


HEADS: dict[str, list[str]] = {
    "the recipe's head": [],
    "the paper's head (twin)": [f"ppo.{key}={value}" for key, value in FORMER.items()],
}
RIDGE, POSITIONS, CONSTANT = "ridge regression", "mean at the position", "constant"


class Explained(NamedTuple):
    """Explained variance of every batch, by predictor.

    Attributes:
        to_go: Of the rewards to go.
        own: Of the λ-returns with the predictor's own values.
    """

    to_go: dict[str, list[float]]
    own: dict[str, list[float]]


def explain(rollouts: Rollouts, hidden: Sequence[torch.Tensor], steps: Sequence[float] = ()) -> Explained:
    """Replay the rollouts with every predictor.

    Args:
        rollouts: The rollouts.
        hidden: Hidden states of each batch, shape (B, T, hidden).
        steps: `PPOConfig.value_step` of further heads, which are the recipe's otherwise.
    """
    width, longest = hidden[0].shape[-1], max(batch.response_mask.shape[1] for batch in rollouts.batches)
    found = Explained({}, {})
    for to_go, into in ((True, found.to_go), (False, found.own)):
        configs = {name: config_of(rollouts, changes) for name, changes in HEADS.items()}
        for step in steps:
            configs[f"step {step:g}"] = config = config_of(rollouts)
            config.value_learning_rate, config.value_step = None, step
        predictors: dict[str, Predictor] = {name: Head(width, config) for name, config in configs.items()}
        predictors |= {RIDGE: Ridge(width), POSITIONS: PositionMeans(longest), CONSTANT: Constant(longest)}
        for name, predictor in predictors.items():
            config = configs.get(name, next(iter(configs.values())))  # of other predictors only γ and λ are used
            score_mean = rollouts.about["score_mean"]
            into[name] = replay(predictor, rollouts.batches, hidden, config, score_mean, to_go=to_go).explained
    return found


def mean_from(explained: Sequence[float]) -> float:
    """Return the mean over batches `FROM` to the last."""
    return statistics.fmean(explained[FROM - 1 :])


def holds(explained: dict[str, list[float]], name: str) -> bool | None:
    """Return whether a predictor explains `SHARE` of what ridge regression does or more; None if that is too little."""
    best = mean_from(explained[RIDGE])
    return mean_from(explained[name]) >= SHARE * best if best >= LEAST_RIDGE else None


def table(found: Explained, live: Sequence[float]) -> str:
    """Lay the means and the batches out as Markdown.

    Args:
        found: What was explained.
        live: What the run's own head explained of its own λ-returns.
    """
    said = {True: "yes", False: "no", None: f"not counted: ridge below {LEAST_RIDGE}"}
    lines = [
        f"| mean of batches {FROM}–{len(live)} | rewards to go | half of ridge | own λ-returns | half of ridge |",
        "|---|---|---|---|---|",
    ]
    for name in found.to_go:
        cells = [f"{mean_from(part[name]):.3f} | {said[holds(part, name)]}" for part in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| the run's own head | | | {mean_from(live):.3f} | |", ""]
    columns = [(part, name) for part in found for name in part]
    titles = [f"{name}, {what}" for part, what in zip(found, ("to go", "λ"), strict=True) for name in part]
    lines += [
        f"| batch | {' | '.join(titles)} | the run's own head, λ |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for number, own in enumerate(live):
        cells = [f"{part[name][number]:.3f}" for part, name in columns]
        lines.append(f"| {number + 1} | {' | '.join(cells)} | {own:.3f} |")
    return "\n".join(lines)


def main() -> int:
    """Replay, print and write the table; status 1 unless the recipe's head passes and the twins do not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=Path, default=ROLLOUTS, help="default: those in benchmarks/rollouts")
    parser.add_argument(
        "--steps", type=float, nargs="*", default=[], help="of further heads, in spreads of the returns"
    )
    parser.add_argument("--out", type=Path, help="Markdown file")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    quiet_libraries()
    rollouts = read_rollouts(options.rollouts)
    digest = hashlib.sha256(options.rollouts.read_bytes()).hexdigest()[:16]
    found = explain(rollouts, all_hidden_states(rollouts, digest), options.steps)
    live = [explained_variance(one.old_values, one.returns, loss_mask(one)) for one in rollouts.batches]
    text = table(found, live)
    print(text)
    if options.out:
        options.out.write_text(f"# The value function on SmolLM2's rollouts\n\n{text}\n", encoding="utf-8")
    own, *twins = [*HEADS, CONSTANT]
    passed = all(holds(part, own) in (True, None) for part in found)
    fooled = [name for name in twins if all(holds(part, name) is True for part in found)]
    print(f"holds: {passed}; twins that hold too: {', '.join(fooled) or 'none'}")
    return 0 if passed and not fooled else 1


if __name__ == "__main__":
    raise SystemExit(main())
