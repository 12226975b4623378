"""The command line: a group of commands, one file each, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module

import click

from hwsim import __version__

COMMANDS = {
    "run": "run",
    "compare": "compare",
    "diff": "diff",
    "sweep": "sweep",
    "split": "split",
    "import": "import_model",
    "count": "count",
    "error": "error",
    "map": "map_layers",
    "timeloop": "timeloop",
    "tile": "tile",
    "teach": "teach",
    "cache": "cache",
    "formats": "formats",
    "list": "list_names",
    "show": "show",
    "validate": "validate",
    "schema": "schema",
    "serve": "serve",
}


class Commands(click.Group):
    """The commands in the order of COMMANDS; a wrong one gets its nearest match."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"hwsim.cli.{COMMANDS[name]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from hwsim.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(
                f"no command {args[0]!r}{nearest(args[0], COMMANDS)}; known: {', '.join(COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(__version__, prog_name="hwsim")
def main() -> None:
    """Simulate networks on CPUs, GPUs and accelerators described in YAML.

    \b
    hwsim list                                 what there is
    hwsim run tpu-v1 vgg16                     one network, layer by layer
    hwsim compare vgg16 --machines xeon-8380,h200,tpu-v1 \\
        --algorithms direct,im2col,winograd-f2,winograd-f4 --out report
    hwsim diff before.json after.json          what moved between two results
    hwsim sweep arrays.yaml                    many machines, and which are best
    hwsim split dgx-h100 llama-3-8b            a network on several chips
    hwsim count vgg16                          operations under every algorithm
    hwsim tile --n 1024 --tiles 32,32,8        loop tiling: formulas, exact counts
    hwsim teach                                lessons; --site DIR: as pages
    hwsim map toy-8x8 gemm:256,256,256         the best loop nest, with a proof
    hwsim validate                             the models beside reference data
    """
