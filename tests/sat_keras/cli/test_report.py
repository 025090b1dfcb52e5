import json
import re

from sat_keras import cli


def test_report(trained, tmp_path, capsys):
    page = tmp_path / "report.html"
    arguments = ["report", trained["run"], "--split=train", f"--out={page}", "--json"]
    capsys.readouterr()
    assert cli.main([*arguments, *trained["places"]]) == 0
    printed = json.loads(capsys.readouterr().out)
    text = page.read_text()
    assert not re.search(r"""(src|href|url)[=(]["']?http""", text)
    assert f"BLEU-4<b>{printed['BLEU-4']:.3f}</b>" in text

    # Fluency, of the captions and of the references: five of each photo, of 5, 4, 4, 5 and 6 words;
    # the first are of a red, a green, a blue and again a red square.
    rows = re.findall(r"<tr><th>.*?</th><td>(.*?)</td><td>(.*?)</td></tr>", text)
    names = ("repeated_bigram", "word_and_same_word", "near_repeat", "distinct")
    assert [of_captions for of_captions, _ in rows] == [
        *(f"{printed['fluency']['captions'][name]:.2%}" for name in names),
        f"{printed['fluency']['captions']['mean_length']:.1f}",
    ]
    assert [of_people for _, of_people in rows] == ["0.00%", "0.00%", "0.00%", "75.00%", "4.8"]

    # Four photos, by lot, from the best on and from the worst on: their order is by CIDEr.
    drawn, best, worst = (
        re.findall(r'<img alt="(\d.jpg)".*?CIDEr ([\d.]+)', part, re.DOTALL)
        for part in text.split("<h2>")[2:5]
    )
    assert sorted(drawn) == sorted(best) == sorted(worst)
    assert {name for name, _ in drawn} == {f"{i}.jpg" for i in range(4)}
    assert [cider for _, cider in best] == sorted((cider for _, cider in best), reverse=True)
    assert worst == best[::-1] and best != worst

    # Each word with its picture, each photo with its references.
    out = tmp_path / "results.json"
    arguments = ["evaluate", trained["run"], "flickr8k", "--split=train", f"--out={out}"]
    assert cli.main([*arguments, *trained["places"]]) == 0
    captions = [each["caption"] for each in json.loads(out.read_text())["captions"]]
    words = sum(len(caption.split()) for caption in captions)
    assert text.count('data-overlay="data:image/jpeg;base64,/9j/') == 3 * words
    assert text.count("<li>A red square on grey .</li>") == 3 * 2


def test_grounding_is_on_the_page(trained, with_boxes, without_java, tmp_path, capsys):
    page, plain = tmp_path / "report.html", tmp_path / "plain.html"
    arguments = ["report", trained["run"], "--split=train", "--json"]
    assert cli.main([*arguments, f"--out={plain}", *trained["places"]]) == 0
    capsys.readouterr()
    assert cli.main([*arguments, f"--out={page}", *with_boxes]) == 0
    scores = json.loads(capsys.readouterr().out)["grounding"]
    text, without = page.read_text(), plain.read_text()
    assert "Grounding" not in without
    tables = re.findall(r'<table class="numbers">(.*?)</table>', text, re.DOTALL)
    assert len(tables) == 2
    for table, part in zip(tables, ("references", "own"), strict=True):
        rows = [re.findall("<td>(.*?)</td>", row) for row in table.splitlines() if row]
        assert rows[0][1:3] == ["phrases", "pointing"]
        assert [row[0] for row in rows[1:]] == list(scores[part])
        for (_, phrases, *means), row in zip(rows[1:], scores[part].values(), strict=True):
            numbers = (*row["pointing"].values(), *row["mass"].values(), row["correctness"])
            assert means == [f"{each:.3f}" for each in numbers] and int(phrases) == row["phrases"]
    # The pictures of a word are the same but for those of words that name something.
    buttons = [re.findall(r'overlay="([^"]*)">(.*?)</button>', each) for each in (text, without)]
    for (lit, word), (other, same) in zip(*buttons, strict=True):
        assert word == same and (lit != other) == (word == "square")
    assert "square" in {word for _, word in buttons[0]}


def test_the_settings_and_the_search_that_was_used_are_on_the_page(trained, without_java, tmp_path):
    page = tmp_path / "report.html"
    arguments = ["report", trained["run"], f"--out={page}", "--beam-width=2", *trained["places"]]
    assert cli.main(arguments) == 0
    rows = dict(re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", page.read_text()))
    assert rows["dataset"] == "flickr8k"
    assert rows["decoder: units"] == "8"
    assert rows["objective: name"] == "cross-entropy"
    assert rows["training: epochs"] == "6"
    assert (rows["search: beam_width"], rows["search: length_penalty"]) == ("2", "0.0")
