"""Opening images: right pixels from every kind of file, and one clear error from every bad one."""

import io
import os
import random
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from medrl.errors import MedrlError
from medrl.vision.open import image_size, open_image, resolve_inside

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REAL_IMAGES = sorted(DATA.glob("bccd/**/*.jpg"))[:30] + sorted(DATA.glob("nih_cxr14/images/*.png"))


def encoded(image, image_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def grey16(values):
    return Image.fromarray(np.asarray(values, dtype=np.uint16))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height):
    """A PNG that declares its size and brings almost no pixels: what a decompression bomb looks like."""
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


# ---- the right pixels


@pytest.mark.skipif(not REAL_IMAGES, reason=f"no real images at {DATA}")
def test_real_images_open_alike_from_path_and_bytes():
    for path in REAL_IMAGES:
        from_path = open_image({"path": path.name}, root=path.parent)
        from_bytes = open_image({"bytes": path.read_bytes(), "path": None})
        assert from_path.mode == "RGB" and from_path.tobytes() == from_bytes.tobytes()
        assert from_path.size == image_size({"path": path.name, "bytes": None}, root=path.parent)
        assert np.asarray(from_path).std() > 5


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 200, (200, 200, 200)),
        ("LA", (200, 255), (200, 200, 200)),
        ("LA", (200, 0), (0, 0, 0)),
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (250, 250, 250, 0), (0, 0, 0)),  # PIL's convert("RGB") would show the hidden colour
        ("RGBA", (200, 100, 50, 128), (100, 50, 25)),
    ],
)
def test_png_modes_become_rgb(mode, colour, expected):
    opened = open_image({"bytes": encoded(Image.new(mode, (3, 2), colour))})
    assert opened.mode == "RGB" and opened.size == (3, 2)
    assert opened.getpixel((1, 1)) == pytest.approx(expected, abs=1)


def test_palette_with_and_without_transparency():
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 8, 7, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    plain = open_image({"bytes": encoded(palette)})
    assert [plain.getpixel((x, 0)) for x in range(2)] == [(9, 8, 7), (200, 100, 50)]
    clear = open_image({"bytes": encoded(palette, transparency=1)})
    assert [clear.getpixel((x, 0)) for x in range(2)] == [(9, 8, 7), (0, 0, 0)]


def test_a_transparent_colour_of_an_rgb_png_becomes_black():
    opened = open_image({"bytes": encoded(Image.new("RGB", (2, 2), (250, 0, 0)), transparency=(250, 0, 0))})
    assert opened.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
    ],
)
def test_cmyk_jpeg_becomes_rgb(ink, expected):
    opened = open_image({"bytes": encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)})
    assert opened.getpixel((8, 8)) == pytest.approx(expected, abs=3)


# ---- deep grey


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(image_format):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = encoded(grey16(ramp), image_format)
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    opened = np.asarray(open_image({"bytes": data}))
    assert (opened == np.rint(ramp / 257)[..., None]).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_scanners_depth_in_a_16_bit_file_fills_the_range(bits):
    ramp = np.linspace(0, 2**bits - 1, 1024).reshape(32, 32)
    opened = np.asarray(open_image({"bytes": encoded(grey16(ramp))}))[..., 0].ravel()
    assert opened[0] == 0 and opened[-1] == 255 and (np.diff(opened.astype(int)) >= 0).all()
    assert len(np.unique(opened)) == 256


def test_mode_i_and_signed_and_float_values_keep_their_order():
    hounsfield = np.array([[-1000, 0, 1000, 3000]], dtype=np.int32)
    opened = np.asarray(open_image({"bytes": encoded(Image.fromarray(hounsfield), "TIFF")}))[0, :, 0]
    assert opened.tolist() == [0, 64, 128, 255]
    deep = np.array([[0, 20_000, 65_535]], dtype=np.int32)  # mode I, what older PIL makes of a 16-bit PNG
    opened = np.asarray(open_image({"bytes": encoded(Image.fromarray(deep), "TIFF")}))[0, :, 0]
    assert opened.tolist() == [0, 78, 255]
    floats = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    opened = np.asarray(open_image({"bytes": encoded(Image.fromarray(floats), "TIFF")}))[0, :, 0]
    assert opened.tolist() == [0, 128, 255]


def test_a_big_endian_tiff_is_the_same_picture():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    big = Image.frombytes("I;16B", (8, 8), ramp.astype(">u2").tobytes())
    opened = np.asarray(open_image({"bytes": encoded(big, "TIFF")}))
    assert (opened == np.rint(ramp / 257)[..., None]).all()


@pytest.mark.parametrize("flat", [0, 255, 65535])
def test_a_flat_deep_image_divides_by_nothing(flat):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = np.asarray(open_image({"bytes": encoded(grey16(np.full((4, 4), flat)))}))
        flat_float = Image.fromarray(np.full((4, 4), 7.5, dtype=np.float32))
        assert np.asarray(open_image({"bytes": encoded(flat_float, "TIFF")})).max() == 0
    assert (opened == (0 if flat == 0 else 255)).all()


def test_a_white_is_zero_tiff_is_not_a_negative():
    ramp = np.array([[0, 65535]], dtype=np.uint16)
    for photometric, expected in [(0, [255, 0]), (1, [0, 255])]:
        data = encoded(grey16(ramp), "TIFF", tiffinfo={262: photometric})
        assert np.asarray(open_image({"bytes": data}))[0, :, 0].tolist() == expected


def test_nan_pixels_are_refused():
    nan = Image.fromarray(np.array([[0.0, np.nan]], dtype=np.float32))
    with pytest.raises(MedrlError, match="NaN"):
        open_image({"bytes": encoded(nan, "TIFF")})


# ---- orientation and metadata


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_and_its_size_agrees(image_format, orientation):
    stored = Image.new("RGB", (48, 32))
    stored.paste((255, 0, 0), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, image_format, exif=exif)
    opened = open_image({"bytes": data})
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert opened.tobytes() == upright.tobytes()
    assert image_size({"bytes": data}) == opened.size == ((48, 32) if orientation < 5 else (32, 48))
    assert ImageOps.exif_transpose(opened).size == opened.size  # nobody turns it twice


def test_a_broken_exif_block_costs_only_the_orientation():
    data = encoded(Image.new("RGB", (8, 4), (9, 9, 9)), "JPEG", exif=b"Exif\0\0garbage, no TIFF header")
    assert open_image({"bytes": data}).size == image_size({"bytes": data}) == (8, 4)


def test_no_metadata_leaves_the_reader():
    exif = Image.Exif()
    exif[0x010E] = "Doe^Jane 1960-01-01"
    data = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif, comment=b"Doe^Jane")
    opened = open_image({"bytes": data})
    assert opened.info == {} and not opened.getexif() and b"Doe" not in encoded(opened, "JPEG")


# ---- one clear error


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "JPEG2000", "PPM"])
def test_truncated_images_are_refused_never_half_grey(image_format):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, image_format)
    for kept in (0.95, 0.5, 0.1):
        with pytest.raises(MedrlError, match=r"bytes image \(\d+ bytes\)"):
            open_image({"bytes": data[: int(len(data) * kept)]})


@pytest.mark.skipif(not REAL_IMAGES, reason=f"no real images at {DATA}")
def test_damaged_bytes_give_an_image_or_a_medrl_error_nothing_else():
    rng = random.Random(3)
    small = [encoded(Image.open(path).resize((40, 30))) for path in REAL_IMAGES[:2]]
    for image_format in ("JPEG", "TIFF", "GIF"):
        small += [encoded(Image.open(path).resize((40, 30)), image_format) for path in REAL_IMAGES[:2]]
    refused = 0
    for _ in range(1500):
        data = bytearray(rng.choice(small))
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                opened = open_image({"bytes": bytes(data)})
            except MedrlError:
                refused += 1
            else:
                assert opened.mode == "RGB" and opened.size == image_size({"bytes": bytes(data)})
    assert 100 < refused < 1500


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "starts with b''"),
        (b"<html>404 Not Found</html>", "<html>"),
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PS-Adobe"),  # would run Ghostscript
    ],
)
def test_what_is_no_image_is_shown_by_its_first_bytes(data, found):
    for function in (open_image, image_size):
        with pytest.raises(MedrlError, match=found):
            function({"bytes": data})


@pytest.mark.parametrize("side", [9460, 20_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_from_its_header(side):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for function in (open_image, image_size):
            started = time.perf_counter()
            with pytest.raises(MedrlError, match=r"bytes image .*bomb"):
                function({"bytes": png_header(side, side)})
            assert time.perf_counter() - started < 0.5


def test_a_large_film_is_still_welcome():
    assert image_size({"bytes": png_header(6000, 5000)}) == (6000, 5000)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({}, "bytes' or 'path"),
        ({"bytes": None, "path": None}, "None"),
        ({"path": ""}, "path"),
        ({"path": 7}, "7"),
        ({"bytes": "aGVsbG8="}, "found str"),
        ({"bytes": [1, 2]}, "found list"),
        ("scan.png", "found str"),
        (None, "found NoneType"),
        ({"path": "https://example.org/scan.png"}, "URL"),
        ({"path": "file:///data/scan.png"}, "URL"),
    ],
)
def test_a_malformed_source_says_what_was_found(source, found):
    for function in (open_image, image_size):
        with pytest.raises(MedrlError, match=found):
            function(source)


@pytest.mark.parametrize("name", ["scan.dcm", "SCAN.DCM", "scan.dicom", "brain.nii", "brain.nii.gz"])
def test_dicom_and_nifti_are_announced_not_misread(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(MedrlError, match=r"(DICOM|NIfTI).*not read yet.*extra_info.raw"):
        open_image({"path": name}, root=tmp_path)


def test_dicom_is_known_by_its_magic(tmp_path):
    data = b"\0" * 128 + b"DICM" + b"\x02\0\0\0"
    (tmp_path / "IM0001").write_bytes(data)
    for source in ({"bytes": data}, {"path": "IM0001"}):
        with pytest.raises(MedrlError, match="DICOM"):
            image_size(source, root=tmp_path)


def test_a_missing_file_names_the_path_and_the_remedy(tmp_path):
    with pytest.raises(MedrlError, match=rf"{tmp_path}/images/7\.png: no such file.*root"):
        open_image({"path": "images/7.png"}, root=tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(MedrlError, match="not a file"):
        image_size({"path": "folder.png"}, root=tmp_path)


@pytest.mark.timeout(10)
def test_a_named_pipe_does_not_block_for_ever(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MedrlError, match="not a file"):
        open_image({"path": "pipe.png"}, root=tmp_path)


def test_pil_is_left_strict():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


# ---- paths


@pytest.fixture
def data_root(tmp_path):
    """A folder with a picture and links to secrets beside it, to a file and to a whole folder."""
    picture = encoded(Image.new("RGB", (4, 3), (1, 2, 3)))
    for folder in ("root/images", "outside", "root2"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("root/images/ok.png", "outside/secret.png", "root2/secret.png"):
        (tmp_path / file).write_bytes(picture)
    root = tmp_path / "root"
    (root / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / "inner.png").symlink_to(root / "images" / "ok.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    return root


@pytest.mark.parametrize("path", ["images/ok.png", "images/../inner.png", "inner.png", "{root}/inner.png"])
def test_paths_inside_the_root_open(data_root, path):
    source = {"path": path.format(root=data_root)}
    assert open_image(source, root=data_root).getpixel((0, 0)) == (1, 2, 3)
    assert image_size(source, root=data_root) == (4, 3)


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.png",
        "images/../../outside/secret.png",
        "{root}/../outside/secret.png",
        "{root}2/secret.png",  # the root's name is only a prefix
        "/etc/passwd",
        "link.png",
        "linked/secret.png",
        "images/../linked/secret.png",
        "../outside/missing.png",  # not even whether it exists is told
    ],
)
def test_no_path_escapes_its_root(data_root, path):
    source = {"path": path.format(root=data_root)}
    for function in (open_image, image_size):
        with pytest.raises(MedrlError, match="outside its root") as caught:
            function(source, root=data_root)
        assert repr(source["path"]) in str(caught.value) and str(data_root) in str(caught.value)


@pytest.mark.parametrize("path", ["loop.png", "a\0b.png", "x" * 5000])
def test_impossible_paths_are_medrl_errors(data_root, path):
    with pytest.raises(MedrlError, match="image"):
        open_image({"path": path}, root=data_root)


def test_without_a_root_paths_are_the_users_own(data_root, monkeypatch):
    monkeypatch.chdir(data_root)
    assert resolve_inside(None, "images/ok.png") == data_root / "images" / "ok.png"
    for path in ("images/ok.png", str(data_root / "images" / "ok.png"), "link.png"):
        assert image_size({"path": path}) == (4, 3)
    assert resolve_inside(Path(), "images/ok.png") == data_root / "images" / "ok.png"


# ---- speed (users_want 23: the length check must read headers only)


def test_image_size_never_decodes_pixels(monkeypatch):
    data = [encoded(Image.new("RGB", (30, 20)), fmt) for fmt in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")]

    def decode(*_args, **_kwargs):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    for one in data:
        assert image_size({"bytes": one}) == (30, 20)


@pytest.mark.skipif(not REAL_IMAGES, reason=f"no real images at {DATA}")
def test_image_size_reads_500_headers_a_second():
    sources = [{"path": path.name} for path in REAL_IMAGES if path.suffix == ".jpg"]
    root = REAL_IMAGES[0].parent
    image_size(sources[0], root)  # PIL imports its readers at the first call
    best_s = min(_seconds_to_measure(sources, root) for _ in range(3))
    assert len(sources) / best_s > 500


def _seconds_to_measure(sources, root):
    started = time.perf_counter()
    for source in sources:
        image_size(source, root)
    return time.perf_counter() - started
