"""DRPO against a hand-worked table, and the two defects of the published routine that are mended."""

import json

import numpy as np
import pytest
import torch

from medrl.errors import MedrlError
from medrl.learning.advantages.drpo import cluster, drpo
from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import load_estimator
from medrl.recipe import Algorithm


def step(table, state=None, **kwargs):
    """`table`: domain and rewards of each question."""
    rewards = torch.tensor([reward for _, rewards in table for reward in rewards], dtype=torch.float64)
    groups = torch.tensor([number for number, (_, rewards) in enumerate(table) for _ in rewards])
    domains = [domain for domain, rewards in table for _ in rewards]
    return drpo(rewards, groups, domains, state or {}, **{"epsilon": 0.0, **kwargs})


# Two attempts each, so z = +-1/sqrt(2) wherever they differ.
# CT, three questions: 1 0 and 0 1 are one point, (0, 1), and 1 1 is another: two distinct points, two clusters.
#   N_c = 2 and 1, mu_c = 1/2 and 1; mu_d = (1/2 / 2 + 1 / 1) / (1/2 + 1) = 5/6; T_d = sqrt(3) 5/6
#   1 0, 0 1: sqrt(3) 5/6 sqrt(2) 1/2 = 5 sqrt(6) / 12, so 1/sqrt(2) becomes 12 / (5 sqrt(12)) = 2 sqrt(3) / 5; 1 1 stays 0
# MRI, two questions: 0.4 0 and 0.8 1: two clusters of one, mu_c = 0.2 and 0.9, mu_d = 0.55, T_d = 0.55 sqrt(2)
#   0.4 0: 1/sqrt(2) / (0.55 sqrt(2) 0.2) = 1 / 0.22; 0.8 1: 1 / (1.1 x 0.9) = 1 / 0.99
# Over the batch of ten, mean 0: sum of squares 4 x 12/25 + 2 / 0.22^2 + 2 / 0.99^2 = 45.282922151, over 9, and its root is taken
TABLE = [("CT", [1, 0]), ("CT", [0, 1]), ("MRI", [0.4, 0]), ("CT", [1, 1]), ("MRI", [0.8, 1])]


def test_drpo_table():
    s, low, high = 2 * 3**0.5 / 5, 1 / 0.22, 1 / 0.99
    raw = torch.tensor([s, -s, -s, s, low, -low, 0, 0, -high, high], dtype=torch.float64)
    deviation = ((4 * 12 / 25 + 2 / 0.22**2 + 2 / 0.99**2) / 9) ** 0.5
    found = step(TABLE)
    torch.testing.assert_close(found.advantages, raw / deviation, atol=1e-9, rtol=0)
    assert found.metrics["clusters/CT"] == found.metrics["clusters/MRI"] == 2
    # 1 0, 0 1 and 1 1 are divided by 5 sqrt(6) / 12 twice and by sqrt(3) 5/6 x 1 x 1
    mean = (2 * 12 / (5 * 6**0.5) + 6 / (5 * 3**0.5)) / 3
    assert found.metrics["scale/CT"] == pytest.approx(mean / deviation, abs=1e-9)


def test_the_questions_of_earlier_steps_count():
    # the same CT questions again: N_d = 6, N_c = 4 and 2, mu as before (weights 1/4 and 1/2 are as 1/2 and 1), so CT's divisor
    # is sqrt(2) x sqrt(2) = 2 times as large: sqrt(N_d) and sqrt(N_c). Alone in the step, only the deviation is left.
    before = step(TABLE).state
    found = step([*TABLE[:2], TABLE[3], ("OCT", [1, 0])], before)
    s, other = 3**0.5 / 5, (0.5**0.5) / 0.5**2  # OCT: one question, mu = 1/2: 1/sqrt(2) / (1/2 x 1/2)
    raw = torch.tensor([s, -s, -s, s, 0, 0, other, -other], dtype=torch.float64)
    torch.testing.assert_close(found.advantages, raw / raw.std(), atol=1e-9, rtol=0)
    again = step([*TABLE[:2], TABLE[3], ("OCT", [1, 0])], json.loads(json.dumps(before)))  # as a resumed run has it
    assert torch.equal(found.advantages, again.advantages) and found.state == again.state


# The published steps over three successive steps, run once with scikit-learn 1.9.1's k-means and float64, the groups sorted:
# six attempts each earn 0.1, or 1.1 where right; (domain, how many are right, advantage of a right one), then the clusters
PUBLISHED = [
    ("C6 M5 M1 M5 C2 C1 M1 M3 C1 C1", {"C": 3, "M": 3},
     [0.0, 0.186574, 3.265048, 0.186574, 1.550955, 2.300709, 3.265048, 0.917777, 2.300709, 2.300709]),
    ("M6 C2 C5 C6 C3 M6 M6 C6 M3 M5", {"C": 5, "M": 4},
     [0.0, 2.478878, 0.514701, 0.0, 1.790301, 0.0, 0.0, 0.0, 1.322568, 0.310457]),
    ("M1 C5 C5 C1 M5 C5 C5 C5 M6 M1", {"C": 5, "M": 4},
     [3.75915, 0.183841, 0.183841, 3.940272, 0.214809, 0.183841, 0.183841, 0.183841, 0.0, 3.75915]),
]  # fmt: skip


def test_equal_to_the_published_routine():
    state = {}
    for questions, clusters, advantages in PUBLISHED:
        table = [(name[0], [1.1] * int(name[1]) + [0.1] * (6 - int(name[1]))) for name in questions.split()]
        found = step(table, state, epsilon=1e-6, floor=1e-6)
        state = found.state
        assert found.advantages.view(10, 6)[:, 0].tolist() == pytest.approx(advantages, abs=2e-6)
        assert {name: found.metrics[f"clusters/{name}"] for name in "CM"} == clusters


def test_clusters_whose_mean_is_0_or_below_are_clamped():
    """The published routine divides by 0 here, and by a negative mean, which would reward the wrong answers."""
    table = [("CT", [0, 0]), ("CT", [1, 0]), ("MRI", [-1, -0.5]), ("MRI", [1, 0.5])]
    found = step(table, epsilon=1e-6)
    assert torch.isfinite(found.advantages).all() and torch.equal(found.advantages[:2], torch.zeros(2).double())
    assert (found.advantages.sign() == torch.tensor([0, 0, 1, -1, -1, 1, 1, -1])).all()
    # MRI: mu_c = -0.75 and 0.75, both clusters of one, so mu_d = 0: T_d = sqrt(2) 0.1, divisors sqrt(2) 0.1 x 0.1 or x 0.75
    found = step(table, floor=0.1)
    assert found.advantages[5] / found.advantages[6] == pytest.approx(0.75 / 0.1, abs=1e-9)


def test_the_history_is_bounded_and_plain():
    state = {}
    for number in range(12):
        state = step([("CT", [number / 12, 1]), ("MRI", [0, 1])], state, history=5).state
    assert [name for name, _ in state["questions"]] == ["MRI", "CT", "MRI", "CT", "MRI"]
    assert state["questions"][3] == ["CT", [11 / 12, 1.0]] and state == json.loads(json.dumps(state))
    whole = step([("CT", [number / 12, 1]) for number in range(9)], state, history=5)
    assert len(whole.state["questions"]) == 9  # a step is never cut: each of its questions is in some cluster


@pytest.mark.parametrize(
    "questions",
    [
        [[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]],  # one point, so one cluster
        [[1, 0, 1, 0], [0.5, 0.5, 0.25, 0.75], [0, 1, 1, 0], [0.25, 0.5, 0.75, 0.5]],  # two, as large and as hard
    ],
)
def test_balanced_questions_of_one_domain_are_rescaled_grpo(questions):
    found = step([("CT", rewards) for rewards in questions], epsilon=1e-6)
    rewards = torch.tensor(questions, dtype=torch.float64).flatten()
    plain = grpo(rewards, torch.arange(len(rewards)) // 4, 1e-6)
    torch.testing.assert_close(found.advantages, plain / plain.std(), atol=1e-5, rtol=0)
    for _ in range(3):  # and so it stays
        found = step([("CT", rewards) for rewards in questions], found.state, epsilon=1e-6)
        torch.testing.assert_close(found.advantages, plain / plain.std(), atol=1e-5, rtol=0)


def test_an_attempt_without_a_score_leaves_the_mean_as_it_is():
    # 1 0 and one missing: the point is (0, 1/2, 1), its mean 1/2, as that of 1 1/2 0
    found = step([("CT", [1, 0]), ("MRI", [1, 0.5, 0]), ("CT", [1, 0.5, 0])])
    assert found.metrics["clusters/CT"] == 1


def test_the_elbow_finds_how_many_clusters_there_are():
    jitter = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02], [0.02, 0.01]])
    for places in ([0.5], [0.0, 1.0], [0.0, 0.5, 1.0]):
        points = np.concatenate([jitter + place for place in places])
        labels, centroids = cluster(points, 10)
        if len(places) > 1:  # of one place the parts are all there is to find
            assert len(centroids) == len(places)
            assert all(len(set(labels[start : start + 4])) == 1 for start in range(0, len(points), 4))
        order = np.random.default_rng(0).permutation(len(points))
        shuffled, again = cluster(points[order], 10)
        np.testing.assert_allclose(again[shuffled], centroids[labels[order]], atol=1e-12)
    assert len(cluster(np.arange(40.0)[:, None] ** 2, 10)[1]) <= 10 and len(cluster(points, 2)[1]) == 2
    assert len(cluster(np.ones((6, 3)), 10)[1]) == 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"clusters": 0}, "clusters=0: expected at least 1"),
        ({"clusters": 2.5}, "clusters=2.5: expected a whole number"),
        ({"history": 0}, "history=0: expected at least 1"),
        ({"floor": 0.0}, "floor=0.0: expected above 0"),
        ({"epsilon": -1.0}, "epsilon=-1.0: expected 0 or above"),
    ],
)
def test_values_that_make_no_sense_are_refused(kwargs, message):
    with pytest.raises(MedrlError, match=message):
        load_estimator(Algorithm(advantage="drpo", kwargs=kwargs))
