"""The generator `diffusers`: any text-to-image pipeline of the diffusers library, from a folder or the hub's cache.

Noise is drawn on the CPU from a seed of each image, so that an image is the same in any batch, up to rounding. Weights
are safetensors only, and no code of a pipeline's own is run. A model that diffusers does not have as text-to-image,
such as GLIDE, is reached by the dotted path of a generator of one's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from ex2.data.names_in_texts import name_pattern
from ex2.sets.class_images import ClassImages, read_class_images
from ex2.sets.generators.pipeline_calls import be_quiet, collecting, raise_unfit, reason, refusals
from ex2.sets.generators.pipeline_checks import call_problems, range_problems, scheduler_problems
from ex2.sets.generators.pipeline_folder import PipelineFolder, find_pipeline
from ex2.sets.generators.prompt_tokens import PromptTokens
from ex2.sets.learned import LEARNING_SIDE, Embeddings, Learning, find_embeddings, read_learning
from ex2.sets.requests import Drawn, DrawRequest, Failure
from reward.errors import EnvironmentFault, UserError, shown
from reward.user_paths import expanded

VERSION = 1
"""Of what is asked of a pipeline: to be raised with every change of it, which makes new sets of all that are drawn."""
INSTALL = "pip install 'ex2[images]'"

Dtype = Literal["float32", "bfloat16", "float16"]
Overlong = Literal["error", "cut"]


class Diffusers:
    """Draws prompts with a diffusion pipeline.

    Args:
        model: A folder that diffusers has saved, or a hub id (org/name) that is in the local cache.
        revision: Commit, branch or tag of the hub repository.
        variant: Which weights of it, such as `fp16`.
        steps: Denoising steps.
        guidance: Scale of classifier-free guidance; negative prompts take one above 1.
        width: Of images, in pixels; default: the pipeline's own.
        height: Likewise.
        scheduler: Class of diffusers' in the place of the pipeline's scheduler, such as `DDIMScheduler`.
        dtype: Precision of weights and computation.
        device: `auto` or a torch device. Images on other devices differ by rounding; it does not make another set.
        batch_size: Images that are drawn at once; it changes no image by more than rounding.
        start: Images that drawing starts from in place of noise alone, as `ex2.sets.class_images.read_class_images`
            takes them; each image takes one of its class, in an order of the set's seed and the class.
        strength: How much of a start image is noised away, above 0 and up to 1, at which nothing is left of it.
        inversion: Folder of learned embeddings, one a class, or how to learn them (`ex2.sets.learned.read_learning`); a
            class's name in its prompts is then replaced by its embedding's token.
        overlong: What becomes of a prompt of more tokens than the text encoder reads: `error`, or `cut`, which draws
            what is read of it and counts it.

    Raises:
        UserError: If diffusers, the pipeline, its weights or what it starts from is not there, or a setting is out of
            range; every problem at once.
    """

    name = "diffusers"
    reads_weights = False

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        variant: str | None = None,
        steps: int = 50,
        guidance: float = 7.5,
        width: int | None = None,
        height: int | None = None,
        scheduler: str | None = None,
        dtype: Dtype = "float32",
        device: str = "auto",
        batch_size: int = 8,
        start: Mapping[str, Any] | None = None,
        strength: float | None = None,
        inversion: str | Mapping[str, Any] | None = None,
        overlong: Overlong = "error",
    ) -> None:
        problems = list(range_problems(steps, guidance, width, height, batch_size, start, strength))
        if importlib.util.find_spec("diffusers") is None:
            problems.append(f"generator: 'diffusers' needs the package diffusers; run: {INSTALL}")
        folder: PipelineFolder | None = None
        with collecting(problems):
            folder = find_pipeline(model, revision, variant, "generator.model")
            problems += folder.problems("generator.model")
        self.start: ClassImages | None = None
        with collecting(problems):
            self.start = None if start is None else read_class_images(start, "generator.start")
        self.embeddings: Embeddings | Learning | None = None
        with collecting(problems):
            if isinstance(inversion, str):
                self.embeddings = find_embeddings(expanded(inversion), "generator.inversion")
            elif inversion is not None:
                self.embeddings = read_learning(inversion, "generator.inversion", dtype=dtype)
        if problems or folder is None:
            raise UserError("\n".join(problems))
        self.folder, self.batch_size = folder, batch_size
        self.steps, self.guidance, self.width, self.height = steps, float(guidance), width, height
        self.scheduler, self.dtype, self.device = scheduler, dtype, device
        self.strength, self.overlong = strength, overlong
        name = expanded(model).resolve().name if os.path.isdir(expanded(model)) else model
        self._asked: tuple[str, ...] = ()
        self._embedded: set[str] = set()
        self._tokens = PromptTokens(folder.path / "tokenizer" if "tokenizer" in folder.components else None)
        self.settings: Mapping[str, Any] = {
            "model": name,
            "revision": revision,
            "variant": variant,
            "steps": steps,
            "guidance": self.guidance,
            "width": width,
            "height": height,
            "scheduler": scheduler,
            "dtype": dtype,
            "overlong": overlong,
            "safety_checker": folder.safety_checker,
            "start": None if self.start is None else {**self.start.settings, "strength": strength},
            "inversion": None if self.embeddings is None else self.embeddings.settings,
        }

    @property
    def size(self) -> int | None:
        """Side of the images, in pixels, the greater one; None if it is not known before the pipeline is loaded."""
        sides = [self.width or self.folder.side(), self.height or self.folder.side()]
        return max(side for side in sides if side is not None) if None not in sides else None

    @property
    def versions(self) -> dict[str, str]:
        """Package → version, of what draws."""
        return {name: importlib.metadata.version(name) for name in ("diffusers", "torch", "transformers")}

    def fingerprint(self) -> str:
        """Return a hash of the weights, of the images that are started from, of the embeddings and of the library.

        Of diffusers' version the first two numbers count, since later ones mend what was wrong.
        """
        found = [
            f"version {VERSION}",
            ".".join(self.versions["diffusers"].split(".")[:2]),
            self.folder.digest(),
            "" if self.start is None else self.start.digest(),
            "" if self.embeddings is None else self.embeddings.digest(),
        ]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt, those at start and end included; None if the tokenizer tells no limit."""
        return self._tokens.context

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Text → number of its tokens in the first text encoder, those at start and end included."""
        return self._tokens.count

    def check_machine(self) -> None:
        """Check that the devices are there. Raises `UserError` that names those that are."""
        from reward.backends.common import pick_device

        pick_device(self.device, "generator.device")
        if isinstance(self.embeddings, Learning) and self.embeddings.filter is not None:
            check = getattr(self.embeddings.filter.captioner, "check_machine", None)
            if check is not None:
                check()

    def request_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for each reason why requests cannot be drawn, without loading the weights."""
        classes = self._asked = tuple(dict.fromkeys(request.class_name for request in requests))
        negative = any(request.negative_prompt for request in requests)
        problems = call_problems(self.folder.class_name, self.guidance, negative=negative)
        problems += scheduler_problems(self.folder, self.scheduler, self.steps)
        if self.start is not None:
            problems += self.start.problems(classes)
        if self.embeddings is not None:
            problems += self.embeddings.problems(classes)
            unnamed = [one for one in requests if not name_pattern(one.class_name).search(one.prompt)]
            if unnamed:
                problems.append(
                    f"generator.inversion: {len(unnamed)} of {len(requests)} prompts do not name their class, such as "
                    f"{shown(unnamed[0].prompt)} for '{unnamed[0].class_name}', so that its embedding would not be "
                    "read; choose a strategy that names it."
                )
            if not problems:  # a class without an embedding has no token
                problems += self._embedding_problems(requests)
        if self.overlong == "error" and not problems:  # a class without an embedding has no token to be counted
            problems += self._overlong_problems(requests)
        return problems

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Draw an image for each request, in one batch.

        Raises:
            UserError: If the pipeline cannot be loaded, or does not take what it is asked.
            EnvironmentFault: If the device's memory does not suffice.
        """
        import torch

        asked = list(requests)
        if not asked:
            return []
        pipeline = self._pipeline
        self._embed({request.class_name for request in asked})
        given: dict[str, Any] = {
            "prompt": [self.prompt(request) for request in asked],
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in asked],
            "output_type": "np",
        }
        if any(request.negative_prompt for request in asked):
            given["negative_prompt"] = [request.negative_prompt for request in asked]
        if self.start is not None:
            given |= {"image": self._start_images(asked), "strength": self.strength}
        else:
            given |= {key: value for key, value in (("width", self.width), ("height", self.height)) if value}
        begun = time.perf_counter()
        with self._faults(len(asked)), refusals(self.folder), torch.inference_mode():
            made = pipeline(**given)
        seconds = (time.perf_counter() - begun) / len(asked)
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(asked)
        return [
            self._answer(request, image, bool(bad), seconds)
            for request, image, bad in zip(asked, made.images, flagged, strict=True)
        ]

    def prompt(self, request: DrawRequest) -> str:
        """Return what the pipeline is given: the prompt with the feedback, the class's name replaced by its token."""
        text = f"{request.prompt} {request.feedback}".strip()
        if self.embeddings is None or not request.class_name:
            return text
        token = self.embeddings.token(request.class_name)
        return name_pattern(request.class_name).sub(lambda found: token, text)

    def _answer(self, request: DrawRequest, image: Any, flagged: bool, seconds: float) -> Drawn | Failure:
        import numpy as np
        from PIL import Image

        if flagged:
            return Failure("refused", "the pipeline's safety checker flagged the image, and made it black", seconds)
        if not np.isfinite(image).all():
            why = f"pixels are not finite; {self.dtype} may be too narrow for this pipeline"
            return Failure("no_image", why, seconds)
        pixels = (np.asarray(image, dtype=np.float64) * 255).round().clip(0, 255).astype(np.uint8)
        source = self.start.of(request.class_name, request.index, request.set_seed).digest() if self.start else ""
        cut = self._is_cut(request)
        return Drawn(Image.fromarray(pixels).convert("RGB"), seconds, truncated=cut, source=source)

    def _embedding_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        assert self.embeddings is not None
        tokens = {request.class_name: self.embeddings.token(request.class_name) for request in requests}
        prompts = []
        for one in requests:
            times = len(name_pattern(one.class_name).findall(f"{one.prompt} {one.feedback}"))
            prompts += [(one.class_name, self.prompt(one), times), (one.class_name, one.negative_prompt, 0)]
        return self._tokens.embedding_problems(tokens, prompts, "generator.inversion")

    def _length(self, request: DrawRequest) -> int:
        """Return how many tokens the longer of a request's prompts has; 0 if they are not limited."""
        embedded = self.embeddings is not None and request.class_name
        token = self.embeddings.token(request.class_name) if self.embeddings is not None and embedded else ""
        return self._tokens.most((self.prompt(request), request.negative_prompt), token)

    def _is_cut(self, request: DrawRequest) -> bool:
        return self.context is not None and self._length(request) > self.context

    def _overlong_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        long = [request for request in requests if self._is_cut(request)]
        if not long:
            return []
        first = long[0]
        return [
            f"generator.overlong: {len(long)} of {len(requests)} prompts have more than the {self.context} tokens that "
            f"the text encoder reads, up to {max(map(self._length, long))}, such as that of image {first.index} of "
            f"'{first.class_name}'; give shorter ones, or overlong: cut, which draws what is read of them and counts "
            "them."
        ]

    def _start_images(self, requests: Sequence[DrawRequest]) -> list[Any]:
        from ex2.sets.pixels import centered

        assert self.start is not None
        width, height = self.width or self.folder.side(), self.height or self.folder.side()
        if width is None or height is None:
            raise UserError("generator.width: the pipeline does not tell its own; give width and height.")
        chosen = [self.start.of(request.class_name, request.index, request.set_seed) for request in requests]
        return [centered(image.open(), width, height) for image in chosen]

    @cached_property
    def _pipeline(self) -> Any:
        """The pipeline, on its device, with the scheduler, start and embeddings that are asked for."""
        import diffusers

        from reward.backends.common import DTYPES, pick_device

        device = pick_device(self.device, "generator.device")
        be_quiet()
        with self._faults(1):
            try:
                pipeline = diffusers.DiffusionPipeline.from_pretrained(
                    self.folder.path,
                    dtype=DTYPES[self.dtype],
                    variant=self.folder.variant or None,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                )
            except (ValueError, TypeError, OSError, RuntimeError, ImportError, AttributeError, KeyError) as error:
                raise UserError(
                    f"generator.model: '{self.folder.path.name}' cannot be loaded ({reason(error)})."
                ) from error
            if self.scheduler is not None:
                with refusals(self.folder):
                    pipeline.scheduler = getattr(diffusers, self.scheduler).from_config(pipeline.scheduler.config)
            pipeline.set_progress_bar_config(disable=True)
            pipeline.to(device)
            if self.start is not None:
                pipeline = self._from_images(pipeline)
                pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _from_images(self, pipeline: Any) -> Any:
        from diffusers import AutoPipelineForImage2Image

        try:
            return AutoPipelineForImage2Image.from_pipe(pipeline)
        except ValueError as error:
            raise UserError(
                f"generator.start: diffusers has no image-to-image pipeline for a {self.folder.class_name} "
                f"({reason(error)}); leave start out."
            ) from error

    def _embed(self, class_names: Collection[str]) -> None:
        """Load the embeddings of all classes into the pipeline, after learning those that are not there yet."""
        if self.embeddings is None or self._embedded.issuperset(class_names):
            return
        from safetensors.torch import load_file

        found, pipeline = self.embeddings, self._pipeline
        names = [*dict.fromkeys([*self._asked, *sorted(class_names)])]
        left = [name for name in names if name and name not in self._embedded]
        if not left:  # a text of no class
            return
        if isinstance(found, Learning):
            with self._faults(found.batch):
                found = found.learned(pipeline, left, self.size or LEARNING_SIDE, self.folder.digest())
        vectors = {name: load_file(found.file(name)) for name in left}
        raise_unfit(pipeline, vectors)
        try:
            pipeline.load_textual_inversion([*vectors.values()])
        except (ValueError, OSError, RuntimeError, AttributeError) as error:
            raise UserError(
                f"generator.inversion: an embedding does not fit the pipeline ({reason(error)}); learn it with this "
                "pipeline."
            ) from error
        self._embedded |= {*left}

    @contextlib.contextmanager
    def _faults(self, images: int) -> Iterator[None]:
        import torch

        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise EnvironmentFault(
                f"generator '{self.name}': the memory of the device does not suffice for {images} images at once "
                f"({reason(error)}); give a smaller generator.batch_size (now {self.batch_size}), a smaller width and "
                "height, or dtype: bfloat16."
            ) from error
