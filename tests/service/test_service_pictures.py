"""Pictures from strangers: each is taken or refused with a message, whatever it is, and in little memory."""

import io
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from occlureid.data.images import cut_box
from occlureid.errors import DataError
from occlureid.service.pictures import open_picture, thumbnail
from occlureid.service.settings import ServiceSettings
from tests.service.crops import encoded, images, picture
from tests.service.hostile import crafted, harmless, mutated, webp, with_orientation

SETTINGS = ServiceSettings()
URL = "/api/galleries/one/search/images"


@pytest.mark.parametrize(("name", "data"), list(crafted()), ids=lambda value: value if isinstance(value, str) else "")
def test_crafted_files_are_refused(name: str, data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(DataError, match=r"^upload: ") as caught:
        open_picture(data, SETTINGS, "upload")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) < 200
    assert peak < 100 * 2**20  # what unfolds does not unfold


@pytest.mark.parametrize(("name", "data"), list(harmless()), ids=lambda value: value if isinstance(value, str) else "")
def test_odd_files_are_taken(name: str, data: bytes) -> None:
    assert open_picture(data, SETTINGS).mode == "RGB"


@pytest.mark.parametrize("value", range(1, 9))
def test_pictures_are_turned_upright(value: int) -> None:
    plain = open_picture(with_orientation(1), SETTINGS)
    turned = open_picture(with_orientation(value), SETTINGS)
    moves = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    expected = plain.transpose(moves[value]) if value in moves else plain
    assert np.array_equal(np.asarray(turned), np.asarray(expected))


def test_pictures_are_as_the_loader_reads_them(tmp_path: Path) -> None:
    from occlureid.data import read_image

    for number, (_, data) in enumerate(harmless()):
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert np.array_equal(np.asarray(open_picture(data, SETTINGS)), np.asarray(read_image(path)))


def test_a_header_of_webp_that_fits_is_read_by_the_decoder() -> None:
    assert open_picture(encoded(picture(2), "WEBP"), SETTINGS).size == (24, 48)
    with pytest.raises(DataError, match="not a JPEG, PNG or WebP file that can be decoded"):
        open_picture(webp(b"VP8 ", bytes([0, 0, 0, 0x9D, 1, 0x2A, 24, 0, 48, 0]) + bytes(20)), SETTINGS)


def test_boxes_and_thumbnails() -> None:
    whole = picture(1, (100, 60))
    assert np.array_equal(np.asarray(cut_box(whole, [10.4, 0, 99.6, 60])), np.asarray(whole)[0:60, 10:100])
    small = Image.open(io.BytesIO(thumbnail(picture(1, (1000, 500)), 64)))
    assert (small.size, small.format) == ((64, 32), "JPEG")
    assert Image.open(io.BytesIO(thumbnail(picture(1, (20, 30)), 64))).size == (20, 30)


def fuzz(client: TestClient, files: Iterable[bytes]) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for data in files:
        answer = client.post(URL, files=images([data]))
        statuses[answer.status_code] += 1
        assert answer.status_code in (200, 422), (answer.status_code, data[:60])
        assert answer.status_code == 200 or answer.json()["detail"].startswith("image 1: ")
        assert "Traceback" not in answer.text
    return statuses


def test_hostile_uploads_end_in_an_answer(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    made = fuzz(client, (data for _, data in crafted()))
    odd = fuzz(client, (data for _, data in harmless()))
    damaged = fuzz(client, mutated(400, seed=7))
    with capsys.disabled():
        print(f"\nimages: crafted {dict(made)}, odd {dict(odd)}, damaged {dict(damaged)}")
    assert set(made) <= {422}
    assert set(odd) == {200}
    assert damaged[422] >= 100
    assert damaged[200] >= 20
    assert client.get("/api/health").status_code == 200


@pytest.mark.slow
def test_many_hostile_uploads_end_in_an_answer(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = fuzz(client, mutated(10_000, seed=11))
    with capsys.disabled():
        print(f"\nimages: damaged {dict(damaged)}")
    assert damaged[200] + damaged[422] == 10_000
