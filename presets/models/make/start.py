"""A better start than noise for a small causal model: a bigram table in its embeddings, and heads that look at the words before.

From noise such a model spends its first hundreds of thousands of tokens on word frequencies and bigrams, which counting gives at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

PSEUDO_COUNTS = 300  # of the unigram distribution beside every word's own continuations; the best of 30, 100 and 300 on unseen reviews
WIDTH_OF_STATE = 0.3  # root mean square of an embedding


@torch.no_grad()
def start_with_bigrams(model: Any, sequences: list[list[int]]) -> None:
    """Embedding and head such that the model without its layers gives log P(w) + S(v, w), S being log-odds of seen bigrams.

    S(v, w) = log(1 + c(v, w) / (k P(w))) is factored into r_v . q_w by a truncated SVD weighted by the roots of the frequencies. RMSNorm
    forgets how long a vector is, so one dimension holds a constant that carries log P(w), and one fills all rows up to the same length.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    size, width = model.config.vocab_size, model.config.hidden_size
    before = np.concatenate([np.array([0, *row]) for row in sequences])
    after = np.concatenate([np.array([*row, 0]) for row in sequences])
    counts = sparse.csr_matrix((np.ones(len(before)), (before, after)), shape=(size, size))
    counts.sum_duplicates()
    word, start = (np.bincount(ids, minlength=size) + 0.5 for ids in (after, before))
    word, start = word / word.sum(), start / start.sum()
    counts.data = np.log1p(counts.data / (PSEUDO_COUNTS * word[counts.indices]))
    weighted = sparse.diags(start**0.5) @ counts @ sparse.diags(word**0.5)
    left, values, right = randomized_svd(weighted, width - 2, n_iter=3, random_state=0)
    rows = left * np.sqrt(values) / start[:, None] ** 0.5
    columns = right.T * np.sqrt(values) / word[:, None] ** 0.5
    longest = np.linalg.norm(rows, axis=1).max()
    filler = np.sqrt(np.maximum(longest**2 - (rows**2).sum(axis=1), 0))
    # Every row has length sqrt(2) * longest; RMSNorm makes that sqrt(width).
    scale = np.sqrt(width / 2) / longest
    table = np.concatenate([np.full((size, 1), longest), filler[:, None], rows], axis=1) * scale * WIDTH_OF_STATE
    head = np.concatenate([np.log(word)[:, None] / longest, np.zeros((size, 1)), columns], axis=1) / scale
    model.model.embed_tokens.weight.copy_(torch.tensor(table))
    model.lm_head.weight.copy_(torch.tensor(head))


@torch.no_grad()
def start_with_neighbours(model: Any) -> None:
    """Starts the first layer's heads as looks at the tokens 1, 2 and 3 before, one head a group free, and all outputs near zero.

    Under RoPE a constant query and key give a score that depends on the distance alone; turning the query by a distance puts the
    maximum there. Qwen2 has biases on query and key, which are just such constants. Everything goes on training.
    """
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    rate = 1.0 / (10_000.0 ** (torch.arange(0, size, 2) / size))
    sharpness = 5.5
    attention = model.model.layers[0].self_attn
    attention.q_proj.weight.mul_(0.3)
    attention.k_proj.weight.mul_(0.3)
    for group in range(config.num_key_value_heads):
        attention.k_proj.bias[group * size : group * size + size // 2] = sharpness
        for place, distance in enumerate((1, 2, 3)):
            head = group * config.num_attention_heads // config.num_key_value_heads + place
            angle = distance * rate
            attention.q_proj.bias[head * size : (head + 1) * size] = sharpness * torch.cat([angle.cos(), -angle.sin()])
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.mul_(0.3)
        layer.mlp.down_proj.weight.mul_(0.3)
