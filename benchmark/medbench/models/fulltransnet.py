"""FullTransNet: video summaries by a full transformer with local-global attention (arXiv 2501.00882).

Authors' code: the public fork ziadtarek12/FullTransNet@9ace789, no licence stated; read and run for facts,
nothing copied. Two forms of the same parameters:

``published`` computes what that program computes, with what the paper does not say: the video is padded with
zeros to ``length`` positions that attention sees; the encoder has no positions (every frame gets those of the
first); the mask ends at the number of *padded* frames instead of the number of frames, so that from half of
``length`` on the end of the video is masked; the context of the encoder's attention is re-read in memory as
if its axes were swapped, so that frames and channels mix.

``corrected`` has none of these: no padding, positions, every frame, context where it belongs.

Both keep one thing that the program does not: it draws the six projections inside the encoder's attention
anew in every forward pass, so they are neither trained nor saved, and it leaves dropout on there in
evaluation. Here they are parameters, and dropout ends with training. The program's own parameters that it
never computes with (140,608 of 3,678,848) are left out.

The decoder is given features of frames. The authors give it those of the *ground-truth* summary, in testing
too; :func:`uniform_frames` names frames that tell nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from medbench.core.errors import MedbenchError
from medbench.models.options import refuse_options
from medbench.models.renaming import rename_parameters

Form = Literal["corrected", "published"]
FORMS: tuple[Form, ...] = ("corrected", "published")
FRAME_STEP = 15
_SCALE = 8**-0.5  # the authors' number, whatever the width of a head
_SUMMARY_SHARE = 0.15
_SHOT_FRAMES = 20


class Embedding(nn.Module):
    """Linear layer, ReLU, dropout and layer norm, shared by encoder and decoder."""

    def __init__(self, inputs: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor, padding: int = 0) -> Tensor:
        """``(N, T, inputs)`` to ``(N, T + padding, dim)``, the last rows as of features that are zero."""
        hidden = functional.relu(self.hidden(features))
        if padding:
            empty = functional.relu(self.hidden.bias).to(hidden.dtype)
            hidden = torch.cat([hidden, empty.expand(len(hidden), padding, -1)], dim=1)
        return self.norm(self.dropout(hidden))


class FeedForward(nn.Module):
    """Two linear layers without bias around a ReLU, residual, layer norm."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, hidden, bias=False)
        self.reduce = nn.Linear(hidden, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(N, n, dim)`` to the same shape."""
        return self.norm(tokens + self.reduce(functional.relu(self.expand(tokens))))


class DecoderAttention(nn.Module):
    """Attention of tokens to a memory, projection, residual, layer norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, memory: Tensor, *, causal: bool = False) -> Tensor:
        """``(N, S, dim)`` and ``(N, n, dim)`` to ``(N, S, dim)``."""
        context = functional.scaled_dot_product_attention(
            _split(self.query(tokens), self.heads),
            _split(self.key(memory), self.heads),
            _split(self.value(memory), self.heads),
            is_causal=causal,
            scale=_SCALE,
        )
        return self.norm(self.output(_joined(context)) + tokens)


class LocalGlobalAttention(nn.Module):
    """Attention to the frames of a window and to global frames, which themselves attend to every frame.

    Queries are taken in blocks of ``window``, each with the keys of three blocks, so that n frames with G
    global ones take n · (3 · window + G) scores. A global key counts once, also inside the window.

    Args:
        dim: channels.
        heads: number of heads.
        window: frames on each side.
        dropout: rate on the weights of the attention.
        scrambled: re-read the context ``(dim, n)`` in memory as ``(n, dim)``, as the authors' program does.
    """

    def __init__(self, dim: int, heads: int, window: int, dropout: float, *, scrambled: bool) -> None:
        super().__init__()
        self.heads, self.window, self.scrambled = heads, window, scrambled
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.global_query, self.global_key, self.global_value = (nn.Linear(dim, dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, global_frames: Tensor, n_seen: Tensor | None = None) -> Tensor:
        """``(N, n, dim)`` to the same shape.

        Args:
            tokens: of the frames.
            global_frames: sorted indices ``(N, G)``; repeated ones count once.
            n_seen: ``(N, 1)``, frames from the start that take part, all if ``None``; the others are no keys
                and get no context.
        """
        seen = None
        if n_seen is not None:
            seen = torch.arange(tokens.shape[1], device=tokens.device) < n_seen
        context = self._local_rows(tokens, global_frames, seen)
        rows = self._global_rows(tokens, global_frames, seen)
        if seen is not None:
            context = context * seen[:, None, :, None]
            rows = rows * seen.gather(1, global_frames)[:, None, :, None]
        context = _joined(context.scatter(2, _index(global_frames, context), rows.to(context.dtype)))
        if self.scrambled:
            context = context.transpose(1, 2).reshape(context.shape)
        return self.norm(self.output(context) + tokens)

    def _local_rows(self, tokens: Tensor, global_frames: Tensor, seen: Tensor | None) -> Tensor:
        """Context ``(N, heads, n, channels)`` of every frame as if it were none of the global ones."""
        n, window = tokens.shape[1], self.window
        query, key, value = (_split(part(tokens), self.heads) for part in (self.query, self.key, self.value))
        missing = -n % window
        query = functional.pad(query * _SCALE, (0, 0, 0, missing)).unflatten(2, (-1, window))
        chosen = _index(global_frames, key)
        global_key, global_value = key.gather(2, chosen), value.gather(2, chosen)
        key, value = (_neighbourhoods(part, window, missing) for part in (key, value))

        local = _neighbourhoods(self._local_keys(n, global_frames, seen), window, missing, dim=1)
        local = local[:, None, :, None] & _band(window, tokens.device)
        once = functional.pad(global_frames[:, 1:] != global_frames[:, :-1], (1, 0), value=True)
        if seen is not None:
            once = once & seen.gather(1, global_frames)
        near = _masked(query @ key, local)
        far = query.flatten(2, 3) @ global_key.transpose(2, 3)
        far = _masked(far.unflatten(2, (-1, window)), once[:, None, None, None])
        weights = self.dropout(torch.cat([near, far], dim=-1).softmax(dim=-1)).to(value.dtype)
        near, far = weights.split([near.shape[-1], far.shape[-1]], dim=-1)
        context = (near @ value.transpose(3, 4)).flatten(2, 3) + far.flatten(2, 3) @ global_value
        return context[:, :, :n]

    @staticmethod
    def _local_keys(n: int, global_frames: Tensor, seen: Tensor | None) -> Tensor:
        """Which of n frames are keys of the window alone, ``(N, n)``."""
        keys = torch.ones(len(global_frames), n, dtype=torch.bool, device=global_frames.device)
        keys = keys.scatter(1, global_frames, False)
        return keys if seen is None else keys & seen

    def _global_rows(self, tokens: Tensor, global_frames: Tensor, seen: Tensor | None) -> Tensor:
        """Context ``(N, heads, G, channels)`` of the global frames."""
        asking = tokens.gather(1, global_frames[..., None].expand(-1, -1, tokens.shape[-1]))
        query = _split(self.global_query(asking), self.heads) * _SCALE
        key, value = (_split(part(tokens), self.heads) for part in (self.global_key, self.global_value))
        scores = query @ key.transpose(2, 3)
        if seen is not None:
            scores = _masked(scores, seen[:, None, None])
        return self.dropout(scores.softmax(dim=-1)).to(value.dtype) @ value


class EncoderLayer(nn.Module):
    """Local-global attention and perceptron."""

    def __init__(self, attention: LocalGlobalAttention, ffn: FeedForward) -> None:
        super().__init__()
        self.attention, self.ffn = attention, ffn

    def forward(self, tokens: Tensor, global_frames: Tensor, n_seen: Tensor | None) -> Tensor:
        """As :class:`LocalGlobalAttention`."""
        return self.ffn(self.attention(tokens, global_frames, n_seen))


class DecoderLayer(nn.Module):
    """Causal attention, attention to the encoder's frames, perceptron."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attention = DecoderAttention(dim, heads)
        self.cross_attention = DecoderAttention(dim, heads)
        self.ffn = FeedForward(dim, hidden)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """``(N, S, dim)`` and ``(N, n, dim)`` to ``(N, S, dim)``."""
        return self.ffn(self.cross_attention(self.self_attention(tokens, tokens, causal=True), memory))


class FullTransNet(nn.Module):
    """The network; see the module's text.

    Args:
        in_channels: features of a frame.
        num_classes: 1, the score of a frame.
        form: ``corrected`` or ``published``.
        length: the most frames; in the published form all videos are padded to it.
        dim: channels.
        heads: attention heads; the authors' encoder has 8 whatever their option says.
        encoder_layers: layers of the encoder.
        decoder_layers: layers of the decoder.
        window: frames that a frame attends to on each side.
        ffn_dim: hidden width of the perceptrons.
        dropout: rate after the embedding and on the encoder's attention.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    positions: Tensor

    def __init__(
        self,
        in_channels: int = 1024,
        num_classes: int = 1,
        *,
        form: Form = "corrected",
        length: int = 1536,
        dim: int = 64,
        heads: int = 8,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        window: int = 16,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        refuse_options(
            "fulltransnet",
            (
                (num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),
                (form not in FORMS, f"form={form!r} is none of {', '.join(FORMS)}"),
                (heads < 1 or dim % heads != 0, f"heads={heads} does not divide dim={dim}"),
                (dim % 2 != 0, f"dim={dim} is odd"),
                (window < 1, f"window={window} is not positive"),
                (length < 1, f"length={length} is not positive"),
                (encoder_layers < 1, f"encoder_layers={encoder_layers} is not positive"),
                (decoder_layers < 1, f"decoder_layers={decoder_layers} is not positive"),
                (ffn_dim < 1, f"ffn_dim={ffn_dim} is not positive"),
                (not 0 <= dropout < 1, f"dropout={dropout} is no rate"),
            ),
        )
        super().__init__()
        self.length = length
        self.published = form == "published"
        self.embedding = Embedding(in_channels, dim, dropout)
        self.register_buffer("positions", _positions(length, dim))
        self.encoder = nn.ModuleList(
            EncoderLayer(
                LocalGlobalAttention(dim, heads, window, dropout, scrambled=self.published),
                FeedForward(dim, ffn_dim),
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(DecoderLayer(dim, heads, ffn_dim) for _ in range(decoder_layers))
        self.head = nn.Linear(dim, length, bias=False)

    def forward(self, frames: Tensor, decoder_features: Tensor, global_frames: Tensor) -> Tensor:
        """For each frame of a summary, a distribution over the frames of the video.

        Args:
            frames: features ``(N, T, in_channels)`` of every 15th frame.
            decoder_features: those of the frames that the decoder is given, ``(N, S, in_channels)``.
            global_frames: indices ``(N, G)`` into T of frames that everything attends to, one or more;
                repeated ones count once (:func:`global_frames_of`).

        Returns:
            Probabilities ``(N, S, T)``; :func:`frame_scores` makes scores of them.

        Raises:
            MedbenchError: ``model.input`` for more frames than ``length``.
        """
        n_frames = frames.shape[1]
        if max(n_frames, decoder_features.shape[1]) > self.length:
            raise MedbenchError(
                "model.input",
                f"fulltransnet: {n_frames} frames and {decoder_features.shape[1]} decoder tokens, but "
                f"length={self.length}.",
                "Build the network with a larger length.",
            )
        memory = self.encode(frames, global_frames)
        tokens = self.embedding(decoder_features)
        tokens = (2 * tokens if self.published else tokens) + self.positions[:, : tokens.shape[1]]
        for layer in self.decoder:
            tokens = layer(tokens, memory)
        return functional.linear(tokens, self.head.weight[:n_frames]).softmax(dim=-1)

    def encode(self, frames: Tensor, global_frames: Tensor) -> Tensor:
        """``(N, T, in_channels)`` to ``(N, T, dim)``; in the published form to ``(N, length, dim)``."""
        global_frames = global_frames.sort(dim=1).values
        n_seen = None
        if self.published:
            padding = self.length - frames.shape[1]
            tokens = 2 * self.embedding(frames, padding) + self.positions[:, :1]
            n_seen = torch.full_like(global_frames[:, :1], padding)
        else:
            tokens = self.embedding(frames) + self.positions[:, : frames.shape[1]]
        for layer in self.encoder:
            tokens = layer(tokens, global_frames, n_seen)
        return tokens


def _positions(length: int, dim: int) -> Tensor:
    """Sines and cosines ``(1, length, dim)`` in turns.

    In float64 and rounded: in float32, as the authors' program does it, the last digits depend on the
    processor. Their files hold the table that it made, which replaces this one.
    """
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float64) * (-math.log(10000.0) / dim))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None].float()


def _split(tokens: Tensor, heads: int) -> Tensor:
    """``(N, n, dim)`` to ``(N, heads, n, dim / heads)``."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(context: Tensor) -> Tensor:
    """The inverse of :func:`_split`."""
    return context.transpose(1, 2).flatten(2)


def _index(frames: Tensor, parts: Tensor) -> Tensor:
    """``(N, G)`` as an index along the third axis of ``(N, heads, n, channels)``."""
    return frames[:, None, :, None].expand(-1, parts.shape[1], -1, parts.shape[3])


def _neighbourhoods(parts: Tensor, window: int, missing: int, dim: int = 2) -> Tensor:
    """Windows of three blocks around each block of an axis: ``(…, blocks, …, 3 * window)``."""
    after = (0, 0) * (parts.ndim - 1 - dim)
    return functional.pad(parts, (*after, window, window + missing)).unfold(dim, 3 * window, window)


def _band(window: int, device: torch.device) -> Tensor:
    """Which of three blocks' keys lie within the window of each query of the middle one."""
    queries = torch.arange(window, 2 * window, device=device)[:, None]
    return (torch.arange(3 * window, device=device) - queries).abs() <= window


def _masked(scores: Tensor, allowed: Tensor) -> Tensor:
    return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)


def global_frames_of(change_points: Tensor, step: int = FRAME_STEP) -> Tensor:
    """Frames that everything attends to: first, last and middle frame of each shot.

    Args:
        change_points: first and last frame of each shot in the whole video, ``(shots, 2)``, both inclusive.
        step: frames of the video per frame that the network sees.

    Returns:
        Distinct sorted indices ``(G,)`` into the frames that the network sees.

    >>> global_frames_of(torch.tensor([[0, 89], [90, 104]])).tolist()
    [0, 2, 5, 6]
    """
    first, last = change_points.unbind(1)
    return torch.unique(torch.cat([first, last, (first + last) // 2]) // step)


def uniform_frames(n_frames: int, share: float = _SUMMARY_SHARE) -> Tensor:
    """Evenly spaced frames to give to the decoder: a summary's share of a video, without knowing any summary.

    >>> uniform_frames(20).tolist()
    [3, 10, 16]
    """
    count = max(1, round(share * n_frames))
    return ((torch.arange(count) + 0.5) * n_frames / count).long()


def frame_scores(probabilities: Tensor) -> Tensor:
    """Scores of frames from the distributions, as the authors' evaluation reads them.

    A frame that is the likeliest of some row, with the largest value of its column there, gets that value,
    any other the least value of its column.

    Args:
        probabilities: ``(…, S, T)``.

    Returns:
        ``(…, T)``.
    """
    largest = probabilities.amax(dim=-2, keepdim=True)
    chosen = (probabilities == largest) & (probabilities == probabilities.amax(dim=-1, keepdim=True))
    return torch.where(chosen.any(dim=-2), largest.squeeze(-2), probabilities.amin(dim=-2))


def further_inputs(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Decoder features and global frames for features ``(N, T, C)`` to measure with.

    A summary of 15 % of the frames, and a shot every 20 frames (10 s at 30 frames a second).
    """
    n, n_frames = frames.shape[:2]
    first = torch.arange(0, n_frames, _SHOT_FRAMES, device=frames.device)
    last = (first + _SHOT_FRAMES - 1).clamp(max=n_frames - 1)
    chosen = torch.cat([first, last, (first + last) // 2]).expand(n, -1)
    return frames[:, uniform_frames(n_frames).to(frames.device)], chosen


_INNER = r"encoder\.local_layers\.(\d+)\.enc_self_attn\."
_PLACES = (
    (r"embedding\.embedding\.0\.", "embedding.hidden."),
    (r"embedding\.embedding\.3\.", "embedding.norm."),
    (rf"{_INNER}(inner\.|(?=linear|layer_norm))", r"encoder.\1.attention."),
    (r"encoder\.local_layers\.(\d+)\.pos_ffn\.", r"encoder.\1.ffn."),
    (r"decoder\.layers\.(\d+)\.dec_self_attn\.", r"decoder.\1.self_attention."),
    (r"decoder\.layers\.(\d+)\.dec_enc_attn\.", r"decoder.\1.cross_attention."),
    (r"decoder\.layers\.(\d+)\.pos_ffn\.", r"decoder.\1.ffn."),
    (r"decoder\.position_embeddings\.pe$", "positions"),
    (r"projection\.", "head."),
)
_PARTS = (
    (r"\.W_([QKV])_global\.", r".global_W_\1."),
    ("W_Q", "query"),
    ("W_K", "key"),
    ("W_V", "value"),
    (r"\.linear\.", ".output."),
    (r"\.layer_norm\.", ".norm."),
    (r"\.fc\.0\.", ".expand."),
    (r"\.fc\.2\.", ".reduce."),
)
_UNUSED = rf"encoder\.src_emb\.|{_INNER}W_[QKV]\.|encoder\.position_embeddings\.pe$"


def official_keys(authors_state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' entries to ours, without those that their program never computes with.

    Their files hold no weights of the attention inside the encoder, which they draw anew in every forward
    pass; :func:`draw_inner_attention` adds some.

    Raises:
        MedbenchError: ``weights.unknown_keys``, or ``weights.never_saved`` for a file as their program saves
            it.
    """
    ours = rename_parameters(authors_state_dict, "FullTransNet", _PLACES, _PARTS, unused=_UNUSED)
    if not any(".global_query." in key for key in ours):
        raise MedbenchError(
            "weights.never_saved",
            "The authors' FullTransNet draws the projections of the encoder's attention anew in every "
            "forward pass, so this file does not hold them.",
            "medbench.models.fulltransnet.draw_inner_attention(state, seed) adds them as drawn once.",
        )
    return ours


def draw_inner_attention(authors_state_dict: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The authors' entries with projections inside the encoder's attention, drawn once as their program does.

    They are named ``encoder.local_layers.N.enc_self_attn.inner.W_Q.weight`` and so on.

    Args:
        authors_state_dict: as their program saves it.
        seed: of the draw; their results depend on it as much.
    """
    state = dict(authors_state_dict)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for key, tensor in authors_state_dict.items():
            place, found, _ = key.partition("enc_self_attn.linear.weight")
            if not found:
                continue
            for name in ("W_Q", "W_K", "W_V", "W_Q_global", "W_K_global", "W_V_global"):
                drawn = nn.Linear(tensor.shape[1], tensor.shape[0])
                for part, value in drawn.state_dict().items():
                    state[f"{place}enc_self_attn.inner.{name}.{part}"] = value
    return state
