"""A sparsity format: a bit for every two values, then the pairs that are not both zero."""

from math import prod

import numpy as np

from hwsim.describe.formats import FORMATS, Format


def exact(values, bits):
    flat = np.append(values.ravel(), np.zeros(values.size % 2)).reshape(-1, 2)
    return int(len(flat) + np.count_nonzero(flat.any(axis=1)) * 2 * bits)


def expected(shape, density, bits):
    return prod(shape) / 2 * (1 + (1 - (1 - density) ** 2) * 2 * bits)


FORMATS.register("pairs")(Format("a bit for every two values", exact, expected))
