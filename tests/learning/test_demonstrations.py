"""Demonstrations become the rollouts they would have been, whether an environment or the data answer."""

import io
from dataclasses import replace

import pytest
import torch
from makers import tiny
from PIL import Image
from playing import ANSWER, call, detail, making, zooming

from medrl.errors import MedrlError
from medrl.learning.demonstrations import Demonstrated, as_recorded, imitated
from medrl.recipe import Env

REPLIES = (call((28, 28, 56, 56)), call((0, 0, 28, 28), image=1), ANSWER)


@pytest.fixture(scope="module")
def made():
    return making(tiny())


def taught(replies=REPLIES, observations=None):
    sample = detail()
    more = {"observations": observations} if observations else {}
    return replace(sample, extra_info={**sample.extra_info, "demonstration": list(replies), **more})


def png(picture, **format):
    buffer = io.BytesIO()
    picture.save(buffer, **{"format": "PNG", **format})
    return {"bytes": buffer.getvalue()}


def recorded(played, **format):
    pictures = iter(played.added.pictures)
    return [{"text": turn.observation, "images": [png(next(pictures), **format)]} for turn in played.turns[:-1]]


def play(made, sample, interaction, given=None):
    return imitated(made, [made.build(sample)], interaction, given)[0]


def test_recorded_answers_taken_as_they_stand_are_laid_out_as_the_environments(made):
    played = play(made, taught(), zooming())
    stands = play(made, taught(observations=recorded(played)), as_recorded(Env()))
    assert stands.token_ids == played.token_ids and stands.mask == played.mask and 0 in played.mask
    torch.testing.assert_close(stands.whole_prompt.pixel_values, played.whole_prompt.pixel_values)
    assert torch.equal(stands.whole_prompt.image_grid_thw, played.whole_prompt.image_grid_thw)


def test_recorded_answers_are_compared_with_the_environments(made):
    observations = recorded(play(made, taught(), zooming()), format="JPEG", quality=95)
    assert play(made, taught(observations=observations), zooming()).turns[0].confirmed
    black = [{**one, "images": [png(Image.new("RGB", (448, 448)))]} for one in observations]
    other = [{**one, "images": [png(Image.new("RGB", (56, 56)))]} for one in observations]
    said = [{**one, "text": "look"} for one in observations]
    for changed, reason in (
        (black, "grey levels"),
        (other, r"recorded are \[\(56, 56\)\]"),
        (said, "recorded is 'look'"),
    ):
        with pytest.raises(MedrlError, match=reason):
            play(made, taught(observations=changed), zooming())


def test_ids_that_were_sampled_are_imitated_as_they_are(made):
    played = play(made, taught(), zooming())
    own, start = [], 0
    for said, heard in (turn.tokens for turn in played.turns):
        own.append(played.token_ids[start : start + said])
        start += said + heard
    item = Demonstrated(detail(), tuple(own), list(played.token_ids))
    again = play(made, detail(), zooming(), [item])
    assert again.token_ids == played.token_ids and again.mask == played.mask
    with pytest.raises(MedrlError, match="other tokens than were recorded"):
        play(made, detail(), zooming(kwargs={"name": "zoom", "enlarge": 1.0}), [item])


@pytest.mark.parametrize(
    "replies, observations, interaction, reason",
    [
        ((), None, None, "no demonstration"),
        ((*REPLIES[:1], ANSWER), None, None, "name the environment it was made with"),
        ((*REPLIES[:1], ANSWER), None, "recorded", "name the environment it was made with"),
        (REPLIES, None, "short", "raise env.max_turns"),
        ((call((28, 28, 56, 56), name="turn"), ANSWER), None, "zoom", "there is no tool 'turn'"),
        (REPLIES, [{"text": ""}], "recorded", "1 observations for 3 replies"),
        (("<|im_end|>", ANSWER), None, "zoom", "control token '<|im_end|>'"),
    ],
)
def test_what_cannot_be_imitated_is_an_error(made, replies, observations, interaction, reason):
    playing = {
        None: None, "zoom": zooming(), "short": zooming(max_turns=2), "recorded": as_recorded(Env()),
    }[interaction]  # fmt: skip
    with pytest.raises(MedrlError, match=reason.replace("|", r"\|")):
        play(made, taught(replies, observations), playing)
