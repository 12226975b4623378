"""Timeloop's problem: dims, data spaces, and their bounds.

problem:
  shape: {dimensions: [R, P], data_spaces: [{name: Inputs, projection: [[[R], [P]]]}, ...]}
  instance: {R: 3, P: 16}
"""

from __future__ import annotations

from typing import Any

from hwsim.foreign.timeloop.reading import TAG, File

CNN: dict[str, Any] = {  # Timeloop's own shape of that name
    "name": "cnn_layer",
    "dimensions": list("RSPQCKN"),
    "coefficients": [
        {"name": name, "default": "1"} for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")
    ],
    "data_spaces": [
        {"name": "Weights", "projection": [[["C"]], [["K"]], [["R"]], [["S"]]]},
        {
            "name": "Inputs",
            "projection": [
                [["N"]],
                [["C"]],
                [["R", "Wdilation"], ["P", "Wstride"]],
                [["S", "Hdilation"], ["Q", "Hstride"]],
            ],
        },
        {
            "name": "Outputs",
            "projection": [[["N"]], [["K"]], [["Q"]], [["P"]]],
            "read_write": "True",
        },
    ],
}
GEMM: dict[str, Any] = {
    "name": "gemm_ABZ",
    "dimensions": list("MNK"),
    "data_spaces": [
        {"name": "A", "projection": [[["M"]], [["K"]]]},
        {"name": "B", "projection": [[["N"]], [["K"]]]},
        {"name": "Z", "projection": [[["M"]], [["N"]]], "read_write": "True"},
    ],
}
SHAPES = {"cnn_layer": CNN, "gemm_ABZ": GEMM}
DENSE = ("density", "densities", "commonDensity")


def problem(file: File) -> dict[str, Any]:
    """`shape`, `dims` and `coefficients` of a row (hwsim.foreign.timeloop.nests)."""
    root = file.get(file.values, "", "problem", dict)
    shape, where = root.get("shape", "cnn_layer"), "problem.shape"
    instance, at = (
        (root["instance"], "problem.instance") if "instance" in root else (root, "problem")
    )
    if not isinstance(instance, dict):
        file.fail(at, "expected a mapping of dims to bounds")
    if isinstance(shape, str):
        known = SHAPES.get(shape.replace("-", "_"))
        if known is None:
            file.fail(where, f"{shape!r}; expected a mapping, or {' or '.join(SHAPES)}")
        shape = known
    for name in DENSE:
        if name in instance:
            file.fail(f"{at}.{name}", "sparse problems are not read; expected a dense one")
    dims = file.words(file.get(shape, where, "dimensions", list), f"{where}.dimensions")
    if len(set(dims)) < len(dims):
        file.fail(f"{where}.dimensions", "a dimension is named twice; expected each once")
    bounds = {}
    for dim in dims:
        if dim not in instance:
            file.fail(at, f"no bound of {dim}; expected one of every dimension")
        bounds[dim] = file.whole(instance[dim], f"{at}.{dim}")
    if instance is not root:
        _check_bounds(file, instance, at, dims, shape)
    coefficients = {}
    for number, entry in enumerate(shape.get("coefficients") or []):
        name = file.get(entry, f"{where}.coefficients[{number}]", "name", str)
        coefficients[name] = file.whole(instance.get(name, entry.get("default", "1")), at)
    spaces = file.get(shape, where, "data_spaces", list)
    found = [
        _space(file, space, f"{where}.data_spaces[{n}]", dims) for n, space in enumerate(spaces)
    ]
    written = [space["name"] for space in found if space["read_write"]]
    if len(written) != 1:
        file.fail(f"{where}.data_spaces", f"{len(written)} are read_write; expected exactly one")
    title = shape.get("name", "problem")
    if not isinstance(title, str):
        file.fail(f"{where}.name", "expected a word")
    named = {"name": title, "dims": dims, "dataspaces": found}
    return {"shape": named, "dims": bounds, "coefficients": coefficients}


def _check_bounds(
    file: File, instance: dict[str, Any], path: str, dims: list[str], shape: dict[str, Any]
) -> None:
    """Raises ConfigError for a bound of what is neither a dimension nor a coefficient."""
    stated = [*CNN["coefficients"], *(shape.get("coefficients") or [])]
    named = dict.fromkeys(entry.get("name") for entry in stated)
    for key in instance:
        if key not in (*dims, *named, TAG):
            known = ", ".join((*dims, *map(str, named)))
            file.fail(f"{path}.{key}", f"no such dimension; expected some of {known}")


def _space(file: File, space: Any, path: str, dims: list[str]) -> dict[str, Any]:
    projection = file.get(space, path, "projection", list)
    ranks = [[[rank]] if isinstance(rank, str) else rank for rank in projection]
    for rank in ranks:
        if not isinstance(rank, list):
            file.fail(f"{path}.projection", f"{rank}; expected lists of terms")
        for term in rank:
            words = isinstance(term, list) and all(isinstance(word, str) for word in term)
            if not words or not 1 <= len(term) <= 2 or term[0] not in dims:
                file.fail(
                    f"{path}.projection", f"{term}; expected [dim] or [dim, coefficient] of {dims}"
                )
    written = str(space.get("read_write", "False")).lower() == "true"
    return {"name": file.get(space, path, "name", str), "projection": ranks, "read_write": written}
