"""Images in the layouts of others, read into a set; `ex2.sets.exports` writes them.

class folders  CLASS/IMAGE
GenEval        00000/metadata.jsonl, 00000/samples/0000.png: a folder for each prompt
GenBench       NAME_train.zip and NAME_train.txt, whose lines are `NAME_train.zip@CLASS/IMAGE LABEL`, labels from 0
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.image_folders import IMAGE_SUFFIXES, class_folders
from ex2.data.datasets.image_sets import ImageSet, raise_first
from ex2.data.datasets.naming import ClassNames, name_classes
from ex2.sets.draw import ROOT, SetPlan, draw_set
from ex2.sets.generators.copies import Copies, CopyingGenerator
from ex2.sets.requests import DrawRequest, image_seed
from reward.errors import UserError, shown
from reward.files import read_object
from reward.images import LabeledImage, decode

NAMES = "class_names.json"
"""Folder → name of its class, beside exported class folders."""
LARGEST = 1 << 28
"""Most bytes of an image in a zip file."""


@dataclass(frozen=True)
class ListedImage:
    """An image that a layout tells of."""

    class_name: str
    image: LabeledImage
    prompt: str = ""


@dataclass(frozen=True)
class Listing:
    """What a folder of another layout holds.

    Attributes:
        layout: Name of the layout.
        class_names: In label order.
        images: In the order in which the layout has them.
    """

    layout: str
    class_names: tuple[str, ...]
    images: tuple[ListedImage, ...]


def read_class_folders(root: Path, class_names: ClassNames | None = None) -> Listing:
    """Read `root/CLASS/IMAGE`, and `root/class_names.json` (folder → name) where no names are given and it is there.

    Raises:
        UserError: If there are no such folders, or their names are none of classes.
    """
    folders = class_folders(_folder(root))
    if not folders:
        raise UserError(f"{root}: no class folders (expected {root}/CLASS/image.png).")
    if class_names is None and (root / NAMES).is_file():
        class_names = {key: name for key, name in read_object(root / NAMES).items() if key in folders}
    names = name_classes([*folders], class_names, f"class folders in '{root}'", sorted_by_us=True)
    images = [
        ListedImage(name, ImageFile(path, label))
        for label, (name, paths) in enumerate(zip(names, folders.values(), strict=True))
        for path in paths
    ]
    return Listing("class_folders", names, tuple(images))


def read_geneval(root: Path) -> Listing:
    """Read GenEval's layout: `root/<i>/metadata.jsonl` with `prompt` and `include`, and `root/<i>/samples/*.png`.

    The class of an image is that of the only object in `include`. Classes are in alphabetical order.

    Raises:
        UserError: If metadata is missing or of another form, or a prompt is about several objects; a line for each.
    """
    found: list[tuple[str, str, list[Path]]] = []
    problems = []
    for folder in sorted(path for path in _folder(root).iterdir() if (path / "metadata.jsonl").is_file()):
        try:
            found.append((*_geneval_prompt(folder / "metadata.jsonl"), _images_in(folder / "samples")))
        except UserError as error:
            problems.append(str(error))
    if not found and not problems:
        raise UserError(f"{root}: not in GenEval's layout: no {root}/00000/metadata.jsonl.")
    raise_first(problems)
    names = tuple(sorted({name for name, _, _ in found}))
    images = [
        ListedImage(name, ImageFile(path, names.index(name)), prompt) for name, prompt, paths in found for path in paths
    ]
    return Listing("geneval", names, tuple(images))


def _geneval_prompt(path: Path) -> tuple[str, str]:
    """Return class and prompt of a folder's metadata, whose only line has no line break in GenEval's own files."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        prompt, include = stored["prompt"], stored["include"]
        classes = [str(one["class"]) for one in include]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: no metadata of GenEval's ({error!r:.200}); it has a prompt, and classes in include."
        ) from error
    if len(classes) != 1:
        listed = ", ".join(classes) or "none"
        raise UserError(f"{path}: is about {len(classes)} objects ({listed}); an image of a set is of one class.")
    return classes[0], str(prompt)


def read_genbench(list_file: Path, class_names: Sequence[str] | None = None) -> Listing:
    """Read GenBench's list of images: lines of a path and a label; a path may lead into a zip file, after `@`.

    Args:
        list_file: The list; paths are from its folder.
        class_names: In label order, as the list has labels alone. Default: the names of the folders of the images.

    Raises:
        UserError: If a line is of another form, a file is missing, or labels and names do not fit; a line for each.
    """
    entries, problems = [], []
    for number, line in enumerate(_text_lines(list_file), start=1):
        place, _, label = line.rpartition(" ")
        if not place or not label.isdecimal():
            problems.append(f"{list_file}: line {number}: {shown(line)}; a path and a label are allowed, as a/b.png 3.")
        else:
            entries.append((place, int(label)))
    raise_first(problems)
    if not entries:
        raise UserError(f"{list_file}: has no lines; each has a path and a label.")
    labels = sorted({label for _, label in entries})
    if class_names is None:
        class_names = _names_by_folder(list_file, entries, labels)
    elif labels[-1] >= len(class_names):
        raise UserError(
            f"{list_file}: label {labels[-1]}, and there are {len(class_names)} class names; labels are from 0."
        )
    images = []
    for place, number in entries:
        image = _image_at(list_file.parent, place, number)
        images.append(ListedImage(class_names[number], image))
        if not image.is_there():
            problems.append(f"{image.name}: not found, but {list_file} lists it.")
    raise_first(problems)
    return Listing("genbench", tuple(class_names), tuple(images))


def _names_by_folder(list_file: Path, entries: Sequence[tuple[str, int]], labels: Sequence[int]) -> tuple[str, ...]:
    folders: dict[int, str] = {}
    for place, label in entries:
        folder = PurePosixPath(place.rpartition("@")[2]).parent.name
        if folders.setdefault(label, folder) != folder:
            raise UserError(
                f"{list_file}: label {label} has images in '{folders[label]}' and '{folder}'; give class_names."
            )
    if labels != [*range(len(labels))]:
        raise UserError(f"{list_file}: labels {labels[0]} to {labels[-1]} with gaps; give class_names, labels from 0.")
    return name_classes([folders[label] for label in labels], None, f"folders in '{list_file}'", sorted_by_us=False)


@dataclass(frozen=True)
class ZippedImage:
    """An image in a zip file."""

    archive: Path
    member: str
    label: int

    @property
    def name(self) -> str:
        return f"{self.archive}@{self.member}"

    def is_there(self) -> bool:
        """Say whether the zip file has it."""
        return self.archive.is_file() and self.member in self._archive().NameToInfo

    def open(self) -> Image.Image:
        """Decode it. Raises `UserError` if it cannot be read."""
        return decode(BytesIO(self._content()), self.name)

    def digest(self) -> str:
        """Return the SHA-256 of its content. Raises `UserError` if it cannot be read."""
        return hashlib.sha256(self._content()).hexdigest()

    def _archive(self) -> zipfile.ZipFile:
        try:
            state = self.archive.stat()
            return _opened(self.archive, state.st_size, state.st_mtime_ns)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{self.archive}: cannot be read ({error}); get the archive again.") from error

    def _content(self) -> bytes:
        archive = self._archive()
        try:
            if archive.getinfo(self.member).file_size > LARGEST:
                raise UserError(f"{self.name}: has more than {LARGEST >> 20} MiB, which no image needs.")
            return archive.read(self.member)
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{self.name}: cannot be read ({error}); get the archive again.") from error


@functools.lru_cache(maxsize=4)
def _opened(archive: Path, size: int, changed: int) -> zipfile.ZipFile:
    """Return an open zip file; size and time of change are in the cache's key, so that a changed one is opened anew."""
    return zipfile.ZipFile(archive)


@dataclass(frozen=True)
class _PlainImage(ImageFile):
    def is_there(self) -> bool:
        return self.path.is_file()


def _image_at(base: Path, place: str, label: int) -> ZippedImage | _PlainImage:
    archive, at, member = place.partition("@")
    return ZippedImage(base / archive, member, label) if at else _PlainImage(base / place, label)


class _Listed(CopyingGenerator):
    """A generator that copies the images of a listing."""

    name = "import"

    def __init__(self, listing: Listing) -> None:
        self.class_names = listing.class_names
        self.settings = {"layout": listing.layout}
        by_name: dict[str, list[LabeledImage]] = {name: [] for name in listing.class_names}
        for one in listing.images:
            by_name[one.class_name].append(one.image)
        self._copies = Copies(by_name, "first", listing.layout)

    def digests(self) -> Mapping[str, Sequence[str]]:
        return self._copies.digests()


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the one that holds the images.")
    return root


def _images_in(folder: Path) -> list[Path]:
    """Return the images in a folder; a link that leads nowhere is one, of which it is said when it is read."""
    if not folder.is_dir():
        return []
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in images if path.is_file() or (path.is_symlink() and not path.exists()))


def _text_lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a list of images, in UTF-8.") from error


def import_set(listing: Listing, name: str, root: str | Path = ROOT, *, license: str = "") -> ImageSet:
    """Make a set of the images of another layout, each re-encoded, with the hash of its file in its row.

    Args:
        listing: What `read_class_folders`, `read_geneval` or `read_genbench` has read.
        name: Of the set.
        root: Folder in which sets stand.
        license: Of the images.

    Raises:
        UserError: If a class's name is none, a class has no images, equal images have different classes, or an image
            cannot be read; a line for each.
        EnvironmentFault: If the set cannot be written.
    """
    generator = _Listed(listing)
    raise_first([*_empty_classes(listing), *_two_classes(listing, generator.digests())])
    counts: dict[str, int] = dict.fromkeys(listing.class_names, 0)
    labels = {name: label for label, name in enumerate(listing.class_names)}
    requests = []
    for one in listing.images:
        index, label = counts[one.class_name], labels[one.class_name]
        counts[one.class_name] += 1
        requests.append(
            DrawRequest(
                class_name=one.class_name,
                label=label,
                index=index,
                prompt=one.prompt,
                seed=image_seed(0, one.class_name, index),
            )
        )
    prompts = hashlib.sha256(json.dumps([one.prompt for one in listing.images]).encode()).hexdigest()
    plan = SetPlan(
        name=name,
        generator=generator,
        class_names=listing.class_names,
        requests=tuple(sorted(requests, key=lambda request: (request.label, request.index))),
        seed=0,
        strategy="import",
        strategy_settings={"prompts": prompts},
        license=license,
    )
    return draw_set(plan, root)


def _empty_classes(listing: Listing) -> list[str]:
    known = {one.class_name for one in listing.images}
    return [
        f"class '{name}': no images in the layout {listing.layout}; put some there, or take the class away."
        for name in listing.class_names
        if name not in known
    ]


def _two_classes(listing: Listing, digests: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each image that a class before has too: nobody could tell them apart."""
    first: dict[str, ListedImage] = {}
    problems = []
    left = {name: iter(of_class) for name, of_class in digests.items()}
    for one in listing.images:
        other = first.setdefault(next(left[one.class_name]), one)
        if other.class_name != one.class_name:
            problems.append(
                f"{one.image.name}: of class '{one.class_name}', is the same file as {other.image.name}, of class "
                f"'{other.class_name}'; take one of them away."
            )
    return problems
