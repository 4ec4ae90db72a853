"""Several crops of a person as one query: shows what any crop shows, and finds better than any other way."""

import pytest
import torch
from torch import Tensor

from occlureid.errors import ShapeError
from occlureid.gallery.crops import join_crops
from occlureid.gallery.search import Searcher
from occlureid.matching import MatchRule, distance_matrix
from occlureid.types import Descriptor
from tests.gallery.described import describe, source


def test_one_crop_is_itself() -> None:
    crop = describe(1, 1, locations=3)
    joined = join_crops(MatchRule(), crop)
    assert torch.equal(joined.global_, crop.global_)
    assert torch.equal(joined.visibility, crop.visibility)


def test_a_part_is_the_mean_of_the_crops_that_show_it() -> None:
    parts = torch.tensor([[[3.0, 0], [0, 1]], [[0, 2], [torch.nan, 0]]])
    crops = Descriptor(torch.tensor([[2.0, 0], [0, 9]]), parts, torch.tensor([[1.0, 0.5], [0.6, 0]]))
    binary = join_crops(MatchRule(), crops)
    torch.testing.assert_close(binary.global_, torch.tensor([[0.5, 0.5]]))  # by direction, not by length
    torch.testing.assert_close(binary.parts, torch.tensor([[[0.5, 0.5], [0, 1.0]]]))
    torch.testing.assert_close(binary.visibility, torch.tensor([[1.0, 0.5]]))
    soft = join_crops(MatchRule(visibility="soft"), crops)
    torch.testing.assert_close(soft.parts, torch.tensor([[[1 / 1.6, 0.6 / 1.6], [0, 1.0]]]))
    lengths = join_crops(MatchRule(metric="euclidean"), crops)
    torch.testing.assert_close(lengths.parts, torch.tensor([[[1.5, 1.0], [0, 1.0]]]))
    torch.testing.assert_close(lengths.global_, torch.tensor([[1.0, 4.5]]))


def test_local_vectors_of_all_crops_share_the_saliency() -> None:
    rule = MatchRule(spatial_weight=1.0)
    crops, gallery = describe(3, 1, locations=4), describe(20, 2, locations=5)
    crops.saliency[1] *= 50  # type: ignore[index]
    joined = distance_matrix(rule, join_crops(rule, crops), gallery)
    torch.testing.assert_close(joined, distance_matrix(rule, crops, gallery).mean(0, keepdim=True), atol=1e-5, rtol=0)


def test_a_search_for_a_person_is_a_search_for_the_joined_crops() -> None:
    searcher, crops = Searcher(source(200, MatchRule())), describe(3, 2)[[0, 0, 0]]
    assert searcher.search_person(crops) == searcher.search(join_crops(MatchRule(), crops))[0]
    one, many = searcher.search(describe(3, 2)[[0]])[0], searcher.search_person(crops)
    assert [hit.id for hit in one.hits] == [hit.id for hit in many.hits]  # the same crop thrice says nothing new
    with pytest.raises(ShapeError, match="at least one crop"):
        searcher.search_person(describe(0, 1))


def crops_of(person: Tensor, seed: int, faces: Tensor) -> Descriptor:
    """Crops of which 40 % of the parts are hidden by something else, which spoils the global vector too."""
    random = torch.Generator().manual_seed(seed)
    count, (_, parts, size) = len(person), faces.shape
    visible = torch.rand(count, parts, generator=random) > 0.4
    hiding = 1.2 * torch.randn(count, parts, size, generator=random)
    vectors = torch.where(visible[..., None], faces[person], hiding)
    vectors = vectors + torch.randn(count, parts, size, generator=random)
    return Descriptor(vectors.flatten(1), vectors, visible * 0.8 + 0.1)


def right(distances: Tensor, person: Tensor) -> float:
    return float((distances.argmin(1) % 200 == person).float().mean())


@pytest.mark.parametrize("rule", [MatchRule(), MatchRule(visibility="soft"), MatchRule(metric="euclidean")])
def test_joined_crops_find_more_than_each_crop_by_itself(rule: MatchRule) -> None:
    faces = torch.randn(200, 6, 16, generator=torch.Generator().manual_seed(7))
    person = torch.arange(200)
    gallery = crops_of(person.repeat(2), 1, faces)
    sets = [crops_of(person, seed, faces) for seed in (2, 3, 4)]
    distances = torch.stack([distance_matrix(rule, crops, gallery) for crops in sets])
    joined = Descriptor.cat(join_crops(rule, Descriptor.cat([crops[[i]] for crops in sets])) for i in range(200))
    together = right(distance_matrix(rule, joined, gallery), person)
    assert together > max(right(one, person) for one in distances) + 0.1
    assert together > right(distances.amin(0), person) + 0.05
    assert together > right(distances.mean(0), person) - 0.02
