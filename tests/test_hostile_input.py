"""What is no file, no list and no device: pipes among images, single images for several, boxes of no numbers."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlureid import methods
from occlureid.cli import main
from occlureid.cues.cache import image_key
from occlureid.cues.json_files import read_json
from occlureid.data.images import cut_box, read_image
from occlureid.data.inspect import inspect_image
from occlureid.describing import Describer
from occlureid.errors import DataError, UsageError
from occlureid.gallery import Gallery


@pytest.fixture(scope="module")
def describer() -> Describer:
    return Describer(methods.create("pcb", 3, {"backbone": "resnet10t", "size": (64, 32), "parts": 3}))


@pytest.mark.parametrize("read", [read_image, image_key, lambda path: read_json(path, 100)])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "0001_c1s1_000001_01.jpg")
    with pytest.raises(DataError, match=r"0001_c1s1_000001_01\.jpg: a pipe, socket or device"):
        read(tmp_path / "0001_c1s1_000001_01.jpg")


def test_the_doctor_names_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    found = inspect_image(tmp_path / "a.jpg")
    assert (found.problem, found.reason) == ("refused", "a pipe, socket or device, not a file; remove it")


@pytest.mark.parametrize("box", [(float("nan"), 0, 9, 9), (0, 0, float("inf"), 9), (1, 2, 3), "abcd", ()])
def test_a_box_of_no_four_numbers_is_named(box):
    with pytest.raises(DataError, match=r"crop: a box must be four finite numbers"):
        cut_box(Image.new("RGB", (60, 60)), box, "crop")


def test_shares_for_a_box_are_recognised():
    with pytest.raises(DataError, match="look like shares of the picture"):
        cut_box(Image.new("RGB", (60, 60)), (0.2, 0.2, 0.4, 0.4))


def test_boxes_may_be_one_array(describer, tmp_path):
    Image.new("RGB", (60, 80), (200, 30, 30)).save(tmp_path / "a.png")
    found = describer.files([tmp_path / "a.png"], np.array([[0.0, 0.0, 60.0, 80.0]]))
    assert found.global_.equal(describer.files([tmp_path / "a.png"]).global_)


@pytest.mark.parametrize("images", ["crop.jpg", Path("crop.jpg"), Image.new("RGB", (20, 40)), None])
def test_one_image_for_several_is_named(describer, tmp_path, images):
    gallery = Gallery.create(tmp_path / "people", like=describer)
    with pytest.raises(UsageError, match="images must be several, got"):
        gallery.add_images(images, describer)
    with pytest.raises(UsageError, match="images must be several, got"):
        describer.files(images)
    assert len(gallery) == 0


def test_no_images_to_describe_are_said(describer):
    with pytest.raises(DataError, match="there are no images to describe"):
        describer.files([])


@pytest.mark.parametrize("like", [Describer, "describer", 3])
def test_a_gallery_is_made_like_a_describer_alone(tmp_path, like):
    with pytest.raises(UsageError, match="like must be a Describer"):
        Gallery.create(tmp_path / "people", like=like)
    assert not (tmp_path / "people").exists()


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_a_device_that_is_not_there_is_named(tmp_path, capsys, device):
    assert main(["gallery", "search", str(tmp_path), "a.jpg", "--device", device]) == 2
    assert f"there is no device {device!r}" in capsys.readouterr().err
