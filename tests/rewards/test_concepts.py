"""Concepts by hand: denied ones, whole words, and no gain from naming them all."""

import pytest

from medrl.plugin import load_plugin

score = load_plugin("rewards/concepts.py", "compute_score").target
WORDS = {"effusion": ["pleural fluid"], "edema": ["oedema"], "mass": None, "cyst": "cystic lesion", "stone": []}


def scored(answer, truth, vocabulary=WORDS):
    return score("x", f"<answer>{answer}</answer>", truth, None, vocabulary=vocabulary)["score"]


@pytest.mark.parametrize(
    "answer, expected",  # wanted: effusion and edema, of five
    [
        ("effusion and edema", 1.0),
        ("Oedema with pleural fluid, no mass", 1.0),
        ("possible effusion, edema", 1.0),
        ("effusion", 2 / 3),
        ("no effusion but edema", 2 / 3),
        ("effusion, edema, mass", 4 / 5 * 2 / 3),
        ("effusion, edema, mass, cyst, stone", 0.0),
        ("no effusion, no edema", 0.0),
        ("effusions, oedemas", 1.0),
        ("effusionist edematous", 0.0),
        ("mass", 0.0),
        ("", 0.0),
    ],
)
def test_by_hand(answer, expected):
    assert scored(answer, ["effusion", "edema"]) == pytest.approx(expected)


def test_stuffing_is_below_every_honest_part():
    stuffed = " ".join(WORDS)
    for number in range(1, len(WORDS)):
        wanted = list(WORDS)[:number]
        assert scored(stuffed, wanted) == 0.0 < scored(wanted[0], wanted)


def test_nothing_wanted():
    assert [scored(answer, []) for answer in ("none", "No mass.", "mass", "hello", "")] == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_the_order_and_repeats_do_not_matter():
    assert scored("edema effusion edema edema", ["edema", "effusion"]) == 1.0
    assert scored("mass, edema", '["effusion", "edema"]') == scored("edema, mass, mass", "edema, effusion")


def test_a_file_with_the_concepts_at_its_top(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("drusen: [drusenoid deposit]\nhaemorrhage: [hemorrhage, bleeding]")
    assert scored("Drusenoid deposits and no bleeding", ["drusen"], str(path)) == 1.0


def test_a_faulty_row_or_vocabulary_is_named():
    with pytest.raises(ValueError, match="is none of the terms"):
        scored("mass", ["fibrosis"])
    with pytest.raises(ValueError, match="listed under"):
        scored("mass", ["a"], {"a": ["x"], "b": ["x"]})
