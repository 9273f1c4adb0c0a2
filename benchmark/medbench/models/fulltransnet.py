"""FullTransNet, arXiv 2501.00882: which frames make a video's summary, by local and global attention.

The authors' code (ziadtarek12/FullTransNet@9ace789, a fork whose model files are those of the authors' first
commit; no licence stated) was read for facts. What it computes differs from what the paper describes, and
``published`` chooses: with it the network is that program's, but for one thing no program can repeat, as it
draws the encoder's attention projections anew in every pass and never trains them; here they are parameters,
and there is no dropout in evaluation. Without it, the default, what is plainly a slip is mended: frames know
their position, features are not shuffled among frames, and padding is not looked at, for there is none.

The authors' decoder is given the frames of the reference summary, for test videos too. Here ``tokens`` are
the caller's; without them, frames at even distances, which no reference tells, are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

SHARE_OF_TOKENS = 0.15
LANDMARKS = 48
_PLACES = (
    (r"embedding\.embedding\.", "embed."),
    (r"encoder\.local_layers\.", "encoder."),
    (r"decoder\.layers\.", "decoder."),
    (r"projection\.", "head."),
)
_PARTS = (
    (r"enc_self_attn\.inner\.W_([QKV])_global", r"attention.global_W_\1"),
    (r"enc_self_attn\.(inner\.)?", "attention."),
    (r"dec_self_attn\.", "self_attention."),
    (r"dec_enc_attn\.", "cross_attention."),
    (r"W_Q\.", "query."),
    (r"W_K\.", "key."),
    (r"W_V\.", "value."),
    (r"\.linear\.", ".output."),
    (r"layer_norm\.", "norm."),
    (r"pos_ffn\.fc\.0\.", "mlp.hidden."),
    (r"pos_ffn\.fc\.2\.", "mlp.output."),
    (r"pos_ffn\.", "mlp."),
)
_UNUSED = (
    r"encoder\.src_emb\.|(en|de)coder\.position_embeddings\.pe|encoder\.local_layers\.\d+\.enc_self_attn\.W_"
)


class FullTransNet(nn.Module):
    """Features of frames to a distribution over the frames, for each frame of the summary.

    Args:
        in_channels: features of a frame.
        num_classes: 1; a summary has no classes.
        length: the most frames that a video may have.
        window_size: frames on each side that a frame attends to.
        depth: layers of the encoder and of the decoder.
        dim: features within the network.
        num_heads: of every attention.
        mlp_dim: hidden width of the perceptrons.
        dropout: after the embedding, and of the encoder's attention, in training.
        published: the authors' program with its slips instead of the mended network.

    Raises:
        MedbenchError: ``model.option``.
    """

    def __init__(
        self,
        in_channels: int = 1024,
        num_classes: int = 1,
        *,
        length: int = 1536,
        window_size: int = 16,
        depth: tuple[int, int] = (6, 6),
        dim: int = 64,
        num_heads: int = 8,
        mlp_dim: int = 2048,
        dropout: float = 0.1,
        published: bool = False,
    ) -> None:
        super().__init__()
        refuse_options(
            "fulltransnet",
            (
                (num_classes != 1, f"num_classes={num_classes}: a summary has no classes, so it is 1"),
                (length < 1, f"length={length} is no number of frames"),
                (window_size < 1, f"window_size={window_size} is no number of frames"),
                (len(depth) != 2 or min(depth) < 1, f"depth={list(depth)} is not two numbers of layers"),
                (dim < 2 or dim % 2 > 0, f"dim={dim} is not even"),
                (num_heads < 1 or dim % num_heads > 0, f"num_heads={num_heads} does not divide dim={dim}"),
                (mlp_dim < 1, f"mlp_dim={mlp_dim} is no width"),
                (not 0 <= dropout < 1, f"dropout={dropout} does not lie between 0 and 1"),
            ),
        )
        self.length, self.published = length, published
        self.embed = nn.Sequential(
            nn.Linear(in_channels, dim), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(dim)
        )
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, num_heads, window_size, mlp_dim, dropout, published) for _ in range(depth[0])
        )
        self.decoder = nn.ModuleList(DecoderLayer(dim, num_heads, mlp_dim) for _ in range(depth[1]))
        self.head = nn.Linear(dim, length, bias=False)
        self.register_buffer("positions", positions(length, dim), persistent=False)
        self.positions: Tensor

    def forward(
        self, frames: Tensor, tokens: Tensor | None = None, landmarks: Tensor | None = None
    ) -> Tensor:
        """Distributions over the frames.

        Args:
            frames: ``(N, frames, in_channels)`` features, of videos of one length.
            tokens: ``(S,)`` frames that the decoder is told, in order; :func:`even_tokens` if not given.
            landmarks: frames that all others attend to; :func:`even_landmarks` if not given.

        Returns:
            ``(N, S, frames)``, each row with the sum 1.

        Raises:
            MedbenchError: ``model.frames`` for more than ``length``.
        """
        count = int(frames.shape[1])
        if count > self.length:
            raise MedbenchError(
                "model.frames",
                f"fulltransnet: {count} frames are more than length={self.length}.",
                "Give the option length, or fewer frames.",
            )
        tokens = even_tokens(count, frames.device) if tokens is None else tokens
        landmarks = even_landmarks(count, frames.device) if landmarks is None else landmarks.long().unique()
        told = self.embed(frames[:, tokens])
        if self.published:
            frames = functional.pad(frames, (0, 0, 0, self.length - count))
            encoded = 2 * self.embed(frames) + self.positions[0]
            decoded = 2 * told + self.positions[: len(tokens)]
        else:
            encoded = self.embed(frames) + self.positions[:count]
            decoded = told + self.positions[: len(tokens)]
        if self.published:
            landmarks = landmarks[landmarks < self.length - count]
        kinds = self._kinds(count, landmarks)
        for layer in self.encoder:
            encoded = layer(encoded, kinds, landmarks)
        for layer in self.decoder:
            decoded = layer(decoded, encoded)
        logits: Tensor = self.head(decoded)[..., :count]
        return logits.softmax(dim=-1)

    def _kinds(self, count: int, landmarks: Tensor) -> Tensor:
        """For each position 1 for a landmark, 0 for others, −1 for what is not looked at.

        The authors' program draws the line not after the frames but after as many positions as there is
        padding: with many frames the last of them are not looked at, with few padding is.
        """
        kinds = torch.zeros(
            self.length if self.published else count, dtype=torch.int64, device=landmarks.device
        )
        kinds[landmarks] = 1
        if self.published:
            kinds[self.length - count :] = -1
        return kinds


class EncoderLayer(nn.Module):
    """Local and global attention, then a perceptron, each added and normalised."""

    def __init__(
        self, dim: int, num_heads: int, window_size: int, mlp_dim: int, dropout: float, shuffled: bool
    ) -> None:
        super().__init__()
        self.attention = LocalGlobalAttention(dim, num_heads, window_size, dropout, shuffled)
        self.mlp = Perceptron(dim, mlp_dim)

    def forward(self, features: Tensor, kinds: Tensor, landmarks: Tensor) -> Tensor:
        """``(N, L, dim)`` to the same."""
        mixed: Tensor = self.mlp(self.attention(features, kinds, landmarks))
        return mixed


class LocalGlobalAttention(nn.Module):
    """A frame attends to its neighbours and to the landmarks, a landmark to all frames.

    Queries are cut into blocks of ``window_size``, whose keys are those of three blocks, so the cost grows
    with ``L * (3 * window_size + landmarks)``.

    Args:
        dim: features.
        num_heads: heads.
        window_size: frames on each side.
        dropout: of the attention, in training.
        shuffled: whether the result is read as ``(dim, L)`` in memory order, as the authors' program does.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int, dropout: float, shuffled: bool) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.dropout, self.shuffled = (
            num_heads,
            window_size,
            dropout,
            shuffled,
        )
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.global_query, self.global_key, self.global_value = (nn.Linear(dim, dim) for _ in range(3))
        self.output = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor, kinds: Tensor, landmarks: Tensor) -> Tensor:
        """Attended, added and normalised.

        Args:
            features: ``(N, L, dim)``.
            kinds: ``(L,)``, see :meth:`FullTransNet._kinds`.
            landmarks: ``(G,)``, where that is 1.

        Returns:
            ``(N, L, dim)``.
        """
        context = self._local(features, kinds, landmarks)
        if len(landmarks):
            query = _heads(self.global_query(features[:, landmarks]), self.num_heads)
            key, value = (
                _heads(project(features), self.num_heads) for project in (self.global_key, self.global_value)
            )
            seen = (kinds >= 0).expand(len(landmarks), -1)
            told = functional.scaled_dot_product_attention(
                query, key, value, seen, dropout_p=self.dropout if self.training else 0.0
            )
            context = context.index_copy(1, landmarks, _joined(told).to(context.dtype))
        context = context * (kinds >= 0)[:, None]
        if self.shuffled:
            context = context.transpose(1, 2).reshape(context.shape)
        normed: Tensor = self.norm(self.output(context) + features)
        return normed

    def _local(self, features: Tensor, kinds: Tensor, landmarks: Tensor) -> Tensor:
        length, width = features.shape[1], self.window_size
        blocks = -(-length // width)
        query, key, value = (
            _heads(project(features), self.num_heads) for project in (self.query, self.key, self.value)
        )
        lacking = blocks * width - length
        query = functional.pad(query, (0, 0, 0, lacking)).unflatten(2, (blocks, width))
        near = [
            functional.pad(one, (0, 0, width, width + lacking)).unfold(2, 3 * width, width)
            for one in (key, value)
        ]
        places = torch.arange(blocks * width, device=features.device).view(blocks, width, 1)
        others = places[:, :1] - width + torch.arange(3 * width, device=features.device)
        local = functional.pad(kinds == 0, (0, lacking))[others.clamp(0, blocks * width - 1)]
        seen = local & (others >= 0) & (others < length) & ((places - others).abs() <= width)
        scores = query @ near[0]
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        scores = torch.cat([scores, query @ key[:, :, None, landmarks].transpose(-1, -2)], dim=-1)
        shares = (scores / math.sqrt(query.shape[-1])).softmax(dim=-1)
        shares = functional.dropout(shares, self.dropout, self.training)
        context = shares[..., : 3 * width] @ near[1].transpose(-1, -2)
        context = context + shares[..., 3 * width :] @ value[:, :, None, landmarks]
        return _joined(context.flatten(2, 3)[:, :, :length])


class DecoderLayer(nn.Module):
    """Causal attention among the told frames, attention to the video, a perceptron."""

    def __init__(self, dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.self_attention = Attention(dim, num_heads)
        self.cross_attention = Attention(dim, num_heads)
        self.mlp = Perceptron(dim, mlp_dim)

    def forward(self, tokens: Tensor, video: Tensor) -> Tensor:
        """``(N, S, dim)`` with ``(N, L, dim)`` to ``(N, S, dim)``."""
        tokens = self.self_attention(tokens, tokens, causal=True)
        mixed: Tensor = self.mlp(self.cross_attention(tokens, video, causal=False))
        return mixed


class Attention(nn.Module):
    """Dense attention, added to the queries and normalised."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, others: Tensor, *, causal: bool) -> Tensor:
        """``(N, S, dim)`` with ``(N, L, dim)`` to ``(N, S, dim)``."""
        query = _heads(self.query(queries), self.num_heads)
        key, value = _heads(self.key(others), self.num_heads), _heads(self.value(others), self.num_heads)
        context = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        normed: Tensor = self.norm(self.output(_joined(context)) + queries)
        return normed


class Perceptron(nn.Module):
    """Two linear maps without bias, added and normalised."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden, bias=False)
        self.output = nn.Linear(hidden, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        """``(..., dim)`` to the same."""
        normed: Tensor = self.norm(features + self.output(functional.relu(self.hidden(features))))
        return normed


def positions(length: int, dim: int) -> Tensor:
    """``(length, dim)`` sines and cosines in turns, of falling frequencies."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000) / dim))
    return torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=-1).flatten(1)


def even_tokens(count: int, device: torch.device | None = None) -> Tensor:
    """As many frames as a summary has, at even distances.

    >>> even_tokens(20).tolist()
    [3, 10, 16]
    """
    number = max(1, round(SHARE_OF_TOKENS * count))
    return ((torch.arange(number, device=device) * 2 + 1) * count).div(2 * number, rounding_mode="floor")


def even_landmarks(count: int, device: torch.device | None = None) -> Tensor:
    """Frames at even distances, where no change points are known: as many in any video.

    >>> even_landmarks(3).tolist()
    [0, 1, 2]
    """
    number = min(count, LANDMARKS)
    return ((torch.arange(number, device=device) * 2 + 1) * count).div(2 * number, rounding_mode="floor")


def shot_landmarks(change_points: Tensor, step: int = 15) -> Tensor:
    """First, middle and last frame of every shot, among the frames that features were taken of.

    Args:
        change_points: ``(shots, 2)`` first and last frame of each in the video.
        step: frames of the video a frame with features.

    >>> shot_landmarks(torch.tensor([[0, 44], [45, 100]])).tolist()
    [0, 1, 2, 3, 4, 6]
    """
    first, last = change_points[:, 0], change_points[:, 1]
    return torch.cat([first, last, (first + last) // 2]).div(step, rounding_mode="floor").unique()


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' parameters under our names; those that their program never uses are left out.

    The projections of the encoder's attention are not in their checkpoints, see the top of this file, and are
    taken from ``enc_self_attn.inner.`` where somebody kept them.

    Raises:
        MedbenchError: ``weights.unknown_keys``.
    """
    return rename_parameters(authors_state_dict, "FullTransNet", _PLACES, _PARTS, _UNUSED)


def _heads(features: Tensor, num_heads: int) -> Tensor:
    return features.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _joined(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)
