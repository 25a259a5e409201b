"""Findings in a tree: hierarchical F1 by hand, and what a child without its parent costs."""

import pytest

from medrl.plugin import load_plugin

plugin = load_plugin("rewards/hierarchy.py", "compute_score")
TREE = """
tree:
  lung: {opacity: {pneumonia: , edema: }, nodule: }
  pleura: {effusion: , pneumothorax: }
synonyms: {edema: [oedema]}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "tree.yaml"
    path.write_text(TREE)
    return str(path)


def scored(answer, truth, tree, **kwargs):
    return plugin.target("x", f"<answer>{answer}</answer>", truth, None, tree=tree, **kwargs)


@pytest.mark.parametrize(
    "answer, shared, named, needless",  # wanted: pneumonia, opacity, lung (3 of 8)
    [
        ("pneumonia", 3, 3, 0),
        ("pneumonia, opacity of the lung", 3, 3, 0),
        ("opacity", 2, 2, 0),
        ("lung", 1, 1, 0),
        ("edema", 2, 3, 1),
        ("pneumonia and effusion", 3, 5, 2),
        ("effusion", 0, 2, 2),
        ("lung, opacity, pneumonia, edema, nodule, pleura, effusion, pneumothorax", 3, 8, 5),
    ],
)
def test_by_hand(tree, answer, shared, named, needless):
    found = scored(answer, ["pneumonia"], tree)
    assert found["f1"] == pytest.approx(2 * shared / (named + 3)) and found["consistent"] == 1.0
    assert found["score"] == pytest.approx(2 * shared / (named + 3) * (1 - needless / 5))


def test_a_denied_parent_costs(tree):
    whole = scored("pneumonia with opacity of the lung", "pneumonia", tree)
    silent = scored("pneumonia", "pneumonia", tree)
    denied = scored("No opacity. Pneumonia.", "pneumonia", tree)
    assert whole["score"] == silent["score"] == 1.0 and denied["consistent"] == 0.0
    assert denied["score"] == pytest.approx(
        2 * 2 / 5 * 0.5
    )  # lung and pneumonia of three; all that is asserted contradicts
    assert denied["score"] < scored("opacity", "pneumonia", tree)["score"]
    half = scored('{"lung": "no", "pneumonia": "yes", "effusion": "yes"}', ["pneumonia", "effusion"], tree)
    assert half["consistent"] == 0.5
    assert scored("No opacity. Pneumonia.", "pneumonia", tree, penalty=1.0)["score"] == 0.0


@pytest.mark.parametrize(
    "answer",
    [
        '{"lung": true, "opacity": "yes", "pneumonia": 1, "effusion": false}',
        '["pneumonia"]',
        '{"level 1": "lung", "level 3": "pneumonia"}',
    ],
)
def test_ways_of_answering(tree, answer):
    assert scored(answer, ["pneumonia"], tree)["score"] == 1.0


def test_nothing_to_find(tree):
    for answer in ("none", "normal", "no effusion, no opacity", '{"lung": "no"}', "[]"):
        assert scored(answer, [], tree) == {"score": 1.0, "f1": 1.0, "consistent": 1.0, "answered": 1.0}
    assert scored("effusion", [], tree)["score"] == 0.0
    for answer in ("", "hello", "I cannot tell"):
        assert scored(answer, [], tree)["score"] == scored(answer, [], tree)["answered"] == 0.0


@pytest.mark.parametrize(
    "text, told",
    [
        ("tree: {a: {b: }, c: {b: }}", "two places"),
        ("tree: {a: }\nsynonyms: {z: [y]}", "not in the tree"),
        ("tree: [a]", "a mapping"),
        ("tree: {a: b}", "below a"),
    ],
)
def test_a_faulty_tree_is_named(tmp_path, text, told):
    path = tmp_path / "faulty.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        scored("a", "a", str(path))


def test_the_shipped_tree():
    assert plugin.target("x", "<answer>rib fracture</answer>", "rib fracture")["score"] == 1.0
