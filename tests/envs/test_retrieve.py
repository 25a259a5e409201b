"""The search: the best documents first, as many as allowed, the same every time, and none from outside the corpus."""

import json
import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scenes import Playing, encoded, sample_of

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.rollout.check_env import check_env
from medrl.rollout.confirmed import looks
from medrl.rollout.env import ActionError

PLUGIN = load_plugin("envs/retrieve.py:RetrieveEnv", "Env")
RetrieveEnv = PLUGIN.target
TEXTS = {
    "pneumonia": "Consolidation with air bronchograms suggests pneumonia of the lobe.",
    "effusion": "Blunting of the costophrenic angle suggests a pleural effusion.",
    "fracture": "A lucent line through the cortex suggests a fracture of the bone.",
    "oedema": "Kerley lines and a large heart suggest oedema; effusion is common.",
}


def picture(seed, size=(48, 40)):
    blocks = np.random.default_rng(seed).integers(0, 255, (5, 6), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).convert("RGB")


@pytest.fixture
def corpus(tmp_path):
    """A line per text, the last three with a picture."""
    (tmp_path / "pictures").mkdir()
    lines = []
    for number, (name, text) in enumerate(TEXTS.items()):
        row = {"id": name, "text": text}
        if number:
            picture(number).save(tmp_path / "pictures" / f"{name}.png")
            row["image"] = f"pictures/{name}.png"
        lines.append(json.dumps(row))
    (tmp_path / "library.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "library.jsonl"


@pytest.fixture
def playing(corpus):
    return Playing(RetrieveEnv(str(corpus)), sample_of(encoded(picture(2, (300, 200)))))


def test_the_text_that_answers_comes_first_with_its_picture(playing):
    seen = playing.act("search", query="blunted costophrenic angle")
    assert seen.text.splitlines() == ["The image belongs to effusion.", f"[1] effusion: {TEXTS['effusion']}"]
    assert np.array_equal(np.asarray(seen.images[0]), np.asarray(picture(1)))
    assert seen.confirmed == {"tool": "search", "query": "blunted costophrenic angle", "documents": ["effusion"]}
    assert playing.scene.shown[-1].source == 1 + 1  # none of the question's own pictures
    assert playing.scene.shown[-1].box_px_original == (0, 0, 48, 40)


def test_rare_words_weigh_more_and_the_rest_follow(playing):
    assert playing.act("search", query="suggests effusion").confirmed["documents"][0] == "effusion"
    assert playing.act("search", query="effusion Kerley").confirmed["documents"] == ["oedema", "effusion"]


def test_a_picture_finds_its_like_and_both_together_what_is_good_in_both(playing):
    assert playing.act("search", query="", image=0, top_k=1).confirmed["documents"] == ["fracture"]
    both = playing.act("search", query="effusion", image=0, top_k=3).confirmed
    assert both["image"] == 0 and both["documents"][0] == "effusion" and "fracture" in both["documents"]


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_never_more_than_asked_for(playing, top_k):
    found = playing.act("search", query="suggests a pleural effusion fracture pneumonia Kerley", top_k=top_k).confirmed
    assert len(found["documents"]) == min(top_k, 4)


@pytest.mark.parametrize(
    "given",
    [{"top_k": 0}, {"top_k": 6}, {"top_k": True}, {"top_k": "2"}, {"top_k": 10**400}, {"query": None}, {"query": ["a"]},
     {"query": "x" * 501}, {"image": 1}, {"image": None}, {"image": -1}],
)  # fmt: skip
def test_what_cannot_be_searched_is_told(playing, given):
    with pytest.raises(ActionError):
        playing.act("search", **{"query": "effusion", **given})


def test_nothing_found_says_so_and_is_no_look(playing):
    actions = [playing.act("search", query=query).confirmed for query in ("zebra", "effusion", "costophrenic effusion")]
    assert actions[0]["documents"] == [] and actions[2]["documents"][0] == "effusion"
    found = looks({"actions": [*actions, actions[1]], "image_sizes": [[300, 200]]})
    assert [one["query"] for one in found] == ["effusion"]  # the third brings no document that is new


def test_ties_are_in_the_order_of_the_corpus(tmp_path):
    (tmp_path / "same.jsonl").write_text("\n".join(json.dumps({"id": str(n), "text": "bone scan"}) for n in range(50)))
    env = RetrieveEnv(str(tmp_path / "same.jsonl"), top_k=5)
    assert Playing(env, sample_of(encoded(picture(0)))).act("search", query="bone").confirmed["documents"] == list(
        "01234"
    )


def test_a_folder_is_a_corpus_too(tmp_path):
    (tmp_path / "chest").mkdir()
    (tmp_path / "chest" / "effusion.md").write_text(TEXTS["effusion"])
    picture(1).save(tmp_path / "chest" / "effusion.png")
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    (tmp_path / "ignored.csv").write_text("effusion")
    playing = Playing(RetrieveEnv(str(tmp_path)), sample_of(encoded(picture(0))))
    seen = playing.act("search", query="effusion")
    assert seen.confirmed["documents"] == ["chest/effusion"] and len(seen.images) == 1


def test_a_function_of_the_user_s_may_embed_pictures(corpus, tmp_path):
    (tmp_path / "mine.py").write_text("def brightness(image):\n    return [image.getpixel((0, 0))[0], 255]\n")
    env = RetrieveEnv(str(corpus), embed=f"{tmp_path / 'mine.py'}:brightness")
    first = {name: picture(number).getpixel((0, 0))[0] for number, name in enumerate(TEXTS) if number}
    asked = Image.new("RGB", (30, 30), (first["oedema"],) * 3)
    found = Playing(env, sample_of(encoded(asked))).act("search", query="", image=0, top_k=1)
    assert found.confirmed["documents"] == ["oedema"]


def test_text_is_cut_and_on_one_line(tmp_path):
    (tmp_path / "odd.txt").write_text("effusion\n\nand " + "long " * 500)
    seen = Playing(RetrieveEnv(str(tmp_path), characters=100), sample_of(encoded(picture(0)))).act(
        "search", query="effusion"
    )
    assert len(seen.text) < 130 and "\n" not in seen.text


def test_the_index_is_built_once_per_process(corpus):
    make = pickle.loads(pickle.dumps(partial(RetrieveEnv, str(corpus))))
    assert make().index is make().index is RetrieveEnv(str(corpus)).index


def test_it_keeps_its_promises(corpus):
    assert check_env(partial(RetrieveEnv, str(corpus))).faults == []


@pytest.mark.parametrize(
    "line, told",
    [
        ('{"text": 3}', "line 2: expected an object with `text`"), ("{", "line 2: not JSON"), ("[]", "line 2: expected"),
        ('{"text": "a", "image": "../secret.png"}', "outside its root"), ('{"image": "/etc/passwd"}', "outside its root"),
        ('{"text": "a", "image": "gone.png"}', "no such file"), ('{"image": "thin.png"}', "no model takes that"),
    ],
)  # fmt: skip
def test_a_corpus_that_is_no_good_is_told_by_its_line(tmp_path, line, told):
    picture(0).save(tmp_path.parent / "secret.png")
    Image.new("L", (1, 300)).save(tmp_path / "thin.png")
    (tmp_path / "library.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(MedrlError, match=told):
        RetrieveEnv(str(tmp_path / "library.jsonl"))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.txt").write_text("effusion")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(MedrlError, match="outside its root"):
        RetrieveEnv(str(tmp_path / "library"))


def test_no_corpus_is_told(tmp_path):
    with pytest.raises(MedrlError, match="no such file or folder"):
        RetrieveEnv(str(tmp_path / "gone"))
    with pytest.raises(MedrlError, match="holds no document"):
        RetrieveEnv(str(tmp_path))
    with pytest.raises(MedrlError, match="expected 1 <= top_k <= most"):
        RetrieveEnv(str(tmp_path), top_k=9)
