"""Section 8 of the grading rules: a short open answer, compared whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import tagged

from medrl.dialogue.answers import plain_answer, read_open_short

ACCEPTED = ["ground-glass opacity", "GGO", "ground glass"]
RIGHT = "ground glass opacity"

# the answer read; RIGHT for an accepted one, None for unanswered
ANSWERS = [
    # the same text
    ("GGO", RIGHT), ("ggo", RIGHT), ("ground-glass opacity", RIGHT), ("Ground Glass Opacity", RIGHT), ("GROUND-GLASS", RIGHT),
    ("ground\u2011glass opacity", RIGHT), ("ground  glass\nopacity", RIGHT), ("GGO.", RIGHT), ("GGO!", RIGHT), ("GGO;", RIGHT),
    ("  GGO  ", RIGHT), ("**GGO**", RIGHT), ("`GGO`", RIGHT), ("ＧＧＯ", RIGHT), ("G\u200bGO", RIGHT), ('"GGO"', RIGHT),
    ("“GGO.”", RIGHT), ("'GGO'", RIGHT), (r"\boxed{GGO}", RIGHT), (r"\text{GGO}", RIGHT), ("$GGO$", RIGHT),
    ("```\nGGO\n```", RIGHT), ("- GGO", RIGHT),
    # plural
    ("GGOs", RIGHT), ("ground-glass opacitys", RIGHT), ("ground-glass opacities", "ground glass opacities"), ("GGOes", RIGHT),
    # lead-ins and articles
    ("the answer is GGO", RIGHT), ("The answer is: GGO", RIGHT), ("My answer: GGO", RIGHT), ("Final answer: GGO", RIGHT),
    ("The final answer is GGO.", RIGHT), ("the correct answer is a GGO", RIGHT), ("Answer: GGO", RIGHT), ("It is GGO", RIGHT),
    ("it's a GGO", RIGHT), ("It’s GGO", RIGHT), ("This is a GGO", RIGHT), ("The image shows a ground-glass opacity.", RIGHT),
    ("a GGO", RIGHT), ("an GGO", RIGHT), ("the GGO", RIGHT), ("The answer is: it is a GGO", RIGHT),
    # parts, extra words, other orders, synonyms
    ("opacity", "opacity"), ("ground", "ground"), ("g", "g"), ("GG", "gg"), ("glass opacity", "glass opacity"),
    ("GGO with consolidation", "ggo with consolidation"), ("bilateral GGO", "bilateral ggo"), ("opacity, ground-glass",
    "opacity, ground glass"), ("hazy opacity", "hazy opacity"), ("likely GGO", "likely ggo"),
    ("image shows GGO", "image shows ggo"),
    ("the X-ray shows GGO", "x ray shows ggo"), ("No GGO", "no ggo"), ("groundglass", "groundglass"), ("GGО", "ggо"),
    ("Milchglas", "milchglas"), ("GGO, GGO", "ggo, ggo"), ("normal", "normal"), ("yes", "yes"), ("5", "5"), ("-5", "-5"),
    # no answer
    ("", None), ("   ", None), (".", None), ("...", None), ("-", None), ("not GGO", None), ("Not a GGO", None),
    ("It is not GGO", None), ("- Not GGO", None), ('"Not GGO"', None), ("a not GGO", None),
    ("not", None), ("nothing", "nothing"), ("notable GGO", "notable ggo"),
    ("GGO or consolidation", None), ("GGO vs fibrosis", None), ("GGO versus fibrosis", None), ("GGO/fibrosis", None),
    ("unknown", None), ("unsure", None), ("I am not sure", None), ("I don't know", None), ("I don’t know", None),
    ("cannot tell", None), ("I can't see", None), ("unable to say", None), ("n/a", None), ("N/A", None),
    ("GGO, but not sure", None), ("cannoted", "cannoted"), ("oral", "oral"),
    # JSON
    ('{"answer": "GGO"}', RIGHT), ("{'answer': 'a GGO.',}", RIGHT), ('{"answer": ["GGO"]}', RIGHT), ('{"answer": ""}', None),
    ('{"answer": null}', None), ('{"answer": "GGO"', None), ('{"answer": "GGO"}}', None), ('["GGO"', None),
    ('{"answer": "not sure"}', None), ('{"answer": "cyst"}', "cyst"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_open_short(answer, expected):
    assert read_open_short(tagged(answer), ACCEPTED) == expected


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ("unknown primary", "unknown primary"), ("hepatitis B/C", "hepatitis B/C"), ("not malignant", "Not malignant"),
        ("A", "a"), ("[0, 5)", "[0, 5)"), ("right or left", "right or left"), ("nodules", "nodule"), ("mass", "masses"),
        ("lung nodule", "the lung nodules."), ("cafés au lait", "cafés-au-lait"), ("taches café", "taches cafés"),
    ],
)  # fmt: skip
def test_an_accepted_text_is_an_answer_whatever_it_holds(answer, accepted):
    assert read_open_short(tagged(answer), [accepted]) == plain_answer(accepted)


@pytest.mark.parametrize(
    ("answer", "accepted"), [("b", "bs"), ("T2", "T2s"), ("5", "-5"), ("", ""), ("a", "GGO"), ("opacity", "opacity x")]
)
def test_what_is_not_the_same(answer, accepted):
    assert read_open_short(tagged(answer), [accepted]) != plain_answer(accepted) or not plain_answer(accepted)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>GGO</answer><answer>ggo.</answer>", RIGHT),
        ("<answer>GGO</answer><answer>ground glass</answer>", RIGHT),
        ("<answer>GGO</answer><answer>cyst</answer>", None),
        ("<answer>cyst</answer><answer>a cyst.</answer>", "cyst"),
        ("GGO", RIGHT),
        ("There is a lot to see here, many words, but nowhere does anything mark what is meant as it.", None),
        ("It is long, as I said.\nThe answer is GGO.\nThat is all.", RIGHT),
        ("<think>GGO", None),
    ],
)
def test_regions(reply, expected):
    assert read_open_short(reply, ACCEPTED) == expected


@given(st.text(alphabet="aBz Té-.!\n", max_size=30))
def test_case_and_blanks_do_not_matter(text):
    assert plain_answer(text.upper()) == plain_answer(text) == plain_answer(f"\n {text.replace(' ', '   ')} ")
