"""Results per slice: honest denominators, the worst one, and keys that no sample has."""

import pytest
from makers import prompts, recipe, rollout, samples, tiny

from medrl import preflight
from medrl.errors import MedrlError
from medrl.evaluation.slices import MOST_SLICES, Slicing, slice_faults, slice_metrics
from medrl.evaluation.validate import summarise
from medrl.rollout.refused import TOKENS


@pytest.fixture(scope="module")
def scored():
    """Four questions, two attempts each: CT right 1 1, 1 0; MRI 0 and one missing; a question of another kind, without a say."""
    table = [
        ("CT", 1.0),
        ("CT", 1.0),
        ("CT", 1.0),
        ("CT", 0.0),
        ("MRI", 0.0),
        ("MRI", None),
        ("US", "no say"),
        ("US", "no say"),
    ]
    built = prompts(tiny(), 4)
    made = []
    for number, (modality, score) in enumerate(table):
        prompt = built[number // 2]
        prompt.sample.extra_info["modality"] = modality
        one = rollout(prompt, [5, 6], None)
        if score is None:
            one.missing = {"answer": "away"}
        elif score == "no say":
            one.scores, one.reward = {"format/score": 1.0}, 0.25
        else:
            one.scores, one.reward = {"answer/score": score, "format/score": 1.0}, score + 0.5
        made.append(one)
    return made


EXPECTED = {
    "slice/CT/n": 2.0, "slice/CT/reward": 1.25, "slice/CT/accuracy": 0.75,
    "slice/MRI/n": 1.0, "slice/MRI/reward": 0.25, "slice/MRI/accuracy": 0.0,  # the missing one counts 0
    "slice/US/n": 1.0, "slice/US/reward": 0.25,  # the answer reward has no say, so there is no accuracy
    "worst_slice": 0.0, "slice_gap": 0.75,
}  # fmt: skip


def test_each_slice_and_the_worst(scored):
    assert slice_metrics(scored, Slicing("modality", "answer")) == EXPECTED
    assert slice_metrics(scored[6:], Slicing("modality", "answer")) == {"slice/US/n": 1.0, "slice/US/reward": 0.25}
    by_absent = slice_metrics(scored, Slicing("site", "answer"))  # in a mixed set some rows may lack the key
    assert by_absent == {
        "slice/unknown/n": 4.0, "slice/unknown/reward": (3 * 1.5 + 2 * 0.5 + 2 * 0.25) / 8, "slice/unknown/accuracy": 3 / 6,
        "worst_slice": 0.5, "slice_gap": 0.0,
    }  # fmt: skip
    scored[7].missing = {TOKENS: "forbidden_token"}  # not trained on and not graded: wrong, as everywhere
    assert slice_metrics(scored, Slicing("modality", "answer"))["slice/US/accuracy"] == 0.0
    by_kind = Slicing("modality", "answer", kinds=("choice",))  # the reward has no say about counts, missing or not
    assert "slice/US/accuracy" not in slice_metrics(scored, by_kind)
    scored[7].missing = {}


def test_they_stand_in_the_summary_where_the_recipe_asks(scored, tmp_path):
    assert Slicing.of(recipe(tmp_path)) is None
    slicing = Slicing.of(recipe(tmp_path, data={"slice_by": "modality"}))
    assert slicing == Slicing("modality", "answer")
    other = recipe(tmp_path, data={"slice_by": "kind"}, scoring={"accuracy": "format"})
    assert Slicing.of(other) == Slicing("kind", "format")
    greedy = scored[::2]
    metrics = summarise(scored, greedy, 2, [], slicing=slicing)["metrics"]
    assert {name: metrics[name] for name in EXPECTED} == EXPECTED
    plain = summarise(scored, greedy, 2, [])["metrics"]
    assert not any("slice" in name for name in plain) and plain == {
        name: value for name, value in metrics.items() if name not in EXPECTED
    }


def test_a_key_that_no_sample_has_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(MedrlError) as caught:
        preflight.check(recipe(tmp_path, data={"slice_by": "modalty"}))
    told = str(caught.value)
    assert "data.slice_by=modalty: none of the 24 samples of data.train has such a key" in told
    assert "none of the 6 samples of data.val" in told and "Did you mean modality?" in told
    assert "Found: data_source, kind, ability, " in told and "image_id" not in told


@pytest.mark.parametrize("by", [None, "data_source", "kind", "ability", "modality"])
def test_columns_and_keys_are_taken(by):
    assert slice_faults(by, "data.val", samples(8)) == []


def test_a_key_that_tells_every_patient_apart_is_refused():
    many = samples(MOST_SLICES + 1)
    (fault,) = slice_faults("image_id", "data.val", many)
    assert f"data.slice_by=image_id: {MOST_SLICES + 1} different values in data.val" in fault
    assert slice_faults("image_id", "data.val", many[:-1]) == []


@pytest.mark.parametrize(
    ("advantage", "by", "warned"),
    [("worst_group", None, True), ("drpo", "kind", True), ("worst_group", "modality", False), ("grpo", None, False)],
)
def test_domains_that_are_but_one_are_warned_of(tmp_path, advantage, by, warned):
    from medrl.learning.estimator import load_estimator

    settings = recipe(tmp_path, data={"slice_by": by}, algorithm={"advantage": advantage})
    found = preflight._domain_warnings(settings, load_estimator(settings.algorithm), samples(8))
    assert [f"algorithm.advantage={advantage}: weighs domains" in line for line in found] == [True] * warned
