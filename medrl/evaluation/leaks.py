"""What of one split stands in another: pictures and copies of them, patients, studies, whole questions, contradictions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medrl.data.duplicates import Copy, count_levels, find_copies
from medrl.data.fingerprints import Fingerprint, Key, keys_of
from medrl.data.sample import Sample
from medrl.data.shortcuts import answer_text, option_texts, plain_question
from medrl.data.splits import images_of, overlap

COPY_WORDS = {"bytes": "the same file", "pixels": "the same pixels", "near": "resized or re-encoded"}

Prints = Mapping[Key, Fingerprint]
Asked = tuple[tuple[str, ...], str, tuple[str, ...]]  # pictures by their pixels, question, options


@dataclass(frozen=True)
class Twins:
    """A picture of the second split and its copy in the first, with the names and questions to show."""

    copy: Copy
    first: Fingerprint
    second: Fingerprint
    first_name: str
    second_name: str


@dataclass(frozen=True)
class Leak:
    """How much of `second` (held out) is known from `first`. Pictures are counted once, however many questions they have."""

    first: str
    second: str
    pictures: int  # distinct, of the second split
    levels: dict[str, int]  # how many of them are in the first: by bytes, pixels, near
    twins: list[Twins]
    questions: int  # of the second split that show such a picture
    same_names: int  # image ids, or paths, on both sides
    patients: int
    studies: int
    repeated: int  # questions of the second with picture, words and answer as in the first
    contradicted: int  # pairs of picture and question that the two answer differently

    @property
    def copies(self) -> int:
        """Pictures of the second split that are in the first, in whatever way."""
        return sum(self.levels.values())


def find_leak(
    first: Sequence[Sample], second: Sequence[Sample], prints: Prints, names: tuple[str, str] = ("train", "val")
) -> Leak:
    """Compare two splits. Pictures that could not be read are left out."""
    pictures_a, pictures_b = (distinct_pictures(side, prints) for side in (first, second))
    copies = find_copies([one for one, _ in pictures_a], [one for one, _ in pictures_b])
    leaked = {pictures_b[copy.index][0].pixels_sha256 for copy in copies}
    shared = overlap(first, second)
    asked_a, asked_b = answers_by_question(first, prints), answers_by_question(second, prints)
    return Leak(
        *names,
        len(pictures_b),
        count_levels(copies),
        [Twins(copy, *_pair(pictures_a[copy.other], pictures_b[copy.index])) for copy in copies],
        sum(bool(leaked & set(_pixels(sample, prints))) for sample in second),
        len(shared["images"]),
        len(shared["patients"]),
        len(shared["studies"]),
        sum(answer_text(sample) in asked_a.get(asked(sample, prints), ()) for sample in second),
        sum(bool(answers - asked_a[key]) for key, answers in asked_b.items() if key in asked_a),
    )


def contradictions(samples: Iterable[Sample], prints: Prints) -> int:
    """How many times one split answers the same question on the same picture in more than one way."""
    return sum(len(answers) > 1 for answers in answers_by_question(samples, prints).values())


def answers_by_question(samples: Iterable[Sample], prints: Prints) -> dict[Asked, set[str]]:
    """The different answers that each question on the same pictures was given."""
    found: defaultdict[Asked, set[str]] = defaultdict(set)
    for sample in samples:
        found[asked(sample, prints)].add(answer_text(sample))
    return dict(found)


def asked(sample: Sample, prints: Prints) -> Asked:
    """What a sample asks: a different set of options is a different question, a different order is not."""
    return tuple(_pixels(sample, prints)), plain_question(sample), tuple(sorted(option_texts(sample).values()))


def distinct_pictures(samples: Iterable[Sample], prints: Prints) -> list[tuple[Fingerprint, str]]:
    """Every picture once (by its pixels), with a name for readers: its id, else its path, else its sample."""
    found: dict[str, tuple[Fingerprint, str]] = {}
    for sample in samples:
        ids = images_of(sample)
        for place, key in enumerate(keys_of(sample)):
            if (one := prints.get(key)) is not None and one.pixels_sha256 not in found:
                name = ids[place] if place < len(ids) else key[1] if key[0] == "path" else sample.id
                found[one.pixels_sha256] = one, name
    return list(found.values())


def _pixels(sample: Sample, prints: Prints) -> list[str]:
    """The pictures of a sample by their pixels; one that could not be read by its own name, so that it equals no other."""
    return [prints[key].pixels_sha256 if key in prints else "/".join(key) for key in keys_of(sample)]


def _pair(a: tuple[Fingerprint, str], b: tuple[Fingerprint, str]) -> tuple[Fingerprint, Fingerprint, str, str]:
    return a[0], b[0], a[1], b[1]
