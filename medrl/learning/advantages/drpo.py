"""Domain and difficulty scaling (QoQ-Med's DRPO): rare and hard kinds of question get a larger say in the step.

The published routine divides by zero where a cluster's mean reward is 0, keeps every question for ever, and clusters
attempts by their place in the group; here means have a floor, memory a bound, and a group's rewards are sorted.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from medrl.learning.advantages.groups import nonzero
from medrl.learning.advantages.grpo import grpo
from medrl.learning.estimator import Estimate, State

ELBOW = 0.1  # one more cluster must lower the inertia by this share of what the one before did


def drpo(
    rewards: Tensor,
    groups: Tensor,
    domains: Sequence[str],
    state: State,
    *,
    clusters: int = 10,
    history: int = 2048,
    floor: float = 0.05,
    epsilon: float = 1e-6,
) -> Estimate:
    """GRPO's advantages z_i divided by T_d sqrt(N_c) mu_c, then by their deviation over the batch; (rollouts,).

    The rewards of each question, sorted, are one point. The points of a domain d (`data.slice_by`) among the last `history`
    questions, this step's included, are put into k <= `clusters` clusters by k-means, k by the elbow of the inertia. N_d
    and N_c count the points of the domain and of the question's cluster c; mu_c is the cluster's mean reward, mu_d the mean
    of the mu_c of the domain, each weighted by 1 / N_c; T_d = sqrt(N_d) mu_d. Both means are at least `floor`: published
    is 1e-6 for T_d alone, and with so low a floor one hardly solved question would outweigh the batch. Where an attempt has no
    score the mean of the others stands for it. With every question in one domain and one cluster this is GRPO divided
    by its deviation. `state`: the questions remembered, [domain, rewards] each. Source: QoQ-Med (arXiv 2506.00711) and
    its repository; the damping by KL that is commented out there is left out.

    >>> found = drpo(torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.tensor([0, 0, 1, 1]), ["CT"] * 2 + ["MRI"] * 2, {})
    >>> [round(value, 3) for value in found.advantages.tolist()]
    [0.866, -0.866, 0.866, -0.866]
    """
    scores = grpo(rewards, groups, epsilon)
    asked, place = groups.unique(return_inverse=True)  # (questions,), question of each rollout
    members = [(place == number).nonzero().flatten().tolist() for number in range(len(asked))]
    questions = [(domains[own[0]], rewards[own].tolist()) for own in members]
    before = [(str(name), list(values)) for name, values in state.get("questions", [])]
    known = (before + questions)[-max(history, len(questions)) :]
    factors, cluster_counts = torch.ones(len(questions), dtype=torch.float64), dict[str, int]()
    for domain in sorted({domain for domain, _ in questions}):
        factor, found = _factors([values for name, values in known if name == domain], clusters, floor)
        here = [number for number, (name, _) in enumerate(questions) if name == domain]
        factors[here] = torch.from_numpy(factor[-len(here) :])  # this step's questions are the last ones
        cluster_counts[domain] = found
    scaled = scores / factors[place].to(scores)
    deviation = float(nonzero(scaled.std() + epsilon)) if len(scaled) > 1 else 1.0
    told = {f"clusters/{name}": float(count) for name, count in cluster_counts.items()}
    scale = 1 / (factors * deviation)
    for domain in cluster_counts:
        own = [number for number, (name, _) in enumerate(questions) if name == domain]
        if scaled.any():  # else the deviation is nothing but epsilon
            told[f"scale/{domain}"] = float(scale[own].mean())
    return Estimate(scaled / deviation, {"questions": [list(one) for one in known]}, told)


def check_kwargs(*, clusters: int, history: int, floor: float, epsilon: float) -> list[str]:
    """What is wrong with the recipe's numbers, if anything."""
    faults = []
    if clusters < 1:
        faults.append(f"clusters={clusters}: expected at least 1; 10 as published")
    if history < 1:
        faults.append(f"history={history}: expected at least 1 question to remember, such as 2048")
    if not floor > 0:
        faults.append(f"floor={floor}: expected above 0; a mean reward of 0 would divide by 0")
    if not epsilon >= 0:
        faults.append(f"epsilon={epsilon}: expected 0 or above")
    return faults


def cluster(points: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(cluster of each point (n,), centroids (k, values)) of `points` (n, values); the same for any order of the points.

    k-means begins with points spread evenly over the distinct ones in order of their mean, so it needs no random
    numbers. k is the first after which one more cluster lowers the inertia by less than a tenth of what the last one did,
    or the most there can be.

    >>> cluster(np.array([[0.0], [0.1], [0.9], [1.0]]), 2)[0].tolist()
    [0, 0, 1, 1]
    """
    distinct = np.unique(points, axis=0)
    distinct = distinct[np.argsort(distinct.mean(1), kind="stable")]
    found, inertias = [], []
    for k in range(1, min(most, len(distinct)) + 1):
        seeds = distinct[((np.arange(k) + 0.5) * len(distinct) / k).astype(int)]  # (k, values), all different
        with warnings.catch_warnings(
            action="ignore"
        ):  # of a cluster that lost all its points: it is no cluster any more
            labels = np.unique(kmeans2(points, seeds, iter=30, minit="matrix")[1], return_inverse=True)[1]
        centroids = np.array([points[labels == number].mean(0) for number in range(labels.max() + 1)])
        found.append((labels, centroids))
        inertias.append(float(((points - centroids[labels]) ** 2).sum()))
        if k > 2 and inertias[-2] - inertias[-1] < ELBOW * (inertias[-3] - inertias[-2]):
            return found[-2]
    return found[-1]


def _factors(vectors: Sequence[Sequence[float]], most: int, floor: float) -> tuple[np.ndarray, int]:
    """(T_d sqrt(N_c) mu_c of each question of a domain, how many clusters)."""
    size = max(len(values) for values in vectors)
    filled = [sorted([*values, *[sum(values) / len(values)] * (size - len(values))]) for values in vectors]
    points = np.array(filled, dtype=np.float64)  # (questions, attempts)
    labels, centroids = cluster(points, most)
    counts, means = np.bincount(labels), centroids.mean(1)  # (k,)
    domain_mean = float((means / counts).sum() / (1 / counts).sum())
    total = np.sqrt(len(points)) * max(domain_mean, floor)
    return total * np.sqrt(counts[labels]) * np.maximum(means[labels], floor), len(counts)
