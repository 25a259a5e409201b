"""What answers a question without its picture: baselines fitted on one set of questions and tried on another.

Each is a rule counted from text and answers alone. Where one scores well, a test score does not show that a model
looks. Ties are broken by the hash of the question, so that a rule that knows nothing gets chance, not the place of "A".
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from medrl.data.options import split_options
from medrl.data.sample import Sample
from medrl.data.splits import hashed_share
from medrl.errors import MedrlError
from medrl.vision.boxes import iou, is_box
from medrl.vision.open import image_size

Score = Callable[[Sample], float]  # 1.0 where the rule's answer is right, 0.0 where not; IoU for a box
Fit = Callable[[Sequence[Sample]], Score]

MAX_ANSWER_CHARACTERS = 200  # a longer answer is a report, which no rule here repeats
CACHED = 50_000  # texts: every rule reads every question again
_EDGES = re.compile(r"^[\s\"'(]+|[\s.,;:!?\"')]+$")


@lru_cache(maxsize=CACHED)
def normalise(text: str) -> str:
    """Text as it is compared: case, runs of blanks and punctuation at the ends do not count.

    >>> normalise("  Chest  X-ray. ")
    'chest x-ray'
    """
    return _EDGES.sub("", " ".join(text.casefold().split()))


def form_of(sample: Sample) -> str | None:
    """How an answer can be guessed: `choice` among its options, `box`, `text`; None where it is none of these."""
    if sample.options and sample.ground_truth in sample.options:
        return "choice"
    if sample.ground_truth.lstrip()[:1] in ("[", "{"):
        return "box" if sample.kind == "box" and _box_of(sample) else None
    return "text" if len(sample.ground_truth) <= MAX_ANSWER_CHARACTERS else None


def baselines(form: str) -> dict[str, Fit]:
    """The rules for a form, by name, without the text classifier (`text_baseline.py`)."""
    return dict(_BASELINES[form])


def chance(samples: Sequence[Sample]) -> float | None:
    """What guessing blindly scores: one in the number of options, one half for yes or no; None for open answers."""
    if samples and all(form_of(sample) == "choice" for sample in samples):
        return sum(1 / len(sample.options or ()) for sample in samples) / len(samples)
    return 0.5 if samples and all(sample.kind == "yes_no" for sample in samples) else None


def shuffled_answers(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """The same questions with their answers dealt out anew: what a rule fitted on them still scores, it has by chance.

    A letter that a question does not have becomes one of its own letters.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    dealt = [samples[place].ground_truth for place in order]
    mixed = []
    for sample, answer in zip(samples, dealt):
        if sample.options and answer not in sample.options:
            letters = list(sample.options)
            answer = letters[int(hashed_share(seed, sample.id) * len(letters))]
        mixed.append(replace(sample, ground_truth=answer))
    return mixed


def option_prior(train: Sequence[Sample]) -> Score:
    """The option with the largest P(right | its text), counted on `train`; an option never seen has the mean share.

    With Med-R1's splits of OmniMedVQA this rule reaches 83 to 100 % inside a modality, where chance is 25 to 31.
    """
    shown: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sample in train:
        shown.update(option_texts(sample).values())
        right[answer_text(sample)] += 1
    mean = len(train) / max(shown.total(), 1)
    return _choose(lambda sample, letter, text: right[text] / shown[text] if shown[text] else mean)


def majority_option(train: Sequence[Sample]) -> Score:
    """The option whose text is right most often in `train`."""
    right = Counter(map(answer_text, train))
    return _choose(lambda sample, letter, text: right[text])


def answer_position(train: Sequence[Sample]) -> Score:
    """Always the place (first, second, …) that is right most often in `train`."""
    places = Counter(list(sample.options or ()).index(sample.ground_truth) for sample in train)
    return _choose(lambda sample, letter, text: places[list(sample.options or ()).index(letter)])


def longest_option(train: Sequence[Sample]) -> Score:
    """The longest option: careful authors qualify the right one. Nothing is fitted."""
    return _choose(lambda sample, letter, text: len(text))


def majority_answer(train: Sequence[Sample]) -> Score:
    """Always the commonest answer of `train`."""
    counts = Counter(map(answer_text, train))
    best = max(counts, key=lambda text: (counts[text], text), default="")
    return lambda sample: float(answer_text(sample) == best)


def question_prior(train: Sequence[Sample]) -> Score:
    """The commonest answer to the very same question in `train`; to a new question, the commonest of all."""
    overall = Counter(map(answer_text, train))
    by_question: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sample in train:
        by_question[plain_question(sample)][answer_text(sample)] += 1
    most = 1 + overall.total()

    def liking(sample: Sample, text: str) -> float:
        return by_question.get(plain_question(sample), Counter())[text] + overall[text] / most

    if all(form_of(sample) == "choice" for sample in train):
        return _choose(lambda sample, letter, text: liking(sample, text))
    common = max(overall, key=lambda text: (overall[text], text), default="")
    best = {
        question: max(counts, key=lambda text: (counts[text], overall[text], text))
        for question, counts in by_question.items()
    }
    return lambda sample: float(answer_text(sample) == best.get(plain_question(sample), common))


def mean_box(train: Sequence[Sample], size_of: Callable[[Sample], tuple[int, int] | None] | None = None) -> Score:
    """IoU of the mean box of `train`, in shares of the picture's sides, with each true box."""
    size_of = size_of or _stated_size
    shares = [
        np.array(box) / np.tile(size, 2)
        for sample in train
        if (box := _box_of(sample)) is not None and (size := size_of(sample)) is not None
    ]
    mean = np.mean(shares, axis=0) if shares else np.zeros(4)

    def score(sample: Sample) -> float:
        box, size = _box_of(sample), size_of(sample)
        return iou(tuple(mean * np.tile(size, 2)), box) if box is not None and size is not None else 0.0

    return score


def header_sizes(root: Path | None) -> Callable[[Sample], tuple[int, int] | None]:
    """Sizes in pixels as the data state them, else out of the file's header; None where it cannot be read."""

    def size_of(sample: Sample) -> tuple[int, int] | None:
        if (stated := _stated_size(sample)) is not None or not sample.images:
            return stated
        try:
            return image_size(sample.images[0], root)
        except MedrlError:
            return None

    return size_of


def plain_question(sample: Sample) -> str:
    """The question without the options behind it, normalised."""
    return _without_options(sample.question) if sample.options else normalise(sample.question)


def option_texts(sample: Sample) -> dict[str, str]:
    """Letter to normalised text; empty where there are no options."""
    return {letter: normalise(str(text)) for letter, text in (sample.options or {}).items()}


def answer_text(sample: Sample) -> str:
    """The true answer, normalised; of a choice the option's text, since the letters may be mixed."""
    options = sample.options or {}
    return normalise(str(options.get(sample.ground_truth, sample.ground_truth)))


def by_kind(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """The samples that a rule can be tried on, by (kind, form)."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if (form := form_of(sample)) is not None:
            groups.setdefault((sample.kind or "not stated", form), []).append(sample)
    return groups


@lru_cache(maxsize=CACHED)
def _without_options(question: str) -> str:
    parsed = split_options(question)
    return normalise(parsed[0] if parsed else question)


def _choose(liking: Callable[[Sample, str, str], float]) -> Score:
    """A rule that takes the option it likes best: `liking(sample, letter, normalised text)`."""

    def score(sample: Sample) -> float:
        texts = option_texts(sample)
        ranked: Mapping[str, tuple[float, float]] = {
            letter: (liking(sample, letter, text), hashed_share(0, f"{sample.id}/{letter}"))
            for letter, text in texts.items()
        }
        return float(max(ranked, key=lambda letter: ranked[letter]) == sample.ground_truth)

    return score


def _box_of(sample: Sample) -> tuple[float, ...] | None:
    try:
        box = json.loads(sample.ground_truth)
    except ValueError:
        return None
    return tuple(map(float, box)) if isinstance(box, list) and is_box(box) else None


def _stated_size(sample: Sample) -> tuple[int, int] | None:
    stated = sample.extra_info.get("image_size")
    return (int(stated[0]), int(stated[1])) if stated is not None and len(sample.images) == 1 else None


_BASELINES: dict[str, dict[str, Fit]] = {
    "choice": {
        "option prior": option_prior,
        "majority answer": majority_option,
        "question prior": question_prior,
        "answer position": answer_position,
        "longest option": longest_option,
    },
    "text": {"majority answer": majority_answer, "question prior": question_prior},
    "box": {"mean box": mean_box},
}
