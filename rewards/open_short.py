"""Score a short open answer: equal to an accepted string or a listed synonym, or token F1; never a substring match."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from medrl.dialogue.answers import plain_answer, read_open_short, same_answer

MODES = ("exact", "f1")
EXAMPLE = {
    "ground_truth": ["ground-glass opacity", "GGO"],
    "extra_info": {"kind": "open_short"},
    "right": "<think>Hazy, vessels still visible.</think><answer>Ground glass opacity</answer>",
    "wrong": "<think>Hazy, vessels still visible.</think><answer>Consolidation</answer>",
}

_TOKEN = re.compile(r"\w+")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Iterable[str] | str,
    extra_info: Mapping[str, Any] | None = None,
    mode: str = "exact",
    synonyms: str | None = None,
) -> dict[str, float]:
    """1.0 when the answer equals an accepted string but for case, article, lead-in or a final s; else 0.0.

    `ground_truth`: a string, or all accepted ones as a list or its JSON. `synonyms`: a YAML file, preferred name to other
    names; a name found there brings all names of its entry. `mode="f1"`: the best F1 of shared words over the accepted
    strings, as in SQuAD (arXiv 1606.05250), with its `precision` and `recall`. Raises ValueError for an empty ground
    truth or an unusable file.

    >>> compute_score("rad", "<answer>It is a GGO.</answer>", ["ground-glass opacity", "GGO"])
    {'score': 1.0, 'answered': 1.0}
    >>> compute_score("rad", "<answer>opacity</answer>", "ground-glass opacity")
    {'score': 0.0, 'answered': 1.0}
    >>> compute_score("rad", "<answer>left opacity</answer>", "ground-glass opacity", mode="f1")
    {'score': 0.4, 'answered': 1.0, 'precision': 0.5, 'recall': 0.3333333333333333}
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}.")
    accepted = _accepted(ground_truth)
    if synonyms is not None:
        accepted = _with_synonyms(accepted, _table(synonyms))
    answer = read_open_short(solution_str, accepted)
    if mode == "exact":
        right = answer is not None and answer == plain_answer(accepted[0])
        return {"score": float(right), "answered": float(answer is not None)}
    scored = [token_f1(answer, plain_answer(text)) for text in accepted] if answer is not None else [(0.0, 0.0, 0.0)]
    precision, recall, f1 = max(scored, key=lambda found: found[2])
    return {"score": f1, "answered": float(answer is not None), "precision": precision, "recall": recall}


def token_f1(answer: str, right: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of the words two plain texts share, each as often as it occurs in both.

    >>> token_f1("the left lung", "left lower lung lobe")
    (0.6666666666666666, 0.5, 0.5714285714285714)
    """
    given, wanted = Counter(_TOKEN.findall(answer)), Counter(_TOKEN.findall(right))
    shared = sum((given & wanted).values())
    if shared == 0:
        return 0.0, 0.0, 0.0
    precision, recall = shared / sum(given.values()), shared / sum(wanted.values())
    return precision, recall, 2 * shared / (sum(given.values()) + sum(wanted.values()))


def _accepted(ground_truth: Any) -> list[str]:
    accepted = ground_truth
    if isinstance(ground_truth, str):
        accepted = [ground_truth]
        if ground_truth.strip().startswith("["):
            with suppress(json.JSONDecodeError):  # else an answer that begins with a bracket
                accepted = json.loads(ground_truth)
    texts = [str(text) for text in accepted] if hasattr(accepted, "__iter__") else []
    if not texts or not all(plain_answer(text) for text in texts):
        raise ValueError(
            f"ground_truth is {ground_truth!r}; expected a text or a list of accepted texts, none of them blank."
        )
    return texts


def _with_synonyms(accepted: list[str], table: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The accepted strings and all names of the entries they name: by preferred name, or by one only one entry lists."""
    texts = dict.fromkeys(accepted)
    for text in accepted:
        plain = plain_answer(text)
        entries = [names for names in table.values() if same_answer(plain, plain_answer(names[0]))]
        if not entries:
            entries = [
                names for names in table.values() if any(same_answer(plain, plain_answer(name)) for name in names)
            ]
        if len(entries) == 1:  # "MS" alone may be multiple sclerosis or mitral stenosis
            texts |= dict.fromkeys(entries[0])
    return list(texts)


@lru_cache(maxsize=8)
def _table(path: str) -> dict[str, tuple[str, ...]]:
    """Preferred name to all names, itself first."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"synonyms={path!r} cannot be read: {error}. Name a YAML file, preferred name to other names."
        ) from error
    listed = isinstance(found, dict) and all(isinstance(names, list) for names in found.values())
    if not listed or not all(isinstance(name, str) for key, names in found.items() for name in [key, *names]):
        raise ValueError(
            f"synonyms={path!r} must map each preferred name to a list of other names, such as `pneumothorax: [collapsed "
            "lung]`, all of them text. Put quotes around names that YAML reads as something else (no, 5)."
        )
    return {name: (name, *names) for name, names in found.items()}
