"""What the code's structure measures: rooms, floors, arrows, circles, long files, string subscripts.

    python tests/whole/house.py [--check] [FOLDER]

A room is a file or a folder at the top of a package; an arrow leads from a room to one that it imports, wherever in the
file the import stands. A room's floor is one above the highest that it imports. `--check` ends with status 1 where a
limit is passed.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("reward", "ex2", "analysis")
MOST_ROOMS = {"analysis": 16, "ex2": 19}
MOST_LINES = 400
MOST_SUBSCRIPTS = {"analysis": 119}
"""Where data is read and written; the rest of the code has records."""

FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ex2": (
        ("runtime", "trainers", "data"),
        ("monitoring", "policy", "banks"),
        ("recipe",),
        ("set_recipe",),
        ("recipe_io",),
        ("run",),
        ("sets",),
        ("training",),
        ("checks", "describe", "feedback", "backbone"),
        ("cli", "sweep"),
        ("train",),
    ),
    "analysis": (
        ("statistics", "judge"),
        ("verdicts",),
        ("accuracy", "labeling"),
        ("results",),
        ("figures", "analyze"),
        ("tables",),
        ("agreement", "attributes", "phrases", "images"),
        ("paper",),
        ("cross", "report"),
    ),
}
"""Rooms from the ground up: a room may import those of lower floors only. Rooms to come have their place already."""


@dataclass(frozen=True)
class Package:
    """The rooms of a package and the arrows between them.

    Attributes:
        rooms: Names, in alphabetical order.
        arrows: Pairs of a room and one that it imports.
    """

    rooms: tuple[str, ...]
    arrows: frozenset[tuple[str, str]]

    def circles(self) -> list[list[str]]:
        """Return the sets of rooms that import each other."""
        return circles(self.rooms, self.arrows)

    def floors(self) -> list[list[str]]:
        """Return the rooms by floor, from the ground up; rooms of a circle stand on one."""
        return floors(self.rooms, self.arrows)

    def upward(self, listed: Iterable[Iterable[str]]) -> list[tuple[str, str]]:
        """Return the arrows that lead to the same floor or a higher one."""
        height = {room: number for number, names in enumerate(listed) for room in names}
        return sorted(arrow for arrow in self.arrows if height.get(arrow[1], 0) >= height.get(arrow[0], 0))


@dataclass
class House:
    """Everything measured.

    Attributes:
        packages: By name.
        circles: Of modules, anywhere.
        lines: By path.
        subscripts: `["x"]` and `.get("x"` by package.
    """

    packages: dict[str, Package] = field(default_factory=dict)
    circles: list[list[str]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    subscripts: dict[str, int] = field(default_factory=dict)


def module_of(path: Path, root: Path) -> str:
    """Return a file's dotted name."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of the house that a file imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in below]
        else:
            continue
        found |= {name for name in names if name in known}
    return found


def subscripts(tree: ast.AST) -> int:
    """Count what stands where an attribute of a record could: `x["name"]` and `x.get("name")`."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            key = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = node.args[0] if node.args else None
        else:
            continue
        count += isinstance(key, ast.Constant) and isinstance(key.value, str)
    return count


def circles(names: Iterable[str], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node."""
    to: dict[str, set[str]] = {name: set() for name in names}
    for start, end in arrows:
        to[start].add(end)
    reach = {name: reached(name, to) for name in to}
    parts = {frozenset(other for other in reach[name] if name in reach[other]) for name in to}
    return sorted(sorted(part) for part in parts if len(part) > 1)


def reached(start: str, to: Mapping[str, set[str]]) -> set[str]:
    """Return the nodes that a path of at least one arrow leads to."""
    seen: set[str] = set()
    waiting = list(to[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += to[name]
    return seen


def floors(names: Iterable[str], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the nodes by the longest path below them, each circle taken as one."""
    names, arrows = list(names), list(arrows)
    circle_of = {name: part[0] for part in circles(names, arrows) for name in part}
    below: dict[str, set[str]] = {circle_of.get(name, name): set() for name in names}
    for start, end in arrows:
        one, other = circle_of.get(start, start), circle_of.get(end, end)
        if one != other:
            below[one].add(other)
    height: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((of(other) for other in below[name]), default=-1)
        return height[name]

    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(of(circle_of.get(name, name)), []).append(name)
    return [sorted(found[number]) for number in sorted(found)]


def measure(root: Path) -> House:
    """Read every Python file of the house."""
    house = House()
    paths = {module_of(path, root): path for name in PACKAGES for path in sorted((root / name).rglob("*.py"))}
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    to = {name: imports(tree, set(paths)) - {name} for name, tree in trees.items()}
    arrows = {(start, end) for start, ends in to.items() for end in ends}
    house.circles = circles(paths, arrows)
    for package in PACKAGES:
        rooms = sorted({name.split(".")[1] for name in paths if name.startswith(f"{package}.")})
        between = {
            (start.split(".")[1], end.split(".")[1])
            for start, end in arrows
            if start.startswith(f"{package}.") and end.startswith(f"{package}.")
        }
        house.packages[package] = Package(tuple(rooms), frozenset(pair for pair in between if pair[0] != pair[1]))
        house.subscripts[package] = sum(subscripts(tree) for name, tree in trees.items() if name.startswith(package))
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if not any(
            part.startswith(".") or (part in ("build", "data", "runs") and depth == 0)
            for depth, part in enumerate(inside.parts)
        ):
            house.lines[str(inside)] = len(path.read_text(encoding="utf-8").splitlines())
    return house


def faults(house: House) -> list[str]:
    """Return the limits that are passed."""
    found = [f"circle of imports: {' → '.join(part)}" for part in house.circles]
    for name, package in house.packages.items():
        found += [f"{name}/: circle of rooms: {' → '.join(part)}" for part in package.circles()]
        if len(package.rooms) > MOST_ROOMS.get(name, len(package.rooms)):
            found.append(f"{name}/: {len(package.rooms)} rooms at the top; at most {MOST_ROOMS[name]}")
        if name in FLOORS:
            listed = {room for floor in FLOORS[name] for room in floor}
            found += [f"{name}/{room}: on no floor of FLOORS" for room in sorted(set(package.rooms) - listed)]
            found += [f"{name}/: {start} imports {end}, upward" for start, end in package.upward(FLOORS[name])]
        most = MOST_SUBSCRIPTS.get(name)
        if most is not None and house.subscripts[name] > most:
            found.append(f"{name}/: {house.subscripts[name]} string subscripts; at most {most}")
    found += [
        f"{path}: {lines} lines; at most {MOST_LINES}" for path, lines in house.lines.items() if lines > MOST_LINES
    ]
    return found


def main(words: list[str] | None = None) -> int:
    """Print the measures, and with `--check` what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--check", action="store_true", help="status 1 where a limit is passed")
    options = parser.parse_args(words)
    house = measure(options.folder)
    for name, package in house.packages.items():
        listed = FLOORS.get(name, package.floors())
        print(
            f"{name}/: {len(package.rooms)} rooms on {len(package.floors())} floors, {len(package.arrows)} arrows, "
            f"{len(package.upward(listed))} not downward, {len(package.circles())} circles; "
            f"{house.subscripts[name]} string subscripts"
        )
        for number, floor in enumerate(package.floors()):
            print(f"  {number:2} {', '.join(floor)}")
    print(f"circles of modules: {len(house.circles)}")
    longest = sorted(house.lines.items(), key=lambda item: -item[1])[:5]
    print(f"longest files: {', '.join(f'{path} {lines}' for path, lines in longest)}")
    found = faults(house) if options.check else []
    for line in found:
        print(f"house: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
