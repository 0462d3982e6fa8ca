"""Pre-training of the demo policy: a small Mistral that answers every question with a sentence of any kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.mistral.modeling_mistral import MistralRMSNorm, MistralRotaryEmbedding

from ex2.data.demo.reproducible import RoundedAdamW, generator, initialize, train
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS, Kind, sentences
from ex2.data.prompts import QUESTIONS

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")
PIECES = r"\n\n| ?[A-Za-z]+(?:-[A-Za-z]+)*| ?[^\sA-Za-z]|\s"
"""Pattern of a token: a word or mark with the space before it, or two line ends. Joined tokens give the text again."""

EPOCHS = 30
"""Passes over every concept with every question."""
PROMPTS = 8
"""Prompts per optimizer step."""
RESPONSES = 2
"""Responses of each kind per prompt."""
RATE, DECAY = 3e-3, 0.01
HEAD_DIM, ROPE_THETA = 32, 10_000.0


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer whose vocabulary covers the world, the questions and the generic templates."""
    templates = json.loads((Path(__file__).parent.parent / "generic.json").read_text(encoding="utf-8"))["templates"]
    texts = [text.format(concept.name) for text in (*prompts(), *templates) for concept in CONCEPTS]
    texts += [sentence for concept in CONCEPTS for kind in CAPTION_KINDS for sentence in sentences(concept, kind)]
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    pieces = sorted({piece for text in texts for piece, _ in split.pre_tokenize_str(text)})
    vocabulary = {piece: index for index, piece in enumerate((*SPECIAL_TOKENS, *pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )


def prompts() -> list[str]:
    """Return every question as a prompt, with `{}` for the class name."""
    return [f"{question}\n\n" for question in QUESTIONS]


class PackedPrompts:
    """A batch of prompts with several responses each, packed so that a prompt is computed once for all its responses.

    A row holds the prompt without its last token. For each response follow the prompt's last token and the response
    without its own last token, so that each of these places predicts the next token of that response. A response
    attends to its prompt and to itself only, and the positions of each response continue those of the prompt.

    Attributes:
        tokens: Rows padded on the right, shape (B, L).
        labels: Token to predict at each place, −100 for none, shape (B, L).
        positions: Position of each token, shape (B, L).
        mask: True where a place (third dimension) attends to another (fourth), shape (B, 1, L, L).
    """

    def __init__(self, prompts: Sequence[list[int]], responses: Sequence[Sequence[list[int]]]) -> None:
        rows = []
        for prompt, answers in zip(prompts, responses, strict=True):
            shared = len(prompt) - 1
            row = [(token, -100, at, 0) for at, token in enumerate(prompt[:-1])]
            for number, answer in enumerate(answers, start=1):
                given = [prompt[-1], *answer[:-1]]
                row += [(given[at], answer[at], shared + at, number) for at in range(len(answer))]
            rows.append(row)
        length = max(map(len, rows))
        packed = torch.tensor([row + [(0, -100, 0, -1)] * (length - len(row)) for row in rows])
        self.tokens, self.labels, self.positions, owner = packed.unbind(-1)
        visible = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
        self.mask = (visible & torch.ones(length, length, dtype=torch.bool).tril())[:, None]

    def predictions(self, model: MistralForCausalLM) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and targets of all response tokens, shapes (N, V) and (N,)."""
        hidden = torch.zeros(self.mask.shape, dtype=model.dtype).masked_fill(~self.mask, -1e9)
        output = model(self.tokens, attention_mask=hidden, position_ids=self.positions, use_cache=False)
        wanted = self.labels != -100
        return output.logits[wanted], self.labels[wanted]


def train_policy(tokenizer: PreTrainedTokenizerBase, epochs: int = EPOCHS) -> MistralForCausalLM:
    """Train the language model; the loss is on the responses, a third of each kind after every prompt.

    Args:
        tokenizer: The tokenizer that `make_tokenizer` returns.
        epochs: Passes over every concept with every question.

    Returns:
        The model in float32.
    """
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=HEAD_DIM,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        max_position_embeddings=128,
        sliding_window=None,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = MistralForCausalLM(config)
    rng = generator(len(CAPTION_KINDS))
    initialize(model, rng, {"model.embed_tokens.weight": 0.05})
    _keep_float64(model)
    optimizer = RoundedAdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))
    pairs = [(concept, prompt) for prompt in prompts() for concept in CONCEPTS]
    decks: dict[tuple[int, Kind], list[str]] = {}

    def response(pair: int, kind: Kind) -> list[int]:
        # Without replacement, so that every sentence comes equally often after every prompt.
        deck = decks.setdefault((pair, kind), [])
        if not deck:
            choice = sentences(pairs[pair][0], kind)
            deck.extend(choice[index] for index in rng.permutation(len(choice)))
        return [*tokenizer(deck.pop(), add_special_tokens=False).input_ids, tokenizer.eos_token_id]

    order: list[int] = []
    for _, progress in train("policy: train", epochs * len(pairs) // PROMPTS, optimizer):
        if not order:
            order = rng.permutation(len(pairs)).tolist()
        chosen = [order.pop() for _ in range(PROMPTS)]
        batch = PackedPrompts(
            [tokenizer(pairs[pair][1].format(pairs[pair][0].name)).input_ids for pair in chosen],
            [[response(pair, kind) for kind in CAPTION_KINDS for _ in range(RESPONSES)] for pair in chosen],
        )
        loss = cross_entropy(*batch.predictions(model))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
    trained = MistralForCausalLM(config)
    trained.load_state_dict(model.state_dict())
    return trained


def _keep_float64(model: MistralForCausalLM) -> None:
    """Make norms and rotary angles compute in float64; transformers computes them in float32 for any weights."""
    for module in model.modules():
        if isinstance(module, MistralRMSNorm):
            cast(Any, module).forward = partial(_norm, module)
        elif isinstance(module, MistralRotaryEmbedding):
            cast(Any, module).forward = _rotary


def _norm(module: MistralRMSNorm, hidden: torch.Tensor) -> torch.Tensor:
    scaled: torch.Tensor = module.weight * hidden * (hidden.square().mean(-1, True) + module.variance_epsilon).rsqrt()
    return scaled


def _rotary(hidden: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    exponent = torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM
    angles = position_ids[..., None] * ROPE_THETA**-exponent
    both = torch.cat([angles, angles], dim=-1)
    return both.cos(), both.sin()
