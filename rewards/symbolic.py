"""Score what a reply states of a case against a table of medical knowledge: right, and at least not self-contradicting."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medrl.dialogue.answer_json import JsonFault, parse_json
from medrl.dialogue.answer_terms import Vocabulary, find_terms, make_vocabulary, read_text
from medrl.scoring.parts.knowledge import knowledge, mapping, name_of, names_of

EXAMPLE = {
    "ground_truth": "AML",
    "extra_info": {"kind": "symbolic"},
    "right": "<think>Many large cells.</think><answer>Adequate smear with spicules. Abnormal: sheets of blasts. Acute myeloid "
    "leukemia.</answer>",
    "wrong": "<think>Many large cells.</think><answer>Adequate smear, spicules. Normal, maturing cells. No malignancy.</answer>",
}
NO_MATCH = -0.5  # Dr-LLaVA's points: 1 for the right category, 0 for another, this for none
WORDLESS = ("yes", "no", "none")  # names of categories that are no words to look for in a text


@dataclass(frozen=True)
class Graph:
    """`attributes`: name -> the words of its categories, in order; `conditions`: name -> category by attribute."""

    attributes: dict[str, Vocabulary]
    conditions: dict[str, dict[str, str]]

    def agree(self, first: tuple[str, str], second: tuple[str, str]) -> bool:
        """Whether some condition has both (attribute, category)."""
        return any(first in held.items() and second in held.items() for held in self.conditions.values())


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | Mapping[str, Any] | None,
    extra_info: Mapping[str, Any] | None = None,
    graph: str = "rewards/knowledge/heme.yaml",
    consistency: float = 1.0,
) -> dict[str, float]:
    """Dr-LLaVA's reward on one reply, moved and scaled to [0, 1]: 0.0 states nothing, 1.0 is right in every attribute.

    Points: 1 for each attribute stated right, 0 for another category, -0.5 for none or for several; and `consistency` for
    each two attributes in a row that occur together in some condition, whatever the truth. A reply is free text, read by
    the graph's words (whole, not denied), or JSON of attribute to category. `ground_truth`: a condition, or a category by
    attribute (or its JSON); an attribute of None is not judged, None alone judges consistency only. Raises ValueError for
    a name the graph lacks. Source: arXiv 2405.19567 and its released reward model; its term for length is left out.

    >>> wrong = compute_score("x", "<answer>Adequate, spicules, abnormal, blasts, no malignancy</answer>", "normal")
    >>> {name: round(value, 2) for name, value in wrong.items()}
    {'score': 0.74, 'correct': 0.6, 'consistent': 0.75, 'answered': 1.0}
    >>> compute_score("x", "<answer>I see cells</answer>", "AML")["score"]
    0.0
    """
    known = knowledge(graph, make_graph)
    right = _right(ground_truth, known)
    stated = _stated(read_text(solution_str), known)
    judged = [attribute for attribute in known.attributes if attribute in right]
    points = [NO_MATCH if stated[one] is None else float(stated[one] == right[one]) for one in judged]
    pairs = list(zip(stated.items(), list(stated.items())[1:]))
    agreeing = sum(one[1] is not None and two[1] is not None and known.agree(one, two) for one, two in pairs)
    lowest, highest = NO_MATCH * len(judged), len(judged) + consistency * len(pairs)
    score = (sum(points) + consistency * agreeing - lowest) / (highest - lowest) if highest > lowest else 0.0
    return {
        "score": score,
        "correct": sum(one == 1.0 for one in points) / len(judged) if judged else 0.0,
        "consistent": agreeing / len(pairs) if pairs else 0.0,
        "answered": float(any(category is not None for category in stated.values())),
    }


def make_graph(given: dict[str, Any]) -> Graph:
    """From the YAML's two sections. Raises ValueError for a condition with an attribute or category that is not listed."""
    attributes = {}
    for attribute, categories in mapping(given.get("attributes"), "attributes").items():
        listed = mapping(categories, f"attributes.{attribute}")
        ways = {name: [*([] if name in WORDLESS else [name]), *names_of(words)] for name, words in listed.items()}
        attributes[attribute] = make_vocabulary(ways)
    conditions = {}
    for condition, held in mapping(given.get("conditions"), "conditions").items():
        conditions[condition] = _checked(
            mapping(held, f"conditions.{condition}"), attributes, f"conditions.{condition}"
        )
    return Graph(attributes, conditions)


def _checked(held: dict[str, Any], attributes: Mapping[str, Vocabulary], place: str) -> dict[str, str]:
    """Category by attribute, those of None left out unless None is a category."""
    found = {}
    for attribute, value in held.items():
        category = name_of(value)
        if attribute in attributes and value is None and "none" not in attributes[attribute].names:
            continue
        if attribute not in attributes or category not in attributes[attribute].names:
            known = attributes[attribute].names if attribute in attributes else tuple(attributes)
            raise ValueError(f"{place}: {attribute}={value!r} is unknown, expected one of {', '.join(known)}.")
        found[attribute] = category
    return found


def _right(ground_truth: object, graph: Graph) -> dict[str, str]:
    given = ground_truth
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = json.loads(given)
        except ValueError:
            raise ValueError(f"ground_truth {ground_truth!r} starts like JSON and is none. Correct the row.") from None
    if isinstance(given, Mapping):
        return _checked(mapping(given, "ground_truth"), graph.attributes, "ground_truth")
    if given is None and "none" not in graph.conditions:
        return {}
    if name_of(given) not in graph.conditions:
        raise ValueError(
            f"ground_truth is {ground_truth!r}; expected one of the conditions {', '.join(graph.conditions)}."
        )
    return graph.conditions[name_of(given)]


def _stated(text: str | None, graph: Graph) -> dict[str, str | None]:
    """The one category a reply states of each attribute; None for none and for several."""
    if text is None:
        return dict.fromkeys(graph.attributes)
    try:
        value = parse_json(text)
    except JsonFault:
        value = None
    found = {}
    for attribute, words in graph.attributes.items():
        said = text if not isinstance(value, dict) else value.get(attribute, "")
        if isinstance(value, dict) and name_of(said) in words.names:
            found[attribute] = name_of(said)
            continue
        named = [name for name, status in find_terms(str(said), words).items() if status > 0]
        found[attribute] = named[0] if len(named) == 1 else None
    return found
