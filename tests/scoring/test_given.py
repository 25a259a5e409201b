"""What a reward is given: the size and spacing of the frame answered in; on request pictures and the question."""

import pickle
from dataclasses import replace

import pytest
from makers import prompts, tiny

from medrl.data.sample import Sample
from medrl.dialogue.tokens import Prompt
from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.scoring.given import arguments
from medrl.scoring.loaded import load_rewards
from medrl.scoring.rewards import probe
from medrl.scoring.signature import asked_for
from medrl.vision.open import open_image

HEAD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    "
SEES = "float('images' in extra_info) + 2.0 * ('question' in extra_info)"


@pytest.fixture(scope="module")
def prompt():
    return prompts(tiny(), 1)[0]


@pytest.mark.parametrize(
    "constants, asked",
    [
        ("", set()),
        ("NEEDS_IMAGES = True\n", {"images"}),
        ("NEEDS_IMAGES = NEEDS_QUESTION = True\n", {"images", "question"}),
    ],
)
def test_a_module_asks_by_a_constant(tmp_path, prompt, constants, asked):
    path = tmp_path / f"asks{len(constants)}.py"
    path.write_text(
        constants + HEAD + f"assert {SEES} == {('images' in asked) + 2.0 * ('question' in asked)}; return 1.0"
    )
    rewards = load_rewards({"x": Reward(str(path))})
    assert asked_for(rewards[0].plugin.target) == asked
    probe(rewards, prompt)


def test_the_bundled_ones_that_look_at_more():
    ask = {
        name: asked_for(load_plugin(f"rewards/{name}.py", "compute_score").target) for name in ("similarity", "choice")
    }
    assert ask == {"similarity": {"images"}, "choice": set()}


def test_pictures_by_path_can_be_opened_from_anywhere_and_lie_below_the_root(prompt, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    open_image(prompt.sample.images[0]).save(tmp_path / "data" / "a.png")
    by_path = replace(prompt, sample=replace(prompt.sample, images=({"path": "a.png"},)), root=tmp_path / "data")
    given = pickle.loads(pickle.dumps(arguments(by_path, "", also={"images"})))["extra_info"]["images"]
    monkeypatch.chdir("/")
    assert open_image(given[0]).size == open_image(prompt.sample.images[0]).size
    outside = replace(by_path, sample=replace(by_path.sample, images=({"path": "../../etc/passwd"},)))
    with pytest.raises(MedrlError, match="outside its root"):
        arguments(outside, "", also={"images"})


def test_the_rows_own_question_is_kept(prompt):
    own = replace(prompt, sample=replace(prompt.sample, extra_info={"question": "own"}))
    assert arguments(own, "", also={"question"})["extra_info"]["question"] == "own"
    assert arguments(prompt, "", also={"question"})["extra_info"]["question"] == prompt.sample.question
    assert "question" not in arguments(prompt, "")["extra_info"]


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
