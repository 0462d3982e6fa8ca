"""The text bank: every text is encoded once, whatever the order, and what is kept is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vlms import LengthVLM

from analysis.accuracy.encoded_texts import Texts
from analysis.accuracy.text_bank import TextBank
from reward.errors import EnvironmentFault


def test_texts_are_encoded_once_over_runs(tmp_path: Path) -> None:
    texts = [f"text {'x' * number}" for number in range(1203)]
    first, second = LengthVLM(), LengthVLM()
    fresh = Texts(first, [*texts, *texts], banks=tmp_path)[texts]
    assert first.encoded == texts
    kept = Texts(second, ["new", *reversed(texts)], banks=tmp_path)
    assert second.encoded == ["new"]
    assert torch.equal(kept[texts], fresh)
    assert kept[["new"]].tolist() == [[3.0, pytest.approx(1 / 3), 0.0, pytest.approx(-1e-30)]]
    other = LengthVLM("2")
    Texts(other, texts[:3], banks=tmp_path)
    assert other.encoded == texts[:3], "another fingerprint, another bank"
    without = LengthVLM()
    Texts(without, texts[:3])
    assert without.encoded == texts[:3]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    vlm = LengthVLM()
    bank = TextBank(vlm, tmp_path, most_bytes=3 * 4 * 4)
    for text in ("a", "b", "c", "d", "b"):  # b is renewed
        bank.put([text], torch.full((1, 4), float(ord(text))))
    bank.close()
    bank = TextBank(vlm, tmp_path)
    into = torch.zeros(4, 4)
    assert bank.get(["a", "b", "c", "d"], into) == [0]
    assert into[:, 0].tolist() == [0.0, 98.0, 99.0, 100.0]
    bank.close()


def test_a_broken_bank_is_named(tmp_path: Path) -> None:
    vlm = LengthVLM()
    bank = TextBank(vlm, tmp_path)
    bank.close()
    bank.path.write_bytes(b"no database, but long enough to be taken for one " * 20)
    with pytest.raises(EnvironmentFault, match=r"the text bank cannot be used \(file is not a database\); delete"):
        TextBank(vlm, tmp_path)
