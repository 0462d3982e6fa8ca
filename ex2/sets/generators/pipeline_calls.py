"""What calls of diffusers raise, made into lines that tell what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ex2.sets.generators.pipeline_folder import PipelineFolder
from reward.errors import UserError, one_line, shortened


@contextlib.contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the lines of a `UserError` to others."""
    try:
        yield
    except UserError as error:
        problems += str(error).splitlines()


@contextlib.contextmanager
def refusals(folder: PipelineFolder) -> Iterator[None]:
    """Make of what the library's call raises what the user can mend: it checks its arguments by exceptions alone."""
    try:
        yield
    except MemoryError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        if type(error).__name__ == "OutOfMemoryError":  # of torch, which makes it a RuntimeError
            raise
        raise UserError(
            f"generator: the {folder.class_name} '{folder.path.name}' refuses what it is asked "
            f"({type(error).__name__}: {reason(error)}); give other steps, scheduler, width, height, strength or "
            "guidance."
        ) from error


def raise_unfit(pipeline: Any, vectors: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise an error for an embedding of another length than those of the pipeline's text encoder.

    Args:
        pipeline: The pipeline.
        vectors: Class → its file's one tensor, under the name of its token.
    """
    encoder = getattr(pipeline, "text_encoder", None)
    if encoder is None:
        return  # which the library tells
    size = encoder.get_input_embeddings().weight.shape[-1]
    for name, tensors in vectors.items():
        (vector,) = tensors.values()
        if vector.shape[-1] != size:
            raise UserError(
                f"generator.inversion: an embedding does not fit the pipeline: that of class '{name}' has "
                f"{vector.shape[-1]} numbers, and the text encoder's have {size}; learn it with this pipeline."
            )


def be_quiet() -> None:
    """Silence what both libraries say of each prompt that is cut, which is counted, and of each new row of a table."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()


def reason(error: BaseException) -> str:
    """Return what an error of a library says, on one line of at most 300 characters."""
    return shortened(one_line(error), 300)
