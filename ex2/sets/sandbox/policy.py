"""What is refused before it is run, as a measurement of what models write: the sandbox is the boundary, not this.

Each function returns why a program is refused, one short reason each, and nothing if it is not. Programs that cannot be
read are not refused: they fail when they are run, with a status of their own.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

MOST_CHARACTERS = 200_000
"""Of a program."""
MOST_ELEMENTS = 10_000
"""Of a drawing in SVG, each counted as often as `use` repeats it."""
MOST_DEPTH = 100
"""Of elements within elements, and of what a `use` refers to within another."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NODES = _words(
    "Module Expr Assign AugAssign AnnAssign Delete For While If With FunctionDef ClassDef Return Pass Break Continue "
    "Import ImportFrom Try TryStar Raise Assert Global Nonlocal Lambda BoolOp NamedExpr BinOp UnaryOp IfExp Dict Set "
    "ListComp SetComp DictComp GeneratorExp Yield YieldFrom Compare Call FormattedValue JoinedStr Constant Attribute "
    "Subscript Starred Name List Tuple Slice arguments arg keyword alias withitem comprehension ExceptHandler"
)
_GROUPS = ("expr_context", "boolop", "operator", "unaryop", "cmpop")
_BUILTINS = _words(
    "abs all any bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash hex int "
    "isinstance issubclass iter len list map max min next oct ord pow print property range repr reversed round set "
    "slice sorted staticmethod classmethod str sum super tuple type zip object True False None NotImplemented Ellipsis"
) | {name for name in dir(builtins) if name.endswith(("Error", "Exception"))}
_FILES = _words(
    "imread imsave load loads save savez savez_compressed loadtxt savetxt genfromtxt fromfile tofile memmap "
    "open_memmap DataSource fromregex ctypeslib f2py distutils testing os sys subprocess system popen environ builtins "
    "importlib modules loader spec cbook get_sample_data rc_file rc_file_defaults usetex pgf texmanager animation open "
    "urlopen ctypes pickle dump dumps read_text write_text"
)
_SAVED = re.compile(r"[\w -]{1,80}(\.\w{1,5})?")


def python_refusals(code: str, modules: Collection[str]) -> list[str]:
    """Return why a Python program is refused: what it imports, calls or touches that no drawing needs.

    Args:
        code: The program.
        modules: Top-level modules that it may import.
    """
    if len(code) > MOST_CHARACTERS:
        return [f"more than {MOST_CHARACTERS:,} characters"]
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return list(dict.fromkeys(reason for node in ast.walk(tree) for reason in _of_node(node, modules, own)))


def _of_node(node: ast.AST, modules: Collection[str], own: Collection[str]) -> Iterator[str]:
    kind = type(node)
    if kind.__name__ not in _NODES and not any(base.__name__ in _GROUPS for base in kind.__mro__):
        yield f"{kind.__name__} is not allowed"
    if isinstance(node, ast.Import):
        yield from (f"import of {alias.name}" for alias in node.names if not _importable(alias.name, modules))
    elif isinstance(node, ast.ImportFrom):
        if node.level or not _importable(node.module or "", modules):
            yield f"import of {node.module or '.'}"
        yield from (f"import of {alias.name}" for alias in node.names if _private(alias.name) or alias.name in _FILES)
    elif isinstance(node, ast.Attribute):
        if _private(node.attr) or node.attr in _FILES:
            yield f"attribute {node.attr}"
    elif isinstance(node, ast.Name):
        if _private(node.id) and node.id != "__name__":
            yield f"name {node.id}"
        elif hasattr(builtins, node.id) and node.id not in {"__name__", *_BUILTINS, *own}:
            yield f"call of {node.id}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value in ("text.usetex", "pgf.texsystem", "savefig.directory"):
            yield f"setting {node.value}"
    elif isinstance(node, ast.keyword) and node.arg == "usetex":
        yield "setting usetex"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call) -> Iterator[str]:
    """Refuse to save under anything but a plain file name: what is saved is not written, whatever its name."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "savefig":
        for word in node.args[:1]:
            if not (isinstance(word, ast.Constant) and isinstance(word.value, str) and _SAVED.fullmatch(word.value)):
                yield "savefig to a path"


def _importable(name: str, modules: Collection[str]) -> bool:
    parts = name.split(".")
    return parts[0] in modules and not any(_private(part) or part in _FILES for part in parts[1:])


def _private(name: str) -> bool:
    return name.startswith("__") or name in ("gi_frame", "f_globals", "f_builtins", "tb_frame", "cr_frame", "mro")


_REFUSED_ELEMENTS = _words(
    "image foreignobject script iframe audio video object embed feimage handler listener tref font-face-uri"
)
_OWN_REFERENCE = re.compile(r"#[^\s)'\"]+")
_URL = re.compile(r"url\(\s*['\"]?\s*([^)'\"]*)", re.IGNORECASE)


@dataclass
class _Element:
    name: str
    refers_to: str = ""
    children: list[_Element] = field(default_factory=list)


class _Drawing:
    """What a parser has seen of a drawing."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.root = _Element("")
        self.open = [self.root]
        self.named: dict[str, _Element] = {}
        self.count = self.depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2].lower()
        self.count, self.depth = self.count + 1, max(self.depth, len(self.open))
        if self.count > MOST_ELEMENTS or self.depth > MOST_DEPTH:
            raise _TooMuch
        if local in _REFUSED_ELEMENTS:
            self.reasons.append(f"element {local}")
        element = _Element(local)
        self.open[-1].children.append(element)
        self.open.append(element)
        for key, value in attributes.items():
            self._attribute(element, key.rpartition(":")[2].lower(), value)

    def _attribute(self, element: _Element, key: str, value: str) -> None:
        if key == "id":
            self.named.setdefault(value, element)
        elif key in ("href", "src", "base"):
            if not _OWN_REFERENCE.fullmatch(value.strip()):
                self.reasons.append(f"reference of {element.name} to what is outside")
            element.refers_to = value.strip()[1:]
        elif key.startswith("on"):
            self.reasons.append(f"handler {key}")
        self._style(value)

    def _style(self, text: str) -> None:
        if "@import" in text.lower():
            self.reasons.append("@import")
        if any(not _OWN_REFERENCE.fullmatch(url.strip()) for url in _URL.findall(text)):
            self.reasons.append("url() of what is outside")

    def end(self, name: str) -> None:
        self.open.pop()

    def text(self, text: str) -> None:
        if self.open[-1].name == "style":
            self._style(text)

    def doctype(self, *words: object) -> None:
        self.reasons.append("DOCTYPE")
        raise _TooMuch

    def instruction(self, target: str, data: str) -> None:
        self.reasons.append(f"instruction {target}")


class _TooMuch(Exception):
    """Nothing more of a drawing is read."""


def svg_refusals(code: str) -> list[str]:
    """Return why a drawing in SVG is refused: what it refers to outside of it, what is no drawing, and its size.

    The parser expands no entities: a document type ends it.
    """
    if len(code) > MOST_CHARACTERS:
        return [f"more than {MOST_CHARACTERS:,} characters"]
    drawing = _Drawing()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = drawing.start, drawing.end
    parser.CharacterDataHandler = drawing.text
    parser.StartDoctypeDeclHandler = drawing.doctype
    parser.ProcessingInstructionHandler = drawing.instruction
    try:
        parser.Parse(code.encode("utf-8", "replace"), True)
    except _TooMuch:
        if drawing.count > MOST_ELEMENTS:
            drawing.reasons.append(f"more than {MOST_ELEMENTS:,} elements")
        elif drawing.depth > MOST_DEPTH:
            drawing.reasons.append(f"elements more than {MOST_DEPTH} deep")
    except expat.ExpatError:
        pass  # the renderer says where it is damaged
    if not drawing.reasons:
        drawing.reasons += _repeated(drawing)
    return list(dict.fromkeys(drawing.reasons))


def _repeated(drawing: _Drawing) -> list[str]:
    """Count the elements as often as they are drawn."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(element: _Element, depth: int) -> int:
        key = id(element)
        if key in within or depth > MOST_DEPTH:
            raise _TooMuch
        if key not in sizes:
            within.add(key)
            count = 1 + sum(size(child, depth + 1) for child in element.children)
            target = drawing.named.get(element.refers_to) if element.refers_to else None
            if element.name == "use" and target is not None:
                count += size(target, depth + 1)
            within.discard(key)
            sizes[key] = count
        return sizes[key]

    try:
        return [f"more than {MOST_ELEMENTS:,} elements by use"] * (size(drawing.root, 0) - 1 > MOST_ELEMENTS)
    except _TooMuch:
        return ["use within itself, or too deep"]


_TEX = re.compile(
    r"\\(write|input|include|openin|openout|read|readline|immediate|catcode|csname|special|scantokens|directlua|"
    r"includegraphics|import|subimport|usepackage|RequirePackage|InputIfFileExists|IfFileExists|verbatiminput|lstinputlisting|"
    r"pdfobj|pdfliteral|pdffiledump|pdffilesize|pdfmdfivesum|pdfstrcmp|everypar|endinput|jobname|ShellEscape|"
    r"pgfimage|pgfdeclareimage|loop|newwrite|newread|tempfile|@@input|primitive|makeatletter|pdfshellescape)"
    r"(?![A-Za-z@])|\^\^"
)
_TEX_PACKAGES = re.compile(r"\\usepackage\s*(\[[^\]]*\])?\s*\{\s*(tikz|xcolor|pgf|amsmath)\s*\}")


def tex_refusals(code: str) -> list[str]:
    """Return why a picture in TikZ is refused: files, programs, and ways to write commands so that none is seen."""
    if len(code) > MOST_CHARACTERS:
        return [f"more than {MOST_CHARACTERS:,} characters"]
    found = [match[0] for match in _TEX.finditer(_TEX_PACKAGES.sub("", code))]
    reasons = [f"command {name}" for name in dict.fromkeys(found)]
    return reasons + ["plot from a file or program"] * bool(
        re.search(r"plot\s*(\[[^\]]*\])?\s*(file|function)\b", code)
    )
