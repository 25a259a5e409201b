"""The choice reward's verdict on a table of replies, and beside it the verdict of Med-R1's released string comparison."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.plugin import load_plugin

plugin = load_plugin("rewards/choice.py", "compute_score").target
ROW = {"options": {"A": "MRI", "B": "CT", "C": "Ultrasound", "D": "X-ray"}}

# reply, our verdict (1 right, 0 wrong, None unanswered), Med-R1's verdict; the right option is B
VERDICTS = [
    ("<answer>B</answer>", 1, 1), ("<answer> B </answer>", 1, 1), ("<answer>\tB\t</answer>", 1, 1),
    ("<answer>\nB\n</answer>", 1, 0),
    ("<answer>B\n</answer>", 1, 0), ("<answer>b</answer>", 1, 0), ("<answer>B.</answer>", 1, 0), ("<answer>B)</answer>", 1, 0),
    ("<answer>(B)</answer>", 1, 0), ("<answer>B) CT</answer>", 1, 0), ("<answer>B. CT</answer>", 1, 0),
    ("<answer>B: CT</answer>", 1, 0),
    ("<answer>CT</answer>", 1, 0), ("<answer>ct</answer>", 1, 0), ("<answer>CTs</answer>", 1, 0), ("<answer>the CT</answer>", 1, 0),
    ("<answer>A CT</answer>", 1, 0), ("<answer>CT (B)</answer>", 1, 0), ("<answer>option B</answer>", 1, 0),
    ("<answer>The answer is B</answer>", 1, 0), ("<answer>**B**</answer>", 1, 0), ("<answer>Ｂ</answer>", 1, 0),
    ("<answer>\\boxed{B}</answer>", 1, 0), ("<answer>$B$</answer>", 1, 0), ('<answer>{"answer": "B"}</answer>', 1, 0),
    ("<answer>likely B</answer>", 1, 0), ("<answer>B, not C</answer>", 1, 0), ("<answer>not C but B</answer>", 1, 0),
    ("<answer>C is excluded, so B</answer>", 1, 0),
    ("<answer>A</answer>", 0, 0), ("<answer>C</answer>", 0, 0), ("<answer>c) Ultrasound</answer>", 0, 0),
    ("<answer>MRI</answer>", 0, 0),
    ("<answer>x ray</answer>", 0, 0),
    ("<answer>A or B</answer>", None, 0), ("<answer>A, B</answer>", None, 0), ("<answer>B/C</answer>", None, 0),
    ("<answer>B. MRI</answer>", None, 0), ("<answer>not B</answer>", None, 0), ("<answer>E</answer>", None, 0),
    ("<answer>BB</answer>", None, 0), ("<answer>second</answer>", None, 0), ("<answer>tomography</answer>", None, 0),
    ("<answer>Β</answer>", None, 0), ("<answer></answer>", None, 0), ("<answer> </answer>", None, 0),
    ("<answer>C - sorry, B</answer>", None, 0), ("<answer>all of the above</answer>", None, 0),
    # several tags: the first decides there
    ("<answer>B</answer><answer>C</answer>", None, 1), ("<answer>C</answer><answer>B</answer>", None, 0),
    ("<answer>B</answer> <answer>B</answer>", 1, 1), ("<answer>\nC</answer><answer>B</answer>", None, 1),
    ("<answer>b</answer><answer>B</answer>", 1, 0),
    # reasoning, and a tag in it
    ("<think>dense bone</think><answer>B</answer>", 1, 1), ("<think>or C</think>\n<answer>B</answer>", 1, 1),
    ("<think><answer>C</answer></think><answer>B</answer>", 1, 0), ("<think><answer>B</answer></think><answer>C</answer>", 0, 1),
    ("<think><answer>B</answer>", None, 1), ("<think>B", None, 0), ("<think>B</think>", None, 0),
    # no tag: there the whole reply is compared
    ("B", 1, 1), (" B\n", 1, 1), ("b", 1, 0), ("B.", 1, 0), ("The answer is B", 1, 0), ("Answer: B", 1, 0), ("\\boxed{B}", 1, 0),
    ("", None, 0), ("C", 0, 0), ("B C", None, 0),
    # broken tags
    ("<answer>B", 1, 0), ("B</answer>", 1, 0), ("< answer >B</ answer >", 1, 0), ("<ANSWER>B</ANSWER>", 1, 0),
    ("<answer>B</answer> C is wrong", 1, 1), ("<answer><answer>B</answer>", 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "ours", "medr1"), VERDICTS)
def test_both_verdicts(reply, ours, medr1):
    graded = plugin("test", reply, "B", ROW)
    assert graded == {"score": float(ours == 1), "answered": float(ours is not None)}
    assert plugin("test", reply, "B", ROW, mode="medr1_exact")["score"] == medr1


def test_the_table_is_as_long_as_promised():
    assert len({reply for reply, _, _ in VERDICTS}) == len(VERDICTS) >= 60


@given(
    st.lists(st.sampled_from(["<answer>", "</answer>", "B", " ", "\n", "\r", "\u2028", "C", "<think>", "<"])).map(
        "".join
    )
)
def test_medr1_reads_as_its_pattern_does(reply):
    found = re.search(r"<answer>(.*?)</answer>", reply)
    expected = found[1].strip() if found else reply.strip()
    assert plugin.__globals__["medr1_answer"](reply) == expected


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="mode is 'med-r1'; expected one of spec, medr1_exact"):
        plugin("test", "B", "B", ROW, mode="med-r1")
