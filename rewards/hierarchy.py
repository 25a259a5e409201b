"""Score findings in a tree: what is near the truth earns part, and a child without its parent costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medrl.dialogue.answer_terms import Status, Vocabulary, find_terms, make_vocabulary, read_statements, says_none
from medrl.scoring.parts.knowledge import knowledge, mapping, names_of
from medrl.scoring.parts.sets import named_score, wanted_terms

EXAMPLE = {
    "ground_truth": ["pneumonia"],
    "extra_info": {"kind": "findings"},
    "right": '<think>Air bronchograms.</think><answer>{"lung opacity": "yes", "consolidation": "yes", "pneumonia": "yes"}</answer>',
    "wrong": '<think>Air bronchograms.</think><answer>{"lung opacity": "yes", "edema": "yes"}</answer>',
}


@dataclass(frozen=True)
class Tree:
    """`above`: each finding's ancestors, the nearest first."""

    words: Vocabulary
    above: dict[str, tuple[str, ...]]

    def closed(self, names: list[str]) -> set[str]:
        """The findings and all their ancestors."""
        return {*names, *(parent for name in names for parent in self.above[name])}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    tree: str = "rewards/knowledge/chest_tree.yaml",
    penalty: float = 0.5,
) -> dict[str, float]:
    """Hierarchical F1 x specificity x (1 - `penalty` x share of contradicted findings), in [0, 1].

    Hierarchical F1 compares the findings and their ancestors (Kiritchenko 2006), so the right branch earns part; an
    ancestor the reply denies is not added. A finding is contradicted when the reply asserts it and denies an ancestor, as
    Rad-ReStruct and HiCA-VQA check their levels; `consistent` is the share that is not. A reply is free text, a list of
    names, or JSON of finding to yes or no. `ground_truth`: as in concepts.py; ancestors need not be listed.

    >>> round(compute_score("x", "<answer>Consolidation.</answer>", ["pneumonia"])["score"], 2)
    0.8
    >>> compute_score("x", '<answer>{"lung opacity": "no", "consolidation": "yes"}</answer>', "consolidation")
    {'score': 0.3333333333333333, 'f1': 0.6666666666666666, 'consistent': 0.0, 'answered': 1.0}
    """
    known = knowledge(tree, make_tree)
    wanted = known.closed(wanted_terms(ground_truth, known.words))
    text = read_statements(solution_str)
    said = {} if text is None else find_terms(text, known.words)
    if text is None or not (said or says_none(text)):
        return {"score": 0.0, "f1": 0.0, "consistent": 1.0, "answered": 0.0}
    denied = {name for name, status in said.items() if status == Status.ABSENT}
    asserted = [name for name in said if name not in denied]
    consistent = [name for name in asserted if not denied.intersection(known.above[name])]
    share = len(consistent) / len(asserted) if asserted else 1.0
    compared = named_score(known.closed(asserted) - denied, wanted, known.words.names)
    score = compared["score"] * (1 - penalty * (1 - share))
    return {"score": score, "f1": compared["f1"], "consistent": share, "answered": 1.0}


def make_tree(given: dict[str, Any]) -> Tree:
    """From the YAML's `tree` and `synonyms`. Raises ValueError for a finding that stands twice, or a stray synonym."""
    above = {}
    for name, parents in _branches(given.get("tree"), ()):
        if name in above:
            raise ValueError(
                f"tree: {name!r} stands in two places. A finding has one parent; give one of them another name."
            )
        above[name] = parents
    ways = {name: [name] for name in above}
    for name, others in mapping(given.get("synonyms") or {}, "synonyms").items():
        if name not in ways:
            raise ValueError(f"synonyms: {name!r} is not in the tree.")
        ways[name] += names_of(others)
    return Tree(make_vocabulary(ways), above)


def _branches(given: Any, parents: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, below in mapping(given, f"tree below {parents[0] if parents else 'the top'}").items():
        yield name, parents
        if below is not None:
            yield from _branches(below, (name, *parents))
