"""Tokens of reports: the index of sentences, vocabularies of our own, and any tokenizer folder offline."""

import pytest

from medbench.core.errors import MedbenchError
from medbench.training.report_tokens import load_tokenizer, make_tokenizer, tokenize

REPORTS = [("the lungs are clear", "no pleural effusion"), ("the heart is enlarged",)]


def test_a_vocabulary_is_the_same_each_time_and_spells_what_it_lacks(tmp_path):
    for name in ("a", "b"):
        make_tokenizer(REPORTS, tmp_path / name)
    assert (tmp_path / "a/vocab.txt").read_bytes() == (tmp_path / "b/vocab.txt").read_bytes()
    tokenizer = load_tokenizer(tmp_path / "a")
    assert tokenizer.tokenize("the heal lungs") == ["the", "h", "##e", "##a", "##l", "lungs"]
    small = make_tokenizer(REPORTS, tmp_path / "c", size=45)
    assert len(small) == 45


def test_the_index_says_which_sentence_a_token_is_of(tmp_path):
    tokenizer = make_tokenizer(REPORTS, tmp_path)
    tokens = tokenize(tokenizer, REPORTS[0], 64)
    assert tokenizer.convert_ids_to_tokens(tokens.ids)[0] == "[CLS]"
    assert tokens.sentence_index == [-1, 1, 1, 1, 1, 2, 2, 2, -1]
    cut = tokenize(tokenizer, REPORTS[0], 6)
    assert len(cut.ids) == len(cut.sentence_index) == 6
    assert cut.sentence_index == [-1, 1, 1, 1, 1, -1]


def test_a_saved_folder_works_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tokenizer = make_tokenizer(REPORTS, tmp_path / "made")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved/tokenizer.json").is_file()
    other = load_tokenizer(tmp_path / "saved")
    assert tokenize(other, REPORTS[0], 64) == tokenize(tokenizer, REPORTS[0], 64)


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/README.md").write_text("a card alone")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/vocab.txt").write_text("the\nheart\n")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/tokenizer.json").write_text("{}")
    for name, code in (
        ("nowhere", "tokenizer.missing"),
        ("empty", "tokenizer.no_vocabulary"),
        ("odd", "tokenizer.unreadable"),
        ("bad", "tokenizer.unreadable"),
    ):
        with pytest.raises(MedbenchError) as caught:
            load_tokenizer(tmp_path / name)
        assert caught.value.code == code
        assert name in caught.value.message
