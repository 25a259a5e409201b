"""The answer readers against a table of hard replies, written sentence by sentence from the grading rules.

The public examples are in tests/benchmarks/test_grading.py; this table is our own. No reply may raise, and none may
cost more than its length.
"""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import tagged

from medrl.dialogue import (
    answer_bounds,
    answer_boxes,
    answer_choice,
    answer_count,
    answer_json,
    answer_mentions,
    answer_multi_choice,
    answer_open,
    answer_quantity,
    answer_quantity_text,
    answer_region,
    answer_units,
    answers,
)
from medrl.dialogue.answers import (
    answer_regions,
    format_ok,
    read_box,
    read_boxes,
    read_choice,
    read_count,
    read_multi_choice,
    read_number_with_unit,
    read_open_short,
    read_points,
    read_yes_no,
)

PARSERS = [
    answer_bounds,
    answer_boxes,
    answer_choice,
    answer_count,
    answer_json,
    answer_mentions,
    answer_multi_choice,
    answer_open,
    answer_quantity,
    answer_quantity_text,
    answer_region,
    answer_units,
    answers,
]
SCAN = {"A": "MRI", "B": "CT", "C": "Ultrasound", "D": "X-ray"}
TYPES = {"A": "Cyst", "B": "Cysts", "C": "Type B block", "D": "Small cell carcinoma", "E": "Non-small cell carcinoma"}


@pytest.mark.parametrize("module", PARSERS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


# --- section 7: yes or no ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("yes", "yes"), ("YES!", "yes"), ("Yes there is", "yes"), ("I say yes", "yes"), ("Yes, yes", "yes"),
        ("no", "no"), ("No.", "no"), ("NO", "no"), ("no\nthere is none", "no"), ("there is no", "no"), ("(no)", "no"),
        ('"no"', "no"), ("no, clear", "no"), ("No; clear", "no"), ("No: clear", "no"), ("No!", "no"), ("No?", "no"),
        ("No - clear", "no"), ("No—clear", "no"), ("No – clear", "no"), ("**No** clear", None),
        ("**No**, clear", "no"),
        ("no fracture", None), ("No evidence of fracture.", None), ("no (large) effusion", None), ('no "mass"', None),
        ("no one", None), ("no-one", None), ("nope", None), ("none", None), ("not", None), ("normal", None),
        ("know", None),
        ("eyes", None), ("yes-man", None), ("y", None), ("n", None), ("true", None), ("negative", None), ("sí", None),
        ("yes or no", None), ("yes/no", None), ("no, yes", None), ("Yes - no doubt", "yes"),
        ("Yes, no fracture", "yes"),
        ("not yes", None), ("not yes, but no", "no"), ("not a yes; no", "no"), ("yes, not no", "yes"),
        ("not no", None),
        ("yes - not yes", None), ("yes is wrong", "yes"), ("without yes", "yes"), ("yеs", None), ("ｎｏ", "no"),
        ("n\u200bo", "no"), (r"\boxed{No}", "no"), (r"\text{no}.", "no"), ('{"answer": "no"}', "no"),
        ("{'answer': 'Yes',}", "yes"),
        ('{"answer": "no"', None), ('{"answer": true}', None), ('{"answer": "no", "why": "yes"}', "no"), ("", None),
        ("not no, yes", "yes"), ("yes rather than no", None), ("neither yes nor no", None), ("no way", None), ("oui", None),
        ("[no]", "no"), ("No\u2028x", "no"), ("no\tchange", None), ("Absolutely not", None), ("no. No evidence of it", "no"),
        ("No…", "no"), ("No, no.", "no"), ("no no", "no"), ("the answer is no", "no"),
        ("No (both lungs are clear)", "no"), ("No (clear).", "no"), ("No (clear): see left", "no"), ("No (clear", "no"),
        ("no (new) (large) mass", None), ("no (new) mass, yes", "yes"), ("No (it is not), yes", None),
        ("No<br>clear", "no"), ("no。", "no"), ("No|clear", "no"), ("no % of it", None),
    ],
)  # fmt: skip
def test_yes_no(answer, expected):
    assert read_yes_no(tagged(answer)) == expected


# --- no reply raises, no reply is slow ---------------------------------------------------------------------------

PIECES = [
    *(
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "< Answer >",
        "\\boxed{",
        "\\text{",
        "}",
        "{",
        "[",
        "]",
        "(",
        ")",
    ),
    *(
        "```",
        "$",
        '"',
        "'",
        "\\",
        ",",
        ".",
        ":",
        "-",
        "—",
        "*",
        "_",
        "%",
        "^",
        "~",
        "\n",
        " ",
        "answer is ",
        "answer: ",
    ),
    *(
        '{"answer": ',
        '"counts": ',
        '"bbox_2d": ',
        "not ",
        "no",
        "yes",
        "is wrong",
        "at least ",
        "5",
        "1,234",
        "7.0",
        "40, ",
    ),
    *(
        "A",
        "b",
        "CT",
        "gram",
        "nan",
        "inf",
        "none",
        "½",
        "²",
        "Ⓑ",
        "\u200b",
        "\u0301",
        "\ufdfa",
        "\ud800",
        "\x00",
        "é",
        "В",
    ),
]


def _read_everything(reply: str) -> list[object]:
    return [
        format_ok(reply),
        format_ok(reply, style="no_think"),
        answer_regions(reply),
        read_choice(reply, SCAN),
        read_yes_no(reply),
        read_count(reply),
        read_box(reply),
        read_boxes(reply),
        read_points(reply),
        read_multi_choice(reply, SCAN),
        read_open_short(reply, ["ground-glass opacity", "GGO"]),
        read_number_with_unit(reply),
    ]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_mix_of_pieces_raises(reply):
    _read_everything(reply)
    _read_everything(f"<answer>{reply}</answer>")


@given(st.text(max_size=60))
def test_no_text_raises(reply):
    _read_everything(reply)
    _read_everything(f"<answer>{reply}</answer>")


@given(st.dictionaries(st.sampled_from("ABCDE"), st.text(max_size=12), min_size=1), st.text(max_size=30))
def test_no_option_text_raises_and_every_letter_can_be_chosen(options, reply):
    read_choice(f"<answer>{reply}</answer>", options)
    letter = min(options)
    assert read_choice(f"<answer>({letter})</answer>", {letter: "unlike any other"}) == letter


@pytest.mark.parametrize(
    "piece", [*PIECES, "B x ", "5 mm ", "5±", "is the answer: ", "not B ", "5 x ", "(1 2 3 4) ", '{"a":', "answer: B\n"]
)
def test_a_flood_of_one_piece_is_read(piece):
    flood = piece * (10_000 // len(piece))
    _read_everything(flood)
    _read_everything(f"<answer>{flood}</answer>")


# Each is 100 kB and harmless to a linear reader; one quadratic regex or loop needs minutes and is stopped here.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "reply",
    [
        "<" + " " * 100_000,
        "answer " + " " * 100_000 + "is",
        "not" + "\n" * 100_000 + "B",
        "5" + "\n" * 100_000 + "or more",
        "<answer>" + "9" * 100_000,
        "<answer>1" + ",000" * 25_000,
        "<answer>" + '{"a":' * 64 + "[1" + ",1" * 40_000,
        "<answer>" + '{"a":' * 30 + "[" + "1," * 40_000 + "x]" + "}" * 30,
        "<answer>{'a':" + "'" + "\\'" * 40_000,
        "".join(f"<answer>B {number}</answer>" for number in range(4000)),
        "the answer is B " * 6_000,
        "(" * 100_000,
        "<answer>" + "not B " * 16_000,
        "a" + "\u0316\u0301" * 25_000,  # NFKC alone sorts these marks in quadratic time
    ],
    ids=range(14),
)
def test_hostile_replies_do_not_hang(reply):
    _read_everything(reply)
