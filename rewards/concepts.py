"""Score the clinical concepts a reply names: a denied one is not named, and naming them all earns nothing."""

from collections.abc import Mapping
from typing import Any

from medrl.dialogue.answer_terms import Status, Vocabulary, find_terms, make_vocabulary, read_statements, says_none
from medrl.scoring.parts.knowledge import knowledge, mapping, name_of, names_of
from medrl.scoring.parts.sets import named_score, wanted_terms

EXAMPLE = {
    "ground_truth": '["Cardiomegaly", "Pleural Effusion"]',
    "extra_info": {"kind": "concepts"},
    "right": "<think>A wide heart.</think><answer>Enlarged heart with a small pleural effusion, no pneumothorax.</answer>",
    "wrong": "<think>A wide heart.</think><answer>Enlarged heart with consolidation, no effusion.</answer>",
}


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    vocabulary: str | Mapping[str, Any] = "rewards/knowledge/chest_xray.yaml",
) -> dict[str, float]:
    """F1 of the concepts named and wanted, times specificity (so that listing the whole vocabulary scores 0), in [0, 1].

    A concept is named when the text of the answer has one of its ways of writing as whole words and does not deny it; a
    doubtful one ("possible edema") is named. `vocabulary`: a YAML file, or a mapping, of concept to its other ways of
    writing, at the top or under `findings`. `ground_truth`: a list of concepts, a mapping to yes or no, the JSON of either,
    or names with commas between; where it is empty, 1.0 is for saying "none" or "normal", or for denying concepts alone.

    >>> compute_score("x", "<answer>No effusion, but pulmonary oedema</answer>", ["edema"])
    {'score': 1.0, 'f1': 1.0, 'answered': 1.0}
    >>> words = {"cyst": [], "mass": ["tumour"], "stone": []}
    >>> compute_score("x", "<answer>cyst, mass, stone</answer>", ["mass"], vocabulary=words)
    {'score': 0.0, 'f1': 0.5, 'answered': 1.0}
    """
    if isinstance(vocabulary, str):
        words = knowledge(vocabulary, make_words)
    else:
        words = make_words({name_of(name): ways for name, ways in vocabulary.items()})
    wanted = wanted_terms(ground_truth, words)
    text = read_statements(solution_str)
    said = {} if text is None else find_terms(text, words)
    if text is None or not (said or says_none(text)):
        return {"score": 0.0, "f1": 0.0, "answered": 0.0}
    named = [name for name, status in said.items() if status > Status.ABSENT]
    return {**named_score(named, wanted, words.names), "answered": 1.0}


def make_words(given: dict[str, Any]) -> Vocabulary:
    """From the YAML's mapping, the name of a concept being one of its ways of writing."""
    listed = mapping(given.get("findings", given), "findings")
    return make_vocabulary({name: [name, *names_of(ways)] for name, ways in listed.items()})
