"""The text encoder of CM-CGNS, BERT, and the gathering of its tokens into sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

Gathering = Literal["mean", "max", "min"]


class TextEncoder(nn.Module):
    """BERT of the library transformers: a vector for each token of a report.

    The paper's weights, ClinicalBERT's, are BERT-base with cases. Its pooler is loaded and never used.

    Args:
        vocabulary_size: tokens of the vocabulary.
        width: channels of a token.
        depth: layers.
        num_heads: of their attention.
        hidden_width: of their perceptron.
        max_tokens: longest report in tokens.
        dropout: in training.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int = 28996,
        width: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        hidden_width: int = 3072,
        max_tokens: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        numbers = (vocabulary_size, width, depth, num_heads, hidden_width, max_tokens)
        refuse_options(
            "cm_cgns.text_encoder",
            (
                (min(numbers) < 1, f"vocabulary_size={vocabulary_size} or another size is not positive"),
                (width % max(num_heads, 1) > 0, f"num_heads={num_heads} does not divide width={width}"),
            ),
        )
        from transformers.models.bert import BertConfig, BertModel

        self.encoder = BertModel(
            BertConfig(
                vocab_size=vocabulary_size,
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=num_heads,
                intermediate_size=hidden_width,
                max_position_embeddings=max_tokens,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
            )
        )
        self.freeze_pooler()

    def freeze_pooler(self) -> None:
        """Leave the pooler, which nothing computes with, without gradients."""
        assert self.encoder.pooler is not None
        self.encoder.pooler.requires_grad_(False)

    def forward(self, token_ids: Tensor, present: Tensor) -> Tensor:
        """Vectors ``(N, tokens, width)``.

        Args:
            token_ids: ``(N, tokens)``.
            present: the same shape, 1 where a token counts.
        """
        vectors: Tensor = self.encoder(input_ids=token_ids, attention_mask=present).last_hidden_state
        return vectors


def gather_sentences(
    tokens: Tensor, sentence_index: Tensor, count: int | None = None, how: Gathering = "mean"
) -> tuple[Tensor, Tensor]:
    """One vector for each sentence of each report.

    Args:
        tokens: ``(N, tokens, width)``.
        sentence_index: ``(N, tokens)``: number of a token's sentence from 1 on; what is below belongs to
            none.
        count: sentences of the longest report; read from the index if ``None``.
        how: what a sentence takes of its tokens.

    Returns:
        Sentences ``(N, count, width)``, zeros where a report has fewer, and whether each is there
        ``(N, count)``.
    """
    if count is None:
        count = max(1, int(sentence_index.max()))
    numbers = torch.arange(1, count + 1, device=tokens.device)
    member = sentence_index[:, None, :] == numbers[:, None]
    present = member.any(dim=2)
    if how == "mean":
        share = member.to(tokens.dtype)
        share = share / share.sum(dim=2, keepdim=True).clamp_min(1)
        return share @ tokens, present
    place = (sentence_index - 1).clamp_min(0)[..., None].expand_as(tokens)
    worst = -torch.inf if how == "max" else torch.inf
    values = tokens.masked_fill((sentence_index < 1)[..., None], worst)
    empty = tokens.new_full((len(tokens), count, tokens.shape[2]), worst)
    best = empty.scatter_reduce(1, place, values, "amax" if how == "max" else "amin")
    return best.masked_fill(~present[..., None], 0.0), present


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the authors' text encoder, which are the library's, to ours.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    places = (
        (r"(text_encoder\.)?encoder\.(?=embeddings|encoder|pooler)", "encoder."),
        (r"(?=embeddings\.|encoder\.layer\.|pooler\.)", "encoder."),
    )
    state = {key: value for key, value in authors_state_dict.items() if not key.endswith("position_ids")}
    return rename_parameters(state, "CM-CGNS text encoder", places)
