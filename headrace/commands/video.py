"""`headrace video ID`."""

from typing import Annotated

import typer

from headrace.commands.shared import StateDir


def video(
    video_id: Annotated[str, typer.Argument(metavar="ID")],
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    timeout_s: Annotated[float, typer.Option(min=1, help="To read the video topics.")] = 60.0,
    state_dir: StateDir = None,
) -> None:
    """What does the engine know about a video? Read from the topics; the API need not run."""
    import time

    from contracts.errors import HeadraceError
    from headrace.commands.looking import open_world, print_facts
    from headrace.lookup import read_video

    _, _, world = open_world(state_dir, timeout_s)
    facts = read_video(world, video_id, time.time_ns() // 1_000_000)
    if facts is None:
        raise HeadraceError(
            f"{video_id!r} is not among the {len(world.catalog):,} published videos: unknown, "
            "removed, or refused (see `headrace dead-letters list --topic videos`)"
        )
    print_facts(video_id, facts, json)
