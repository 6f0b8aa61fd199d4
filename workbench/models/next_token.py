"""Next-token loss of a causal model where something is to be learnt, and nowhere else.

Logits exist only at the learnt positions, a few dozen at a time: with a vocabulary of 151,936 the usual [batch, length, vocabulary]
tensor in float32, its softmax and its gradient are most of what tuning a small model holds in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

IGNORED = -100
CHUNK_BYTES = 64 * 1024**2  # of float32 logits at a time


def next_token_loss(loaded: LoadedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed cross-entropy (nats) of `labels` [B, T], each predicted from the position before it; IGNORED ones cost nothing.

    Args:
        input_ids, attention_mask: [B, T], padded on the right.

    Returns:
        A float32 scalar, differentiable in everything that requires a gradient.
    """
    device = loaded.device
    input_ids, attention_mask, targets = input_ids.to(device), attention_mask.to(device), labels[:, 1:].to(device)
    learnt = targets != IGNORED
    if not loaded.family.rows_only:
        logits = loaded.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits[:, :-1]
        return functional.cross_entropy(logits[learnt].float(), targets[learnt], reduction="sum")
    backbone: Any = loaded.family.backbone(loaded.model)
    states = backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
    hidden = loaded.family.transform_hidden(loaded.model, states[:, :-1][learnt])
    return chunked_cross_entropy(loaded, hidden, targets[learnt])


def chunked_cross_entropy(loaded: LoadedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed cross-entropy of `targets` [N] under the vocabulary product of `hidden` [N, E], without a [N, V] tensor."""
    family, model = loaded.family, loaded.model
    output: Any = family.output_module(model)
    rows = max(1, CHUNK_BYTES // (4 * model.config.vocab_size))
    plain = type(output) is nn.Linear and not hasattr(output, "_hf_hook")
    frozen = plain and not output.weight.requires_grad and (output.bias is None or not output.bias.requires_grad)
    # An architecture that bends its logits afterwards (Gemma's cap) has its own derivative, which only autograd knows.
    if frozen and type(family).finish_logits is _plain_finish():
        return _FrozenHeadLoss.apply(hidden, output.weight, output.bias, targets, rows)
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(targets), rows):

        def part(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            logits = family.finish_logits(model, output(states))
            return functional.cross_entropy(logits.float(), wanted, reduction="sum")

        total = total + checkpoint(part, hidden[start : start + rows], targets[start : start + rows], use_reentrant=False)
    return total


def _plain_finish() -> Any:
    from workbench.models.families.family import Family

    return Family.finish_logits


class _FrozenHeadLoss(torch.autograd.Function):
    """Cross-entropy under a frozen vocabulary product; the gradient of the hidden states is computed in the forward pass.

    d loss / d hidden = (softmax(logits) - onehot) W, chunk by chunk while the chunk's logits are there: two products with the head
    instead of the three that recomputing them in the backward pass would take.
    """

    @staticmethod
    def forward(
        context: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, rows: int
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        wanted = context.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if wanted else None
        dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else weight.dtype
        matrix = weight.to(dtype)
        for start in range(0, len(targets), rows):
            here = targets[start : start + rows]
            logits = functional.linear(hidden[start : start + rows].to(dtype), matrix, bias).float()
            top = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (top.squeeze(-1) - logits.gather(1, here.unsqueeze(1)).squeeze(1)).sum()
            if gradient is not None:
                share = logits.sub_(top).exp_()
                share[torch.arange(len(here), device=here.device), here] -= 1
                gradient[start : start + rows] = share.to(dtype) @ matrix
        context.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(context: Any, *above: torch.Tensor) -> Any:
        (gradient,) = context.saved_tensors
        return gradient * above[0].to(gradient.dtype) if gradient is not None else None, None, None, None, None
