"""The service and its tokens."""

from __future__ import annotations

import argparse
from pathlib import Path

from occlureid.cli.options import Commands, add_device, add_set, layers
from occlureid.cli.weights import DEFAULT, WEIGHTS, add_cues, describer_of
from occlureid.errors import UsageError

__all__ = ["register"]

_ROLES = ("search", "add", "admin")


def register(commands: Commands) -> None:
    """Adds these commands."""
    serving = commands.add(
        "serve",
        _serve,
        "serve a folder of galleries over HTTP, with a page to search them",
        "occlureid serve galleries",
    )
    serving.add_argument("folder", type=Path, metavar="FOLDER", help="each sub-folder is a gallery; made if not there")
    serving.add_argument("--weights", type=Path, help=f"{WEIGHTS} {DEFAULT}")
    add_cues(serving, "the package's own models")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    serving.add_argument("--port", type=int, default=8000, help="port, 0 for any that is free (default: 8000)")
    serving.add_argument("--tokens", type=Path, metavar="FILE", help="who may come in; needed beyond this machine")
    serving.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which clients may call it, such as that of a proxy in front",
    )
    add_set(serving, "image_bytes=4000000 (bounds of the service)")
    add_device(serving)
    _add_tokens(commands)


def _add_tokens(commands: Commands) -> None:
    tokens = commands.add(
        "tokens",
        None,
        "say who may use the service, and what they may do",
        "occlureid tokens add --role search --name desk tokens.json",
    )
    within = Commands(tokens, "what to do", "ACTION")
    adding = within.add(
        "add", _add, "make a token and print it, once", "occlureid tokens add --role search --name desk tokens.json"
    )
    adding.add_argument("--role", choices=_ROLES, required=True, help="each may do what those before it may")
    adding.add_argument("--name", required=True, help="whose it is; what audit logs say")
    removing = within.add("remove", _remove, "end a token", "occlureid tokens remove --name desk tokens.json")
    removing.add_argument("--name", required=True, help="whose it is")
    listing = within.add("list", _list, "list names and roles", "occlureid tokens list tokens.json")
    for command in (adding, removing, listing):
        command.add_argument("file", type=Path, metavar="FILE", help="of the tokens; holds only digests of them")


def _serve(options: argparse.Namespace) -> int:
    if not 0 <= options.port <= 65_535:
        raise UsageError(f"--port must lie in 0 to 65535, got {options.port}")
    try:
        from occlureid.service.server import check_address, serve
    except ImportError as error:
        raise UsageError(f'this needs the extra serve: pip install "occlureid[serve]" ({error})') from error
    from occlureid.service.settings import ServiceSettings

    check_address(options.host, options.tokens)  # before the weights are read
    serve(
        options.folder,
        describer_of(options, always=True),
        host=options.host,
        port=options.port,
        tokens=options.tokens,
        allow_hosts=options.allow_host,
        settings=ServiceSettings.build(*layers(options)),
    )
    return 0


def _add(options: argparse.Namespace) -> int:
    from occlureid.service.tokens import add_token

    print(add_token(options.file, options.name, options.role))
    return 0


def _remove(options: argparse.Namespace) -> int:
    from occlureid.service.tokens import remove_token

    remove_token(options.file, options.name)
    return 0


def _list(options: argparse.Namespace) -> int:
    from occlureid.service.tokens import read_tokens

    for record in read_tokens(options.file):
        print(f"{record.name:32} {record.role:8} {record.created}")
    return 0
