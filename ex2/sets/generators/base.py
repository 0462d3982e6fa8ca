"""The protocol of a generator of images, and the table of those that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ex2.sets.requests import Drawn, DrawRequest, Failure
from reward.components import Parts, build

GENERATORS = Parts(
    {
        "code": "ex2.sets.generators.code:Code",
        "diffusers": "ex2.sets.generators.pipeline:Diffusers",
        "folder": "ex2.sets.generators.folder:Folder",
        "original": "ex2.sets.generators.original:Original",
        "retrieval": "ex2.sets.generators.retrieval:Retrieval",
        "toy": "ex2.sets.generators.toy:Toy",
    },
    kind="generator",
    methods=("fingerprint", "draw"),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path."""


class Generator(Protocol):
    """What draws images.

    A generator may also have `batch_size`, the most requests that it takes at once (default 8); `class_names`, the
    classes that it has images of, for a set that is not told its classes; `request_problems(requests)`, which returns a
    line for each reason why some of the requests cannot be answered, before the first is; `knows`, classes that a set
    must have; `subjects`, if it can draw no other classes; `reads_prompts`, False for one that copies images;
    `offline`, False for one that asks a server, which no reward may do; `check_machine()`, which raises an error if
    this machine lacks what it draws with, and is called before anything is drawn; `versions`, package → version of what
    it draws with; `sandbox`, what keeps code that it runs apart from the machine; and, for strategies, `reads_weights`,
    `count_tokens` and `context` as `ex2.sets.strategies.base` has them.

    Attributes:
        name: As it is stored with every image.
        settings: All that the images depend on besides the request, as JSON; two generators with equal settings and
            fingerprints draw equal images.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def fingerprint(self) -> str:
        """Return a hash of what draws: of model weights, of files that are copied, of a version of the code."""
        ...

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Answer each request, in order.

        An image depends on its request alone, not on the others that are asked at the same time.

        Raises:
            UserError: If what the user gave cannot be drawn from at all, such as a folder without a class.
            EnvironmentFault: If the machine fails. Neither is stored: the request is asked again the next time.
        """
        ...


def build_generator(name: str, settings: Mapping[str, Any], where: str = "generator") -> Generator:
    """Build a generator by its row in the table or a dotted path.

    Raises:
        UserError: For an unknown generator or setting, or settings that do not fit.
    """
    generator: Generator = build(name, settings, GENERATORS, where)
    return generator
