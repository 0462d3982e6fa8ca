"""The same run on one process and on two, and the policy in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sharded
import torch
import two_processes
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from paths import ROOT
from processes import on_processes
from scipy.stats import chisquare

from ex2.checks.launch import config_of_environment, full_training_problems, launch_problems, read_accelerate_config
from ex2.recipe_io import read_recipe
from ex2.trainers.rollout import MinibatchSizes, local_rows, minibatch_rows
from ex2.trainers.seeded_sampling import SeededSampler, gumbel_noise, row_key
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

CONFIGS = ROOT / "accelerate_configs"
PAPER = ROOT / "recipes/paper/clip/pets.yaml"
BF16 = ["policy.quantization=none", "policy.dtype=bfloat16"]


# --- one process and two ------------------------------------------------------------------------------------------


def on_two(mistral: Path, folder: Path, **changes: Any) -> list[dict[str, Any]]:
    folder.mkdir()
    on_processes(2, two_processes.main, mistral, folder, changes)
    return [torch.load(folder / f"process-{number}.pt", weights_only=True) for number in (0, 1)]


@pytest.fixture(scope="module", params=["tokens", pytest.param("responses", marks=pytest.mark.slow)])
def runs(request: Any, mistral: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any]]:
    """One process with 32, and two with 16 in forwards of 2; some descriptions are not scored."""
    folder = tmp_path_factory.mktemp("scale")
    settings = {"none_from": 10, "loss_mean": request.param, "value_step": 0.3}
    one = two_processes.train(mistral, folder / "one", 1, **settings)
    return one, on_two(mistral, folder / "two", **settings, micro=2)


def test_two_processes_do_as_one(runs: tuple[dict[str, Any], list[Any]]) -> None:
    one, two = runs
    assert [run["processes"] for run in (one, *two)] == [1, 2, 2]
    assert {run["backend"] for run in two} == {"gloo"}
    assert {run["wrapper"] for run in two} == {"DistributedDataParallel"}
    assert one["wrapper"] != "DistributedDataParallel"

    # samples and minibatches: forwards of 8, and 2 forwards of 2 on each of two processes
    assert len(one["minibatches"]) == 2 * 2 * 4
    for step, whole in enumerate(one["minibatches"]):
        shares = [row for run in two for part in run["minibatches"][2 * step : 2 * step + 2] for row in part]
        assert shares == whole
    assert len({tuple(row) for minibatch in one["minibatches"][:4] for row in minibatch}) > 28

    # losses: the mean over forwards and processes
    ours = torch.tensor(one["losses"])
    theirs = torch.stack([torch.tensor(run["losses"]).view(len(ours), 2, 2).mean(1) for run in two]).mean(0)
    assert float((ours - theirs).abs().max()) < 1e-5
    assert float(ours.abs().max()) > 0.1

    assert two[0]["kl_coef"] == two[1]["kl_coef"] == pytest.approx(one["kl_coef"], rel=1e-6)
    assert one["kl_coef"] != 0.2
    assert two[0]["score_mean"] == pytest.approx(one["score_mean"], abs=1e-6)
    for name, value in one["weights"].items():
        same, other = (run["weights"][name.replace("module.", "")] for run in two)
        assert torch.equal(same, other), name
        torch.testing.assert_close(value, same, atol=2e-5, rtol=0, msg=lambda m, name=name: f"{name}: {m}")


def test_two_processes_log_as_one(runs: tuple[dict[str, Any], list[Any]]) -> None:
    one, two = runs
    assert len(one["rows"]) == len(two[0]["rows"]) == 2
    names = ("batch", "samples", "reward_mean", "reward_std", "unscored", "kl", "kl_per_token", "kl_coef")
    names += ("response_length", "share_without_eos", "explained_variance", "policy_loss", "value_loss", "ratio_max")
    assert one["rows"][0]["unscored"] > 0
    for ours, theirs in zip(one["rows"], two[0]["rows"], strict=True):
        assert {k: theirs[k] for k in names} == pytest.approx({k: ours[k] for k in names}, abs=2e-5)


def test_rows_are_dealt_out_once() -> None:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    sizes = MinibatchSizes(forward=2, forwards=3, processes=2)  # minibatches of 12
    for minibatch in (0, 1):
        place = minibatch * 3
        dealt = torch.cat([local_rows(order, place + f, sizes, process=p) for p in (0, 1) for f in (0, 1, 2)])
        assert dealt.tolist() == order[minibatch * 12 : (minibatch + 1) * 12].tolist()
        for offset in (0, 1, 2):
            assert minibatch_rows(order, place + offset, sizes).tolist() == dealt.tolist()
    assert local_rows(order, 3, sizes, process=1, forwards=3).tolist() == order[18:24].tolist()


# --- sampling -----------------------------------------------------------------------------------------------------


def splitmix64(state: int, count: int) -> list[int]:
    """Plain integers, from the paper's pseudocode (Steele, Lea and Flood, OOPSLA 2014)."""
    found, word = [], (1 << 64) - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & word
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        found.append(z ^ (z >> 31))
    return found


def test_noise_is_splitmix64s_stream() -> None:
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]  # published test vector
    keys = [row_key(1, 2, 3), -5, 2**63 - 1]
    noise = gumbel_noise(torch.tensor(keys), 4, 50)
    word = (1 << 64) - 1
    for row, key in enumerate(keys):
        start = (key + 5 * 0xBF58476D1CE4E5B9) & word
        z = ((start ^ (start >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        bits = torch.tensor([value >> 11 for value in splitmix64(z ^ (z >> 31), 50)], dtype=torch.float64)
        expected = -(-((bits + 0.5) / 2**53).log()).log()
        torch.testing.assert_close(noise[row], expected)


def test_noise_is_gumbels_and_rows_positions_and_keys_differ() -> None:
    noise = gumbel_noise(torch.tensor([row_key(0, 0, row) for row in range(50)]), 0, 2000)
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)  # Euler's constant
    assert float(noise.var()) == pytest.approx(torch.pi**2 / 6, rel=0.03)
    assert torch.corrcoef(noise)[~torch.eye(50, dtype=torch.bool)].abs().max() < 0.12
    following = gumbel_noise(torch.tensor([row_key(0, 0, row) for row in range(50)]), 1, 2000)
    assert float(torch.corrcoef(torch.stack([noise.flatten(), following.flatten()]))[0, 1]) == pytest.approx(
        0, abs=0.02
    )
    assert len({row_key(s, b, d) for s in range(5) for b in range(20) for d in range(32)}) == 5 * 20 * 32


def sample(logits: torch.Tensor, keys: list[int], **settings: Any) -> torch.Tensor:
    chosen = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} | settings
    ids = torch.zeros(len(keys), 3, dtype=torch.long)
    scores = SeededSampler(keys, **chosen)(ids, logits.expand(len(keys), -1))
    assert (scores.exp().sum(-1) == 1).all()  # one token has all the probability
    return scores.argmax(-1)


def test_samples_have_the_softmaxs_frequencies() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, -3.0]])
    keys = [row_key(7, 0, draw) for draw in range(20_000)]
    for settings, expected in (
        ({}, logits.softmax(-1)),
        ({"temperature": 2.0}, (logits / 2).softmax(-1)),
        ({"top_k": 2}, torch.tensor([[2.0, 1.0]]).softmax(-1)),
        ({"top_p": 0.8}, torch.tensor([[2.0, 1.0]]).softmax(-1)),  # 0.64, then 0.64 + 0.24 ≥ 0.8
    ):
        kinds = expected.shape[1]
        counts = sample(logits, keys, **settings).bincount(minlength=kinds)
        assert len(counts) == kinds
        assert chisquare(counts, expected[0].double() / expected[0].double().sum() * len(keys)).pvalue > 1e-3


def test_a_rows_sample_depends_on_its_key_alone() -> None:
    logits = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    ids = torch.zeros(6, 3, dtype=torch.long)
    keys = [row_key(0, 1, draw) for draw in range(6)]
    settings: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    whole = SeededSampler(keys, **settings)(ids, logits)
    halves = [SeededSampler(keys[part], **settings)(ids[part], logits[part]) for part in (slice(0, 2), slice(2, 6))]
    assert torch.equal(whole, torch.cat(halves))
    with pytest.raises(ValueError, match="2 keys for 6 rows"):
        SeededSampler(keys[:2], **settings)(ids, logits)


# --- sharding -----------------------------------------------------------------------------------------------------


def test_value_head_works_inside_a_sharded_forward(mistral: Path, tmp_path: Path) -> None:
    """`sharded.py` cuts the policy by FSDP 2 over two gloo processes and compares with the whole one."""
    on_processes(2, sharded.main, mistral, tmp_path)
    for number in (0, 1):
        found = torch.load(tmp_path / f"process-{number}.pt", weights_only=True)
        assert found["parameters"] == found["sharded"] > 20
        assert found["elements here"] <= 0.6 * found["elements"]
        assert found["head is sharded"]
        for name in ("log_probs", "values", "adapter gradient", "head gradient"):
            torch.testing.assert_close(found[f"sharded {name}"], found[f"whole {name}"], atol=1e-5, rtol=1e-4)
        assert float(found["whole head gradient"].abs().max()) > 1e-3
        assert found["head restored"]


# --- accelerate_configs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_file_and_a_recipe_fits_it(path: Path) -> None:
    config = load_config_from_file(str(path))
    given = yaml.safe_load(path.read_text())
    assert config.num_processes == given["num_processes"] >= 1
    assert config.distributed_type.value.upper().replace("_", "") == given["distributed_type"].replace("_", "")
    sharded = path.stem in ("fsdp", "zero3")
    overrides = ["policy.quantization=none", "policy.dtype=float32"] if sharded else []
    assert launch_problems(read_recipe(PAPER, overrides), read_accelerate_config(path)) == []


def test_there_is_a_file_for_every_kind_of_machine() -> None:
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {"cpu", "single_gpu", "multi_gpu", "fsdp", "zero2", "zero3", "multi_node"}


def problems(name: str, *overrides: str, **changes: Any) -> str:
    config = {**read_accelerate_config(CONFIGS / f"{name}.yaml"), **changes}
    return "\n".join(launch_problems(read_recipe(PAPER, overrides), config))


def test_what_does_not_fit_is_refused_with_a_reason() -> None:
    assert "FSDP cuts every parameter into one part per process, and bitsandbytes' weights of 8 bits" in problems(
        "fsdp"
    )
    assert "bitsandbytes' weights of 4 bits" in problems("zero3", "policy.quantization=4bit", "policy.dtype=float32")
    assert problems("zero2") == ""
    assert "the adapter could not stay in float32 on a base in bfloat16" in problems("zero3", *BF16)
    assert problems("fsdp", *BF16) == ""
    assert problems("zero3", *BF16, "lora=null") == ""
    assert "8 does not divide over 3 processes" in problems("multi_gpu", num_processes=3)
    assert "3 does not divide the 4 samples of a minibatch on each of 2" in problems(
        "multi_gpu", "rl.micro_batch_size=3", num_processes=2
    )
    assert "8 leaves one sample to each of 8 processes" in problems("multi_node", "rl.batch_size=8")
    assert "mixed_precision fp16 would override the recipe" in problems("cpu", mixed_precision="fp16")
    assert problems("cpu", mixed_precision=False) == ""  # how YAML reads a bare no
    assert "fsdp_version must be 2" in problems("fsdp", *BF16, fsdp_config={"fsdp_version": 1})
    assert "must be FULL_STATE_DICT" in problems("fsdp", *BF16, fsdp_config={"fsdp_version": 2})
    assert "would shard nothing" in problems("fsdp", *BF16, use_cpu=True)
    assert problems("fsdp", num_processes=3).count("\n") == 1  # both at once


def test_training_every_weight_needs_weights_that_can_be_trained() -> None:
    found = full_training_problems(read_recipe(PAPER, ["lora=null", "describe.engine=vllm"]))
    assert len(found) == 2
    assert "weights of 8 bits cannot be trained; set policy.quantization: none" in found[0]
    assert "describe.engine: vllm serves a base model with an adapter" in found[1]
    assert full_training_problems(read_recipe(PAPER, ["describe.engine=vllm"])) == []
    assert full_training_problems(read_recipe(PAPER, ["lora=null", "policy.quantization=none"])) == []


def test_a_process_knows_how_it_was_started() -> None:
    assert config_of_environment({})["num_processes"] == 1
    fsdp = config_of_environment(
        {
            "WORLD_SIZE": "4",
            "ACCELERATE_USE_FSDP": "true",
            "FSDP_VERSION": "2",
            "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
            "ACCELERATE_MIXED_PRECISION": "no",
        }
    )
    assert launch_problems(read_recipe(PAPER, BF16), fsdp) == []
    assert "FSDP cuts" in "\n".join(launch_problems(read_recipe(PAPER), fsdp))
    zero = config_of_environment({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"})
    assert "ZeRO-3 cuts" in "\n".join(launch_problems(read_recipe(PAPER), zero))


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match=r"list.yaml: an accelerate configuration is a mapping"):
        read_accelerate_config(tmp_path / "list.yaml")
    with pytest.raises(UserError, match=r"none.yaml: cannot be read"):
        read_accelerate_config(tmp_path / "none.yaml")
