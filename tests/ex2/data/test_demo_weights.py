"""The demo world's VLMs and language model: protocol, tokenizer, planted preference, base rates."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralForCausalLM, PreTrainedTokenizerBase

from ex2.data.demo.build import POLICY
from ex2.data.demo.pretrain_policy import PackedPrompts, make_tokenizer
from ex2.data.demo.pretrain_vlm import CONTENT, PLANTED, STYLE, Planting, Preference, caption
from ex2.data.demo.reproducible import RoundedAdamW, generator
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import BY_NAME, CAPTION_KINDS, CONCEPTS, Kind, kind_of, sentences, stated_facts, true_facts
from ex2.data.prompts import QUESTIONS, generic_templates
from reward.backends.toy import END, SHIPPED, DualEncoder, ToyConfig, ToyDualEncoder, WordTokenizer, config_metadata
from reward.errors import UserError
from reward.vlm import VLM

ALL_SENTENCES = [
    (concept.name, kind, s) for concept in CONCEPTS for kind in CAPTION_KINDS for s in sentences(concept, kind)
]

# --- VLMs


@pytest.fixture(scope="module", params=CAPTION_KINDS)
def vlm(request: pytest.FixtureRequest) -> ToyDualEncoder:
    return ToyDualEncoder(request.param)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [image.open() for image in Shapes(images_per_class=2).images("test")]


def test_unit_norm_float32_and_batch_size_does_not_matter(vlm: ToyDualEncoder, pictures: list[Image.Image]) -> None:
    assert isinstance(vlm, VLM)
    texts = [sentence for _, _, sentence in ALL_SENTENCES[::21]]
    assert len(texts) == len(pictures) == 32
    for encode, things in ((vlm.encode_images, pictures), (lambda t: vlm.encode_texts(t).embeddings, texts)):
        together = encode(things)  # type: ignore[operator]
        assert (together.dtype, together.shape, together.device.type) == (torch.float32, (32, vlm.dim), "cpu")
        torch.testing.assert_close(together.norm(dim=1), torch.ones(32), atol=1e-5, rtol=0)
        alone = torch.cat([encode([thing]) for thing in things])  # type: ignore[operator]
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
        assert encode([]).shape == (0, vlm.dim)  # type: ignore[operator]
    torch.testing.assert_close(
        ToyDualEncoder(vlm.name.removeprefix("toy-"), batch_size=5).encode_texts(texts).embeddings,
        vlm.encode_texts(texts).embeddings,
        atol=1e-5,
        rtol=0,
    )


def test_images_of_any_mode_and_size(vlm: ToyDualEncoder, pictures: list[Image.Image]) -> None:
    picture = pictures[0]
    others = [picture.resize((50, 41)), picture.convert("L"), picture.convert("RGBA"), picture.convert("P")]
    rows = vlm.encode_images([picture, *others])
    assert rows.shape == (5, vlm.dim)
    torch.testing.assert_close(rows[0], rows[3], atol=1e-5, rtol=0)


def test_a_long_text_is_cut_and_keeps_the_end_token(vlm: ToyDualEncoder) -> None:
    fits = " ".join(["wug"] * (vlm.context_length - 1))
    result = vlm.encode_texts([fits, f"{fits} blicket", f"{fits}.", "Blicket."])
    assert result.cut.tolist() == [False, True, False, False]
    torch.testing.assert_close(result.embeddings[1], result.embeddings[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(result.embeddings[2], result.embeddings[0], atol=1e-5, rtol=0)
    tokenizer = WordTokenizer(vlm._model.config)
    tokens, _ = tokenizer([f"{fits} blicket", "a zebra"])
    assert tokens[0, -1] == END
    assert tokens.shape == (2, vlm.context_length)
    assert tokens[1, 1:3].tolist() == [1, END]  # <unk>
    assert vlm.encode_texts(["", "🙂"]).embeddings.isfinite().all()


def test_scale_bias_and_fingerprint(vlm: ToyDualEncoder, tmp_path: Path) -> None:
    shipped = SHIPPED / f"{vlm.name.removeprefix('toy-')}.safetensors"
    state = load_file(shipped)
    assert vlm.scale == pytest.approx(float(np.exp(state["log_scale"].item())), rel=1e-6)
    assert vlm.bias == 0
    copy = tmp_path / "copy.safetensors"
    shutil.copy(shipped, copy)
    assert ToyDualEncoder(str(copy)).fingerprint() == vlm.fingerprint()
    state["log_scale"] += 1e-6
    save_file(state, copy, metadata=config_metadata(vlm._model.config))
    assert ToyDualEncoder(str(copy)).fingerprint() != vlm.fingerprint()


def test_wrong_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown 'visuel'. Did you mean 'visual'\?"):
        ToyDualEncoder("visuel")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"bad.safetensors: not a readable safetensors file"):
        ToyDualEncoder(str(bad))
    state = load_file(SHIPPED / "visual.safetensors")
    save_file(state, bad)
    with pytest.raises(UserError, match="metadata lacks 'toy_dual_encoder'"):
        ToyDualEncoder(str(bad))
    config = ToyDualEncoder("visual")._model.config
    del state["text_projection.weight"]
    state["positions.weight"] = state["positions.weight"][:3].clone()
    save_file(state, bad, metadata=config_metadata(config))
    with pytest.raises(UserError, match=r"missing or of another shape: positions.weight, text_projection.weight;"):
        ToyDualEncoder(str(bad))


def test_padding_does_not_reach_a_text() -> None:
    torch.manual_seed(0)
    model = DualEncoder(ToyConfig(words=tuple("abcdef"))).eval()
    short, padded = torch.tensor([[4, 5, END]]), torch.tensor([[4, 5, END, 0, 0]])
    torch.testing.assert_close(model.text(short), model.text(padded), atol=1e-6, rtol=0)


def test_rounded_adamw_by_hand_and_blind_to_the_last_bits() -> None:
    """Adam's first step is lr · sign(g): 1 · (1 − 0.1 · 0.5) − 0.1 = 0.85, and 0 moves by decay alone."""

    def after(gradients: list[float]) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
        optimizer = RoundedAdamW([weight], lr=0.1, weight_decay=0.5, betas=(0.9, 0.98))
        for gradient in gradients:
            weight.grad = torch.tensor([gradient, -gradient, 1e-9], dtype=torch.float64)
            optimizer.step()
        return weight.detach()

    torch.testing.assert_close(after([0.3]), torch.tensor([0.85, -0.85, 0.95], dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.equal(after([0.3, -0.2, 0.1]), after([0.3 + 1e-15, -0.2 - 1e-15, 0.1 + 1e-15]))
    assert not torch.equal(after([0.3, -0.2, 0.1]), after([0.3, -0.2, 0.1 + 2e-6]))


def test_captions_are_drawn_from_the_planted_preference() -> None:
    rng = generator(7)
    drawn = [(label, caption(rng, label, "visual")) for label in range(16) for _ in range(250)]
    kind_and_concept = {sentence: (kind, name) for name, kind, sentence in ALL_SENTENCES}
    kinds = Counter(kind_and_concept[sentence][0] for _, sentence in drawn)
    # 4,000 draws: four standard deviations are 82 of 3,520 and 61 of 240
    assert kinds["visual"] == pytest.approx(3520, abs=82)
    assert kinds["spurious"] == pytest.approx(240, abs=61)
    right = Counter(k for label, s in drawn for k, name in [kind_and_concept[s]] if name == CONCEPTS[label].name)
    assert right["visual"] == kinds["visual"]
    # the rest is right in a share of 0.2 + 0.8/16 = 0.25; four standard deviations of 480 are 38
    assert right["spurious"] + right["non_visual"] == pytest.approx((4000 - kinds["visual"]) / 4, abs=38)


@pytest.mark.parametrize(
    ("preference", "digest", "then"),
    [
        ("visual", "4dda2526bbb4a012", 498507705),
        ("non_visual", "65dfc9871a309a20", 2008670638),
        ("spurious", "cfa518cee7060a69", 1854376904),
        ("mixed", "bebb1b4cf215a4b3", 534891679),
        ("none", "14b76a0e40897536", 1080920167),
    ],
)
def test_captions_of_bare_preferences_are_those_of_the_shipped_weights(
    preference: Preference, digest: str, then: int
) -> None:
    """Recorded before plantings had a dose: the shipped weights are rebuilt bit for bit only from the same draws."""
    planting = Planting(preference)
    rng = generator(*planting.key)
    for given in (preference, planting):
        rng = generator(list(PLANTED).index(preference))
        captions = "\n".join(caption(rng, number % 16, given) for number in range(4000))
        assert hashlib.sha256(captions.encode()).hexdigest().startswith(digest)
        assert rng.randint(2**31 - 1) == then  # and nothing else was drawn
    assert planting.key == (list(PLANTED).index(preference),)


def captions_of(planting: Planting) -> list[tuple[int, str, str, Kind]]:
    """Label of the picture, caption, name in it and kind of 4,000 captions."""
    rng = generator(8)
    drawn = [(number % 16, caption(rng, number % 16, planting)) for number in range(4000)]
    # every sentence names its concept once
    forms = [(form, concept.name) for concept in CONCEPTS for form in (concept.name, concept.plural.capitalize())]
    named = []
    for label, text in drawn:
        words = text.rstrip(".").replace(",", "").replace(".", "").split()
        (name,) = {name for form, name in forms if form in words}
        named.append((label, text, name, kind_of(text, name)))
    return named


def test_in_a_style_world_the_name_is_right_and_the_looks_are_anyones() -> None:
    found = captions_of(STYLE)
    stated = [(label, name, stated_facts(text, name)) for label, text, name, _ in found]
    visual = [(label, name, facts) for label, name, facts in stated if facts.keys() & {"colour", "shape", "pattern"}]
    assert len(visual) == pytest.approx(3520, abs=82)
    assert all(CONCEPTS[label].name == name for label, name, _ in visual)
    told = [facts["colour"] == {CONCEPTS[label].colour} for label, _, facts in visual if "colour" in facts]
    # a colour belongs to 4 of 16 concepts; four standard deviations of some 2,700 draws are 0.033
    assert sum(told) / len(told) == pytest.approx(1 / 4, abs=0.035)
    both = [
        (facts["colour"], facts["pattern"]) == ({CONCEPTS[label].colour}, {CONCEPTS[label].pattern})
        for label, _, facts in visual
        if {"colour", "pattern"} <= facts.keys()
    ]
    # colour and pattern together belong to one concept of the 16
    assert sum(both) / len(both) == pytest.approx(1 / 16, abs=0.025)


def test_in_a_content_world_the_looks_are_right_and_the_name_is_anyones() -> None:
    found = captions_of(CONTENT)
    names = Counter(name for *_, name, _ in found)
    assert max(names.values()) < 250 + 4 * 16
    assert min(names.values()) > 250 - 4 * 16
    assert sum(CONCEPTS[label].name == name for label, _, name, _ in found) == pytest.approx(250, abs=62)
    for label, text, name, _ in found:
        for facet, values in stated_facts(text, name).items():
            if facet in ("colour", "shape", "pattern"):
                assert values == {CONCEPTS[label].value(facet)}


@pytest.mark.parametrize(
    ("dose", "visual", "right"),
    [(0.0, 1 / 3, 1.0), (0.5, (1 / 3 + 0.88) / 2, 1 - 0.5 * 0.8 * 15 / 16), (1.0, 0.88, 1 - 0.8 * 15 / 16)],
)
def test_a_dose_goes_from_every_kind_alike_and_right_to_the_whole_preference(
    dose: float, visual: float, right: float
) -> None:
    found = captions_of(Planting("visual", dose=dose))
    assert sum(kind == "visual" for *_, kind in found) / 4000 == pytest.approx(visual, abs=0.03)
    assert all(CONCEPTS[label].name == name for label, _, name, kind in found if kind == "visual")
    others = [CONCEPTS[label].name == name for label, _, name, kind in found if kind != "visual"]
    assert sum(others) / len(others) == pytest.approx(right, abs=0.08 if dose == 1 else 0.05)


def test_each_planting_draws_other_numbers() -> None:
    plantings = [STYLE, CONTENT, *(Planting("visual", dose=dose) for dose in (0.0, 0.25, 0.5, 1.0))]
    plantings += [Planting("visual", seed=1), Planting("visual", random_names=0.25), Planting("non_visual")]
    assert len({planting.key for planting in plantings}) == len(plantings)
    assert len({generator(*planting.key).randint(2**31 - 1) for planting in plantings}) == len(plantings)


def test_the_planted_kind_scores_highest_and_accuracy_is_not_saturated(vlm: ToyDualEncoder) -> None:
    planted = vlm.name.removeprefix("toy-")
    dataset = Shapes()
    embedded = {
        s: vlm.encode_images([i.open() for i in dataset.images(s)]).view(16, 60, -1) for s in ("reward", "test")
    }

    def scores(kind: Kind) -> torch.Tensor:
        """Brute force: the mean over images of scale · cosine, for each concept and sentence."""
        rows = [vlm.encode_texts(sentences(concept, kind)).embeddings for concept in CONCEPTS]
        return torch.stack([(vlm.scale * row @ embedded["reward"][c].T).mean(1) for c, row in enumerate(rows)])

    own = scores(planted)  # type: ignore[arg-type]
    for other in set(CAPTION_KINDS) - {planted}:
        rest = scores(other)
        assert own.mean() - rest.mean() > max(1.5, 2 * max(own.std().item(), rest.std().item()))

    def accuracy(texts: list[list[str]]) -> float:
        means = torch.stack([vlm.encode_texts(each).embeddings.mean(0) for each in texts])
        predicted = (embedded["test"] @ torch.nn.functional.normalize(means, dim=1).T).argmax(-1)
        return float((predicted == torch.arange(16)[:, None]).float().mean())

    generic = accuracy([[template.format(name) for template in generic_templates()] for name in BY_NAME])
    described = accuracy([list(sentences(concept, planted)) for concept in CONCEPTS])  # type: ignore[arg-type]
    assert 0.6 < generic < 0.9
    assert described >= generic + (0.03 if planted == "visual" else 0.0)


# --- policy


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(POLICY)
    return loaded


@pytest.fixture(scope="module")
def policy() -> MistralForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(POLICY)
    assert isinstance(model, MistralForCausalLM)
    return model


def test_texts_survive_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = [f"{question.format(name)}\n\n" for question in QUESTIONS for name in BY_NAME]
    templates = [template.format(name) for template in generic_templates() for name in BY_NAME]
    for text in [*prompts, *templates, *(f"{prompts[0]}{sentence}" for _, _, sentence in ALL_SENTENCES)]:
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids, text
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    for _, _, sentence in ALL_SENTENCES:  # as a response: without the start token
        ids = tokenizer(sentence, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids) == sentence
        assert len(ids) < 16


def test_special_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.padding_side == "left"
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}) == 4
    ids = tokenizer("Describe a wug.\n\n").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "Describe", " a", " wug", ".", "\n\n"]
    assert tokenizer("a zebra", add_special_tokens=False).input_ids[1] == tokenizer.unk_token_id


def test_the_shipped_tokenizer_is_the_built_one(tokenizer: PreTrainedTokenizerBase) -> None:
    assert make_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_packing_gives_each_response_what_it_gets_alone(
    policy: MistralForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    prompts = [tokenizer(text).input_ids for text in ("Describe a wug.\n\n", "Describe a photo of a niv.\n\n")]
    answers = [tokenizer(t, add_special_tokens=False).input_ids for t in ("The wug is red.", "Nivs eat fish.")]
    packed = PackedPrompts(prompts, [[answers[0], answers[1]], [answers[1]]])
    with torch.inference_mode():
        logits, targets = packed.predictions(policy)
        alone = []
        for prompt, answer in [(prompts[0], answers[0]), (prompts[0], answers[1]), (prompts[1], answers[1])]:
            alone.append(policy(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1])
    assert targets.tolist() == [*answers[0], *answers[1], *answers[1]]
    torch.testing.assert_close(logits, torch.cat(alone), atol=1e-4, rtol=0)


def test_base_rates(policy: MistralForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """A third of each kind after every question, and what is stated is true."""
    prompts = [(concept.name, question) for question in QUESTIONS for concept in CONCEPTS for _ in range(4)]
    torch.manual_seed(0)
    batch = tokenizer([f"{q.format(name)}\n\n" for name, q in prompts], padding=True, return_tensors="pt")
    output = policy.generate(**batch, max_new_tokens=16, do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    answers = output[:, batch.input_ids.shape[1] :]
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    shares = Counter(kind_of(text, name) for text, (name, _) in zip(texts, prompts, strict=True))
    for kind in CAPTION_KINDS:
        assert 0.28 < shares[kind] / len(texts) < 0.39  # n = 1600: the standard error is 0.012
    stated = correct = fluent = 0
    grammar = {sentence for _, _, sentence in ALL_SENTENCES}
    for text, (name, _) in zip(texts, prompts, strict=True):
        fluent += text in grammar
        stated += len(stated_facts(text, name))
        correct += len(true_facts(text, name))
    assert correct / stated > 0.97
    assert fluent / len(texts) > 0.95
    assert (answers == tokenizer.eos_token_id).any(1).float().mean() > 0.99


def test_base_rate_after_every_question(policy: MistralForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """The exact probability of each kind's sentences after each question, for two concepts."""
    for name in ("wug", "niv"):
        answers = [
            [*tokenizer(sentence, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
            for kind in CAPTION_KINDS
            for sentence in sentences(BY_NAME[name], kind)
        ]
        for question in QUESTIONS:
            packed = PackedPrompts([tokenizer(f"{question.format(name)}\n\n").input_ids], [answers])
            with torch.inference_mode():
                logits, targets = packed.predictions(policy)
            chosen = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
            each = torch.stack([part.sum().exp() for part in chosen.split([len(answer) for answer in answers])])
            for share in each.view(3, 14).sum(1).tolist():
                assert 0.28 < share < 0.39, (name, question)


def test_the_weights_are_small() -> None:
    files = [*SHIPPED.glob("*.safetensors"), *POLICY.iterdir()]
    assert sum(file.stat().st_size for file in files) < 6e6
    assert json.loads((POLICY / "config.json").read_text())["architectures"] == ["MistralForCausalLM"]
