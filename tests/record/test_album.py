"""Pictures kept beside a step's rollouts."""

import io
import random
import zipfile

import pytest
from PIL import Image

from medrl.record.album import name_of, own_name, own_picture, read_album, small_jpeg, thin, write_album


def noise(side_px):
    return Image.frombytes("RGB", (side_px, side_px), random.Random(side_px).randbytes(3 * side_px * side_px))


@pytest.mark.parametrize("most_bytes", [20_000, 6_000, 900])
def test_a_picture_is_made_to_fit_by_quality_and_then_by_size(most_bytes):
    data = small_jpeg(noise(300), 200, most_bytes)
    assert len(data) <= most_bytes
    assert max(Image.open(io.BytesIO(data)).size) <= 200


def test_a_plain_picture_keeps_its_size_and_the_colour_of_thin_lines():
    plain = Image.new("RGB", (112, 56), "grey")
    plain.paste((255, 0, 0), (40, 0, 42, 56))  # two pixels wide, as a mark is
    kept = Image.open(io.BytesIO(small_jpeg(plain, 320, 20_000)))
    assert kept.size == (112, 56)
    red, green, blue = kept.getpixel((40, 20))
    assert red > 220 and green < 60 and blue < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I", "1"])
def test_any_mode_of_picture_can_be_kept(mode):
    assert Image.open(io.BytesIO(small_jpeg(Image.new(mode, (40, 40)), 320, 9_000))).size == (40, 40)


def test_equal_pictures_make_equal_files_and_come_back_as_they_were(tmp_path):
    pictures = {name_of(data): data for data in (b"one", b"two", b"one")}
    assert len(pictures) == 2
    write_album(tmp_path / "a.zip", pictures)
    write_album(tmp_path / "b.zip", dict(reversed(pictures.items())))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert read_album(tmp_path / "a.zip") == pictures
    write_album(tmp_path / "a.zip", {})
    assert {path.name for path in tmp_path.iterdir()} == {"b.zip"}


def test_what_is_absent_damaged_or_not_ours_is_left_out(tmp_path):
    path = tmp_path / "step_000001.zip"
    assert read_album(path) == {}
    good = name_of(b"x")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as album:
        album.writestr(good, b"x")
        album.writestr("../../etc/passwd", b"x")
        album.writestr("a" * 16 + ".svg", b"x")
        album.writestr("b" * 16 + ".jpg", bytes(50_000_000))  # a bomb of 50 MB in 50 kB
    assert read_album(path) == {good: b"x"}
    path.write_bytes(path.read_bytes()[:40])
    assert read_album(path) == {}


def test_steps_between_evaluations_lose_their_pictures_once_a_newer_step_has_some(tmp_path):
    folder, evaluated = tmp_path / "rollouts", tmp_path / "eval"
    folder.mkdir(), evaluated.mkdir()
    (evaluated / "step_000003.json").write_text("{}")
    for step in range(1, 7):
        write_album(folder / f"step_{step:06d}.zip", {name_of(b"x"): b"x"})
        thin(folder, step, evaluated)
    assert sorted(int(path.stem[-6:]) for path in folder.iterdir()) == [1, 3, 6]


def test_a_picture_that_is_gone_costs_no_more_than_itself(tmp_path):
    assert own_picture({"path": "gone.png"}, tmp_path) is None
    assert own_name("images/0123456789abcdef.png") == "0123456789abcdef.jpg"
