"""hwsim import: a model of another format as a workload's YAML."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.cli.inputs import input_option
from hwsim.cli.terminal import check_outputs, print_text, user_errors


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    help="Write the workload as YAML; - for standard output (default: say what is in it).",
)
@input_option
@user_errors
def command(model: Path, out: str | None, size: tuple[int, int] | None) -> None:
    """Read MODEL: ONNX (.onnx), torch.export (.pt2), Hugging Face's config.json, ZigZag's YAML.

    Operators that are not modelled are listed; they cost what they move.
    """
    from hwsim.cli.listing import show_workload
    from hwsim.describe.catalog import refuse_folder
    from hwsim.describe.models import model_reader
    from hwsim.describe.network_text import workload_yaml
    from hwsim.describe.networks import load_workload
    from hwsim.errors import HwsimError
    from hwsim.report.files import write_file

    check_outputs(out)
    refuse_folder("workload", model)
    reader = model_reader(model)
    if reader is None:
        raise HwsimError(f"{model}: hwsim's own YAML; expected a model of another format")
    if not model.is_file():
        raise HwsimError(f"{model}: no such file; expected {reader.what}")
    text = workload_yaml(reader.read(model, size))
    network = load_workload(model, size=size)
    if out == "-":
        print_text(text.rstrip())
        return
    if out is not None:
        write_file(Path(out), text)
    print_text(show_workload(network))
