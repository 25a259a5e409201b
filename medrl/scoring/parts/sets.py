"""Compare the things a reply names with those it should name, so that naming everything earns nothing."""

import json
import re
from collections.abc import Collection, Iterable, Mapping

from medrl.dialogue.answer_terms import Vocabulary, find_terms
from medrl.scoring.parts.knowledge import name_of

_DENIALS = ("no", "none", "absent", "negative", "false", "0")


def f1(right: float, named: int, wanted: int) -> float:
    """2 right / (named + wanted): 1.0 when nothing is named and nothing wanted.

    >>> f1(1, 2, 2), f1(0, 0, 0), f1(0, 3, 0)
    (0.5, 1.0, 0.0)
    """
    return 2 * right / (named + wanted) if named + wanted else 1.0


def named_score(named: Collection[str], wanted: Collection[str], universe: Collection[str]) -> dict[str, float]:
    """F1 of two sets of names, and F1 times specificity as `score`.

    Specificity is the share of what should not be named that is not named. With F1 alone, naming all five terms of a small
    vocabulary earns 0.75 where three are right, more than an honest answer that finds one of them (0.5); with it, 0.

    >>> named_score(["a", "b", "c"], ["a"], ["a", "b", "c"]), named_score(["a"], ["a", "b"], ["a", "b", "c"])["score"]
    ({'score': 0.0, 'f1': 0.5}, 0.6666666666666666)
    """
    return graded_score(dict.fromkeys(named, 1.0), dict.fromkeys(wanted, 1.0), universe)


def graded_score(
    named: Mapping[str, float], wanted: Mapping[str, float], universe: Collection[str]
) -> dict[str, float]:
    """As `named_score` where each name has a degree in (0, 1]: a shared name counts 1 less the difference of degrees.

    >>> graded_score({"a": 0.5}, {"a": 1.0}, "abc")
    {'score': 0.5, 'f1': 0.5}
    """
    right = sum(1 - abs(degree - wanted[name]) for name, degree in named.items() if name in wanted)
    unwanted = len(set(universe) - set(wanted))
    needless = len(set(named) & set(universe) - set(wanted))
    overlap = f1(right, len(named), len(wanted))
    return {"score": overlap * (1 - needless / unwanted if unwanted else 1.0), "f1": overlap}


def wanted_terms(ground_truth: object, vocabulary: Vocabulary) -> list[str]:
    """The terms a row wants: a list of names, a mapping of names to yes or no, the JSON of either, or names with commas
    between; empty where nothing is to be found.

    Raises ValueError for a name that is not one term of the vocabulary.

    >>> from medrl.dialogue.answer_terms import make_vocabulary
    >>> words = make_vocabulary({"edema": ["edema", "oedema"], "mass": ["mass"]})
    >>> wanted_terms('["Oedema"]', words), wanted_terms("edema, mass", words), wanted_terms([], words)
    (['edema'], ['edema', 'mass'], [])
    """
    given = ground_truth
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:  # no JSON: plain names
            given = re.split(r"[,;\n]", given)
    if given is None:
        given = []
    elif isinstance(given, Mapping):
        given = [name for name, held in given.items() if name_of(held) not in _DENIALS]
    elif isinstance(given, str) or not isinstance(given, Iterable):
        given = [given]
    given = [name for name in given if str(name).strip()]
    found = []
    for name in given:
        terms = list(find_terms(str(name), vocabulary))
        if len(terms) != 1:
            known = ", ".join(vocabulary.names[:12])
            raise ValueError(
                f"ground_truth is {ground_truth!r}, of which {str(name)!r} is {'several' if terms else 'none'} of the terms "
                f"{known}{', …' if len(vocabulary.names) > 12 else ''}. Correct the row, or add the term to the vocabulary."
            )
        found += terms
    return list(dict.fromkeys(found))
