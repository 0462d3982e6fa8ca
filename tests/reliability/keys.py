"""Keys of a recipe that are changed between two stages, and whether a run may go on with another value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Freedom = Literal["fixed", "free", "either"]
"""Of a key: it makes the results, it may change, or a stage may take it either way."""

ORDER = ("train", "describe", "analyze", "report")


@dataclass(frozen=True)
class Key:
    """A key with another value than the run's.

    Attributes:
        name: Such as `vlm.name`.
        value: As on the command line.
        freedom: After the stage `since` has begun.
        since: First stage that depends on it; before, it may change.
        early: Its freedom before that.
    """

    name: str
    value: str
    freedom: Freedom = "fixed"
    since: str = "train"
    early: Freedom = "free"

    def freedom_at(self, stage: str, *, begun: bool) -> Freedom:
        """Return whether it may be another when a stage starts.

        Args:
            stage: Of `ORDER`.
            begun: Whether the stage was begun with the other value.
        """
        place, since = ORDER.index(stage), ORDER.index(self.since)
        return self.early if place < since or (place == since and not begun) else self.freedom

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed."""
        return (f"{self.name}={self.value}",)


_TRAINING = (
    ("algorithm", "rloo"),
    ("policy.model", "package:tests_no_such_policy"),
    ("policy.dtype", "bfloat16"),
    ("lora.r", "4"),
    ("lora.alpha", "8"),
    ("lora.dropout", "0.1"),
    ("lora.target_modules", "[q_proj]"),
    ("lora", "null"),
    ("prompts.questions", "[0, 2]"),
    ("prompts.questions", "all"),
    ("prompts.style", "chat"),
    ("vlm.name", "demo-spurious"),
    ("vlm.name", "demo-non-visual"),
    ("reward.name", "margin"),
    ("reward.name", "fluency"),
    ("dataset.reward_split", "test2"),
    ("dataset.images_per_class", "2"),
    ("dataset.class_names", "[blicket, fep, toma, tove]"),
    ("rl.batches", "2"),
    ("rl.batch_size", "8"),
    ("rl.minibatch_size", "4"),
    ("rl.epochs", "2"),
    ("rl.learning_rate", "2.0e-3"),
    ("rl.adam_beta1", "0.8"),
    ("rl.adam_beta2", "0.99"),
    ("rl.adam_epsilon", "1.0e-6"),
    ("rl.max_grad_norm", "1.0"),
    ("rl.clip_range", "0.1"),
    ("rl.whiten_advantages", "false"),
    ("rl.kl.controller", "fixed"),
    ("rl.kl.init_coef", "0.3"),
    ("rl.kl.target", "5"),
    ("rl.kl.unit", "token"),
    ("rl.kl.horizon", "30"),
    ("rl.kl.horizon_unit", "samples"),
    ("rl.kl.damping", "0.5"),
    ("ppo.gamma", "0.9"),
    ("ppo.lam", "0.5"),
    ("ppo.value_coef", "0.2"),
    ("ppo.loss_mean", "responses"),
    ("ppo.score_centering", "none"),
    ("ppo.value_trunk", "shared"),
    ("generation.max_new_tokens", "9"),
    ("generation.temperature", "0.7"),
    ("generation.top_p", "0.9"),
    ("generation.top_k", "5"),
    ("generation.missing_end", "none"),
    ("generation.cut_to_sentence", "true"),
)
_DESCRIBING = (("describe.batch_size", "3"), ("describe.policies", "[aligned]"))
_ANALYZING = (("analysis.bootstrap_samples", "60"), ("analysis.attribution", "null"))
_FREE = (
    ("threads", "2"),
    ("seeds", "[0]"),
    ("resources.cpus", "2"),
    ("training.save_every", "2"),
    ("training.show_samples_every", "2"),
    ("judge.name", "tests.reliability.judges.NoJudge"),
    ("analysis.confidence", "0.9"),
    ("analysis.controls", "[class_name]"),
)
KEYS = (
    *(Key(name, value) for name, value in _TRAINING),
    Key("dataset.test_split", "test2", since="analyze", early="either"),
    *(Key(name, value, since="describe", early="fixed") for name, value in _DESCRIBING),  # seed 1 is described
    *(Key(name, value, "either", "analyze") for name, value in _ANALYZING),
    *(Key(name, value, "free") for name, value in _FREE),
    Key("rl.micro_batch_size", "1", "either"),
    Key("dataset.selection_seed", "1", "either"),
    Key("watch.on_trouble", "stop", "either"),
    Key("group.generations", "2", "either"),
)
READ_KEYS = (
    ("vlm.name", "demo-spurious"),
    ("reward.name", "margin"),
    ("dataset.images_per_class", "2"),
    ("dataset.root", "elsewhere"),
    ("generation.temperature", "0.7"),
    ("prompts.questions", "[0, 2]"),
    ("policy.model", "another"),
    ("lora.r", "4"),
    ("rl.batches", "2"),
    ("rl.kl.target", "5"),
    ("algorithm", "rloo"),
)
"""Keys that another hand changes in the run's own `recipe.yaml`, which the verbs on runs read."""
