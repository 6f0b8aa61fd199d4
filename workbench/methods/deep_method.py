"""What the methods with deep prompts share: shapes, starting points, saving; `deep.py` is the mechanism."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.errors import MethodError
from workbench.methods.attached import WEIGHTS_FILE, Attached, compare_states, read_weights
from workbench.methods.deep import RANDOM_SPREAD, DeepPrompt, PairEncoder, PairTable
from workbench.methods.learnt import Learnt, per_layer
from workbench.methods.manifest import check_manifest, hidden_size, write_manifest
from workbench.methods.soft import PEFT_WEIGHTS, label_words, ordinary_ids, write_peft_prompt
from workbench.prompts.soft import without_soft
from workbench.prompts.template import parse_template
from workbench.prompts.tokenization import plain_tokenizer

if TYPE_CHECKING:
    from workbench.methods.registry import Options


class DeepMethod(Attached):
    """Pairs before every layer's keys and values; the model is frozen. Options: length, init, text, reparameterise, inner."""

    def _setup(self, keep_original: bool) -> None:
        del keep_original  # nothing of the model's own is changed
        for parameter in self.loaded.model.parameters():
            parameter.requires_grad_(False)
        self.deep = DeepPrompt(self.loaded, self.options.length)
        self._selected = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.deep.remove)
            self.deep.fill(self._encoder(self._start()).to(self.loaded.device))
            undo.pop_all()
        self.positions = self.options.length if self.deep.causal else 0

    def _encoder(self, start: Tensor | None) -> nn.Module:
        if self.options.reparameterise:
            return PairEncoder(start, self.deep.shape, width=hidden_size(self.loaded.model), inner=self.options.inner)
        return PairTable(torch.randn(self.deep.shape) * RANDOM_SPREAD if start is None else start)

    def _start(self) -> Tensor | None:
        """Pairs to start from, or None for random ones."""
        if self.options.init == "random":
            return None
        if next(self.loaded.model.parameters()).is_meta:
            return torch.empty(self.deep.shape)
        return self.deep.record(start_ids(self.loaded.tokenizer, self.options, self.prompt))

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [(f"prefix.{name}", p) for name, p in self._prompt.named_parameters()]

    def pairs(self) -> Tensor:
        """The pairs as the layers read them, [layers, 2, kv_heads, length, head_dim], without a gradient."""
        with torch.no_grad():
            return self._prompt().detach().clone()

    def state(self) -> dict[str, Tensor]:
        """The trained weights, and the fixed pairs that an encoder's output is added to."""
        buffers = {f"prefix.{name}": b.detach().to("cpu", copy=True).contiguous() for name, b in self._prompt.named_buffers()}
        return {**super().state(), **buffers}

    def load_state(self, state: dict[str, Tensor]) -> None:
        own = {**dict(self.parameters()), **{f"prefix.{name}": buffer for name, buffer in self._prompt.named_buffers()}}
        compare_states(state, own)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])

    def places(self) -> frozenset[str]:
        return frozenset({"prefix"})

    def formula(self) -> tuple[str, int] | None:
        layers, _, heads, length, size = self.deep.shape
        output = f"2\u00b7{layers}\u00b7{heads * size}"
        if not isinstance(self._prompt, PairEncoder):
            return f"{length}\u00b7{output}", prefix_parameters(length, layers, heads * size)
        width, inner = hidden_size(self.loaded.model), self.options.inner
        text = f"{length}\u00b7{width} + ({width} + 1)\u00b7{inner} + ({inner} + 1)\u00b7{output}"
        return text, prefix_parameters(length, layers, heads * size, width=width, inner=inner)

    def learnt(self, read_rows: Callable[[], object]) -> Learnt:
        """By layer, the share of attention that goes to the prefix; measured while `read_rows` runs the model."""
        self.deep.watched = []
        try:
            read_rows()
            seen = self.deep.watched
        finally:
            self.deep.watched = None
        layers = self.deep.layers
        # Rows pass all layers in turn, so every `layers`-th figure is of the same layer.
        return per_layer("prefix_attention", [f"{n}_prefix" for n in range(layers)], [seen[n::layers] for n in range(layers)])

    def save_final(self, folder: Path) -> None:
        """Writes the pairs alone: as peft's prefix tuning for causal models, else under their own name."""
        pairs = self.pairs().cpu()
        if self.deep.causal:
            layers, _, heads, length, size = pairs.shape
            table = pairs.permute(3, 0, 1, 2, 4).reshape(length, -1).contiguous()
            more = {"encoder_hidden_size": hidden_size(self.loaded.model), "prefix_projection": False}
            sizes = {"num_attention_heads": heads, "num_layers": layers, "token_dim": heads * size}
            write_peft_prompt(folder, self.loaded, table, peft_type="PREFIX_TUNING", **sizes, **more)
        else:
            save_file({"prefix.pairs": pairs.contiguous()}, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_manifest(folder, self.loaded, self.options, pairs_only=True)

    def restore(self, folder: Path) -> None:
        manifest = check_manifest(folder, self.loaded, self.options)
        if not manifest.get("pairs_only"):
            self.load_state(read_weights(folder / WEIGHTS_FILE))
            return
        pairs = self.pairs()
        if (folder / PEFT_WEIGHTS).exists():
            state = read_weights(folder / PEFT_WEIGHTS)
            layers, _, heads, length, size = pairs.shape
            compare_states(state, {"prompt_embeddings": torch.empty(length, 2 * layers * heads * size, device="meta")})
            found = state["prompt_embeddings"].view(length, layers, 2, heads, size).permute(1, 2, 3, 0, 4)
        else:
            state = read_weights(folder / WEIGHTS_FILE)
            compare_states(state, {"prefix.pairs": pairs})
            found = state["prefix.pairs"]
        # The reparameterisation was dropped with the end of training: from here on the pairs are a plain table.
        self.deep.fill(PairTable(found.to(self.loaded.device)))

    def merge(self) -> nn.Module:
        raise MethodError(
            "A prefix stands before the keys and values of every layer and cannot be merged into the weights.",
            fix="Export without merging; the prefix is small beside the model.",
        )

    @property
    def _prompt(self) -> nn.Module:
        assert self.deep.prompt is not None
        return self.deep.prompt

    def _remove(self) -> None:
        self.deep.remove()


def prefix_parameters(length: int, layers: int, kv_width: int, *, width: int = 0, inner: int = 0) -> int:
    """Trained parameters of a prefix, as a closed formula.

    Without `inner`: length x 2 x layers x kv_width (Liu et al. 2022). With it the reparameterisation of Li & Liang 2021, section 4.3:
    a table length x width and an MLP width -> inner -> 2 x layers x kv_width with biases.
    """
    output = 2 * layers * kv_width
    if not inner:
        return length * output
    return length * width + width * inner + inner + inner * output + output


def start_ids(tokenizer: Any, options: Options, prompt: Any | None) -> list[int]:
    """Exactly `length` tokens of real text: the option's, else the templates' own words and the label words, repeated."""
    plain = plain_tokenizer(tokenizer)
    texts = [options.text] if options.text.strip() else [*_template_words(prompt), *label_words(prompt)]
    ids = [token for text in texts for token in plain.encode(" " + text.strip()) if text.strip()]
    ids = ids or ordinary_ids(tokenizer)
    return (ids * (options.length // len(ids) + 1))[: options.length]


def _template_words(prompt: Any | None) -> list[str]:
    templates = [parse_template(without_soft(source), needs_mask=False) for source in (prompt.templates if prompt is not None else ())]
    return [piece.text for template in templates for piece in template.pieces if piece.kind == "text" and piece.field is None]
