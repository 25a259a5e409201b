"""The no-image baseline: a small classifier that reads question and candidate answers, and never the picture.

A conditional logit (McFadden 1974): each candidate gets a score linear in hashed features - the candidate itself, its
words, its place, and each of these crossed with the words of the question and with the other candidates - and the
softmax over one question's candidates is fitted to the right one by L-BFGS. For open answers the candidates are the
commonest answers of the training questions. A question's answer outside them counts as wrong.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from medrl.data.sample import Sample
from medrl.data.shortcuts import Score, answer_text, form_of, option_texts, plain_question
from medrl.data.splits import hashed_share

FEATURES = 2**17  # hashed: two features that share a place are a little noise
CANDIDATES = 32  # of open answers
FIT_ON_AT_MOST = 4000  # questions, drawn by hash
MAX_WORDS = 48  # of a question
STEPS = 60  # of L-BFGS
_WORD = re.compile(
    r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+"
)  # Chinese is written without blanks: its characters are words


def text_classifier(train: Sequence[Sample]) -> Score:
    """Fit on `train`, questions of one kind; the score is 1.0 where the likeliest candidate is right."""
    chosen = sorted(train, key=lambda sample: hashed_share(1, sample.id))[:FIT_ON_AT_MOST]
    choice = all(form_of(sample) == "choice" for sample in train)
    common = [text for text, _ in Counter(map(answer_text, train)).most_common(CANDIDATES)]

    def candidates(sample: Sample) -> list[str]:
        return list(option_texts(sample).values()) if choice else common

    fitted = [sample for sample in chosen if answer_text(sample) in candidates(sample)]
    weights = _fit(
        [_features(sample, candidates(sample), choice) for sample in fitted],
        [candidates(sample).index(answer_text(sample)) for sample in fitted],
    )

    def score(sample: Sample) -> float:
        texts = candidates(sample)
        if not texts:
            return 0.0
        liked = [float(weights[columns].sum()) for columns in _features(sample, texts, choice)]
        ranked = [(value, hashed_share(0, f"{sample.id}/{place}")) for place, value in enumerate(liked)]
        return float(texts[ranked.index(max(ranked))] == answer_text(sample))

    return score


def _fit(questions: list[list[np.ndarray]], right: list[int]) -> np.ndarray:
    """Weights (FEATURES,) of the penalised conditional logit. `questions`: for each its candidates' columns."""
    if not questions:
        return np.zeros(FEATURES)
    rows = [columns for candidates in questions for columns in candidates]
    sizes = np.array([len(candidates) for candidates in questions])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    indptr = np.concatenate([[0], np.cumsum([len(columns) for columns in rows])])
    indices = np.concatenate(rows)
    matrix = csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), FEATURES))
    used = np.unique(indices)  # the others stay 0
    matrix = matrix[:, used].tocsr()
    turned = matrix.T.tocsr()
    truth = np.zeros(len(rows))
    truth[starts + np.array(right)] = 1.0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = matrix @ weights  # (candidates of all questions,)
        scores -= np.repeat(np.maximum.reduceat(scores, starts), sizes)
        exponents = np.exp(scores)
        totals = np.add.reduceat(exponents, starts)
        shares = exponents / np.repeat(totals, sizes)
        value = np.log(totals).sum() - scores[truth > 0].sum() + 0.5 * weights @ weights
        return float(value), turned @ (shares - truth) + weights

    found = minimize(loss, np.zeros(len(used)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    weights = np.zeros(FEATURES)
    weights[used] = found.x
    return weights


def _features(sample: Sample, texts: list[str], choice: bool) -> list[np.ndarray]:
    """For each candidate the columns of its features, all of value 1."""
    question = np.unique([_code("q", word) for word in _WORD.findall(plain_question(sample))[:MAX_WORDS]]).astype(
        np.uint64
    )
    longest = max((len(text) for text in texts), default=0)
    found = []
    for place, text in enumerate(texts):
        own = [_code("a", text), *(_code("w", word) for word in set(_WORD.findall(text)))]
        plain = list(own)
        context = question
        if choice:
            plain += [_code("place", str(place)), *([_code("longest", "")] if len(text) == longest else [])]
            others = [_code("other", other) for other in texts if other != text]
            context = np.concatenate([question, np.array(others, dtype=np.uint64)])
        crossed = _crossed(np.array(own, dtype=np.uint64), context)
        found.append(np.unique(np.concatenate([np.array(plain, dtype=np.uint64) % FEATURES, crossed])).astype(np.int32))
    return found


def _crossed(own: np.ndarray, context: np.ndarray) -> np.ndarray:
    """The columns of all pairs of two lists of codes; the products wrap around 2**64 as hashes do."""
    pairs = own[:, None] * np.uint64(0x9E3779B97F4A7C15) ^ context[None, :] * np.uint64(0xC2B2AE3D27D4EB4F)
    column: np.ndarray = (pairs.ravel() >> np.uint64(29)) % np.uint64(FEATURES)
    return column


@lru_cache(maxsize=100_000)
def _code(role: str, text: str) -> int:
    return zlib.crc32(f"{role}\x00{text}".encode()) + 1
