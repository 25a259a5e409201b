"""Which lengths and angles a reply states: exactly as many as were asked for, or none at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.dialogue.answer_measurements import read_measurements

BOTH = ((34.5, "mm"), (20.0, "mm"))
BARE = ((34.5, None), (20.0, None))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("34.5 x 20 mm", BOTH), ("34.5mm x 20mm", BOTH), ("34.5 × 20.0 mm.", BOTH), ("34.5*20 mm", BOTH), ("34.5 by 20 mm", BOTH),
        ("34.5 mm and 20 mm", BOTH), ("(34.5, 20.0) mm", BOTH),
        ("about 34.5 mm, ~20 millimetres", ((34.5, "mm"), (20.0, "millimetre"))),
        ("major axis 34.5 mm, minor axis 20 mm", BOTH), ("34.5 mm and, perpendicular to it, 20 mm", BOTH),
        ("[34.5, 20]", BARE), ("(34.5,20.0)", BARE), ("34.5, 20", BARE), ("34.5,20.0", BARE), ("34.5 20", BARE),
        ('{"major": 34.5, "minor": 20, "unit": "mm"}', BOTH), ('{"answer": "34.5 x 20 mm"}', BOTH), ('["34.5 mm", "20 mm"]', BOTH),
        ('{"size": [34.5, 20], "units": "MM", "label": "mass"}', BOTH), ("not 12 mm but 34.5 x 20 mm", BOTH),
        ("```json\n[34.5, 20]\n```", BARE), (r"\boxed{34.5 \text{mm}, 20 \text{mm}}", BOTH), ("T2 mass of 34.5 x 20 mm", BOTH),
        ("34.5 x 2 cm", ((34.5, "cm"), (2.0, "cm"))), ("-3 and 4 degrees", ((-3.0, "degree"), (4.0, "degree"))),
        ("3e1 mm, 5 px", ((30.0, "mm"), (5.0, "px"))), ("angles 4° and 5°", ((4.0, "°"), (5.0, "°"))),
        ("34.5 mm", None), ("34.5 x 20 x 9 mm", None), ("34.5,20", None), ("34,5 20", None), ("34.5-20 mm", None),
        ("34.5 mm - 20 mm", None), ("34.5 to 20 mm", None), ("between 34.5 and 20 mm", None), ("34.5 or 20 mm", None),
        ("34.5 x <20 mm", None), ("at least 34.5 x 20 mm", None), ("34.5 x over 20 mm", None), ("34.5 ± 20 mm", None),
        ("34.5/20 mm", None), ("34.5 x 20foo", None), ("34.5 x 20 mm^2", None), ("34.5 x .5 mm", None), ("3.4.5 x 20", None),
        ("34.5 x 20 mm (slice 12)", None), ("[34.5, 20", None), ('{"major": 34.5, "minor": 20', None), ("{34.5, 20}", None),
        ("[34.5, NaN]", None), ("[34.5, 1e999]", None), ("34.5 x 1e999 mm", None), ("[34.5, true]", None), ("[34.5, null]", None),
        ('{"major": 34.5, "minor": 20, "unit": "furlong"}', None), ("34.5 x 20 mm is wrong", None),
        ("large", None), ("", None),
        ("٣٤ x 20 mm", None), ("34.5 x 2O mm", None),
    ],
)  # fmt: skip
def test_two_lengths(answer, expected):
    found = read_measurements(f"<think>100 x 200 mm?</think><answer>{answer}</answer>", 2)
    assert found == expected


def test_regions_must_agree():
    assert read_measurements("<answer>5 mm</answer><answer>5 mm</answer>", 1) == ((5.0, "mm"),)
    assert read_measurements("<answer>5 mm</answer><answer>6 mm</answer>", 1) is None
    assert read_measurements("It measures 5 mm or so, I think, but the scan is rather blurred there.", 1) is None


@given(st.text() | st.text("0123456789.,- x×[](){}\"'mcdegpx%°e+unit:"), st.integers(1, 3))
def test_no_text_raises(text, count):
    for reply in (text, f"<answer>{text}</answer>"):
        found = read_measurements(reply, count)
        assert found is None or len(found) == count
