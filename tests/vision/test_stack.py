"""Raw values: what was stored comes back in its unit, in the order and the orientation a reader expects, or is refused."""

import io
import os

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medrl.errors import MedrlError
from medrl.vision.open import open_image
from medrl.vision.stack import MAX_STACK_VALUES, open_stack, windowed


def dicom(pixels, **header):
    """The bytes of a DICOM file: (rows, columns) or (frames, rows, columns), uint16 or int16."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    made.PatientName, made.PatientID = "Doe^Jane", "12345"
    made.Modality, made.PhotometricInterpretation = "CT", "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.SamplesPerPixel, made.BitsAllocated, made.BitsStored, made.HighBit = 1, 16, 16, 15
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for name, value in header.items():
        setattr(made, name, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def encoded(image, image_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def ramp(*shape, dtype=np.uint16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


# ---- the window


@pytest.mark.parametrize("level, width", [(40, 400), (-600, 1500), (300, 1500), (50, 1), (0.5, 0.25)])
def test_a_window_is_the_formula(level, width):
    values = np.concatenate([np.linspace(-2000, 3000, 5001), np.linspace(0, 1, 101)])
    for value, grey in zip(values, windowed(values, level, width)):
        low, high = level - width / 2, level + width / 2
        wanted = 0.0 if value <= low else 255.0 if value > high else (value - low) / width * 255
        assert abs(grey - wanted) <= 0.5 + 1e-9, value


def test_no_value_is_black_and_the_largest_floats_do_not_overflow():
    values = np.array([np.nan, -np.inf, np.inf, 3e38, -3e38], dtype=np.float64)
    assert windowed(values, 40, 400).tolist() == [0, 0, 255, 255, 0]


# ---- DICOM


def test_dicom_values_are_hounsfield_units_with_the_spacing_of_the_header():
    stored = ramp(4, 6)
    header = {
        "RescaleSlope": 2,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.7, 0.5],
        "WindowCenter": [40, 1],
        "WindowWidth": [400, 2],
    }
    stack = open_stack({"bytes": dicom(stored, **header)})
    assert np.array_equal(stack.values(0), stored * 2.0 - 1024) and (len(stack), stack.size) == (1, (6, 4))
    assert (stack.unit, stack.spacing_mm, stack.window) == ("HU", (0.7, 0.5), (40, 400))
    assert np.array_equal(np.asarray(stack.picture(0))[..., 1], windowed(stored * 2.0 - 1024, 40, 400))


def test_signed_dicom_of_another_modality_has_no_unit_and_shows_all_it_has():
    stored = np.array([[-5, 0], [10, 15]], dtype=np.int16)
    stack = open_stack({"bytes": dicom(stored, Modality="MR")})
    assert np.array_equal(stack.values(0), stored) and stack.unit == "" and stack.spacing_mm is None
    assert np.asarray(stack.picture(0))[..., 0].tolist() == [[0, 64], [191, 255]]


def test_monochrome1_is_shown_inverted_and_measured_as_stored():
    stack = open_stack({"bytes": dicom(ramp(2, 2), PhotometricInterpretation="MONOCHROME1", Modality="CR")})
    assert stack.values(0)[0, 0] == 0 and np.asarray(stack.picture(0))[0, 0, 0] == 255


def test_frames_of_one_file_and_a_series_in_a_folder_come_in_the_order_of_the_body(tmp_path):
    volume = ramp(5, 3, 4)
    assert np.array_equal(open_stack({"bytes": dicom(volume)}).stored, volume)
    for number, place in enumerate([3, 0, 4, 1, 2]):  # in file order, which says nothing
        header = {
            "ImagePositionPatient": [0, 0, 2.5 * place],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "RescaleIntercept": place,
        }
        (tmp_path / f"{number}.dcm").write_bytes(dicom(volume[place], **header))
    (tmp_path / "notes.txt").write_text("not a slice")
    stack = open_stack({"path": tmp_path.name}, tmp_path.parent)
    assert len(stack) == 5
    for place in range(5):
        assert np.array_equal(stack.values(place), volume[place] + place)


def test_no_identifier_leaves_the_reader():
    stack = open_stack({"bytes": dicom(ramp(4, 4))})
    assert not any("Doe" in repr(value) or "12345" in repr(value) for value in vars(stack).values())
    assert stack.picture(0).info == {}


# ---- NIfTI


def nifti(path, volume, affine):
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    return {"path": path.name}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    "plane, spacing, wanted",
    [
        # the voxel (x, y, z) of a volume whose axes run to the right, the front and the head
        ("axial", (0.7, 0.5), lambda x, y, z: (z, 5 - 1 - y, 4 - 1 - x)),
        ("coronal", (3.0, 0.5), lambda x, y, z: (y, 6 - 1 - z, 4 - 1 - x)),
        ("sagittal", (3.0, 0.7), lambda x, y, z: (x, 6 - 1 - z, 5 - 1 - y)),
    ],
)
def test_nifti_is_laid_along_the_body(tmp_path, name, plane, spacing, wanted):
    volume = ramp(4, 5, 6, dtype=np.int16)
    stack = open_stack(nifti(tmp_path / name, volume, np.diag([0.5, 0.7, 3.0, 1])), tmp_path, plane)
    assert stack.spacing_mm == pytest.approx(spacing)
    for place in [(0, 0, 0), (3, 1, 2), (1, 4, 5)]:
        index, row, column = wanted(*place)
        assert stack.values(index)[row, column] == volume[place]


def test_a_volume_stored_the_other_way_round_gives_the_same_slices(tmp_path):
    volume = ramp(4, 5, 6, dtype=np.int16)
    affine = np.diag([0.5, 0.7, 3.0, 1])
    plain = open_stack(nifti(tmp_path / "a.nii", volume, affine), tmp_path)
    # z first, and x against its axis
    turned = np.zeros((4, 4))
    turned[2, 0], turned[0, 1], turned[1, 2], turned[3, 3] = 3.0, -0.5, 0.7, 1
    other = open_stack(nifti(tmp_path / "b.nii", np.flip(volume, 0).transpose(2, 0, 1), turned), tmp_path)
    assert other.spacing_mm == pytest.approx(plain.spacing_mm) and len(other) == len(plain) == 6
    assert all(np.array_equal(plain.values(index), other.values(index)) for index in range(6))


def test_nifti_scaling_is_applied(tmp_path):
    image = nibabel.Nifti1Image(ramp(2, 2, 2, dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    stack = open_stack({"path": "a.nii.gz"}, tmp_path)
    assert sorted(stack.values(0).ravel().tolist() + stack.values(1).ravel().tolist()) == [
        -1000 + 2 * n for n in range(8)
    ]


# ---- pictures


def test_a_16_bit_png_keeps_its_values_and_looks_as_it_opens():
    values = np.linspace(0, 4095, 48).astype(np.uint16).reshape(6, 8)
    source = {"bytes": encoded(Image.fromarray(values))}
    stack = open_stack(source)
    assert np.array_equal(stack.values(0), values)
    assert np.array_equal(np.asarray(stack.picture(0)), np.asarray(open_image(source)))


@pytest.mark.parametrize("mode, image_format", [("I;16", "TIFF"), ("L", "TIFF"), ("RGB", "TIFF"), ("RGB", "WEBP")])
def test_pages_are_slices(mode, image_format):
    rng = np.random.default_rng(0)
    shape, dtype = ((6, 8, 3) if mode == "RGB" else (6, 8)), np.uint16 if mode == "I;16" else np.uint8
    pages = [rng.integers(0, 250, shape).astype(dtype) for _ in range(4)]
    first, *rest = [Image.fromarray(page) for page in pages]
    options = {"lossless": True} if image_format == "WEBP" else {}
    source = {"bytes": encoded(first, image_format, save_all=True, append_images=rest, **options)}
    stack = open_stack(source)
    assert (len(stack), stack.size, stack.coloured) == (4, (8, 6), mode == "RGB")
    assert all(np.array_equal(stack.stored[index], page) for index, page in enumerate(pages))
    assert np.array_equal(np.asarray(stack.picture(0)), np.asarray(open_image(source)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_photo_is_upright_in_the_stack_too(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8))
    source = {"bytes": encoded(picture, exif=exif)}
    assert np.array_equal(np.asarray(open_stack(source).picture(0)), np.asarray(open_image(source)))


# ---- what is refused


def test_what_cannot_be_read_is_one_error_that_names_it(tmp_path):
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b" + b"\0" * 40)
    (tmp_path / "cut.dcm").write_bytes(dicom(ramp(8, 8))[:-40])
    (tmp_path / "empty").mkdir()
    nibabel.save(nibabel.Nifti1Image(ramp(2, 2, 2, 3, dtype=np.int16), np.eye(4)), tmp_path / "4d.nii")
    pages = [Image.new("L", (8, 8)), Image.new("L", (9, 8))]
    pages[0].save(tmp_path / "odd.tif", save_all=True, append_images=pages[1:])
    for name, told in [
        ("cut.nii.gz", "not a readable NIfTI"), ("cut.dcm", "DICOM cannot be read"), ("empty", "without one DICOM"),
        ("4d.nii", "expected one 3-D volume"), ("odd.tif", "different sizes"), ("../x.nii", "outside its root"),
        ("none.nii", "no such file"),
    ]:  # fmt: skip
        with pytest.raises(MedrlError, match=told):
            open_stack({"path": name}, tmp_path)
    with pytest.raises(MedrlError, match="expected one of axial, coronal, sagittal"):
        open_stack({"path": "4d.nii"}, tmp_path, "oblique")


def test_a_link_out_of_a_series_folder_is_refused(tmp_path):
    (tmp_path / "secret.dcm").write_bytes(dicom(ramp(4, 4)))
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").symlink_to(tmp_path / "secret.dcm")
    with pytest.raises(MedrlError, match="outside its root"):
        open_stack({"path": "series"}, tmp_path)


def test_a_bomb_is_refused_by_its_header(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((20_000, 20_000, 20_000))
    (tmp_path / "bomb.nii").write_bytes(header.binaryblock + b"\0" * 4)
    assert MAX_STACK_VALUES < 20_000**3
    with pytest.raises(MedrlError, match="decompression bomb"):
        open_stack({"path": "bomb.nii"}, tmp_path)
    with pytest.raises(MedrlError, match="decompression bomb"):
        open_stack({"bytes": dicom(ramp(4, 4), NumberOfFrames=10**9)})


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path):
    path = tmp_path / "a.nii"
    nifti(path, ramp(2, 2, 2, dtype=np.int16), np.eye(4))
    stack = open_stack({"path": "a.nii"}, tmp_path)
    assert open_stack({"path": "a.nii"}, tmp_path) is stack
    nifti(path, ramp(3, 3, 3, dtype=np.int16), np.eye(4))
    os.utime(path, ns=(1, 1))
    assert len(open_stack({"path": "a.nii"}, tmp_path)) == 3
