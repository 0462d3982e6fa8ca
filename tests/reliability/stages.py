"""The stages: what is typed, the moment at which it is typed, the files that it reads and those that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from tests.reliability.set_stages import SET_STAGES

RUN = "runs/main"
SEED = f"{RUN}/seed-0"
CHECKPOINT = f"{SEED}/checkpoints/checkpoint-4"

_STATE_FILES = (
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "complete.json",
    "optimizer.pt",
    "ppo_state.json",
    "rng_state.pth",
    "scheduler.pt",
    "tokenizer.json",
    "tokenizer_config.json",
    "trainer_state.json",
    "training_args.bin",
    "value_head.safetensors",
)
_ADAPTER_FILES = (
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
    "value_head.safetensors",
)
CHECKPOINT_FILES = tuple(f"{CHECKPOINT}/{name}" for name in _STATE_FILES)
ADAPTER_FILES = tuple(f"{SEED}/adapter/{name}" for name in _ADAPTER_FILES)
RECIPE = f"{RUN}/recipe.yaml"
PROVENANCE = f"{RUN}/provenance.json"
DESCRIPTIONS, VERDICTS, LOG = (f"{SEED}/{name}.jsonl" for name in ("descriptions", "verdicts", "train"))
ACCURACY, BREAKDOWN, CROSS = (f"{SEED}/{name}.json" for name in ("accuracy", "breakdown", "cross"))
ANSWERS = f"{SEED}/attributes.jsonl"
ATTRIBUTES, PHRASES, AGREEMENT = (f"{RUN}/{name}.json" for name in ("attributes", "phrases", "agreement"))
SAMPLE, LABELS = f"{RUN}/labels/sample.json", f"{RUN}/labels/rater-1.jsonl"
MEANS, IMAGES, TEXTS = "cache/banks/class-means-*.safetensors", "cache/banks/images-*.safetensors", "cache/texts/*"
MANIFESTS = {name: f"{SEED}/manifests/{name}.json" for name in ("train", "describe", "analyze")}
SEALS = tuple(
    f"{folder}/manifests/{name}.json"
    for folder, name in ((SEED, "cross"), *((RUN, one) for one in ("attributes", "phrases", "agreement", "provenance")))
)
SAMPLE_SEAL = f"{RUN}/labels/manifests/sample.json"
"""Manifests of results of one file."""
CARDS = ("README.md", "tokenizer.json", "tokenizer_config.json", "training_args.bin", "provenance.json")
"""Files that no number depends on: a stage may leave them as they are."""
OPTIONAL = (CROSS, ANSWERS, ATTRIBUTES, PHRASES, AGREEMENT, SAMPLE, LABELS)
"""Results of verbs that need not have been called: without one, other pages are right too."""
ARM_TEXTS = f"{SEED}/arm_texts.jsonl"
_RESULTS = (SEED, RECIPE, ACCURACY, BREAKDOWN, DESCRIPTIONS, VERDICTS, ARM_TEXTS, LOG)


@dataclass(frozen=True)
class Stage:
    """One verb on the world.

    Attributes:
        name: As on the command line.
        words: All that is typed.
        moment: Of `base.MOMENTS`, at which files are damaged and data change.
        reads: Files, or patterns.
        makes: Patterns of the files that are compared with those of an undisturbed call.
        begins: The moment at which there is all to do: for kills, full disks and two at once.
        unfinished: Logs of `reads` that are half written at the moment, so that no manifest has their hash. A person's
            answers always are.
        data: Whether it looks at the dataset's images.
    """

    name: str
    words: tuple[str, ...]
    moment: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    begins: str = ""
    unfinished: tuple[str, ...] = ()
    data: bool = False

    @property
    def of_sets(self) -> bool:
        """Whether it is on image sets."""
        return self.moment.startswith("sets-")

    @property
    def start(self) -> str:
        """The moment at which there is all to do."""
        return self.begins or self.moment


_ONE = ("r.yaml", "--seeds", "0")
_SEED_RESULTS = (f"{SEED}/adapter/*", DESCRIPTIONS, ACCURACY, BREAKDOWN)
STAGES = (
    Stage(
        "train",
        ("train", *_ONE),
        "training",
        (SEED, f"{SEED}/checkpoints", RECIPE, PROVENANCE, MEANS, LOG, *CHECKPOINT_FILES),
        (f"{SEED}/adapter/*", LOG),
        begins="fresh",
        unfinished=(LOG,),
        data=True,
    ),
    Stage(
        "describe",
        ("describe", *_ONE),
        "describing",
        (SEED, f"{SEED}/adapter", RECIPE, MEANS, DESCRIPTIONS, *ADAPTER_FILES, MANIFESTS["train"]),
        (DESCRIPTIONS,),
        begins="trained",
        unfinished=(DESCRIPTIONS,),
        data=True,
    ),
    Stage(
        "analyze",
        ("analyze", *_ONE),
        "analyzing",
        (
            *(SEED, RECIPE, IMAGES, TEXTS, DESCRIPTIONS, VERDICTS, LOG),
            *(f"{SEED}/adapter/{name}" for name in ("README.md", "training.json")),
            *(MANIFESTS[name] for name in ("train", "describe")),
        ),
        (ACCURACY, BREAKDOWN, ARM_TEXTS),
        begins="described",
        unfinished=(VERDICTS,),
        data=True,
    ),
    Stage(
        "run",
        ("run", *_ONE),
        "analyzed",
        (*_RESULTS, PROVENANCE, MEANS, *ADAPTER_FILES, *MANIFESTS.values()),
        (*_SEED_RESULTS, f"{RUN}/report.html"),
        begins="fresh",
        data=True,
    ),
    Stage(
        "report",
        ("report", "r.yaml"),
        "done",
        (*_RESULTS, PROVENANCE, CROSS, ATTRIBUTES, PHRASES, AGREEMENT, SAMPLE, LABELS, *MANIFESTS.values(), *SEALS),
        (f"{RUN}/report.html",),
        unfinished=(LABELS,),
    ),
    Stage(
        "tables",
        ("tables", "runs", "--out", "tables", "--format", "csv,json,latex"),
        "done",
        (*_RESULTS, CROSS, ANSWERS, ATTRIBUTES, PHRASES, AGREEMENT, *MANIFESTS.values()),
        ("tables/*",),
    ),
    Stage(
        "index",
        ("index", "runs"),
        "done",
        (*_RESULTS, CROSS, ATTRIBUTES, PHRASES, AGREEMENT, *MANIFESTS.values()),
        ("runs/index.html",),
    ),
    Stage(
        "cross",
        ("cross", "runs/main", "runs/other"),
        "done",
        (*_RESULTS, CROSS, MANIFESTS["describe"], MANIFESTS["analyze"]),
        (f"{RUN}/seed-*/cross.json",),
        begins="analyzed",
        data=True,
    ),
    Stage(
        "attributes",
        ("attributes", "runs/main"),
        "done",
        (*_RESULTS, ANSWERS, ATTRIBUTES, MANIFESTS["describe"], MANIFESTS["analyze"]),
        (ATTRIBUTES, f"{RUN}/figure-04*.csv"),
        begins="analyzed",
    ),
    Stage(
        "phrases",
        ("phrases", "runs/main", "--top", "2"),
        "done",
        (SEED, RECIPE, DESCRIPTIONS, LOG, PHRASES, MANIFESTS["describe"]),
        (PHRASES, f"{RUN}/table-07*"),
        begins="analyzed",
        data=True,
    ),
    Stage(
        "agreement",
        ("agreement", "runs/main"),
        "done",
        (SEED, RECIPE, BREAKDOWN, ACCURACY, DESCRIPTIONS, VERDICTS, SAMPLE, LABELS, AGREEMENT, MANIFESTS["analyze"]),
        (AGREEMENT, f"{RUN}/agreement.csv"),
        unfinished=(LABELS,),
    ),
    Stage(
        "label",
        ("label", "runs/main", "--n", "3"),
        "done",
        (SEED, RECIPE, BREAKDOWN, DESCRIPTIONS, VERDICTS, SAMPLE, LABELS, MANIFESTS["describe"], SAMPLE_SEAL),
        (SAMPLE,),
        begins="analyzed",
        unfinished=(LABELS,),
    ),
    Stage(
        "export",
        ("export", *_ONE, "--out", "out"),
        "done",
        (SEED, f"{SEED}/adapter", RECIPE, PROVENANCE, *ADAPTER_FILES, MANIFESTS["train"]),
        ("out/*",),
    ),
    *(Stage(**given) for given in SET_STAGES),  # type: ignore[arg-type]
)
BY_NAME = {stage.name: stage for stage in STAGES}
