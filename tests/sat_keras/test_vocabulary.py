import pytest

from sat_edge import InputError
from sat_keras.vocabulary import Vocabulary


def test_ids_and_order():
    vocabulary = Vocabulary.from_captions(["A dog.", "A dog runs", "a cat's dog"])
    assert vocabulary.words[:4] == ["<pad>", "<start>", "<end>", "<unk>"]
    assert vocabulary.words[4:] == ["a", "dog", "'s", "cat", "runs"]
    assert vocabulary.encode("A dog's zebra!") == [1, 4, 5, 6, 3, 2]
    assert vocabulary.encode(["a", "dog", "'s", "zebra"]) == [1, 4, 5, 6, 3, 2]


def test_min_count_and_max_size():
    captions = ["a dog", "a dog", "a cat"]
    assert Vocabulary.from_captions(captions, min_count=2).words[4:] == ["a", "dog"]
    assert Vocabulary.from_captions(captions, max_size=5).words[4:] == ["a"]


def test_long_captions_are_cut_without_end():
    vocabulary = Vocabulary.from_captions(["a dog runs"])
    assert vocabulary.encode("a dog runs", max_length=3) == [1, 4, 5, 6]
    assert vocabulary.encode("a dog runs", max_length=4) == [1, 4, 5, 6, 2]


def test_file_is_one_word_a_line(tmp_path):
    vocabulary = Vocabulary.from_captions(["a café"])
    vocabulary.save(tmp_path / "vocabulary.txt")
    text = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8")
    assert text == "<pad>\n<start>\n<end>\n<unk>\na\ncafé\n"
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == vocabulary


def test_words_with_other_line_separators_stay_whole(tmp_path):
    vocabulary = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a\x85b", "c\u2028d"])
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == vocabulary


@pytest.mark.parametrize(
    "text, says",
    [("a\nb\n", "begins with"), ("<pad>\n<start>\n<end>\n<unk>\na\na\n", "'a' stands twice")],
)
def test_damaged_files_are_named(tmp_path, text, says):
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"words.txt: .*{says}"):
        Vocabulary.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such vocabulary"):
        Vocabulary.load(tmp_path / "none.txt")
