"""The recipe: one experiment as data.

Hyperparameter defaults are those of the PPO that produced the paper's results (arXiv 2403.16442 and TRL 0.7's
`PPOConfig`); what identifies an experiment (model, VLM, dataset) has no default. Reading and checking a file is in
`ex2.recipe_io`. Recipes are not passed on to the functions that build models and datasets: these take plain arguments.

Every number has a range. A limit lies where the value stops to mean anything (a rate of 1.0 that Adam would move every
weight by, a seed that NumPy does not take), far beyond what anyone has used: it catches a slip of the hand before an
hour of computation does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from ex2.data.source import DatasetSource, Selection
from ex2.monitoring.rules import DEFAULT_RULES, FIRST, METRICS, Rule
from ex2.policy.source import Dtype, ModelSource, Quantization, Sampling
from ex2.trainers.kl_controller import KLController
from reward.errors import unknown_name
from reward.storable import all_different, not_empty, storable

MOST = 1_000_000_000
"""Largest count of anything: libraries take counts as signed 32-bit numbers."""
LARGE = 1e9
"""Largest coefficient: products of such numbers still fit into float32."""
LARGEST_SEED = 2**31 - 1
"""NumPy takes seeds below 2³², and the processes of a run add their number to it."""

Positive = Annotated[int, Field(gt=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Coefficient = Annotated[float, Field(ge=0, le=LARGE)]
Width = Annotated[float, Field(gt=0, le=LARGE)]
Rate = Annotated[float, Field(ge=1e-12, le=1)]
"""Of Adam, which moves every weight by about this much in a step: weights are below 1, and float32 loses less than
1e-12."""
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Named = Annotated[str, Field(min_length=1)]
RunName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=128,
        description="of the run's folder and of its log files, whose names end at 255 bytes",
    ),
]
Policies = Annotated[list[Literal["base", "aligned"]], Field(min_length=1), AfterValidator(all_different)]
Control = Literal["class_name", "waffle", "shuffled", "other_class", "other_class_kept", "base_best"]


class RecipeSection(BaseModel):
    """A part of a recipe whose keys are fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    _storable = field_validator("*")(storable)


class Component(BaseModel):
    """A part chosen by `name` (a table row or a dotted path); the other keys are its own settings.

    `ex2 validate` checks those settings against the component's constructor.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: Named

    _storable = field_validator("*")(storable)

    @model_validator(mode="after")
    def _settings_are_storable(self) -> Component:
        storable(self.settings)
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """All keys but `name`, with their values."""
        return dict(self.model_extra or {})


class Policy(RecipeSection):
    """The language model that is aligned."""

    model: Named = Field(description="Hub id, local directory, or package:NAME for a model that a package ships")
    revision: Named | None = None
    gguf_file: Named | None = Field(None, description="a GGUF file in `model`, converted once and cached")
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    attn_implementation: Named | None = None
    gradient_checkpointing: bool = False
    trust_remote_code: bool = False

    def source(self) -> ModelSource:
        """Return the settings in the form that the functions which load the model take."""
        return ModelSource(**self.model_dump(exclude={"gradient_checkpointing"}))


class Lora(RecipeSection):
    """Low-rank adapter (arXiv 2106.09685)."""

    r: Annotated[int, Field(gt=0, le=65_536)] = 16
    alpha: Positive = 32
    dropout: Decay = 0.05
    target_modules: Annotated[list[str] | str, AfterValidator(not_empty)] = ["q_proj", "v_proj"]


class Prompts(RecipeSection):
    """Class name × question → prompt."""

    questions: list[Annotated[int, Field(ge=0)]] | Literal["all"] = "all"
    style: Literal["plain", "chat"] = Field("plain", description="plain: question, two newlines; chat: chat template")


class Data(Component):
    """Images: one split feeds the reward; another one, which shares no image with it, measures accuracy."""

    reward_split: Named
    test_split: Named
    images_per_class: Positive = 256
    selection: Selection = Field("first", description="first: by file name, as in the paper")
    selection_seed: Seed = 0
    workers: Annotated[int, Field(ge=0, le=1024)] | None = Field(
        None, description="image decoding processes; default: by the number of cores and images"
    )

    def source(self) -> DatasetSource:
        """Return the settings in the form that the functions which open the dataset take."""
        own = self.model_dump(include=set(type(self).model_fields))
        return DatasetSource(**own, settings=self.settings)


class KL(RecipeSection):
    """The KL controller, which every algorithm has (Ziegler et al., arXiv 1909.08593, section 2.2)."""

    controller: Literal["adaptive", "log", "fixed"] = Field(
        "adaptive", description="adaptive: as in the paper; log: proportional in log β, reaches its target sooner"
    )
    init_coef: Coefficient = Field(
        0.2, description="β, in units of score per nat (under grpo, of the scores after group.scale_scores)"
    )
    target: Width = Field(10.0, description="nats per unit")
    unit: Literal["sequence", "token"] = Field(
        "sequence", description="sequence: sum over a description's tokens; token: mean over tokens"
    )
    horizon: Positive = Field(10_000, description="in horizon_unit; shorter: β moves faster")
    horizon_unit: Literal["samples", "batches"] = Field("samples", description="samples: of the global batch")
    damping: Annotated[float, Field(ge=0, le=2)] = Field(1.0, description="of log: against swinging")

    def at_start(self) -> KLController:
        """Return the controller at the start of a run."""
        return KLController(
            self.init_coef, self.target, self.horizon, self.controller, self.unit, self.horizon_unit, self.damping
        )


class RL(RecipeSection):
    """Reinforcement learning, the same for all algorithms: sizes, optimizer, KL controller."""

    batches: Positive = 1000
    batch_size: Positive = Field(32, description="descriptions per batch, over all processes")
    minibatch_size: Positive = Field(8, description="samples per optimizer step, over all processes")
    micro_batch_size: Positive | None = Field(None, description="samples per forward and process; default: all")
    epochs: Positive = 4
    learning_rate: Rate = 1.41e-5
    adam_beta1: Decay = 0.9
    adam_beta2: Decay = 0.999
    adam_epsilon: Annotated[float, Field(ge=1e-15, le=1)] = 1e-8
    max_grad_norm: Coefficient = Field(0.0, description="0: no clipping")
    clip_range: Width = Field(0.2, description="of the ratio of probabilities, about 1")
    whiten_advantages: bool = Field(True, description="of ppo and rloo; grpo has group.scale_scores")
    kl: KL = KL()


class PPO(RecipeSection):
    """Settings that only proximal policy optimization (PPO) has, with the meaning that they have in TRL 0.7."""

    gamma: Share = 1.0
    lam: Share = 0.95
    value_clip_range: Width = 0.2
    value_coef: Coefficient = 0.1
    loss_mean: Literal["tokens", "responses"] = Field(
        "tokens", description="what weighs the same in a minibatch; responses: as in the paper"
    )
    ratio_threshold: Annotated[float, Field(gt=1)] = Field(
        10.0, description="minibatch (or response, if those are averaged) skipped above this mean ratio"
    )
    score_centering: Literal["first_batch", "none"] = Field("first_batch", description="none: raw, as in the paper")
    value_trunk: Literal["shared", "detached"] = Field(
        "detached", description="shared: the value loss changes the policy's weights too, as in the paper"
    )
    value_init: Literal["default", "zero"] = Field(
        "zero", description="of the value head; default: drawn, as in the paper"
    )
    value_clip_unit: Literal["reward", "spread"] = Field(
        "spread", description="of value_clip_range; spread: standard deviation of the returns; reward: as in the paper"
    )
    value_learning_rate: Rate | Literal["step", "tenth", "policy"] = Field(
        "step",
        description="of the value head; step: such that an optimizer step moves a value by at most 0.3 standard "
        "deviations of the returns; tenth: of rl.learning_rate; policy: the same, as in the paper",
    )


class Group(RecipeSection):
    """Settings of RLOO (arXiv 2402.14740) and GRPO (arXiv 2402.03300), which compare descriptions of one prompt."""

    generations: Annotated[int, Field(ge=2, le=MOST)] = Field(4, description="descriptions per prompt")
    scale_scores: Literal["none", "group", "batch"] = Field(
        "none", description="of grpo: divide scores by their standard deviation; none keeps β in units of the score"
    )


class Training(RecipeSection):
    """What is written while training, and how often."""

    save_every: Positive = Field(100, description="batches between checkpoints")
    save_total_limit: Positive | None = 2
    show_samples_every: Positive = Field(10, description="batches between printed descriptions")
    report_to: list[Named] = Field([], description="any of transformers' loggers, such as tensorboard or wandb")


class Generation(RecipeSection):
    """How descriptions are sampled, in training and in the describe stage."""

    max_new_tokens: Positive = 32
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = Field(1.0, description="logits are divided by it")
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=MOST)] = Field(0, description="0: off")
    missing_end: Literal["keep", "penalty", "none"] = Field(
        "keep",
        description="training's score of a description without an end token; keep: as the paper; none: not scored",
    )
    missing_end_penalty: Coefficient = Field(1.0, description="of `penalty`, in units of the score")
    cut_to_sentence: bool = Field(
        False, description="cut a description without an end token back to its last full sentence"
    )

    def sampling(self) -> Sampling:
        """Return the settings in the form that the generators take."""
        return Sampling(self.max_new_tokens, self.temperature, self.top_p, self.top_k)

    def kl_cut(self) -> str:
        """Return what takes tokens away from the distribution that the KL is of: `top_p 0.9 and top_k 5`, or ""."""
        cuts = [f"top_p {self.top_p:g}"] * (self.top_p < 1) + [f"top_k {self.top_k}"] * (self.top_k > 0)
        return " and ".join(cuts)

    def kl_note(self) -> str | None:
        """Say that the KL is not that of the distribution sampled from; None where every token may be drawn."""
        cut = self.kl_cut()
        if not cut:
            return None
        return (
            f"Descriptions are drawn with {cut}, but log-probabilities, and with them the KL that is "
            "reported and controlled, are those before this cut: it is not the KL of what is sampled."
        )


class WatchRule(RecipeSection):
    """A rule that fires if a metric of the log stays beyond a limit; see `ex2.monitoring.rules.Rule`."""

    metric: str
    above: float | None = None
    below: float | None = None
    times: str | None = Field(None, description="the limit is a multiple of this metric; first: of its own first value")
    batches: Positive = Field(1, description="in a row, after which the rule fires")
    action: Literal["warn", "stop"] | None = Field(None, description="default: watch.on_trouble")

    @model_validator(mode="after")
    def _makes_sense(self) -> WatchRule:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"{self.metric}: give one of above and below")
        for name, known in ((self.metric, METRICS), (self.times, [FIRST, *METRICS])):
            if name is not None and name not in known and not name.startswith(("share_", "term_")):
                raise ValueError(unknown_name("watch.rules", name, known).removesuffix("."))
        return self


class Watch(RecipeSection):
    """Signs that a run goes bad, and what to do about them."""

    on_trouble: Literal["warn", "stop"] = Field("warn", description="stop: and keep the best checkpoint from before")
    rules: list[WatchRule] = [
        WatchRule(metric=r.metric, above=r.above, below=r.below, times=r.times, batches=r.batches)
        for r in DEFAULT_RULES
    ]
    without_name_every: Annotated[int, Field(ge=0, le=MOST)] = Field(
        10, description="batches between measurements of the reward without the class name; 0: never"
    )
    without_name_sample: Positive = Field(16, description="descriptions per process that such a measurement encodes")

    def as_rules(self) -> list[Rule]:
        """Return the rules with their actions."""
        return [Rule(**{**rule.model_dump(), "action": rule.action or self.on_trouble}) for rule in self.rules]


class Describe(RecipeSection):
    """How the descriptions that are analysed are made: `per_question` for each class, question and policy."""

    policies: Policies = ["base", "aligned"]
    batch_size: Positive = 32
    per_question: Annotated[int, Field(gt=0, le=10_000)] = 1
    engine: Literal["transformers", "vllm"] = "transformers"
    vllm_adapter: Literal["lora", "merged"] = Field("lora", description="merged: into a copy of the base model")
    vllm_memory: Annotated[float, Field(gt=0, lt=1)] = Field(0.8, description="vLLM's share of the GPU's memory")


class Resources(RecipeSection):
    """Resources that one run takes on a cluster (`ex2 sweep --engine ray`); the local engine does not use them."""

    gpus: Annotated[float, Field(ge=0, le=1024)] = Field(0.0, description="fractions share a GPU")
    cpus: Annotated[float, Field(gt=0, le=65_536)] = 1.0


class Attribution(RecipeSection):
    """How it is found what EX2's gain over the templates is made of: the style of the texts, or what they say."""

    pool: Positive = Field(400, description="most texts that every class is given in the arm `everyone`")
    encodings: Positive = Field(1_000_000, description="most texts encoded for it; beyond, fewer take part")


class Analysis(RecipeSection):
    """How the descriptions are analysed."""

    denominator: Literal["parsed", "all"] = Field("parsed", description="all: unparsed answers count, as in the paper")
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = Field(0.95, description="of the intervals")
    bootstrap_samples: Annotated[int, Field(gt=0, le=1_000_000)] = 2000
    controls: list[Control] = Field(
        ["class_name", "waffle", "shuffled", "other_class"], description="control arms, beside EX2's descriptions"
    )
    description_files: dict[str, Literal["cupl", "dclip"]] = Field(
        {}, description="further arms: JSON file → format; cupl: class → sentences, dclip: class → descriptors"
    )
    attribution: Attribution | None = Field(Attribution(), description="null: not measured")
    partial_files: bool = Field(False, description="description_files may lack classes, or have others besides")


class Recipe(RecipeSection):
    """One experiment."""

    name: RunName
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    output_dir: Named = "runs"
    threads: Annotated[int, Field(gt=0, le=1024)] | None = Field(
        None, description="torch threads; small models are fastest on 1"
    )
    algorithm: Literal["ppo", "rloo", "grpo"] = "ppo"
    policy: Policy
    lora: Lora | None = Field(Lora(), description="null: train every weight, with a second model as the reference")
    prompts: Prompts = Prompts()
    vlm: Component
    reward: Component = Component(name="cosine")
    dataset: Data
    rl: RL = RL()
    ppo: PPO = PPO()
    group: Group = Group()
    generation: Generation = Generation()
    watch: Watch = Watch()
    training: Training = Training()
    describe: Describe = Describe()
    resources: Resources = Resources()
    judge: Component
    analysis: Analysis = Analysis()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Recipe:
        rl = self.rl
        if rl.batch_size % rl.minibatch_size:
            raise ValueError(f"rl.minibatch_size: {rl.minibatch_size} does not divide rl.batch_size {rl.batch_size}")
        if self.algorithm != "ppo" and rl.batch_size % self.group.generations:
            raise ValueError(
                f"group.generations: {self.group.generations} does not divide rl.batch_size {rl.batch_size}"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} has duplicates")
        return self

    @property
    def prompts_per_batch(self) -> int:
        """Number of different prompts in a batch; RLOO and GRPO sample several descriptions for each."""
        return self.rl.batch_size // (1 if self.algorithm == "ppo" else self.group.generations)
