"""`headrace user ID`."""

from typing import Annotated

import typer

from headrace.commands.shared import StateDir


def user(
    user_id: Annotated[str, typer.Argument(metavar="ID")],
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    timeout_s: Annotated[float, typer.Option(min=1, help="To read the video topics.")] = 60.0,
    state_dir: StateDir = None,
) -> None:
    """What does the engine know about a person? Read from Redis; the API need not run."""
    from contracts.errors import HeadraceError
    from headrace.commands.looking import open_world, print_facts
    from headrace.lookup import read_user

    settings, bundle, world = open_world(state_dir, timeout_s)
    facts = read_user(settings, bundle, world.catalog, user_id)
    if facts is None:
        raise HeadraceError(
            f"nothing is known about {user_id!r}: no event of theirs was folded yet"
        )
    print_facts(user_id, facts, json)
