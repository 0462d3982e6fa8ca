"""The stages on image sets: what is typed, the files that they read and those that they make; see `stages.Stage`."""

from __future__ import annotations

RECIPE, MEASURES, PROVENANCE = (f"runs/main/{name}" for name in ("recipe.yaml", "measures.json", "provenance.json"))
MANIFESTS = tuple(f"runs/main/manifests/{name}.json" for name in ("measures", "provenance"))


def files_of(seed: int) -> tuple[str, ...]:
    """Return the files and folders of one seed of the set that is drawn."""
    folder = f"sets/drawn-*/seed-{seed}"
    names = ("set.json", "metadata.jsonl", "failures.jsonl", "images", "images/blicket/00001.png")
    return (folder, *(f"{folder}/{name}" for name in names))


SET_FILES = files_of(0)
HALF_FILES = files_of(1)
"""Of the seed that is drawn last, which is half drawn at the moment `sets-drawing`."""
SET = SET_FILES[1]
BANKS, TEXTS = "cache/banks/images-*.safetensors", "cache/texts/*"
PLAIN = "plain"
"""Folder of images without a recipe."""

LAYOUTS = {"geneval": "geneval", "genbench": "genbench/drawn_train.txt"}
"""Layout of others → what `ex2 draw` is given of the set that was exported in it."""
_EXPORTED = {"geneval": ("out/*/metadata.jsonl", "out/*/samples/*"), "genbench": ("out/*",)}

_ON_PLAIN = ("--vlm", "demo-visual", "--dataset", "folder", "root=photos", "--split", "test")
_FEW = ("measure.bootstrap_samples=100", "measure.permutations=99")
SET_STAGES = (
    {
        "name": "draw",
        "words": ("draw", "sets.yaml"),
        "moment": "sets-drawn",
        "reads": SET_FILES,
        "makes": ("sets/*/seed-*/*", "sets/*/seed-*/images/*/*"),
        "begins": "sets-fresh",
    },
    {
        "name": "draw-folder",
        "words": ("draw", PLAIN),
        "moment": "sets-fresh",
        "reads": (),
        "makes": ("sets/plain-*/seed-*/*", "sets/plain-*/seed-*/images/*/*"),
    },
    {
        "name": "measure",
        "words": ("measure", "sets.yaml"),
        "moment": "sets-measured",
        "reads": (*SET_FILES, RECIPE, PROVENANCE, MEASURES, *MANIFESTS, BANKS, TEXTS),
        "makes": (MEASURES, RECIPE, "runs/main/report.html", "runs/main/.*"),
        "begins": "sets-drawn",
    },
    {
        "name": "measure-folder",
        "words": ("measure", PLAIN, *_ON_PLAIN, *_FEW),
        "moment": "sets-fresh",
        "reads": (),
        "makes": ("runs/plain/measures.json", "runs/plain/report.html", "runs/plain/.*"),
    },
    {
        "name": "report-sets",
        "words": ("report", "sets.yaml"),
        "moment": "sets-measured",
        "reads": (*SET_FILES, RECIPE, PROVENANCE, MEASURES, *MANIFESTS),
        "makes": ("runs/main/report.html", "runs/main/.*"),
    },
    {
        "name": "tables-sets",
        "words": ("tables", "runs", "--out", "tables", "--format", "csv,json,latex"),
        "moment": "sets-measured",
        "reads": (SET, RECIPE, MEASURES, MANIFESTS[0]),
        "makes": ("tables/*",),
    },
    {
        "name": "run-sets",
        "words": ("run", "sets.yaml"),
        "moment": "sets-measured",
        "reads": (*SET_FILES, RECIPE, PROVENANCE, MEASURES, *MANIFESTS, BANKS, TEXTS),
        "makes": (MEASURES, RECIPE, "runs/main/report.html", "sets/*/seed-*/*", "sets/*/seed-*/images/*/*"),
        "begins": "sets-fresh",
    },
    *(
        {
            "name": f"export-{layout}",
            "words": ("export", "sets/drawn-*/seed-0", "--layout", layout, "--out", "out"),
            "moment": "sets-drawn",
            "reads": SET_FILES,
            "makes": made,
        }
        for layout, made in _EXPORTED.items()
    ),
    *(
        {
            "name": f"draw-{layout}",
            "words": ("draw", given),
            "moment": "sets-drawn",
            "reads": (),
            "makes": ("sets/*/seed-*/*", "sets/*/seed-*/images/*/*"),
        }
        for layout, given in LAYOUTS.items()
    ),
    {
        "name": "index-sets",
        "words": ("index", "runs"),
        "moment": "sets-measured",
        "reads": (SET, RECIPE, MEASURES, MANIFESTS[0]),
        "makes": ("runs/index.html",),
    },
)
