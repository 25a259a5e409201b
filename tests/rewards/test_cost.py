"""Clinical cost: the matrix by hand, faulty ones refused, and the answer of least expected cost is the one that is paid best."""

import numpy as np
import pytest

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.recipe import Reward
from medrl.recipe_file import load_recipe
from medrl.scoring.loaded import load_rewards

compute_score = load_plugin("rewards/cost.py", "compute_score").target
COSTS = {
    "cancer": {"benign": 10, "precursor": 4},
    "benign": {"cancer": 1, "precursor": 0.5},
    "precursor": {"benign": 3, "cancer": 2},
}
OPTIONS = {"options": {"A": "Benign", "B": "The cancer", "C": "pre-cursor"}}
NAMES = {"precursor": ["pre-cursor"]}


def graded(answer, ground_truth, row=None, costs=COSTS, **kwargs):
    return compute_score("test", f"<think>x</think><answer>{answer}</answer>", ground_truth, row, costs=costs, **kwargs)


@pytest.mark.parametrize(
    ("answer", "truth", "score", "cost"),
    [
        ("cancer", "cancer", 1.0, 0),
        ("benign", "cancer", 0.0, 10),
        ("precursor", "cancer", 0.6, 4),
        ("cancer", "benign", 0.9, 1),
        ("Benign.", "benign", 1.0, 0),
        ("the  benign", "benign", 1.0, 0),
        ('{"answer": "benign"}', "BENIGN", 1.0, 0),
        ("pre-cursor", "benign", 0.95, 0.5),
    ],
)
def test_what_open_answers_cost(answer, truth, score, cost):
    found = graded(answer, truth, names=NAMES)
    assert found == {"score": pytest.approx(score), "answered": 1.0, "cost": cost}


@pytest.mark.parametrize(
    ("answer", "truth", "cost"),
    [
        ("A", "B", 10),
        ("B", "B", 0),
        ("b)", "cancer", 0),
        ("benign", "b", 10),
        ("C) pre-cursor", "A", 0.5),
        ("cancer", "Benign", 1),
    ],
)
def test_what_an_option_costs(answer, truth, cost):
    assert graded(answer, truth, OPTIONS, names=NAMES)["cost"] == cost


@pytest.mark.parametrize(
    "answer", ["", "benign or cancer", "D", "not benign", "metastasis", "benign</answer><answer>cancer"]
)
@pytest.mark.parametrize("row", [None, OPTIONS])
@pytest.mark.parametrize("truth", ["cancer", "benign", "precursor"])
def test_no_answer_costs_as_much_as_the_worst_mistake_of_all(answer, row, truth):
    found = graded(answer, truth, row, names=NAMES)
    assert found == {"score": 0.0, "answered": 0.0, "cost": 10.0}


def test_the_policy_of_least_expected_cost_is_paid_best_on_a_simulated_task():
    """2,000 findings with a true chance of cancer: of all thresholds the one that the costs say, 1 / (1 + 10), wins."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.6, 2.4, 2000)
    truth = rng.random(2000) < chance
    costs = {"cancer": {"benign": 10}, "benign": {"cancer": 1}}
    paid = {
        (is_cancer, said): graded(said, "cancer" if is_cancer else "benign", costs=costs)["score"]
        for is_cancer in (True, False)
        for said in ("cancer", "benign", "cannot tell")
    }

    def mean(threshold):
        says = ["cancer" if one > threshold else "benign" for one in chance]
        return np.mean([paid[bool(is_cancer), said] for is_cancer, said in zip(truth, says)])

    optimal = mean(1 / 11)
    assert optimal > mean(0.5) + 0.05, "what accuracy alone would teach"
    assert optimal > max(mean(0.0), mean(1.0)), "always one answer"
    assert all(optimal >= mean(threshold) - 0.002 for threshold in np.linspace(0, 1, 41))
    assert optimal > np.mean([paid[bool(one), "cannot tell"] for one in truth])


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"costs": {"cancer": {"benign": 10}}}, r"costs has no cost for benign: \{cancer: …\}. Add it, or `default:`"),
        ({"costs": {"cancer": {"benign": -1}, "benign": {"cancer": 1}}}, "expected a finite cost of at least 0"),
        ({"costs": {"cancer": {"benign": "high"}, "benign": {"cancer": 1}}}, "expected a finite cost of at least 0"),
        (
            {"costs": {"cancer": {"benign": float("inf")}, "benign": {"cancer": 1}}},
            "expected a finite cost of at least 0",
        ),
        ({"costs": {"cancer": {"benign": 0}, "benign": {"cancer": 0}}}, "every cost is 0"),
        ({"costs": {}}, "expected {right class: {answered class: cost}}"),
        ({"costs": {"cancer": 3}}, "expected {right class: {answered class: cost}}"),
        (
            {"costs": COSTS, "names": {"tumour": ["mass"]}},
            r"\['tumour'\] are no classes of costs; it has cancer, benign, precursor",
        ),
        ({"costs": COSTS, "names": {"benign": ["cancer"]}}, "that of another class too"),
        ({"costs": COSTS, "names": {"benign": [""]}}, "is empty"),
    ],
)
def test_a_faulty_matrix_is_an_error(kwargs, told):
    with pytest.raises(ValueError, match=told):
        graded("benign", "benign", **kwargs)


def test_a_row_of_an_unknown_class_is_an_error():
    with pytest.raises(ValueError, match="ground_truth is 'fracture', which is no class of the costs: cancer, benign"):
        graded("benign", "fracture")
    with pytest.raises(ValueError, match="option C is 'pre-cursor'"):
        graded("A", "A", OPTIONS)
    with pytest.raises(ValueError, match="expected letters and their texts"):
        graded("A", "A", {"options": ["benign", "cancer"]})


def test_pairs_that_are_not_written_cost_the_default():
    found = graded("benign", "cancer", costs={"cancer": {}, "benign": {"cancer": 2}}, default=8)
    assert found == {"score": 0.0, "answered": 1.0, "cost": 8.0}
    assert (
        graded("cancer", "cancer", costs={"cancer": {"cancer": 1}, "benign": {"cancer": 2}}, default=4)["score"] == 0.75
    )


def test_from_a_recipe_and_from_a_file(tmp_path):
    """YAML reads an unquoted yes or no as a truth value; they are classes all the same."""
    (tmp_path / "costs.yaml").write_text("yes: {no: 10}\nno: {yes: 1}\n")
    for costs in (f"{tmp_path}/costs.yaml", "{yes: {no: 10}, no: {yes: 1}}"):
        (tmp_path / "recipe.yaml").write_text(
            "data: {adapter: phantom, train: train, val: val}\nmodel: {path: tiny}\ntraining: {steps: 1}\n"
            f"rewards: {{cost: {{use: rewards/cost.py, kwargs: {{costs: {costs}}}}}}}\n"
        )
        reward = load_rewards(load_recipe(tmp_path / "recipe.yaml").rewards)[0]
        missed, alarm = (
            reward.plugin.target("x", f"<answer>{said}</answer>", truth, **reward.kwargs)
            for said, truth in (("no", "yes"), ("yes", "no"))
        )
        assert (missed["score"], alarm["score"]) == (0.0, 0.9)
    with pytest.raises(MedrlError, match="missing a required"):
        load_rewards({"cost": Reward("rewards/cost.py")})
    with pytest.raises(MedrlError, match="no such file"):
        graded("benign", "benign", costs="nowhere.yaml")
