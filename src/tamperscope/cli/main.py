"""Entry point of the command line: ``tamperscope`` or ``python -m tamperscope``."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tamperscope.cli import (
    _console,
    batch,
    bench,
    data,
    export,
    localize,
    methods,
    serve,
    single_sample,
    train,
    weights,
)

EPILOG = (
    "Exit codes: 0 all fine, 1 something failed, 2 wrong usage or nothing to do, 130 stopped by "
    "Ctrl-C. TAMPERSCOPE_DEBUG=1 shows tracebacks."
)


class _Group(TyperGroup):
    """Turns errors made for people into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            raise typer.Exit(_console.INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output went away; the interpreter must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(_console.SOME_FAILED) from None
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            _console.show_error(_console.stderr(), "tamperscope", error)
            raise typer.Exit(code) from None


def _exit_code(error: Exception) -> int | None:
    from tamperscope import errors

    if isinstance(error, errors.UnknownNameError | errors.ConfigError):
        return _console.USAGE
    if isinstance(error, errors.TamperscopeError | MemoryError | OSError):
        return _console.SOME_FAILED
    return None


app = typer.Typer(
    cls=_Group,
    name="tamperscope",
    help="Find manipulated regions in pictures. Everything runs on this machine; nothing is sent.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from tamperscope import __version__

        print(f"tamperscope {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.command("localize", epilog=localize.EPILOG)(localize.localize)
app.command("batch", cls=batch.Command, epilog=batch.EPILOG)(batch.batch)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("single-sample", epilog=single_sample.EPILOG)(single_sample.single_sample)
app.command("methods")(methods.methods)
app.add_typer(weights.app, name="weights")
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    app(prog_name="tamperscope")


if __name__ == "__main__":
    main()
