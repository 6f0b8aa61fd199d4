"""TextCNN and BiLSTM with attention: word numbers in, class scores out. What a text is answered does not depend on its batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.paradigms.vocabulary import PADDING, UNKNOWN

EMBEDDING = 128
WIDTHS = (3, 4, 5)
FILTERS = 100
HIDDEN = 96
DROPOUT = 0.5
WORD_DROPOUT = 0.1
INITIAL_SPREAD = 0.25


class WordEmbedding(nn.Module):
    """Word vectors [B, T, 128], uniform within 0.25 at the start as in Kim's random setting; a tenth of the words is unknown while
    training, so that the unknown word learns what an unknown word is."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, EMBEDDING, padding_idx=PADDING)
        with torch.no_grad():
            self.table.weight.uniform_(-INITIAL_SPREAD, INITIAL_SPREAD)
            self.table.weight[PADDING].zero_()

    def forward(self, ids: Tensor) -> Tensor:
        if self.training:
            hidden = (torch.rand(ids.shape, device=ids.device) < WORD_DROPOUT) & (ids != PADDING)
            ids = ids.masked_fill(hidden, UNKNOWN)
        return self.table(ids)


class TextCnn(nn.Module):
    """Convolutions of three widths, each filter's maximum over the text, dropout, one linear map (Kim 2014, section 2)."""

    rate = 1e-3

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = WordEmbedding(words)
        self.convolutions = nn.ModuleList(nn.Conv1d(EMBEDDING, FILTERS, width) for width in WIDTHS)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(FILTERS * len(WIDTHS), classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B, T], lengths [B]; returns scores [B, C]."""
        return self.output(self.dropout(self.pooled(ids, lengths)[0]))

    def pooled(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Each filter's maximum [B, F] and the word on which that window begins [B, F].

        Windows over nothing but padding do not count, so the answer is the same however far a batch is padded; a text shorter than
        a window is padded to one window.
        """
        short = max(WIDTHS) - ids.shape[1]
        if short > 0:
            ids = nn.functional.pad(ids, (0, short), value=PADDING)
        vectors = self.embedding(ids).transpose(1, 2)
        values, places = [], []
        for width, convolution in zip(WIDTHS, self.convolutions, strict=True):
            activation = torch.relu(convolution(vectors))
            windows = torch.arange(activation.shape[2], device=ids.device)
            last = (lengths.clamp_min(width) - width).unsqueeze(1)
            activation = activation.masked_fill((windows > last).unsqueeze(1), -1.0)
            value, place = activation.max(dim=2)
            values.append(value)
            places.append(place)
        return torch.cat(values, dim=1), torch.cat(places, dim=1)


class BiLstm(nn.Module):
    """A bidirectional LSTM whose states are averaged by learned attention (Zhou et al. 2016, eq. 9 to 12), dropout, one linear map.

    Each direction is an LSTM of its own over padded rows, the second over the words from last to first: on a processor that takes a
    seventh of the time of one bidirectional LSTM over packed rows, which has no fused kernel, and gives the same states.
    """

    rate = 2e-3

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = WordEmbedding(words)
        self.forwards = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.backwards = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.attention = nn.Linear(2 * HIDDEN, 1, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(2 * HIDDEN, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids [B, T], lengths [B]; returns scores [B, C]."""
        vectors = self.dropout(self.embedding(ids))
        # The place of the word that far from the end; padding gets some place beyond the text, and attention never looks there.
        mirror = (lengths.unsqueeze(1) - 1 - torch.arange(ids.shape[1], device=ids.device)).remainder(ids.shape[1]).unsqueeze(2)
        turned = vectors.gather(1, mirror.expand_as(vectors))
        back = self.backwards(turned)[0]
        states = torch.cat([self.forwards(vectors)[0], back.gather(1, mirror.expand_as(back))], dim=2)
        scores = self.attention(torch.tanh(states)).squeeze(2).masked_fill(ids == PADDING, float("-inf"))
        summary = (torch.softmax(scores, dim=1).unsqueeze(2) * states).sum(dim=1)
        return self.output(self.dropout(torch.tanh(summary)))


NETWORKS: dict[str, type[TextCnn] | type[BiLstm]] = {"textcnn": TextCnn, "bilstm": BiLstm}
