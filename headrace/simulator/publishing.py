"""Creators: the catalogue that is there to begin with, and then a trickle of new clips."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from contracts.videos import Video
from headrace.simulator.catalogue import Traits
from headrace.simulator.client import RefusedError
from headrace.simulator.plan import World

AtOnce = Callable[[int], None]
_UPLOADERS: Final = 16  # connections that publish the first catalogue
_TRIES: Final = 20
_RETRY_S: Final = 0.5
_PROBE_S: Final = 0.005  # between two looks whether a clip is retrievable
_SLOWEST_PROBE_S: Final = 0.5
_GIVE_UP_S: Final = 30.0
_PROBES: Final = 8  # clips looked for at a time
_REMOVED_SHARE: Final = 0.02
_OLD_DAYS: Final = 20.0  # the first catalogue was published over so many days


async def publish_first(world: World, advance: AtOnce) -> None:
    """Publish the first catalogue as fast as it is taken; `advance(n)` after each clip.

    Returns once the last clip is retrievable, or when told to stop.
    """
    clips = iter(
        [world.catalogue.make(world.now_ms(), _OLD_DAYS) for _ in range(world.plan.videos)]
    )

    async def upload() -> None:
        for traits, video in clips:  # one iterator for all: each clip goes to one of them
            if world.stopping.is_set():
                return
            if await _put(world, video):
                world.catalogue.add(traits)
            advance(1)

    await asyncio.gather(*(upload() for _ in range(_UPLOADERS)))
    if world.catalogue.published:
        await _until_retrievable(world, world.catalogue.published[-1].video_id, world.now_s())


async def trickle(world: World) -> None:
    """Publish, measure when each clip becomes retrievable, and now and then remove an old one."""
    rng = world.plan.rng("trickle")
    room = asyncio.Semaphore(_PROBES)
    async with asyncio.TaskGroup() as probes:
        while world.plan.publish_rate > 0:
            if await world.pause(rng.expovariate(world.plan.publish_rate)):
                return
            traits, video = world.catalogue.make(world.now_ms())
            async with room:  # no more clips on their way than can be looked for
                probes.create_task(_publish(world, room, traits, video))
            if rng.random() < _REMOVED_SHARE:
                await _remove(world, rng)


async def _publish(world: World, room: asyncio.Semaphore, traits: Traits, video: Video) -> None:
    async with room:
        began_s = world.now_s()
        try:
            await world.client.put_video(video)
        except RefusedError as error:
            world.failed(error)
            return
        world.meters.took("put", world.now_s(), world.now_s() - began_s)
        world.meters.counts["published"] += 1
        if await _until_retrievable(world, video.video_id, began_s):
            now_s = world.now_s()
            world.meters.took("publish_to_retrievable", now_s, now_s - began_s)
            world.catalogue.add(traits)


async def _until_retrievable(world: World, video_id: str, began_s: float) -> bool:
    pause_s = _PROBE_S
    while not world.stopping.is_set():
        try:
            if await world.client.retrievable(video_id):
                return True
        except RefusedError as error:
            world.failed(error)
        if world.now_s() > began_s + _GIVE_UP_S:
            world.meters.counts["never_retrievable"] += 1
            return False
        await world.pause(pause_s)
        pause_s = min(pause_s * 1.3, _SLOWEST_PROBE_S)  # a slow engine is not asked more for it
    return False


async def _put(world: World, video: Video) -> bool:
    """Publish, trying again for a while: the engine may still be starting."""
    for _ in range(_TRIES):
        try:
            await world.client.put_video(video)
        except RefusedError as error:
            world.failed(error)
            if await world.pause(_RETRY_S):
                return False
        else:
            world.meters.counts["published"] += 1
            return True
    return False


async def _remove(world: World, rng: Random) -> None:
    if len(world.catalogue.published) <= world.plan.videos // 2:
        return
    video_id = rng.choice(world.catalogue.published).video_id
    try:
        await world.client.delete_video(video_id)
    except RefusedError as error:
        world.failed(error)
        return
    world.catalogue.remove(video_id)
    world.removed_at[video_id] = world.now_s()
    world.meters.counts["removed"] += 1
