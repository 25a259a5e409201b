"""Splits keep patients and images apart, and stay put when data is added."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.data.sample import make_sample
from medrl.data.splits import assign, hashed_share, overlap, split_of
from medrl.errors import MedrlError

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
NOTHING = {"images": [], "patients": [], "studies": []}


def sample(name, image=None, patient=None, source=None):
    return make_sample(
        id=str(name),
        data_source="t",
        question="Is it?",
        images=[source or {"path": f"{name}.png"}],
        ground_truth="no",
        kind="yes_no",
        split="published",
        image_id=image,
        patient_id=patient,
    )


def where(splits):
    return {one.id: name for name, samples in splits.items() for one in samples}


def disjoint(splits, **options):
    names = list(splits)
    return all(
        overlap(splits[one], splits[other], **options) == NOTHING for one in names for other in names if one != other
    )


def some(n=300):
    """Two images a patient, two questions an image."""
    return [sample(number, image=f"i{number // 2}", patient=f"p{number // 4}") for number in range(n)]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 8))), min_size=1, max_size=40),
    st.integers(0, 5),
)
def test_no_image_and_no_patient_is_on_two_sides(records, seed):
    # images shared by patients and patients with several images: groups chain through both
    samples = [sample(number, image=f"i{image}", patient=patient) for number, (image, patient) in enumerate(records)]
    splits = assign(samples, FRACTIONS, seed=seed)
    assert disjoint(splits)
    assert sorted(where(splits)) == sorted(one.id for one in samples)  # nobody is lost or doubled


def test_chain_of_patient_image_patient_stays_together():
    chain = [sample("a", "i1", "p1"), sample("b", "i1", "p2"), sample("c", "i2", "p2"), sample("d", "i2", "p3")]
    for seed in range(20):
        assert len(set(where(assign(chain, FRACTIONS, seed=seed)).values())) == 1


def test_shares_are_about_as_asked_and_the_seed_moves_samples():
    samples = [sample(number, image=f"i{number}") for number in range(3000)]
    splits = assign(samples, FRACTIONS)
    assert {name: round(len(part) / 3000, 1) for name, part in splits.items()} == FRACTIONS
    assert where(splits) != where(assign(samples, FRACTIONS, seed=1))


def test_order_does_not_matter():
    samples = some()
    random.Random(0).shuffle(samples)
    assert where(assign(samples, FRACTIONS)) == where(assign(samples[::-1], FRACTIONS))


def test_old_samples_stay_where_they_were_when_new_ones_are_added():
    # one image each, several per patient: new patients, and new images of old patients, tie no two groups together
    old = [sample(number, image=f"i{number:03}", patient=f"p{number % 40:02}") for number in range(200, 400)]
    new = [sample(number, image=f"i{number:03}", patient=f"p{number % 60:02}") for number in range(200)]
    before, after = where(assign(old, FRACTIONS)), where(assign([*new, *old], FRACTIONS))
    assert {name: after[name] for name in before} == before
    assert len(set(before.values())) == 3


def test_new_image_with_an_earlier_name_does_not_rename_its_group():
    # named by its first image, patient p's group would move when image "a" arrives
    for seed in range(20):
        old = assign([sample("1", "z", "p")], FRACTIONS, seed=seed)
        both = assign([sample("0", "a", "p"), sample("1", "z", "p")], FRACTIONS, seed=seed)
        assert where(old)["1"] == where(both)["1"] == where(both)["0"]


def test_same_bytes_under_two_names_are_one_image_on_request(tmp_path):
    (tmp_path / "a.png").write_bytes(b"pixels")
    (tmp_path / "b.png").write_bytes(b"pixels")
    twins = [sample("a", "a"), sample("b", "b"), sample("c", "c", source={"bytes": b"pixels"})]
    apart = [len(set(where(assign(twins, FRACTIONS, seed=seed)).values())) for seed in range(20)]
    assert max(apart) > 1  # by name they part
    for seed in range(20):
        splits = assign(twins, FRACTIONS, seed=seed, image_bytes=True, root=tmp_path)
        assert len(set(where(splits).values())) == 1
    assert overlap(twins[:1], twins[1:]) == NOTHING
    assert overlap(twins[:1], twins[1:], image_bytes=True, root=tmp_path) == {**NOTHING, "images": ["a"]}


def test_images_without_an_id_are_known_by_path_or_content():
    by_path = [sample("1", source={"path": "x.png"}), sample("2", source={"path": "x.png"})]
    by_bytes = [sample("3", source={"bytes": b"x"}), sample("4", source={"bytes": b"x"})]
    for pair in (by_path, by_bytes):
        assert len(overlap(pair[:1], pair[1:])["images"]) == 1
        assert len(set(where(assign(pair, FRACTIONS, seed=3)).values())) == 1


def test_split_name_is_written_into_the_sample():
    for name, samples in assign(some(), FRACTIONS).items():
        assert {one.extra_info["split"] for one in samples} == {name}


def test_overlap_names_what_is_shared():
    a = [sample(1, "i1", "p1"), sample(2, "i2", "p2")]
    b = [sample(3, "i2", "p3"), sample(4, "i4", "p1")]
    assert overlap(a, b) == {**NOTHING, "images": ["i2"], "patients": ["p1"]}


@pytest.mark.parametrize(
    "fractions", [{}, {"train": 0.5, "test": 0.6}, {"train": 1.0, "test": 0.0}, {"train": 1.5, "test": -0.5}]
)
def test_fractions_that_do_not_add_up_are_an_error(fractions):
    with pytest.raises(MedrlError, match="expected positive shares that add up to 1"):
        assign(some(10), fractions)


def test_hash_is_pinned_so_that_published_splits_can_be_rebuilt():
    assert [round(hashed_share(seed, "dsb2018/a"), 6) for seed in (0, 1)] == [0.412584, 0.685314]
    assert split_of("x", {"only": 1.0}) == "only"


def test_missing_file_is_an_error_not_a_different_image(tmp_path):
    with pytest.raises(MedrlError, match=r"image a.png: .*its bytes are needed to compare images"):
        assign([sample("a", "a")], FRACTIONS, image_bytes=True, root=tmp_path)


def test_a_study_ties_and_is_numbered_anew_for_every_patient():
    def of(number, study, patient=None):
        extra = {"study_id": study} | ({"patient_id": patient} if patient else {})
        return make_sample(id=str(number), data_source="t", question="?", images=[], ground_truth="a", kind="open_short",
                           split="", **extra)  # fmt: skip

    same, other = [of(1, "s1"), of(2, "s1")], [of(3, 1, "p1"), of(4, 1, "p2")]
    assert overlap(same[:1], same[1:]) == {**NOTHING, "studies": ["s1"]}
    assert overlap(other[:1], other[1:]) == NOTHING
    for seed in range(20):
        assert len(set(where(assign(same, FRACTIONS, seed=seed)).values())) == 1
    assert any(len(set(where(assign(other, FRACTIONS, seed=seed)).values())) == 2 for seed in range(20))
