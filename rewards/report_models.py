"""Score a report with a published model: RadGraph, CheXbert, RaTEScore or GREEN, each from its own package, if installed."""

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from medrl.dialogue.answer_terms import read_text
from medrl.errors import MedrlError
from medrl.scoring.parts.sets import f1

EXAMPLE = None  # each scorer needs a package and weights that medrl does not bring; rewards/report.py needs neither

Scorer = Callable[[str, str], float]  # of a report and its reference
PACKAGES = {  # scorer -> (module, what to install)
    "radgraph": ("radgraph", "radgraph"),
    "chexbert": ("f1chexbert", "f1chexbert"),
    "ratescore": ("RaTEScore", "RaTEScore"),
    "green": ("green_score", "green_score"),
}
NO_ENTITY = 0.5  # what RaTEScore 0.6.0 returns where one of the reports holds no entity


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    scorer: str = "radgraph",
    model: str = "",
    device: str = "cpu",
) -> dict[str, float]:
    """The scorer's number for the answer against the reference report, in [0, 1]; 0.0 without an answer.

    `scorer`: radgraph (F1RadGraph, level "partial", of Delbrouck 2022; `model` radgraph-xl by default), chexbert (F1 of the
    labels that f1chexbert gives this pair, positive or uncertain; Smit 2020), ratescore (Zhao 2024; its 0.5 for a report
    without any entity is 0.0 here, or an empty phrase would earn it), green (Ostmeier 2024; `model` by default
    StanfordAIMI/GREEN-radllama2-7b, needs a GPU). The packages load weights from the Hugging Face hub on first use: run once
    with a network, then with HF_HUB_OFFLINE=1; raise the recipe's scoring.memory_mb and this reward's timeout_s to suit.
    Raises MedrlError, before a run starts, when the package is missing.

    >>> compute_score("x", "", "No effusion.", scorer="green")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    medrl.errors.MedrlError: kwargs.scorer=green needs the package green_score, which cannot be imported (...
    >>> sorted(PACKAGES)
    ['chexbert', 'green', 'radgraph', 'ratescore']
    """
    if scorer not in PACKAGES:
        raise ValueError(f"kwargs.scorer={scorer!r}; expected one of {', '.join(PACKAGES)}.")
    if not isinstance(ground_truth, str) or not ground_truth.strip():
        raise ValueError(f"ground_truth is {ground_truth!r}; expected the text of the reference report.")
    package = _imported(scorer)  # also for a reply without an answer: the fault is the recipe's, not the reply's
    report = read_text(solution_str)
    if report is None:
        return {"score": 0.0, "answered": 0.0}
    return {"score": _scorer(scorer, package, model, device)(report, ground_truth), "answered": 1.0}


def _imported(scorer: str) -> Any:
    module, install = PACKAGES[scorer]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MedrlError(
            f"kwargs.scorer={scorer} needs the package {module}, which cannot be imported ({error}). Install it beside medrl "
            f"(pip install {install}), choose another scorer, or use rewards/report.py, which needs none."
        ) from error


@lru_cache(maxsize=1)
def _scorer(scorer: str, package: Any, model: str, device: str) -> Scorer:
    """The loaded model as a function; one at a time is kept."""
    made = {"radgraph": _radgraph, "chexbert": _chexbert, "ratescore": _ratescore, "green": _green}[scorer]
    return made(package, model, device)


def _radgraph(package: Any, model: str, device: str) -> Scorer:
    cuda = -1 if device == "cpu" else int(device.partition(":")[2] or 0)
    scorer = package.F1RadGraph(reward_level="partial", model_type=model or "radgraph-xl", cuda=cuda)
    return lambda report, reference: float(scorer(refs=[reference], hyps=[report])[0])


def _chexbert(package: Any, model: str, device: str) -> Scorer:
    labeller = package.F1CheXbert(device=device)

    def score(report: str, reference: str) -> float:
        said, wanted = (labeller.get_label(text) for text in (report, reference))  # 14 labels, 1 positive or uncertain
        return f1(sum(one and other for one, other in zip(said, wanted)), sum(said), sum(wanted))

    return score


def _ratescore(package: Any, model: str, device: str) -> Scorer:
    scorer = package.RaTEScore(use_gpu=device != "cpu")

    def score(report: str, reference: str) -> float:
        found = float(scorer.compute_score([report], [reference])[0])
        return 0.0 if found == NO_ENTITY else found

    return score


def _green(package: Any, model: str, device: str) -> Scorer:
    scorer = package.GREEN(model or "StanfordAIMI/GREEN-radllama2-7b", output_dir=".")

    def score(report: str, reference: str) -> float:
        found = scorer([reference], [report])[2][0]  # mean, deviation, scores, summary, table
        if found is None:
            raise RuntimeError("GREEN's model did not keep to its form, and gave no score")
        return float(found)

    return score
