"""Sections 1 to 3 of the grading rules: the form of a reply, where its answer is, and its normal form."""

import pytest

from medrl.dialogue.answers import (
    answer_regions,
    format_ok,
    normalise,
)

# --- section 1: format -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<think>t</think><answer>a</answer>", True),
        ("\n <think>t</think>\n\t<answer>a</answer> \n", True),
        ("<think>\nlong\n\ntext < 3 > 2\n</think><answer>[1, 2]</answer>", True),
        ("<think> </think><answer>a</answer>", False),
        ("<think>t</think><answer>\n</answer>", False),
        ("<think>t</think> so <answer>a</answer>", False),
        ("Sure: <think>t</think><answer>a</answer>", False),
        ("<think>t</think><answer>a</answer>.", False),
        ("<Think>t</Think><answer>a</answer>", False),
        ("<think>t</think>< answer >a</answer>", False),
        ("<think>t</think><answer>a</answer><answer>a</answer>", False),
        ("<think>t<think>u</think></think><answer>a</answer>", False),
        ("<think>the <answer> tag</think><answer>a</answer>", False),
        ("<answer>a</answer><think>t</think>", False),
        ("</think>t<think><answer>a</answer>", False),
        ("<think>t</think><answer>a", False),
        ("<think>t<answer>a</answer></think>", False),
        ("<answer>a</answer>", False),
        ("", False),
    ],
)
def test_format_think(reply, expected):
    assert format_ok(reply) is expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<answer>a</answer>", True),
        (" <answer>a</answer>\n", True),
        ("<think>t</think><answer>a</answer>", False),
        ("<answer><think>t</think>a</answer>", False),
        ("<answer> </answer>", False),
        ("<answer>a</answer> done", False),
        ("a", False),
    ],
)
def test_format_no_think(reply, expected):
    assert format_ok(reply, style="no_think") is expected


def test_an_unknown_format_style_is_an_error():
    with pytest.raises(ValueError, match=r"'json' is unknown; expected one of think, no_think"):
        format_ok("a", style="json")


# --- section 2: where the answer is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # a: the reasoning goes first
        ("<think>x</think><answer>B</answer>", ["B"]),
        ("<think><answer>C</answer></think><answer>B</answer>", ["B"]),
        ("<THINK>x</ think ><Answer>B</ANSWER>", ["B"]),
        ("<think>a<think>b</think>c</think>B", ["B"]),  # the second close has no opener: all before it goes
        ("<answer>C</answer></think><answer>B</answer>", ["B"]),
        ("<answer>B</answer></think>", None),
        ("<answer>B</answer><think>wait", ["B"]),
        ("<answer>B<think>wait</answer>", ["B"]),
        ("<think>only <answer>B</answer>", None),
        ("<think>all</think>", None),
        ("<think>all</think> \n ", None),
        # b: blocks
        ("x <answer>B</answer> y < answer >b< / answer > z", ["B", "b"]),
        ("<answer>B", ["B"]),
        ("text B</answer>", ["text B"]),
        ("C</answer><answer>B</answer>", ["B"]),
        ("<answer>1<answer>2</answer>", ["1 2"]),
        ("<answer></answer><answer> </answer>", None),
        ("<answer>\u200b</answer>", None),
        ("<answer></answer><answer>B</answer>", ["B"]),
        ("<answer></answer> The answer is B", None),  # an answer tag rules out the other places
        # c: boxes, else fences, else cues, else a short text
        (r"so \boxed{B} and \boxed{\text{B}}", ["B", r"\text{B}"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        (r"\boxed{B} ```C``` answer: D", ["B"]),
        ("```json\n{1}\n``` answer: D", ["{1}\n"]),
        ("```\nB\n```\n```text\nB\n```", ["B\n", "B\n"]),
        ("```B```", ["B"]),
        ("Long story.\nThe answer is: B. Done\nThe end", [" B. Done"]),
        ("**Final Answer**: B", [" B"]),
        ("Answer：B", ["B"]),
        ("Answer:\nB", [""]),  # the rest of the line is what counts
        ("My answers: B", ["My answers: B"]),
        ("one two three four five six seven eight nine ten eleven twelve", "whole"),
        ("one two three four five six seven eight nine ten eleven twelve B", None),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]", "whole"),
        ("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14", None),
        ("", None),
    ],
)
def test_regions(reply, expected):
    assert answer_regions(reply) == ([reply] if expected == "whole" else expected)


def test_only_the_first_and_last_cue_of_a_looping_line_are_read():
    assert answer_regions("answer: B, " * 5000) is not None
    assert len(answer_regions("answer: B, " * 5000)) == 2


# --- section 3: the normal form ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ｂ Ⓑ 𝐁 ﬁ ㊿ ⑦ ⑶", "B B B fi 50 7 (3)"),
        ("B\u200b\u200d\u2060\ufeff\u00ad\u202e\ufe0f", "B"),
        ("“B” ‘c’ «d»", '"B" \'c\' "d"'),
        ("5–6 −7 8‑9 10﹣11", "5-6 -7 8-9 10-11"),
        ("no—it is", "no - it is"),
        ("**B** __B__ *B* _B_ `B` bbox_2d x*", "B B B B B bbox_2d x"),
        ("5*6 5 * 6", "5*6 5 * 6"),
        ("a \t\u00a0 b \r\n\n  c\u2028d", "a b\n\nc\nd"),
        ("В Β", "В Β"),  # Cyrillic and Greek stay
        ("10⁶ 5² cm² ½", "10^6 5^2 cm2 1/2"),
    ],
)
def test_normal_form(text, expected):
    assert normalise(text) == expected
