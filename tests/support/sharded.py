"""What each of two processes of test_scale.py does: the policy cut by FSDP 2, as accelerate cuts it.

accelerate ignores FSDP on a CPU, so `fully_shard` is called here, on the same modules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM
from trl.distributed import DistributedBackend
from trl.trainer.utils import add_fused_lm_head

from ex2.trainers.checkpoints import load_parameters, save_parameters
from ex2.trainers.value_head import add_value_head


def build(mistral: Path) -> tuple[Any, Any]:
    """The policy as `PPOTrainer` makes it: adapter in PEFT, fused head, value head."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(mistral), config)
    add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy"))
    return model, add_value_head(model.get_base_model())


def one_pass(model: Any, head: Any) -> dict[str, torch.Tensor]:
    """Outputs and gradients of the same batch on every process: gradients averaged over processes are its own."""
    ids = torch.arange(10, 58).view(2, 24)
    labels = ids.clone()
    labels[:, :8] = -100
    output = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
    (output.log_probs[:, -16:].sum() + output.values.square().sum()).backward()
    adapter = next(p for n, p in model.named_parameters() if "lora_A" in n)
    found = {"adapter gradient": adapter.grad, "head gradient": head.summary.weight.grad}
    whole = {n: g.full_tensor() if isinstance(g, DTensor) else g for n, g in found.items() if g is not None}
    return {"log_probs": output.log_probs.detach(), "values": output.values.detach(), **whole}


def main(mistral: Path, folder: Path) -> None:
    """Compare the whole model with the one in parts, and write `process-N.pt`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    found: dict[str, Any] = {f"whole {name}": value for name, value in one_pass(*build(mistral)).items()}

    model, head = build(mistral)
    found["elements"] = sum(p.numel() for p in model.parameters())
    base = model.get_base_model()
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    for layer in base.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(base.get_input_embeddings(), mesh=mesh)
    fully_shard([base.model.norm, base.get_output_embeddings()], mesh=mesh, reshard_after_forward=False)
    fully_shard(model, mesh=mesh)
    parameters = list(model.parameters())
    found["parameters"] = len(parameters)
    found["sharded"] = sum(isinstance(p, DTensor) for p in parameters)
    found["elements here"] = sum(p.to_local().numel() for p in parameters if isinstance(p, DTensor))
    found["head is sharded"] = isinstance(head.summary.weight, DTensor)
    found |= {f"sharded {name}": value for name, value in one_pass(model, head).items()}

    class Accelerator:
        class state:  # noqa: N801 - read by TRL
            deepspeed_plugin = None
            fsdp_plugin = None

    gathering = DistributedBackend(Accelerator())
    before = head.summary.weight.full_tensor().detach().clone()
    save_parameters(head, folder / "head.safetensors", gathering=gathering, write=rank == 0)
    torch.distributed.barrier()
    with torch.no_grad():
        head.summary.weight.zero_()
    load_parameters(head, folder / "head.safetensors", gathering=gathering)
    found["head restored"] = torch.equal(head.summary.weight.full_tensor(), before) and bool(before.any())
    torch.save(found, folder / f"process-{rank}.pt")
    torch.distributed.destroy_process_group()
