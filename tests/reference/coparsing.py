"""HCNet for one person after another, with ordinary layers: what the batched decoders must equal."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from occlureid.coparsing import CoparseSettings, PersonImages
from occlureid.coparsing.decoders import initial_kernels


def decoder(channels: int, settings: CoparseSettings, seed: int, person: int) -> nn.Sequential:
    """Four blocks with the same first kernels as the batched decoders; the biases start at 0 and change nothing."""
    blocks = []
    kernels = initial_kernels(channels, settings, seed, person)
    for number, kernel in enumerate(kernels):
        inputs, outputs = kernel.shape[-2:]
        side = 3 if kernel.ndim == 3 else 1
        layer = nn.Conv2d(inputs, outputs, side, padding=side // 2)
        with torch.no_grad():
            layer.weight.copy_(kernel.reshape(side, side, inputs, outputs).permute(3, 2, 0, 1))
            layer.bias.zero_()
        blocks += [layer, nn.BatchNorm2d(outputs), *([nn.ReLU()] if number < 3 else [])]
    return nn.Sequential(*blocks)


def ordered(person: PersonImages) -> list[int]:
    """Images by camera, then frame."""
    return sorted(range(len(person)), key=lambda i: (person.cameras[i], person.frames[i]))


def losses(scores: Tensor, cameras: list[str], settings: CoparseSettings) -> Tensor:
    """Eq. 5 on (n, C', h, w) scores of images in order."""

    def apart(one: Tensor, other: Tensor) -> Tensor:
        return F.l1_loss(one, other) if settings.norm == 1 else F.mse_loss(one, other)

    semantic = F.cross_entropy(scores, scores.argmax(1))
    local = scores.new_zeros(())
    for step in range(1, settings.radius // 2 + 1):
        local = local + apart(scores[:, :, step:], scores[:, :, :-step])
        local = local + apart(scores[:, :, :, step:], scores[:, :, :, :-step])
        local = local + settings.diagonal_weight * apart(scores[:, :, step:, step:], scores[:, :, :-step, :-step])
        local = local + settings.diagonal_weight * apart(scores[:, :, step:, :-step], scores[:, :, :-step, step:])
    pairs = [(a, b) for a, b in pairwise(range(len(cameras))) if cameras[a] == cameras[b]]
    background = scores.new_zeros(())
    for a, b in pairs:
        background = background + apart(scores[a], scores[b]) / len(pairs)
    return semantic + settings.weight_local * local + settings.weight_background * background


def parse(person: PersonImages, settings: CoparseSettings, seed: int) -> tuple[Tensor, int]:
    """(n, h, w) labels in the order given, and the number of steps."""
    order = ordered(person)
    features = person.features[order].float()
    network = decoder(features.shape[1], settings, seed, person.person).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=settings.lr, momentum=settings.momentum)
    few = settings.min_labels if settings.stop == "at_most" else settings.min_labels - 1
    steps = 0
    while steps < settings.steps:
        steps += 1
        scores = network(features)
        labels = scores.argmax(1)
        if len(labels.unique()) <= few:
            break
        optimiser.zero_grad()
        losses(scores, [person.cameras[i] for i in order], settings).backward()
        optimiser.step()
    result = torch.empty_like(labels)
    result[order] = labels
    return result, steps
