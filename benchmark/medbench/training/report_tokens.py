"""Tokens of reports: tokenizer folders, a small vocabulary of our own, and the index of sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medbench.core.errors import MedbenchError
from medbench.core.files import write_text

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = "vocab.txt"


class ReportTokens(NamedTuple):
    """Tokens of a report.

    Attributes:
        ids: with the marks at both ends, cut to the longest length.
        sentence_index: as long: number of a token's sentence from 1 on, -1 for marks.
    """

    ids: list[int]
    sentence_index: list[int]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a local folder; nothing is fetched.

    Args:
        folder: as the library transformers saves it, or one that holds a ``vocab.txt`` alone.

    Raises:
        MedbenchError: ``tokenizer.missing`` or ``tokenizer.no_vocabulary`` or ``tokenizer.unreadable``.
    """
    if not folder.is_dir():
        raise MedbenchError(
            "tokenizer.missing", f"{folder}: there is no such tokenizer folder.", "Check --tokenizer."
        )
    names = [name for name in VOCABULARIES if (folder / name).is_file() and (folder / name).stat().st_size]
    if not names:
        raise MedbenchError(
            "tokenizer.no_vocabulary",
            f"{folder}: the tokenizer folder holds no vocabulary (looked for {', '.join(VOCABULARIES)}).",
            "Copy the tokenizer's files into it, or leave --tokenizer out for a vocabulary of the reports.",
        )
    try:
        if names == [VOCABULARY]:
            from medbench.io.tables import plain_text

            return _word_piece(plain_text(folder / VOCABULARY).splitlines())
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)  # nosec B615
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MedbenchError(
            "tokenizer.unreadable",
            f"{folder}: the tokenizer cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}).",
            "Use a folder that transformers' save_pretrained wrote.",
        ) from error


def make_tokenizer(reports: Iterable[Sequence[str]], folder: Path, size: int = 4096) -> Any:
    """A WordPiece tokenizer of the words of reports, written to a folder as ``vocab.txt``.

    Args:
        reports: sentences of each report.
        folder: for the vocabulary.
        size: most tokens; rarer words are spelt by letters.
    """
    words = Counter(word for report in reports for sentence in report for word in sentence.split())
    letters = sorted({letter for word in words for letter in word})
    letter_tokens = [*letters, *(f"##{letter}" for letter in letters)]
    by_frequency = sorted(words, key=lambda word: (-words[word], word))
    whole = [word for word in by_frequency if len(word) > 1][
        : max(0, size - len(SPECIAL) - len(letter_tokens))
    ]
    vocabulary = [*SPECIAL, *letter_tokens, *whole]
    write_text(folder / VOCABULARY, "\n".join(vocabulary) + "\n")
    return _word_piece(vocabulary)


def _word_piece(vocabulary: Sequence[str]) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    numbers = {token: number for number, token in enumerate(vocabulary)}
    missing = [token for token in SPECIAL if token not in numbers]
    if missing:
        raise ValueError(f"the vocabulary has no {missing[0]}")
    tokenizer = Tokenizer(WordPiece(numbers, unk_token=SPECIAL[1]))
    tokenizer.normalizer = BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(t, numbers[t]) for t in ("[CLS]", "[SEP]")]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, SPECIAL, strict=True)))


def tokenize(tokenizer: Any, sentences: Sequence[str], max_tokens: int) -> ReportTokens:
    """Tokens of a report, and the sentence that each belongs to.

    Args:
        tokenizer: as :func:`load_tokenizer` gives it.
        sentences: of the report.
        max_tokens: what is longer is cut; a mark at the end stays.
    """
    parts = [tokenizer(sentence, add_special_tokens=False)["input_ids"] for sentence in sentences]
    ids = tokenizer(" ".join(sentences), truncation=True, max_length=max_tokens, add_special_tokens=True)[
        "input_ids"
    ]
    numbers = [number for number, part in enumerate(parts, 1) for _ in part]
    inside = len(ids) - 2
    return ReportTokens(ids, [-1, *numbers[:inside], *([-1] * (len(ids) - 1 - len(numbers[:inside])))])
