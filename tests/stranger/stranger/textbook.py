"""An algorithm: direct convolution under another name."""

from dataclasses import replace

from hwsim.algorithms import ALGORITHMS, convolve, lower, unless_product


class Textbook:
    name = "textbook"
    summary = "direct convolution under another name"

    def refuses(self, layer):
        return unless_product(layer)

    def lower(self, layer):
        return replace(lower(layer, "direct"), algorithm=self.name)

    def compute(self, layer, x, w):
        return convolve(layer, self.lower(layer), x, w)


ALGORITHMS.register("textbook")(Textbook())
