"""Options that change what a command reads: the images' size, a machine's values, batches."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hwsim.describe.machine import Machine, load_machine
from hwsim.describe.networks import size_of
from hwsim.describe.settings import NoPlace, Setting, read_settings
from hwsim.errors import HwsimError
from hwsim.results.result import FIDELITIES, Result


def _size(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """299 or 224x320: rows and columns."""
    if text is None:
        return None
    try:
        return size_of(text)
    except HwsimError as error:
        raise click.BadParameter(str(error)) from None


def _settings(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[Setting, ...]:
    try:
        return read_settings(texts)
    except HwsimError as error:
        raise click.BadParameter(str(error)) from None


input_option = click.option(
    "--input",
    "size",
    metavar="SIZE",
    callback=_size,
    help="Rows and columns of an image: 299, or 224x320; or a number of tokens.",
)
fidelity_option = click.option(
    "--fidelity",
    type=click.Choice(FIDELITIES),
    default=FIDELITIES[0],
    show_default=True,
    help="Simulate a CPU's caches whole, or in a quarter of their sets, with a stated error.",
)
context_option = click.option(
    "--context",
    type=click.IntRange(0, 1 << 40),
    help="Tokens before the input's, whose keys and values are kept.",
)
set_option = click.option(
    "--set",
    "settings",
    metavar="PATH=VALUE",
    multiple=True,
    callback=_settings,
    help="Change a value of the machine's file: parts.dram.bandwidth=2TB/s.",
)


def machines_with(names: Sequence[str], settings: tuple[Setting, ...]) -> list[Machine]:
    """Several machines, each with the settings that its file has a place for.

    Raises HwsimError for one that none has, or that makes a machine faulty.
    """
    homeless: dict[Setting, NoPlace] = {}
    machines = []
    for name in names:
        own = []
        for setting in settings:
            try:
                load_machine(name, [setting])
                own.append(setting)
            except NoPlace as error:
                homeless.setdefault(setting, error)
        machines.append(load_machine(name, own))
    taken = {setting for machine in machines for setting in machine.settings}
    for setting, refusal in homeless.items():
        if setting not in taken:
            raise refusal
    return machines


def batches_of(text: str) -> list[int]:
    """1,4,16. Raises HwsimError for what is no list of whole numbers of at least one."""
    found = []
    for part in text.split(","):
        digits = part.strip()
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits) > 0):
            raise HwsimError(
                f"--batch {text!r}; expected whole numbers of at least 1: 16, or 1,4,16"
            )
        found.append(int(digits))
    return list(dict.fromkeys(found))


def say_where_all_is_exact(
    fidelity: str, machines: Sequence[Machine], results: Sequence[Result]
) -> None:
    """Say on stderr that nothing was sampled, and why, where a sample was asked for.

    machines: those of the results; none where a nest file names its own.
    """
    from hwsim.timing.layer_caches import why_not_sampled

    stages = (stage for run in results for layer in run.layers for stage in layer.online)
    if fidelity == "sampled" and all(stage.sampling is None for stage in stages):
        known = {machine.name: why_not_sampled(machine) for machine in machines}
        whys = [f"{name}: {why}" for name, why in known.items() if why]
        if not known or None in known.values():
            whys.append("layers are small, or their sets differ too much")
        click.echo("hwsim: nothing was sampled: " + "; ".join(whys), err=True)
