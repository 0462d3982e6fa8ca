"""The image bank as a stream: parts, resume, shared work, bounded memory."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_images import NAMES, NOISE, Noise, Projection, build
from paths import SUPPORT
from PIL import Image
from processes import PATIENCE, Process, new_interpreter, until
from safetensors import safe_open

from reward import embedding, image_bank
from reward.embedding import Loading, Share, content_digests, default_workers, load_part, part_files
from reward.errors import EnvironmentFault, UserError
from reward.vlm import PixelVLM


class WholeImages(Projection):
    """The same, without the two halves of a `PixelVLM`."""

    pixels = None  # type: ignore[assignment]
    encode_pixels = None  # type: ignore[assignment]

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return Projection.encode_pixels(self, torch.stack([Projection.pixels(self, image) for image in images]))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART_SIZE", 8)


def expected(images: Sequence[Noise], dim: int = 16) -> torch.Tensor:
    """Brute force: one image at a time, in float64."""
    weight = Projection(dim).weight.double()
    rows = [
        torch.from_numpy(np.asarray(image.open()).transpose(2, 0, 1) / 255.0).flatten() @ weight for image in images
    ]
    return torch.stack([row / row.norm() for row in rows])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [Projection, WholeImages])
def test_embeddings_and_means_against_brute_force(kind: type[Projection], workers: int, tmp_path: Path) -> None:
    assert isinstance(kind(), PixelVLM) == (kind is Projection)
    loading = Loading(workers=workers, batch_size=3)
    rows = build(kind(), NOISE, tmp_path, loading=loading)
    torch.testing.assert_close(rows.double(), expected(NOISE), atol=1e-6, rtol=0)
    bank = image_bank.class_means(kind(), NOISE, NAMES, cache=tmp_path, where="noise", loading=loading)
    by_hand = torch.stack([expected(NOISE)[label::3].mean(0) for label in range(3)])
    torch.testing.assert_close(bank.means.double(), by_hand, atol=1e-6, rtol=0)
    assert bank.counts.tolist() == [8, 7, 7]
    assert list((tmp_path / "parts").iterdir()) == []  # what was needed on the way is gone


def test_the_file_is_ordinary_safetensors_with_its_origin(tmp_path: Path) -> None:
    build(Projection(), NOISE, tmp_path)
    (path,) = tmp_path.glob("images-*.safetensors")
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("embeddings").shape == (22, 16)
        assert file.get_tensor("labels").tolist() == [image.label for image in NOISE]
        metadata = file.metadata()
    assert metadata["vlm"] == "projection"
    assert json.loads(metadata["class_names"]) == ["a", "b", "c"]


def test_batches_do_not_cross_parts_so_that_a_resumed_build_repeats_the_same_forwards(tmp_path: Path) -> None:
    vlm = Projection()
    build(vlm, NOISE, tmp_path, loading=Loading(batch_size=5))
    assert vlm.batches == [5, 3, 5, 3, 5, 1]  # parts of 8, 8 and 6


def test_a_replaced_image_costs_one_part_and_nothing_stale_is_used(tmp_path: Path) -> None:
    broken = [*NOISE[:12], Noise(12, 0, broken=True), *NOISE[13:]]
    with pytest.raises(UserError, match="noise 12: not a readable image"):
        build(Projection(), broken, tmp_path)
    assert [load_part(path) is not None for path in _parts(broken, tmp_path)] == [True, False, True]
    repaired = [*NOISE[:12], Noise(99, 0), *NOISE[13:]]
    vlm = Projection()
    rows = build(vlm, repaired, tmp_path)
    assert vlm.batches == [8]
    torch.testing.assert_close(rows.double(), expected(repaired), atol=1e-6, rtol=0)


def test_all_unreadable_images_are_named_up_to_ten(tmp_path: Path) -> None:
    broken = [Noise(number, number % 3, broken=number % 2 == 0) for number in range(30)]
    with pytest.raises(UserError) as caught:
        build(Projection(), broken, tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["noise 0: not a readable image.", "noise 2: not a readable image."]
    assert lines[10:] == ["… and 5 more unreadable images."]


@dataclass(frozen=True)
class Unusual(Noise):
    """An image that can be read, and that the VLM's preprocessing cannot take."""

    def open(self) -> Image.Image:
        return Image.new("L", (8, 8))


def test_an_image_that_preprocessing_cannot_take_is_named_among_the_others(tmp_path: Path) -> None:
    """Three axes are wanted, and it has two; the message of numpy alone would name no file."""
    with pytest.raises(UserError) as caught:
        build(Projection(), [*NOISE[:12], Unusual(12, 0), *NOISE[13:]], tmp_path)
    assert str(caught.value) == ("noise 12: no input for the VLM (axes don't match array); remove it from the dataset.")


def _parts(images: Sequence[Noise], cache: Path) -> list[Path]:
    return part_files(Projection(), content_digests(images), cache / "parts")


def test_a_torn_part_is_made_again(tmp_path: Path) -> None:
    first = embedding.embed_in_parts(Projection(), NOISE, content_digests(NOISE), tmp_path / "parts", title="t")
    first[1].write_bytes(first[1].read_bytes()[:-7])
    vlm = Projection()
    build(vlm, NOISE, tmp_path)
    assert vlm.batches == [8]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 64  # in the data: a number with another exponent
    path.write_bytes(content)


def test_a_changed_part_or_bank_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = embedding.embed_in_parts(Projection(), NOISE, content_digests(NOISE), tmp_path / "parts", title="t")
    flip(first[1])
    vlm = Projection()
    rows = build(vlm, NOISE, tmp_path)
    assert vlm.batches == [8]
    torch.testing.assert_close(rows.double(), expected(NOISE), atol=1e-6, rtol=0)
    (bank,) = tmp_path.glob("images-*.safetensors")
    flip(bank)
    torch.testing.assert_close(build(Projection(), NOISE, tmp_path), rows, atol=0, rtol=0)
    told = [line for line in capsys.readouterr().err.splitlines() if "damaged (" in line]
    assert told == [
        f"{path}: damaged (other content than was written): set aside as {path.name}.damaged and made anew"
        for path in (first[1], bank)
    ]


def test_processes_share_the_parts_and_all_get_the_bank(tmp_path: Path) -> None:
    """Two ranks of one launch: each embeds its own parts, the first one writes the bank."""
    barrier = threading.Barrier(2)
    lines: list[list[str]] = [[], []]
    ranks = [Projection(), Projection()]
    results: list[torch.Tensor | None] = [None, None]

    def gather(rank: int, own: list[str]) -> list[str]:
        lines[rank] = own
        barrier.wait(PATIENCE)
        everybodys = lines[0] + lines[1]
        barrier.wait(PATIENCE)
        return everybodys

    def work(rank: int) -> None:
        share = Share(rank, 2, lambda own: gather(rank, own))
        results[rank] = build(ranks[rank], NOISE, tmp_path, share=share, loading=Loading(workers=0))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [vlm.batches for vlm in ranks] == [[8, 6], [8]]
    for rows in results:
        assert rows is not None
        torch.testing.assert_close(rows.double(), expected(NOISE), atol=1e-6, rtol=0)


def test_a_bank_that_another_process_finished_meanwhile_is_taken(tmp_path: Path) -> None:
    """The other one writes the bank and removes the parts between our last forward and our reading of them."""

    def finish_first(lines: list[str]) -> list[str]:
        calls.append(lines)
        if len(calls) == 2:
            build(Projection(), NOISE, tmp_path)
        return lines

    calls: list[list[str]] = []
    rows = build(Projection(), NOISE, tmp_path, share=Share(0, 1, finish_first))
    torch.testing.assert_close(rows.double(), expected(NOISE), atol=1e-6, rtol=0)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "banks").write_text("a file where a folder should be")
    with pytest.raises(EnvironmentFault, match=r"the image bank cannot be written .* set EX2_CACHE"):
        build(Projection(), NOISE, tmp_path / "banks")


def test_memory_stays_flat_over_20_000_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept in memory, 20,000 embeddings of 512 numbers are 41 MB; parts of 1,024 hold 2 MB."""
    monkeypatch.setattr(embedding, "PART_SIZE", 1024)
    vlm = Projection(dim=512)
    many = [Noise(number, number % 3) for number in range(20_000)]
    rows = build(vlm, many, tmp_path, loading=Loading(workers=0, batch_size=256))
    assert rows.shape == (20_000, 512)
    quarter = len(vlm.resident) // 4
    assert max(vlm.resident[quarter:]) - max(vlm.resident[:quarter]) < 10
    torch.testing.assert_close(rows[19_990:].double(), expected(many[19_990:], dim=512), atol=1e-6, rtol=0)


class Slow(Projection):
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(0.2)
        return super().encode_pixels(pixels)


def build_slowly(cache: Path) -> None:
    torch.set_num_threads(1)
    embedding.PART_SIZE = 8
    build(Slow(), NOISE, cache, loading=Loading(workers=0, batch_size=4))


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path) -> None:
    process = Process(build_slowly, tmp_path)
    until(lambda: list(tmp_path.glob("parts/*.safetensors")), unless_ended=process)
    process.send_signal(signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    kept = [load_part(path) is not None for path in _parts(NOISE, tmp_path)]
    assert kept[0]
    assert not all(kept)
    vlm = Projection()
    rows = build(vlm, NOISE, tmp_path, loading=Loading(batch_size=4))
    assert sum(vlm.batches) == sum(size for size, there in zip([8, 8, 6], kept, strict=True) if not there)
    uninterrupted = build(Projection(), NOISE, tmp_path / "elsewhere", loading=Loading(batch_size=4))
    assert torch.equal(rows, uninterrupted)


def test_workers_are_chosen_by_cores_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "usable_cores", lambda: 4)
    assert [default_workers(n) for n in (255, 256)] == [0, 3]
    monkeypatch.setattr(embedding, "usable_cores", lambda: 64)
    assert default_workers(10_000) == 8


@pytest.mark.parametrize(("seconds", "workers"), [(0.0, 0), (0.003, 3)])
def test_no_worker_is_started_for_images_that_are_decoded_at_once(
    seconds: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 images of 3 ms each take 0.9 s in one process; workers take some tenths of a second to start and end."""
    opened: list[int] = []

    class Decoder:
        images = range(300)

        def __getitem__(self, index: int) -> None:
            opened.append(index)
            time.sleep(seconds)

    monkeypatch.setattr(embedding, "usable_cores", lambda: 4)
    assert embedding._worth_their_start(Decoder(), 300) == workers  # type: ignore[arg-type]
    assert opened == [*range(8)]
    opened.clear()
    assert embedding._worth_their_start(Decoder(), 255) == 0  # type: ignore[arg-type]
    assert opened == []


TWO_PROCESSES = """
import json, sys
from dataclasses import dataclass
from pathlib import Path
sys.path.insert(0, {tests!r})
from accelerate import PartialState
from noise_images import NOISE, Projection, build
from reward import embedding
from ex2.banks import own_share
state = PartialState(cpu=True)
embedding.PART_SIZE = 8
vlm, folder = Projection(), Path({cache!r})
rows = build(vlm, NOISE, folder, share=own_share())
record = {{"batches": vlm.batches, "rows": rows.shape[0]}}
(folder / f"rank-{{state.process_index}}.json").write_text(json.dumps(record))
state.destroy_process_group()  # a rank that ends with its threads running is aborted now and then
"""


@pytest.mark.slow
def test_two_launched_processes_share_the_work(tmp_path: Path) -> None:
    script = tmp_path / "build.py"
    script.write_text(TWO_PROCESSES.format(tests=str(SUPPORT), cache=str(tmp_path)))
    words = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script))
    done = new_interpreter(*words, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert [rank["batches"] for rank in ranks] == [[8, 6], [8]]
    assert [rank["rows"] for rank in ranks] == [22, 22]
