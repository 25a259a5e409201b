"""Score a radiology report by its findings and its words, without a model: medrl's lexicon scorer, no CheXbert."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medrl.dialogue.answer_terms import Status, Vocabulary, find_terms, make_vocabulary, read_statements, words_of
from medrl.scoring.parts.knowledge import knowledge, mapping, names_of
from medrl.scoring.parts.rouge import rouge_l
from medrl.scoring.parts.sets import f1, graded_score

EXAMPLE = {
    "ground_truth": "The heart is enlarged. Small left pleural effusion. No pneumothorax or consolidation.",
    "extra_info": {"kind": "report"},
    "right": "<think>Heart over half the chest.</think><answer>Cardiomegaly with a small left pleural effusion. No pneumothorax."
    "</answer>",
    "wrong": "<think>Heart over half the chest.</think><answer>The heart is enlarged. Right pneumothorax. No pleural effusion."
    "</answer>",
}
NORMAL = "no finding"
DEGREE = {Status.PRESENT: 1.0, Status.UNCERTAIN: 0.5}


@dataclass(frozen=True)
class Lexicon:
    """`words`: of the findings and of NORMAL; `diseases`: the findings that no normal picture shows."""

    words: Vocabulary
    diseases: frozenset[str]


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    lexicon: str = "rewards/knowledge/chest_xray.yaml",
    text: float = 0.2,
) -> dict[str, float]:
    """(1 - `text`) x findings + `text` x ROUGE-L, in [0, 1]. `ground_truth`: the reference report.

    Findings: each of the lexicon's is present, uncertain or absent by what the report says of it, denials read; F1 of
    those present or uncertain, where one that is present here and uncertain there counts half, times specificity. A
    reference without disease wants a report that says so, or denies something and asserts nothing. Entries beside
    `score`: `findings`, `findings_f1` (without specificity), `absent_f1` (of those denied), `rouge_l`. The word list is
    short and the rules are English: it agrees with a trained labeller on plain sentences only, and compares no laterality,
    size or change. Use report_models.py where that matters. Labels: Irvin 2019 (CheXpert); ROUGE-L: Lin 2004.

    >>> reference = "Cardiomegaly. Possible small effusion. No pneumothorax."
    >>> found = compute_score("x", "<answer>Enlarged heart and pleural effusion.</answer>", reference)
    >>> found["findings"], found["absent_f1"]
    (0.75, 0.0)
    >>> compute_score("x", "<answer>The lungs are clear.</answer>", "No acute cardiopulmonary process.")["findings"]
    1.0
    """
    known = knowledge(lexicon, make_lexicon)
    reference = read_findings(ground_truth, known) if isinstance(ground_truth, str) else {}
    if not reference:
        raise ValueError(
            f"ground_truth {str(ground_truth)[:80]!r} speaks of none of the findings of {lexicon}; expected the text of a "
            "report on them. Add its words to the lexicon, or leave the row out."
        )
    report = read_statements(solution_str)
    said = {} if report is None else read_findings(report, known)
    if report is None or not said:
        return {"score": 0.0, "findings": 0.0, "findings_f1": 0.0, "absent_f1": 0.0, "rouge_l": 0.0, "answered": 0.0}
    found = graded_score(_degrees(said), _degrees(reference), known.words.names)
    denied, wanted = ({name for name, status in one.items() if status == Status.ABSENT} for one in (said, reference))
    overlap = rouge_l(_words(report), _words(ground_truth))
    return {
        "score": (1 - text) * found["score"] + text * overlap,
        "findings": found["score"],
        "findings_f1": found["f1"],
        "absent_f1": f1(len(denied & wanted), len(denied), len(wanted)),
        "rouge_l": overlap,
        "answered": 1.0,
    }


def read_findings(report: str, lexicon: Lexicon) -> dict[str, Status]:
    """What a report says of each finding; NORMAL where it has no disease and says so, or denies some. Empty: nothing."""
    said = find_terms(report, lexicon.words)
    normal = said.pop(NORMAL, Status.ABSENT) > Status.ABSENT
    diseased = any(status > Status.ABSENT for name, status in said.items() if name in lexicon.diseases)
    denies = any(name in lexicon.diseases for name in said)
    return {**said, NORMAL: Status.PRESENT} if not diseased and (normal or denies) else said


def make_lexicon(given: dict[str, Any]) -> Lexicon:
    """From the YAML's `findings`, `normal` and `not_diseases`."""
    findings = mapping(given.get("findings"), "findings")
    words = {name: [name, *names_of(ways)] for name, ways in findings.items()}
    words[NORMAL] = [NORMAL, *names_of(given.get("normal"))]
    return Lexicon(make_vocabulary(words), frozenset(findings) - frozenset(names_of(given.get("not_diseases"))))


def _degrees(said: Mapping[str, Status]) -> dict[str, float]:
    return {name: DEGREE[status] for name, status in said.items() if status in DEGREE}


def _words(report: str) -> list[str]:
    return [word for word in words_of(report) if word not in ".:?"]
