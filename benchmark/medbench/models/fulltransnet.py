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
too. The corrected form gives it every frame, which tells nothing of any summary: for a frame of the summary
it learns to point at that frame, for any other at none. So that pointing is there to begin with, the last
layer starts as the table of positions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from medbench.core.errors import MedbenchError
from medbench.models.blocks.linear import linear
from medbench.models.blocks.local_global_attention import LocalGlobalAttention
from medbench.models.blocks.post_norm_layers import Embedding, FeedForward, PostNormAttention, positions
from medbench.models.options import PROGRAM_FORMS, ProgramForm, refuse_options
from medbench.models.renaming import rename_parameters

FRAME_STEP = 15
_ENTRIES_AT_ONCE = 1 << 24
_POINTING = 0.3
_SUMMARY_SHARE = 0.15
_SHOT_FRAMES = 20


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
        self.self_attention = PostNormAttention(dim, heads)
        self.cross_attention = PostNormAttention(dim, heads)
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
        most_global_frames: bound on the frames that everything attends to; where there are more, as many of
            them lie evenly in their order. 0 takes all, as the paper does.
        most_decoder_frames: bound on the frames that the decoder is given in :meth:`frame_scores`, evenly
            spread; the others take the score of the nearest. 0 gives it all.

    Raises:
        MedbenchError: ``model.option`` for values that do not go together.
    """

    positions: Tensor

    def __init__(
        self,
        in_channels: int = 1024,
        num_classes: int = 1,
        *,
        form: ProgramForm = "corrected",
        length: int = 1536,
        dim: int = 64,
        heads: int = 8,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        window: int = 16,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        most_global_frames: int = 0,
        most_decoder_frames: int = 0,
    ) -> None:
        refuse_options(
            "fulltransnet",
            (
                (num_classes != 1, f"num_classes={num_classes}, but a frame has 1 score"),
                (form not in PROGRAM_FORMS, f"form={form!r} is none of {', '.join(PROGRAM_FORMS)}"),
                (heads < 1 or dim % heads != 0, f"heads={heads} does not divide dim={dim}"),
                (dim % 2 != 0, f"dim={dim} is odd"),
                (window < 1, f"window={window} is not positive"),
                (length < 1, f"length={length} is not positive"),
                (encoder_layers < 1, f"encoder_layers={encoder_layers} is not positive"),
                (decoder_layers < 1, f"decoder_layers={decoder_layers} is not positive"),
                (ffn_dim < 1, f"ffn_dim={ffn_dim} is not positive"),
                (not 0 <= dropout < 1, f"dropout={dropout} is no rate"),
                (most_global_frames < 0, f"most_global_frames={most_global_frames} is negative"),
                (most_decoder_frames < 0, f"most_decoder_frames={most_decoder_frames} is negative"),
            ),
        )
        super().__init__()
        self.length = length
        self.most_global_frames, self.most_decoder_frames = most_global_frames, most_decoder_frames
        self.published = form == "published"
        self.embedding = Embedding(in_channels, dim, dropout)
        self.register_buffer("positions", positions(length, dim))
        self.encoder = nn.ModuleList(
            EncoderLayer(
                LocalGlobalAttention(dim, heads, window, dropout, memory_order=self.published),
                FeedForward(dim, ffn_dim),
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(DecoderLayer(dim, heads, ffn_dim) for _ in range(decoder_layers))
        self.head = nn.Linear(dim, length, bias=False)
        if not self.published:
            with torch.no_grad():
                self.head.weight.copy_(_POINTING * self.positions[0])

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
        tokens = self.summary_tokens(frames, decoder_features, global_frames)
        return self.distribution(tokens, frames.shape[1])

    def summary_tokens(
        self,
        frames: Tensor,
        decoder_features: Tensor,
        global_frames: Tensor,
        places: Tensor | slice = slice(None),
    ) -> Tensor:
        """The decoder's tokens ``(N, S, dim)``, one a frame of a summary; as :meth:`forward`.

        With indices ``places``, those of some frames alone, which keep their positions.

        Raises:
            MedbenchError: ``model.input`` for more frames than ``length``.
        """
        n_frames = frames.shape[1]
        if max(n_frames, decoder_features.shape[1]) > self.length:
            raise MedbenchError(
                "model.input",
                f"fulltransnet: {n_frames} frames and {decoder_features.shape[1]} decoder tokens, but "
                f"length={self.length}.",
                "Build the network with a larger length (--set length=20000).",
            )
        memory = self.encode(frames, global_frames)
        tokens = self.embedding(decoder_features[:, places])
        place_codes = self.positions[:, : decoder_features.shape[1]][:, places]
        tokens = (2 * tokens if self.published else tokens) + place_codes
        for layer in self.decoder:
            tokens = layer(tokens, memory)
        return tokens

    def distribution(self, tokens: Tensor, n_frames: int) -> Tensor:
        """Probabilities ``(N, S, n_frames)`` of the decoder's tokens ``(N, S, dim)``."""
        return linear(tokens, self.head.weight[:n_frames]).softmax(dim=-1)

    def frame_scores(self, frames: Tensor, decoder_features: Tensor, global_frames: Tensor) -> Tensor:
        """Scores ``(N, T)``: :func:`frame_scores` of :meth:`forward`, in memory that grows with T alone."""
        n_frames, n_given = frames.shape[1], decoder_features.shape[1]
        every = torch.arange(n_given, device=frames.device)
        places = bounded_frames(every[None], self.most_decoder_frames if n_given == n_frames else 0)[0]
        tokens = self.summary_tokens(frames, decoder_features, global_frames, places)
        parts = tokens.split(max(1, _ENTRIES_AT_ONCE // n_frames), dim=1)
        scores = frame_scores_of(self.distribution(part, n_frames) for part in parts)
        return scores if len(places) == n_given else scores[:, _nearest(places, every)]

    def decoder_frames(self, n_frames: int, key_frames: Tensor | None = None) -> Tensor:
        """Frames whose features the decoder is given: the summary's own in the published form, else all."""
        if not self.published:
            return torch.arange(n_frames)
        assert key_frames is not None, "the published form is given the summary"
        return key_frames

    def encode(self, frames: Tensor, global_frames: Tensor) -> Tensor:
        """``(N, T, in_channels)`` to ``(N, T, dim)``; in the published form to ``(N, length, dim)``."""
        global_frames = bounded_frames(global_frames.sort(dim=1).values, self.most_global_frames)
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


def bounded_frames(frames: Tensor, most: int) -> Tensor:
    """No more than ``most`` of the columns of ``(N, G)``, evenly spread; all of them for ``most=0``.

    With a bound the encoder's time grows with the frames, without one also with their product with G.

    >>> bounded_frames(torch.arange(10)[None], 4).tolist()
    [[1, 3, 6, 8]]
    """
    count = frames.shape[1]
    if not 0 < most < count:
        return frames
    return frames[:, (2 * torch.arange(most, device=frames.device) + 1) * count // (2 * most)]


def _nearest(places: Tensor, frames: Tensor) -> Tensor:
    """For each of some frames the nearest of sorted places; the earlier of two."""
    return places[torch.searchsorted((places[1:] + places[:-1]) / 2, frames.to(torch.float32))]


def uniform_frames(n_frames: int, share: float = _SUMMARY_SHARE) -> Tensor:
    """Evenly spaced frames to measure the cost with: a summary's share of a video.

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
    return frame_scores_of([probabilities])


def frame_scores_of(parts: Iterable[Tensor]) -> Tensor:
    """As :func:`frame_scores`, from some rows at a time."""
    largest, is_key, least = functools.reduce(_joined_columns, map(_columns, parts))
    return torch.where(is_key, largest, least)


def _columns(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Largest value of each column, whether it is the largest of a row there, and the least value."""
    peak = rows.amax(dim=-2, keepdim=True)
    here = ((rows == peak) & (rows == rows.amax(dim=-1, keepdim=True))).any(dim=-2)
    return peak.squeeze(-2), here, rows.amin(dim=-2)


def _joined_columns(
    one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of two parts of the rows together."""
    (largest, is_key, least), (peak, here, low) = one, other
    at_tie = torch.where(peak == largest, here | is_key, is_key)
    return torch.maximum(largest, peak), torch.where(peak > largest, here, at_tie), torch.minimum(least, low)


def further_inputs(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Decoder features and global frames for features ``(N, T, C)`` to measure with.

    A summary of 15 % of the frames, and a shot every 20 frames (10 s at 30 frames a second).
    """
    n, n_frames = frames.shape[:2]
    first = torch.arange(0, n_frames, _SHOT_FRAMES, device=frames.device)
    last = (first + _SHOT_FRAMES - 1).clamp(max=n_frames - 1)
    shot_frames = torch.cat([first, last, (first + last) // 2]).expand(n, -1)
    return frames[:, uniform_frames(n_frames).to(frames.device)], shot_frames


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
    ours = rename_parameters(authors_state_dict, "FullTransNet", _PLACES, _PARTS, skip=_UNUSED)
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
            place, separator, _ = key.partition("enc_self_attn.linear.weight")
            if not separator:
                continue
            for name in ("W_Q", "W_K", "W_V", "W_Q_global", "W_K_global", "W_V_global"):
                layer = nn.Linear(tensor.shape[1], tensor.shape[0])
                for part, value in layer.state_dict().items():
                    state[f"{place}enc_self_attn.inner.{name}.{part}"] = value
    return state
