"""The command line ``stremn``: each command is a file in ``commands``, which imports what is heavy when it runs."""

import sys
import warnings
from typing import Annotated, TextIO

import typer

from stremn import __version__
from stremn.commands.data import app as data_app
from stremn.commands.explore import explore
from stremn.commands.info import info
from stremn.commands.mask import mask
from stremn.commands.predict import predict
from stremn.commands.score import app as score_app
from stremn.commands.segment import segment
from stremn.commands.set import set_values
from stremn.commands.site import site
from stremn.commands.stages import code, log, report, run
from stremn.commands.submit import app as submit_app
from stremn.commands.systems import systems
from stremn.errors import InputError, InputWarning

app = typer.Typer(
    name="stremn",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """STReMN: segment objects in videos, and predict how videos go on, with a memory of a few slots.

    Start with `stremn info`, then with `stremn mask` and `stremn segment`. Each command explains itself:
    `stremn segment --help`.
    """
    if version:
        print(f"stremn {__version__}")
        raise typer.Exit


for command in (mask, segment, predict, run, code, log, report, site, systems, info, explore):
    app.command()(command)
app.command("set")(set_values)
app.add_typer(data_app, name="data")
app.add_typer(score_app, name="score")
app.add_typer(submit_app, name="submit")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours as one line, others as Python does."""
    if issubclass(category, InputWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def main(arguments: list[str] | None = None) -> int:
    """The entry point; returns the exit code.

    0: done. 2: bad input, explained in one line on stderr. 130: stopped by Ctrl-C, 143: by SIGTERM, 129: by SIGHUP.
    Anything else raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(args=arguments, prog_name="stremn")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
