"""Deep prompts: a trained key/value pair in front of every layer's own, on encoders and decoders alike.

    attention(q, [P_k ; k], [P_v ; v])        (Li & Liang 2021, equation 3; Liu et al. 2022, figure 2)

One attention function, registered with transformers, prepends the pair of the layer that calls it and widens the mask; so grouped-query
attention, gradient checkpointing, `generate`, quantized weights and padding on either side need nothing of their own. Decoders count
their positions from the prefix's length on, as if the pairs came from tokens in front of the text; encoders leave positions alone.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from workbench.errors import MethodError
from workbench.methods.manifest import hidden_size, layer_count
from workbench.models.families.family import bare_model
from workbench.models.positions import position_count

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

IMPLEMENTATION = "workbench_deep_prompt"
# Keys and values of pre-trained models have entries of about this size; N(0, 1), which peft draws, drowns the words at the start.
RANDOM_SPREAD = 0.1


class PairTable(nn.Module):
    """Every layer's pair as it is: [layers, 2, kv_heads, length, head_dim] trained directly (Liu et al. 2022)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.pairs = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """The pairs of all layers."""
        return self.pairs


class PairEncoder(nn.Module):
    """Pairs from a smaller table through an MLP (Li & Liang 2021, section 4.3), which is dropped once training is over.

    Args:
        start: pairs to start from; the MLP's last layer then starts at zero, so that they are met exactly. None: as published.
        shape: of the pairs, [layers, 2, kv_heads, length, head_dim].
        width, inner: of the table and of the MLP's hidden layer.
    """

    def __init__(self, start: Tensor | None, shape: tuple[int, ...], *, width: int, inner: int) -> None:
        super().__init__()
        layers, two, heads, length, size = shape
        self.shape = (length, layers, two, heads, size)
        self.raw = nn.Parameter(torch.randn(length, width))
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.Tanh(), nn.Linear(inner, layers * two * heads * size))
        self.start: Tensor
        self.register_buffer("start", torch.zeros(shape) if start is None else start.clone())
        if start is not None:
            nn.init.zeros_(self.mlp[2].weight)
            nn.init.zeros_(self.mlp[2].bias)

    def forward(self) -> Tensor:
        """The pairs of all layers, [layers, 2, kv_heads, length, head_dim]."""
        return self.start + self.mlp(self.raw).view(self.shape).permute(1, 2, 3, 0, 4)


class DeepPrompt:
    """Pairs on a model's attention, from `insert` to `remove`. Belongs to the method that made it.

    Args:
        loaded: the model; its attention function is replaced while the prompt is in.

    Raises:
        MethodError: the architecture's attention cannot be reached, or a decoder has no position left for a text.
    """

    def __init__(self, loaded: LoadedModel, length: int) -> None:
        self.loaded, self.length = loaded, length
        if not loaded.family.query:
            self._refuse()
        self.causal = loaded.kind == "causal"
        most = position_count(loaded.model.config)
        if self.causal and length >= most:
            # A decoder counts the prefix among its positions.
            raise MethodError(f"The model has {most} positions, and the prefix would take {length}.", fix="Lower method.length.")
        config = loaded.model.config.get_text_config()
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        size = getattr(config, "head_dim", None) or hidden_size(loaded.model) // heads
        self.layers = layer_count(loaded.model)
        self.shape = (self.layers, 2, kv_heads, length, size)
        self.prompt: nn.Module | None = None
        self.watched: list[float] | None = None
        self._recorded: list[Tensor] | None = None
        self._pairs: Tensor | None = None
        self._calls = 0
        self._former = loaded.model.config._attn_implementation
        self._modules = self._attention_modules()
        self._insert()

    def pair(self, module: nn.Module) -> Tensor:
        """[2, kv_heads, length, head_dim] for the layer that calls; a layer used at every depth is told them apart by its calls."""
        depths = self._depths[id(module)]
        depth = depths[0] if len(depths) == 1 else depths[self._calls % len(depths)]
        self._calls += 1
        if self._pairs is None:  # the model went past the hook that makes them
            self._refuse()
        return self._pairs[depth]

    def fill(self, prompt: nn.Module) -> None:
        """Puts a module in whose output the pairs are; it becomes part of the model, so that devices and modes reach it."""
        bare_model(self.loaded.model).add_module("deep_prompt", prompt)
        self.prompt = prompt
        if not next(prompt.parameters()).is_meta:
            self._probe()

    def record(self, ids: list[int]) -> Tensor:
        """The pairs that real tokens leave behind in every layer, [layers, 2, kv_heads, len(ids), head_dim].

        More tokens than the model has positions are read in pieces.
        """
        model, pieces = self.loaded.model, []
        training, most = model.training, position_count(model.config)
        model.eval()
        try:
            for start in range(0, len(ids), most):
                self._recorded = []
                with torch.no_grad():
                    self._run(ids[start : start + most])
                if len(self._recorded) != self.layers:
                    self._refuse()
                pieces.append(torch.stack(self._recorded).float())
            return torch.cat(pieces, dim=3)
        finally:
            self._recorded = None
            model.train(training)

    def remove(self) -> None:
        """Gives the model its own attention back."""
        self._hook.remove()
        for module in self._modules:
            del module.workbench_deep_prompt
        model = bare_model(self.loaded.model)
        if self.prompt is not None:
            del model.deep_prompt
        model.set_attn_implementation(self._former)
        self._pairs = self.prompt = None

    def attention(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """See `deep_prompt_attention`."""
        if self._recorded is not None:
            self._recorded.append(torch.cat([key, value]).detach())
        elif self.prompt is not None:
            prefix = self.pair(module).to(key.dtype).unsqueeze(1).expand(-1, key.shape[0], -1, -1, -1)
            key, value = torch.cat([prefix[0], key], dim=2), torch.cat([prefix[1], value], dim=2)
            attention_mask = widen(attention_mask, self.length)
            if self.watched is not None:
                self.watched.append(prefix_share(query, key, attention_mask, self.length, kwargs.get("scaling")))
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **{**kwargs, "is_causal": False})

    def _attention_modules(self) -> list[nn.Module]:
        family = self.loaded.family
        layers = family.layers(self.loaded.model)
        modules = [layer.get_submodule(family.query.rpartition(".")[0]) for layer in layers]
        # ALBERT: one module for every depth, or a few in groups; transformers shares them out in equal runs.
        share = self.layers / max(1, len(modules))
        self._depths: dict[int, list[int]] = {id(module): [] for module in modules}
        for depth in range(self.layers):
            self._depths[id(modules[int(depth / share)])].append(depth)
        return modules

    def _insert(self) -> None:
        model: Any = bare_model(self.loaded.model)
        if not getattr(model, "_supports_attention_backend", False):
            self._refuse()
        _register()
        for module in self._modules:
            # Not a submodule: the module only has to find its way here.
            object.__setattr__(module, "workbench_deep_prompt", self)
        model.set_attn_implementation(IMPLEMENTATION)
        self._hook = self.loaded.family.backbone(model).register_forward_pre_hook(self._before, with_kwargs=True)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Computes the pairs once for all layers, and moves a decoder's positions behind the prefix."""
        self._calls = 0
        if self._recorded is not None or self.prompt is None:
            return args, kwargs
        self._pairs = self.prompt()
        if not self.causal:
            return args, kwargs
        positions = kwargs.get("position_ids")
        if positions is None:
            tokens = args[0] if args else kwargs.get("input_ids")
            tokens = kwargs["inputs_embeds"] if tokens is None else tokens
            past = kwargs.get("past_key_values")
            seen = past.get_seq_length() if past is not None else 0
            positions = torch.arange(seen, seen + tokens.shape[1], device=tokens.device).unsqueeze(0)
        return args, {**kwargs, "position_ids": positions + self.length}

    def _probe(self) -> None:
        """One token through the whole model, as training reads it: the hook must come first and every layer once. OPT's calls the
        decoder inside its backbone and not the backbone."""
        self._pairs = None
        with torch.no_grad():
            bare_model(self.loaded.model)(input_ids=torch.tensor([[0]], device=self.loaded.device))
        if self._calls != self.layers:
            self._refuse()

    def _run(self, ids: list[int]) -> None:
        backbone: Any = self.loaded.family.backbone(self.loaded.model)
        backbone(input_ids=torch.tensor([ids], device=self.loaded.device))

    def _refuse(self) -> NoReturn:
        name = self.loaded.family.title or self.loaded.family.name
        raise MethodError(
            f"The attention of {name} models does not go through transformers' attention interface, so no prefix can be put before it.",
            fix="Choose lora, adapter or soft_prompt for this model.",
        )


def deep_prompt_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention over a trained prefix followed by the sequence (Li & Liang 2021, equation 3).

    Args:
        module: the attention module that calls, which knows its DeepPrompt.
        query: [batch, heads, length, head_dim].
        key, value: [batch, kv_heads, length, head_dim]; fewer kv_heads than heads under grouped-query attention.
        attention_mask: [batch, 1, length, keys] bool or additive float; None where every key is seen.

    Returns:
        [batch, length, heads, head_dim] and None, as every transformers attention function does.
    """
    deep: DeepPrompt = module.workbench_deep_prompt  # type: ignore[assignment]
    return deep.attention(module, query, key, value, attention_mask, **kwargs)


def deep_prompt_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """sdpa's boolean mask, always written out for decoders: "causal" as a flag would count the prefix as part of the sequence."""
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*args, **{**kwargs, "allow_is_causal_skip": False})


def widen(mask: Tensor | None, length: int) -> Tensor | None:
    """A mask [batch, 1, queries, keys] with `length` keys in front that everybody sees."""
    if mask is None:
        return None
    seen = torch.ones if mask.dtype == torch.bool else torch.zeros
    return torch.cat([seen(*mask.shape[:3], length, dtype=mask.dtype, device=mask.device), mask], dim=-1)


def prefix_share(query: Tensor, key: Tensor, mask: Tensor | None, length: int, scaling: float | None) -> float:
    """Mean share of attention that real tokens pay to the first `length` keys; padding asks nothing."""
    groups = query.shape[1] // key.shape[1]
    scores = query.float() @ key.float().repeat_interleave(groups, dim=1).transpose(2, 3)
    scores = scores * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    real = torch.ones(query.shape[0], 1, query.shape[2], device=query.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        if visible.shape[2] == visible.shape[3] - length:
            real = visible[..., length:].any(dim=2).float()
    paid = scores.softmax(dim=-1)[..., :length].sum(dim=-1)
    return float((paid * real).sum() / (real.sum() * query.shape[1]).clamp_min(1))


@functools.cache
def _register() -> None:
    # Not at import: transformers takes a second and a half, and the list of methods needs none of it.
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(IMPLEMENTATION, deep_prompt_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, deep_prompt_mask)
