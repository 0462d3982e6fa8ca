"""With top_p or top_k the KL is not that of what is sampled: that this is so, and that it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from paths import ROOT
from tiny_trainers import make_ppo
from transformers import AutoModelForCausalLM

from ex2.cli import main
from ex2.recipe import Generation
from ex2.recipe_io import read_recipe
from ex2.run.card import model_card
from ex2.training.arguments import kl_lines

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

DEMO = ROOT / "recipes/demo/visual.yaml"
SUMMARY = {"batches": 7, "kl": 5.4321, "kl_coef": 0.1234}
CUTS = [
    (["top_p=0.9"], "top_p 0.9"),
    (["top_k=50"], "top_k 50"),
    (["top_p=0.95", "top_k=20"], "top_p 0.95 and top_k 20"),
]


def note_of(words: str) -> str:
    return (
        f"Descriptions are drawn with {words}, but log-probabilities, and with them the KL that is reported and "
        "controlled, are those before this cut: it is not the KL of what is sampled."
    )


@pytest.mark.parametrize(("settings", "words"), CUTS)
def test_it_is_said_before_training_in_the_dry_run_and_on_the_card(
    settings: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [f"generation.{setting}" for setting in settings]
    recipe = read_recipe(DEMO, overrides)
    assert kl_lines(recipe)[-1] == f"note: {note_of(words)}"
    assert f"\n- {note_of(words)}\n" in model_card(recipe, 0, SUMMARY)
    assert main(["train", str(DEMO), "--dry-run", *overrides]) == 0
    assert f"KL:      note: {note_of(words)}\n" in capsys.readouterr().out


def test_nothing_is_said_where_every_token_may_be_drawn() -> None:
    recipe = read_recipe(DEMO, ["generation.temperature=0.7"])
    assert Generation().kl_note() is None
    assert not any("note" in line for line in kl_lines(recipe))
    assert "before this cut" not in model_card(recipe, 0, SUMMARY)


@pytest.mark.parametrize("cut", [{"top_k": 3}, {"top_p": 0.5}])
def test_log_probabilities_are_those_before_the_cut(cut: dict[str, float], mistral: Path, tmp_path: Path) -> None:
    trainer = make_ppo(mistral, tmp_path, batches=1, save_strategy="no", **cut)
    trainer.train()
    made = trainer.rollouts[0]
    model = AutoModelForCausalLM.from_pretrained(mistral).eval()
    rows = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "old_logprobs")
    for prompt, prompt_mask, ids, mask, logprobs in zip(*(made[key] for key in rows), strict=True):
        asked, drawn = prompt[prompt_mask.bool()], ids[mask.bool()]
        with torch.no_grad():
            whole = model(torch.cat([asked, drawn]).unsqueeze(0)).logits[0, len(asked) - 1 : -1].log_softmax(-1)
        own = whole.gather(-1, drawn.unsqueeze(-1))
        torch.testing.assert_close(logprobs[mask.bool()], own.squeeze(-1), atol=2e-5, rtol=0)
        likelier = (whole > own).sum(-1)
        if "top_k" in cut:
            assert int(likelier.max()) < 3
        else:
            above = whole.exp().masked_fill(whole <= own, 0).sum(-1)
            assert float(above.max()) < 0.5 + 1e-5
