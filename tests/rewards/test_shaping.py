"""Length and repetition: hand-computed values, no reward for saying more, and never a right answer below a wrong one."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

length, cosine, repetition, form, answer = (
    load_plugin(f"rewards/{name}.py", "compute_score").target
    for name in ("length", "length_cosine", "repetition", "format", "choice")
)
ROW = {"options": {"A": "MRI", "B": "CT"}}
WEIGHTS = {length: 0.2, repetition: 0.2, form: 0.2, cosine: 1.0}  # those that the files name


def score(reward, reply, row=ROW, **kwargs):
    return reward("test", reply, "B", row, **kwargs)["score"]


@pytest.mark.parametrize(
    ("characters", "kwargs", "expected"),
    [
        (0, {}, 0.0),
        (3000, {}, 0.0),
        (3001, {}, -0.001),
        (3500, {}, -0.5),
        (4000, {}, -1.0),
        (150_000, {}, -1.0),
        (900, {"limit": 1000, "buffer": 1000}, -0.9),
        (0, {"minimum": 600}, -1.0),
        (300, {"minimum": 600}, -0.5),
        (600, {"minimum": 600}, 0.0),
        (3750, {"minimum": 600}, -0.75),
    ],
)
def test_length_is_dapos_overlong_buffer_in_characters(characters, kwargs, expected):
    assert score(length, "a" * characters, **kwargs) == pytest.approx(expected, abs=1e-12)


def test_length_counts_every_turn_of_an_episode():
    record = {**ROW, "rollout": {"turns": ["a" * 3000, "b" * 500]}}
    assert length("test", "b" * 500, "B", record) == {"score": -0.5, "characters": 3500.0}
    assert cosine("test", "b" * 500, "B", record)["characters"] == 3500.0


@pytest.mark.parametrize("kwargs", [{"buffer": 0}, {"buffer": 5000}, {"minimum": 3500}, {"minimum": -1}])
def test_lengths_that_leave_no_room_are_an_error(kwargs):
    with pytest.raises(ValueError, match="expected 0 < buffer, minimum <= limit - buffer"):
        score(length, "a", **kwargs)


@pytest.mark.parametrize(
    ("letter", "characters", "kwargs", "expected"),
    [
        ("B", 0, {}, 0.0),
        ("B", 2000, {}, -0.25),
        ("B", 1000, {}, -0.25 * (1 - math.cos(math.pi / 4))),
        ("B", 4000, {}, -0.5),
        ("B", 8000, {}, -0.5),  # the published cosine is back at 1.0 here
        ("A", 0, {}, -0.5),
        ("A", 9000, {}, -0.5),
        ("A", 0, {"wrong_long": 0.0}, -0.5),
        ("A", 2000, {"wrong_long": 0.0}, -0.25),
        ("A", 9000, {"wrong_long": 0.0}, 0.0),
        ("B", 9000, {"right_long": 0.0}, 0.0),
    ],
)
def test_cosine_is_vlm_r1s_less_the_answer(letter, characters, kwargs, expected):
    reply = f"<answer>{letter}</answer>"
    found = score(cosine, reply + " " * (characters - len(reply)), **kwargs)
    assert found == pytest.approx(expected, abs=1e-4)  # the shortest reply is not quite empty


@pytest.mark.parametrize(
    "kwargs", [{"right_long": -1}, {"right_long": 0.1}, {"wrong_long": 0.1}, {"wrong_short": -2}, {"limit": 0}]
)
def test_values_that_could_flip_an_answer_are_an_error(kwargs):
    with pytest.raises(ValueError, match="a right answer must stay above a wrong one"):
        score(cosine, "<answer>B</answer>", **kwargs)


@pytest.mark.parametrize(
    ("reply", "words", "expected"),
    [
        ("", 6, 0.0),
        ("one two three", 6, 0.0),
        ("a b c d e f g", 6, 0.0),
        ("a b a b a b", 2, 2 / 5 - 1),  # ab ba ab ba ab
        ("A b a B", 2, 2 / 3 - 1),  # case is ignored
        ("x" * 200, 1, 1 / 10 - 1),  # one endless word is ten of twenty letters
        ("!?" * 100, 1, 1 / 10 - 1),
        ('[{"point_2d": [1, 2]}, {"point_2d": [3, 4]}]', 3, 0.0),  # shared keys are no repetition
        ('{"a": 1} {"a": 1} {"a": 1} {"a": 2}', 3, 2 / 4 - 1),
        ("<answer>B</answer>" * 3, 3, 8 / 17 - 1),
    ],
)
def test_repetition(reply, words, expected):
    assert score(repetition, reply, words=words) == pytest.approx(expected, abs=1e-12)


def test_repetition_is_counted_within_turns_not_between_them():
    row = {"rollout": {"turns": ["a b c d", "a b c d", "a b"]}}
    assert score(repetition, "a b", row, words=2) == 0.0
    row["rollout"]["turns"][0] = "a b a b"
    assert score(repetition, "a b", row, words=2) == pytest.approx(6 / 7 - 1)


@given(
    st.lists(st.sampled_from(["bone", "is", "dense", ",", "<answer>", "é", '{"a": 1}']), min_size=1, max_size=12),
    st.integers(1, 6),
)
def test_going_on_with_the_same_words_never_pays(said, words):
    # once a whole round is repeated: until then there are new sequences where the rounds meet
    first = 2 + words
    rounds = [score(repetition, " ".join(said * times), words=words) for times in range(first, first + 5)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(rounds)), rounds
    assert rounds[-1] < 0


@given(st.text(max_size=200), st.text(max_size=200), st.integers(1, 400))
def test_more_text_never_pays_for_length(first, more, limit):
    given = {"limit": limit, "buffer": max(1, limit // 2)}
    assert -1 <= score(length, first + more, **given) <= score(length, first, **given) <= 0
    for letter in "AB":
        short, long = (f"<think>{text}</think><answer>{letter}</answer>" for text in ("", "a" * len(first + more)))
        assert -0.5 <= score(cosine, long, limit=limit) <= score(cosine, short, limit=limit) <= 0


TOGETHER = [(length, {"limit": 400, "buffer": 200}), (repetition, {}), (form, {}), (cosine, {"limit": 400})]


def test_no_term_puts_a_right_answer_below_a_wrong_one():
    """10,000 pairs of replies, well-formed, overlong, looping or bare: beside an answer of weight 1, each term and all four."""
    rng, least, least_paid = random.Random(0), math.inf, math.inf
    right, wrong = ([_terms(_reply(rng, letter)) for _ in range(500)] for letter in "BA")
    for _ in range(10_000):
        gaps = [first - second for first, second in zip(rng.choice(right), rng.choice(wrong))]
        least = min(least, 1 + sum(gaps[:4]), *(1 + gap for gap in gaps))
        least_paid = min(least_paid, 1 + gaps[4])
    assert 0.3 < least < 0.6, "all of them at their worst, and still above"
    assert 0.4 < least_paid < 0.6, "VLM-R1's own values, which pay a wrong answer for being long"


def _terms(reply):
    """The weighted terms of a reply, and the published cosine as the fifth."""
    assert score(answer, reply) == float("B" in reply)
    found = [WEIGHTS[term] * score(term, reply, **kwargs) for term, kwargs in TOGETHER]
    return [*found, score(cosine, reply, wrong_long=0.0, limit=400)]


def _reply(rng, letter):
    words = rng.choice([["bone"], ["the", "bone", "is", "dense"], [str(number) for number in range(300)]])
    thought = " ".join(rng.choice(words) for _ in range(rng.choice([0, 3, 20, 200])))
    shape = rng.choice(["<think>{}</think><answer>{}</answer>", "{}<answer>{}</answer>", "{}\nThe answer is {}"])
    return shape.format(thought, letter)
