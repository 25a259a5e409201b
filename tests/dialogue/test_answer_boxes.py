"""Section 10 of the grading rules: which boxes or points a reply names."""

import pytest
from makers import tagged

from medrl.dialogue.answers import (
    read_box,
    read_boxes,
    read_points,
)

# --- section 10: boxes and points --------------------------------------------------------------------------------

BOX = (40.0, 60.0, 140.0, 160.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[40, 60, 140, 160]", BOX), ("(40, 60, 140, 160)", BOX), ("[[40, 60, 140, 160]]", BOX),
        ("([40,60,140,160])", BOX),
        ("40 60 140 160", BOX), ("40, 60, 140, 160.", BOX), ("40; 60; 140; 160", BOX), ("[40 60 140 160]", BOX),
        ("[40, 60, 140, 160,]", BOX), ("[40.0, 6e1, 140, 160]", BOX), ("['40', '60', '140', '160']", BOX),
        ("The polyp (upper left) is at [40, 60, 140, 160].", BOX), ("see ([40, 60, 140, 160])", BOX),
        ("(x1, y1, x2, y2) = (40, 60, 140, 160)", BOX), ("［40，60，140，160］", BOX), ("**[40, 60, 140, 160]**", BOX),
        ("[40, 60, 140, 160] [40, 60, 140, 160]", BOX), ("[−40, 60, 140, 160]", (-40.0, 60.0, 140.0, 160.0)),
        ('{"bbox_2d": [40, 60, 140, 160]}', BOX), ('[{"bbox": [40, 60, 140, 160], "label": "50% (x"}]', BOX),
        ('{"box": ["40", "60", "140", "160"]}', BOX), ('{"answer": [40, 60, 140, 160]}', BOX),
        ('{"answer": "[40, 60, 140, 160]"}', BOX), ('{"x1": 40, "y1": 60, "x2": 140, "y2": "160"}', BOX),
        ('{"bbox": {"x1": 40, "y1": 60, "x2": 140, "y2": 160}}', BOX), ("{'bbox_2d': (40, 60, 140, 160),}", BOX),
        ('{"counts": 1, "bbox_2d": [[40, 60, 140, 160]]}', BOX),
        ('{"counts": 1, "bbox_2d": [40, 60, 140, 160]}', BOX),
        ('```json\n[{"bbox_2d": [40, 60, 140, 160]}]\n```', BOX), ('Here: {"bbox_2d": [40, 60, 140, 160]}', BOX),
        ("not [1, 1, 5, 5] but [40, 60, 140, 160]", BOX), ("[1, 1, 5, 5] is wrong, [40, 60, 140, 160]", BOX),
        ("[140, 160, 40, 60]", (140.0, 160.0, 40.0, 60.0)), (r"\boxed{[40, 60, 140, 160]}", BOX),
        ("[40, 60, 140, 160] 0.9", BOX), ("instead of [1, 2, 3, 4], [40, 60, 140, 160]", BOX), ("+40 60 140 160", None),
        ("polyp 40 60 140 160", None), ('{"bbox": [40, 60, 140, 160], "counts": "1"}', BOX), ("<b>[40, 60, 140, 160]</b>", BOX),
        ("[40, 60, 140]", None), ("[40, 60, 140, 160, 1]", None), ("(40, 60), (140, 160)", None),
        ("[[40, 60], [140, 160]]", None),
        ("[40, 60, 140, 160", None), ("40, 60, 140, 160]", None), ("[40, 60, 140, 160)", None),
        ("[[40, 60, 140, 160]", None),
        ("[40, 60, nan, 160]", None), ("[40, 60, inf, 160]", None), ("[40, 60, 1e999, 160]", None),
        ("[40%, 60%, 140%, 160%]", None),
        ("[40, 60, 140, 160] %", None), ("[40px, 60px, 140px, 160px]", None), ("x1=40, y1=60, x2=140, y2=160", None),
        ("[x1=40, y1=60, x2=140, y2=160]", None), ("40 60 140", None), ("40 60 140 160 1 1 5 5", None),
        ("40-60-140-160", None),
        ("at 40 60 140 160", None), ("[40, 60, 140, 160] and 1 1 5 5", None), ("{40, 60, 140, 160}", None),
        ("[]", None),
        ("none", None), ("[[]]", None), ("[40, 60, 140, 160] and []", None),
        ("[40, 60, 140, 160] or [1, 1, 5, 5]", None),
        ("not [40, 60, 140, 160]", None), ("[40,,60,140,160]", None), ("[40, 60, 140, 1 60]", None),
        ("[40, 60, [140, 160]]", None),
        ('{"bbox_2d": [40, 60, 140, 160]', None), ('{"bbox_2d": [40, 60, 140, 160]}}', None),
        ('{"region": [40, 60, 140, 160]}', None),
        ('{"bbox_2d": [40, 60, 140, 160], "point_2d": [9, 9]}', None),
        ('{"counts": 2, "bbox_2d": [[40, 60, 140, 160]]}', None),
        ('{"x1": 40, "y1": 60, "x2": 140}', None), ('{"x1": 40, "y1": 60, "w": 100, "h": 100}', None),
        ("top left", None),
        ("[40, 60, 140, 160] (not [1, 1, 5, 5])", BOX), ("([1, 1, 5, 5] is wrong) [40, 60, 140, 160]", BOX),
        ("(or [1, 1, 5, 5]) [40, 60, 140, 160]", None), ("not (1: [1, 1, 5, 5]) [40, 60, 140, 160]", None),
        ("not (here [1, 1, 5, 5], [2, 2, 5, 5]) but [40, 60, 140, 160]", BOX),
        ("[40, 60, 140, '160]", None), ("[40 60 140 '160']", BOX), ("[40 60 140 160']", None),
        (r"\[[40, 60, 140, 160]\]", BOX), (r"\(40, 60, 140, 160\)", BOX), (r"\left(40, 60, 140, 160\right)", BOX),
        ("1) [40, 60, 140, 160]", None), ("[40²,60,140,160]", None), ('{"bbox_2d": "40, 60, 140, 160"}', None),
        ('{"bbox_2d": [40, 60, 140, true]}', None), ("[4" + "0" * 400 + ", 60, 140, 160]", None), ("", None),
    ],
)  # fmt: skip
def test_box(answer, expected):
    assert read_box(tagged(answer)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[]", []),
        ("[ ]", []),
        ("None.", []),
        ("none!", []),
        ('{"bbox_2d": []}', []),
        ('{"counts": 0, "bbox_2d": []}', []),
        ('[{"bbox_2d": []}]', []),
        ("[[], []]", None),
        ('{"answer": "none"}', []),
        ("{}", None),
        ("no boxes", None),
        ("none here", None),
        ("[1, 2, 3, 4] [1, 2, 3, 4]", [(1, 2, 3, 4)] * 2),  # repeats stay: they are extra predictions
        ('[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]', [(1, 2, 3, 4), (5, 6, 7, 8)]),
        ('[{"bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8}]', None),
        ("[[1, 2, 3, 4], [5, 6, 7]]", None),
    ],
)
def test_boxes(answer, expected):
    assert read_boxes(tagged(answer)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("(1, 2) (3, 4)", [(1, 2), (3, 4)]),
        ("30 40", [(30, 40)]),
        ("[1, 2, 3, 4]", None),
        ('{"point": [1, 2]}', [(1, 2)]),
    ],
)
def test_points(answer, expected):
    assert read_points(tagged(answer)) == expected


def test_box_blocks_must_name_the_same_box():
    assert read_box("<answer>[1, 2, 3, 4]</answer><answer>(1.0, 2, 3, 4)</answer>") == (1, 2, 3, 4)
    assert read_box("<answer>[1, 2, 3, 4]</answer><answer>[1, 2, 3, 5]</answer>") is None


def test_blocks_may_list_the_same_boxes_in_another_order():
    blocks = "<answer>[1, 2, 3, 4] [5, 6, 7, 8]</answer><answer>[[5, 6, 7, 8], [1, 2, 3, 4]]</answer>"
    assert read_boxes(blocks) == [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert read_boxes(blocks.replace("[[", "[[1, 2, 3, 4], [")) is None  # a repeat is one prediction more
    assert read_points("<answer>(1, 2) (3, 4)</answer><answer>(3, 4) (1, 2)</answer>") == [(1, 2), (3, 4)]
