"""The short-answer reward: accepted strings, synonyms from a file, token F1 checked by hand, and no substring matches."""

import pytest

from medrl.plugin import load_plugin

compute_score = load_plugin("rewards/open_short.py", "compute_score").target
ACCEPTED = ["ground-glass opacity", "GGO"]


def _score(answer: str, ground_truth: object = ACCEPTED, **kwargs: str) -> dict[str, float]:
    return compute_score("test", f"<answer>{answer}</answer>", ground_truth, **kwargs)


@pytest.mark.parametrize(
    ("answer", "score", "answered"),
    [
        ("a GGO.", 1, 1),
        ("Ground glass opacities", 0, 1),
        ("opacity", 0, 1),
        ("g", 0, 1),
        ("GGO or cyst", 0, 0),
        ("", 0, 0),
    ],
)
def test_scores(answer, score, answered):
    assert _score(answer) == {"score": score, "answered": answered}


@pytest.mark.parametrize("ground_truth", ["GGO", ["GGO"], '["cyst", "GGO"]', ("GGO",)])
def test_the_ground_truth_in_any_form(ground_truth):
    assert _score("ggo", ground_truth)["score"] == 1.0


@pytest.mark.parametrize("ground_truth", ["", [], None, 3, ["GGO", " "], "[]"])
def test_an_empty_ground_truth_is_an_error(ground_truth):
    with pytest.raises(ValueError, match="expected a text or a list of accepted texts"):
        _score("GGO", ground_truth)


# the right text has 4 words: precision = shared / given, recall = shared / 4, F1 = 2 shared / (given + 4)
@pytest.mark.parametrize(
    ("answer", "precision", "recall", "f1"),
    [
        ("left lower lung lobe", 1, 1, 1),
        ("lung", 1, 1 / 4, 2 / 5),
        ("the lower lobe", 1, 1 / 2, 4 / 6),
        ("left lung and right lung", 2 / 5, 1 / 2, 4 / 9),
        ("lung lung lung", 1 / 3, 1 / 4, 2 / 7),
        ("liver", 0, 0, 0),
        ("lungs", 0, 0, 0),
        ("l", 0, 0, 0),
        ("unknown", 0, 0, 0),
    ],
)
def test_token_f1(answer, precision, recall, f1):
    graded = _score(answer, "left lower lung lobe", mode="f1")
    assert (graded["precision"], graded["recall"], graded["score"]) == pytest.approx((precision, recall, f1))


def test_the_best_accepted_string_gives_the_f1():
    assert _score("collapsed lung", ["pneumothorax", "collapsed left lung"], mode="f1")["score"] == pytest.approx(0.8)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "synonyms.yaml"
    path.write_text(
        "multiple sclerosis: [MS]\nmitral stenosis: [MS, mitral valve stenosis]\npneumothorax: [collapsed lung]\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("answer", "ground_truth", "score"),
    [
        ("collapsed lung", "pneumothorax", 1), ("Pneumothorax", "collapsed lungs", 1), ("MS", "multiple sclerosis", 1),
        ("MS", "mitral stenosis", 1), ("mitral stenosis", "MS", 0),
        ("multiple sclerosis", "MS", 0), ("mitral valve stenosis", "mitral stenosis", 1),
        ("lung", "pneumothorax", 0), ("mitral stenosis", "multiple sclerosis", 0), ("cyst", "pneumothorax", 0),
    ],
)  # fmt: skip
def test_synonyms(table, answer, ground_truth, score):
    assert _score(answer, ground_truth, synonyms=table)["score"] == score
    assert _score("collapsed lung", "pneumothorax")["score"] == 0.0


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: b\n", "a: [1]\n", "a: [b\n", "", None])
def test_an_unusable_table_is_an_error(tmp_path, content):
    path = tmp_path / "faulty.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"synonyms='.*faulty.yaml'"):
        _score("a", "a", synonyms=str(path))


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="expected one of exact, f1"):
        _score("a", mode="substring")
