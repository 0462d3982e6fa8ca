"""The identity of a user's own code: a hash of the module behind a dotted path, and of what lies beside it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path


def code_digest(name: str, table: Collection[str]) -> str | None:
    """Return a hash of the source code behind the dotted path of a user's own component.

    The hash covers the module's file and the modules that it imports from its own folder, theirs included. An
    installed library that it uses is not covered: versions are in `provenance.json`.

    Args:
        name: A component's name, as a recipe gives it.
        table: Names of the components that are EX2's own.

    Returns:
        16 hexadecimal digits; None for a component of EX2, and for a module without a source file.
    """
    module = name.replace(":", ".").rpartition(".")[0]
    if name in table or not module:
        return None
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    state = hashlib.sha256()
    main = Path(found.origin)
    for path in _with_neighbors(main, set()):
        state.update(f"{path.relative_to(main.parent)}\n".encode())
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _with_neighbors(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield a file and the files of its folder that it imports, each once, in the order of its imports."""
    if path in seen:
        return
    seen.add(path)
    yield path
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for name in _imported(tree):
        for neighbor in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
            if neighbor.is_file():
                yield from _with_neighbors(neighbor, seen)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Yield the last words that could name a neighboring file: `a.b` may be `b.py` of the package `a`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".") if node.module else ()
            yield from (alias.name for alias in node.names)
