"""Section 6 of the grading rules: the set of options a reply stands by."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import tagged

from medrl.dialogue.answers import read_multi_choice

FUNDUS = {"A": "Drusen", "B": "Microaneurysm", "C": "Hard exudate", "D": "Cotton-wool spot", "E": "Neovascularisation"}
WITH_ALL = {"A": "Cyst", "B": "Mass", "C": "All of the above"}

# "" stands for unanswered
SETS = [
    # lists of letters, in any case, order and number
    ("A, C, E", "ACE"), ("e,c,a", "ACE"), ("A C E", "ACE"), ("a c e", "ACE"), ("A;C;E", "ACE"), ("A/C/E", "ACE"),
    ("A & C & E", "ACE"), ("A, C, and E", "ACE"), ("a and c", "AC"), ("A, A, C", "AC"), ("[A, C]", "AC"), ("(A), (C)", "AC"),
    ("A\nC\nE", "ACE"), ("A, C.", "AC"), ("**A**, **C**", "AC"), ("Ａ, Ｃ", "AC"), ("Ⓐ Ⓒ", "AC"), ("B", "B"), ("b", "B"),
    ("A,\u200bC", "AC"), (r"\text{A, C}", "AC"), (r"\boxed{A, C}", "AC"), ("$A, C$", "AC"), ("```\nA, C\n```", "AC"),
    # a run of capitals
    ("ACE", "ACE"), ("ECA", "ACE"), ("AAC", "AC"), ("ACE.", "ACE"), ("(ACE)", "ACE"), ("ace", ""), ("Ace", ""), ("ACG", ""),
    ("ACE is right", ""), ("ABCDE", "ABCDE"), ('{"answer": "ACE"}', "ACE"), (r"\boxed{ACE}", "ACE"), ("ＡＣＥ", "ACE"),
    # texts, and letters with texts
    ("Drusen", "A"), ("drusen and hard exudates", "AC"), ("Drusen, cotton wool spots", "AD"), ("exudate", ""),
    ("A) Drusen, C) Hard exudate", "AC"), ("A. Drusen C. Hard exudate", "AC"), ("(A) Drusen (B) Microaneurysm", "AB"),
    ("Drusen (A), hard exudate (C)", "AC"), ("A and hard exudate", "AC"), ("A, C: drusen, hard exudate", "AC"),
    ("A: Microaneurysm", ""), ("A. Microaneurysm, C", ""), ("Drusen (B)", ""), ("A (Microaneurysm) and C", ""),
    ("A, B: drusen and microaneurysm", "AB"), ("The answers are A and C", "AC"), ("Options A, C", "AC"),
    ("I see A and C here", "AC"), ("Microaneurysms, drusen", "AB"), ("A drusen", "A"),
    # alternatives
    ("A or C", ""), ("A, C or E", ""), ("either A or C", ""), ("A and/or C", ""), ("A vs C", ""), ("Drusen or exudate", "A"),
    ("drusen or hard exudate", ""), ("A, C or so", "AC"),
    # a letter that is no option
    ("A, C, G", ""), ("a, g", ""), ("G", ""), ("A, C and G are seen", ""), ("G, A", ""), ('["A", "G"]', ""),
    ("A and C, I think", "AC"), ("A, C; T2 signal", "AC"), ("A and C, D-dimer raised", "AC"),
    # rejection and hedging
    ("A and C, not B", "AC"), ("A, C, E but not B", "ACE"), ("not A", ""), ("Drusen, no hard exudates", "A"),
    ("A and C; B is unlikely", "AC"), ("A and C without E", "AC"), ("likely A and C", "AC"), ("A, not A", ""),
    ("neither B nor D, but A", "A"), ("A and C rather than E", "AC"), ("probably A, perhaps C", "AC"),
    # all of the above
    ("All of the above", "ABCDE"), ("all of the above.", "ABCDE"), ("It is all of the above", "ABCDE"),
    ("not all of the above", ""), ("All of the above except B", ""), ("all of the above, but not B", "ACDE"),
    ("All of the above: A, C", ""), ("All of the above: A, B, C, D, E", "ABCDE"), ("none of the above", ""), ("none", ""),
    ("all", ""), ("overall of the above", ""), ("everything", ""),
    # JSON
    ('{"answer": ["A", "C"]}', "AC"), ("['A', 'C',]", "AC"), ('["A", "C"', ""), ('["A", "C"]]', ""), ('{"answer": "A, C"}', "AC"),
    ('{"answer": ["Drusen", "Hard exudate"]}', "AC"), ('{"answer": []}', ""), ('{"answer": ["A", "C"]', ""),
    ('{"answer": ["a", "c"]}', "AC"), ('{"answer": "A, C", "why": "not B or D"}', "AC"),
    # nothing, other alphabets, words
    ("", ""), ("А, С", ""), ("the first and the third", ""), ("A-C", ""), ("yes", ""),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "letters"), SETS)
def test_sets(answer, letters):
    assert read_multi_choice(tagged(answer), FUNDUS) == (frozenset(letters) or None)


@pytest.mark.parametrize(
    ("answer", "letters"), [("All of the above", "C"), ("A, B", "AB"), ("ABC", "ABC"), ("all of the above, not A", "C")]
)
def test_all_of_the_above_as_an_option_is_that_option(answer, letters):
    assert read_multi_choice(tagged(answer), WITH_ALL) == frozenset(letters)


@pytest.mark.parametrize(
    ("reply", "letters"),
    [
        ("<answer>A, C</answer><answer>C, A</answer>", "AC"),
        ("<answer>A, C</answer><answer>drusen and hard exudate</answer>", "AC"),
        ("<answer>A</answer><answer>A, C</answer>", ""),
        (r"\boxed{A} \boxed{C}", ""),
        ("The picture is blurred.\nAnswer: A, C\nNothing else.", "AC"),
        ("<think>A, B</think>C", "C"),
        ("<think>A, B", ""),
    ],
)
def test_regions_must_give_the_same_set(reply, letters):
    assert read_multi_choice(reply, FUNDUS) == (frozenset(letters) or None)


@given(
    st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=8),
    st.sampled_from([", ", ",", " ", "; ", " and ", "/", ""]),
)
def test_order_and_repeats_do_not_matter(letters, separator):
    shuffled = random.Random(len(letters)).sample(letters, len(letters))
    assert read_multi_choice(tagged(separator.join(shuffled)), FUNDUS) == frozenset(letters)


@given(st.sets(st.sampled_from("ABCDE"), min_size=2), st.sampled_from([", ", " ", "; ", "/"]))
def test_a_list_reads_the_same_in_any_case_and_with_any_blanks(letters, separator):
    text = separator.join(sorted(letters))
    for form in (text.lower(), f"  {text}\n", text.replace(" ", "   "), f"[{text}]"):
        assert read_multi_choice(tagged(form), FUNDUS) == frozenset(letters)
