"""One message of each poison on the real topics: the flows go on, and each is buried once."""

import base64
from collections import Counter

from contracts.videos import Video, encode_video
from streams.dead_letters import read_dead_letters
from tests.integration.running import Deployment, eventually
from tests.integration.user_logs import NOW_MS, VIDEOS, log_of

EVENT = b'{"event_id":"e","user_id":"u","video_id":"v0","event_type":"like","timestamp":%d' % NOW_MS
VIDEO = b'{"video_id":"p","published_at":%d' % NOW_MS
BROKEN = {
    "empty": b"", "null byte": b"\0", "not UTF-8": b"\xff\xfe{}", "no object": b"[1, 2]",
    "torn": b'{"event_id": "e', "deep": b"[" * 60_000, "half a surrogate": b'{"user_id":"\\ud800"}',
    "a million bytes": b"9" * 900_000, "not JSON at all": b"\x82\xa1a\x01\xc7\x08\x01" + b"x" * 8,
}  # fmt: skip
EVENTS = BROKEN | {
    "unknown type": EVENT.replace(b"like", b"teleport") + b"}",
    "10^400": EVENT + b',"rating":' + b"9" * 400 + b"}",
    "NaN": EVENT + b',"rating":NaN}',
    "before 1970": EVENT.replace(b'"timestamp":', b'"timestamp":-') + b"}",
    "int64 and one": EVENT + b',"watch_ms":9223372036854775808}',
    "id of a megabyte": EVENT + b',"creator_id":"' + b"x" * 900_000 + b'"}',
    "wrong type": EVENT + b',"context":[]}',
    "the same key twice": EVENT + b',"user_id":7}',
    "search for nothing": EVENT.replace(b"like", b"search") + b',"query":""}',
}
VIDEOS_ = BROKEN | {
    "an infinite number": VIDEO + b',"embedding":[1e999,0,0,0]}',
    "too many numbers": VIDEO + b',"embedding":[' + b"0," * 4096 + b"0]}",
    "another size": VIDEO + b',"embedding":[1,2,3]}',
    "a country that is none": VIDEO + b',"countries":["Germany"]}',
}
PROFILES = BROKEN | {
    "too many blocks": b'{"user_id":"u","blocked_creators":[' + b'"c",' * 64 + b'"c"]}',
    "an age of -1": b'{"user_id":"u","age":-1}',
}


def test_each_poison_is_buried_once_and_everything_else_is_folded(engine: Deployment) -> None:
    sized = Video("v-sized", NOW_MS, embedding=(0.1, 0.2, 0.3, 0.4))  # agrees on a size
    first = engine.send_videos([sized])
    poison: list[tuple[str, bytes | None, bytes | None]] = [
        *[("events", name.encode(), value) for name, value in EVENTS.items()],
        ("events", b"a null value", None),
        *[("videos", name.encode(), value) for name, value in VIDEOS_.items()],
        ("videos", b"\xff", None), ("videos", b"x" * 2000, None),
        *[("profiles", name.encode(), value) for name, value in PROFILES.items()],
        ("profiles", b"\xff", None), ("profiles", b"", None),
        *[("impressions", name.encode(), value) for name, value in BROKEN.items()],
    ]  # fmt: skip
    engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(first, "video-vectors"), 60, "the first video")
    ends = engine.produce(poison[::2])
    honest = log_of(200, 10)
    ends |= engine.send_events(honest)
    ends |= engine.produce([("videos", v.video_id.encode(), encode_video(v)) for v in VIDEOS])
    for source, end in engine.produce(poison[1::2]).items():
        ends[source] = max(end, ends.get(source, 0))
    engine.start("user-state")
    engine.start("video-stats")
    videos = {s: end for s, end in ends.items() if s.startswith("videos:")}
    users = {s: end for s, end in ends.items() if s not in videos}
    eventually(lambda: engine.folded_up_to(videos, "video-vectors"), 90, "the vector flow")
    eventually(lambda: engine.folded_up_to(users), 90, "the user flow")
    assert all(process.poll() is None for process in engine.processes)
    found = list(read_dead_letters(engine.settings.kafka))
    places = Counter((f.letter.topic, f.letter.partition, f.letter.offset) for f in found)
    assert set(places.values()) == {1}
    buried = Counter((f.letter.topic, f.key or b"") for f in found)
    assert buried == Counter((topic, key or b"") for topic, key, _ in poison)
    values = {(topic, key or b""): value for topic, key, value in poison}
    for f in found:
        assert f.letter.reason
        payload = base64.b64decode(f.letter.payload_base64)
        assert payload == (values[f.letter.topic, f.key or b""] or b"")
    people = sorted({e.user_id for e in honest})
    counted = Counter(e.user_id for e in honest)
    stored = dict(zip(people, engine.users(people)["events"].tolist(), strict=True))
    assert stored == dict(counted)
