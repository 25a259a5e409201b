"""Section 9 of the grading rules: which whole number a reply gives."""

import pytest
from makers import tagged

from medrl.dialogue.answers import (
    read_count,
)

# --- section 9: count --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("7", 7), ("7.", 7), ("7.0", 7), ("7.00 cells", 7), ("1,234", 1234), ("12,345,678", 12345678),
        ("1,234.0", 1234),
        ("1.234", None), ("1,23", None), ("1,2345", None), ("7.5", None), (".5", None), ("1.2.3", None), ("0", 0),
        ("007", 7),
        ("seven", 7), ("Twenty", 20), ("zero", 0), ("twenty-one", None), ("thirty", None), ("thirty five", None),
        ("one hundred", None), ("hundred and five", None), ("two dozen", None), ("5 thousand", None),
        ("thirty (30)", 30),
        ("none", 0), ("None.", 0), ("none visible", None), ("no", None), ("there are no lesions", None),
        ("many", None),
        ("a", None), ("VII", None), ("Ⅶ", None), ("⑦", 7), ("７", 7), ("٧", None), ("sieben", None),
        ("septuple", None),
        ("about 7", 7), ("~7", 7), ("≈ 7", 7), ("probably 7", 7), ("7-ish", 7), ("7ish", 7), ("-> 7", 7), ("7 (seven)", 7),
        ("seven, i.e. 7", 7),
        ("n=7", 7), ("count: 7", 7), ("T2 shows 7 lesions", 7), ("7 more or less", 7), ("'7'", 7), ("**7**", 7),
        ("$7$", 7),
        ("+7", None), ("-7", None), ("−7", None), ("- 7", None), ("±7", None), ("minus 7", None),
        ("negative seven", None),
        ("at least 7", None), ("at most seven", None), ("more than 7", None), ("fewer than about 7", None),
        ("over 7", None),
        ("under 7", None), ("up to 7", None), ("no more than 7", None), ("not less than 7", None),
        ("minimum of 7", None),
        ("max. 7", None), ("<7", None), ("< 7", None), (">=7", None), ("≥ 7", None), ("≤7", None),
        (r"\geq 7", None), ("7+", None),
        ("7 +", None), ("7 or more", None), ("7 lesions or more", None), ("7 at least", None), ("7, at most", None),
        ("7 plus", None),
        ("less than or equal to 7", None), ("7 or even more", None), ("up to and including 7", None),
        ("in excess of 7", None), ("from 7 upwards", None),
        ("as many as 7", None), ("7 (at least)", None), ("exceeds 7", None), ("beyond 7", None),
        ("6-8", None), ("6–8", None), ("6 to 8", None), ("6 or 8", None), ("7-7", None), ("between 6 and 8", None),
        ("6~8", None),
        ("7/9", None), ("7 / 9", None), ("7 of 9", None), ("7/7", None), ("½", None), ("7½", None),
        ("7 and a half", None),
        ("one third", None), ("two-thirds", None), ("7%", None), ("7 percent", None), ("7^2", None), ("7²", None),
        ("10⁶", None),
        ("7 x 7", None), ("7*7", None), ("7 * 7", None), ("7 × 7", None), ("2+3", None), ("7e2", None),
        ("7th", None), ("7mm", None),
        ("7:7", None), ("nan", None), ("inf", None), ("7, inf", None), ("∞", None), ("7-", None), ("COVID-19", None),
        ("7 not 8", 7), ("not 8 but 7", 7), ("8 is wrong, 7", 7), ("7 rather than 8", 7), ("not 7", None),
        ("rather than 8: 7", 7), ("7 : 8 is wrong", None),
        ("7, not 7", None),
        ("7, 8", None), ("7 and 7", 7), ("7 8", None), ("1. 7 cells", None), ("9" * 5000, None), ("1 234", None),
        ('{"counts": 7}', 7), ('{"count": "7"}', 7), ('{"answer": 7.0}', 7), ("{'counts': 7,}", 7),
        ('{"counts": 7.5}', None),
        ('{"counts": -7}', None), ('{"counts": "1,234"}', 1234), ('{"counts": "many"}', None),
        ('{"counts": true}', None),
        ('{"counts": null}', None), ('{"answer": "seven"}', 7), ('{"answer": "at least 7"}', None),
        ('{"answer": [7]}', None),
        ('{"counts": +7}', None), ('{"counts": 7]', None), ('{"counts": "7 or 8"}', None), ("n>7", None), ("7 <", None),
        ("neither 7 nor 8", None), ("3 1/2", None), ("ca. 7", 7), ("seven and seven", 7), ("7 lesions: 4 and 3", None),
        ('{"counts": NaN}', None), ('{"counts": 1e999}', None), ('{"counts": 7e0}', 7),
        ('{"counts": 7, "count": 8}', None),
        ('{"counts": 7', None), ('{"counts": 7}}', None), ('"counts": 7}', None), ('{"total": 7}', None),
        ('{"counts": 1,234}', None),
        ('{"counts": 2, "point_2d": [[1, 1], [2, 2]]}', 2), ('{"counts": 2, "point_2d": [[1, 1]]}', None),
        ('{"counts": 1, "bbox_2d": [1, 2, 3, 4]}', 1), ('{"counts": 4, "bbox_2d": [1, 2, 3, 4]}', None),
        ('{"counts": 0, "bbox_2d": []}', 0), ('{"counts": 1, "bbox_2d": []}', None),
        ('{"counts": 7, "label": "x [3"}', 7),
        ('I see {"counts": 7} here', 7), ('{"counts": 7} or {"counts": 8}', None), ('[{"counts": 7}]', None),
        ('{"answer": {"counts": 7}}', 7), ('{"answer": {"answer": 7}}', 7), ('{"count": {"answer": 7}}', None),
        ('{"answer": {"counts": 2, "point_2d": [[1, 1]]}}', None), ('{"answer": {"total": 7}}', None),
        ("[7]", None), ("[]", None), ("[7, 7]", None), ("points [[7, 7]]", None), ("(7)", 7), ("7]", None),
        (r"\boxed{7}", 7),
        (r"\boxed{7} \boxed{7}", 7), (r"\boxed{1}\boxed{2}", None), (r"7\text{ cells}", 7), (r"7\%", None),
        (r"\boxed{7", None),
    ],
)  # fmt: skip
def test_count(answer, expected):
    assert read_count(tagged(answer)) == expected
