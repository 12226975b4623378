"""A model format: a text file with m, n and k of a product on every line."""

from hwsim.describe.models import MODELS
from hwsim.describe.network_file import LayerText, WorkloadText
from hwsim.errors import HwsimError


class Mnk:
    suffix = ".mnk"
    what = "products, one a line"
    sizes_itself = True

    def read(self, path, size):
        layers = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line.split()
            if len(words) != 3 or not all(word.isdecimal() for word in words):
                raise HwsimError(f"{path}:{number}: {line!r}; expected m, n and k")
            m, n, k = map(int, words)
            layers.append(LayerText(name=f"product{number}", op="gemm", m=m, n=n, k=k))
        return WorkloadText(path.stem, f"products: {path.name}", tuple(layers))


MODELS.register("mnk")(Mnk())
