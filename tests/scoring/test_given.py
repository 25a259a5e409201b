"""What a reward is told of the picture belongs together: its size and spacing are those of the frame answered in."""

import pytest

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt
from medrl.scoring.given import arguments


def _extra_info(spacing, sizes, answer_size):
    sample = Sample("1", "test", (), (), "[]", extra_info={"pixel_spacing_mm": spacing})
    prompt = Prompt(sample, "", (), None, None, sizes, (), "px_model", "[]", answer_size)
    given = arguments(prompt, "")["extra_info"]
    assert sample.extra_info == {"pixel_spacing_mm": spacing}  # the environments measure in the picture as it is
    return given


def test_the_spacing_follows_the_size():
    given = _extra_info([0.5, 0.7], ((640, 480),), (320, 480))
    assert given == {"image_size": [320, 480], "pixel_spacing_mm": pytest.approx([0.5, 1.4])}


@pytest.mark.parametrize(
    ("spacing", "sizes"), [([[0.5, 0.5], [1, 1]], ((640, 480), (9, 9))), (None, ((640, 480),)), ("half", ((640, 480),))]
)
def test_what_is_no_spacing_of_one_picture_is_left_alone(spacing, sizes):
    assert _extra_info(spacing, sizes, (320, 480))["pixel_spacing_mm"] == spacing
