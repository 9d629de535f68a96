"""The Lua scripts. Each compares the stored positions first and writes nothing if one has moved.

Redis runs a script without interleaving, so compare and set are one step. Scripts are kept to ~200
keys a call: 2,000 keys of 3 KB would hold up a concurrent read for 20 ms.
"""

from typing import Final

_CHECK: Final = """
local n = tonumber(ARGV[1])
for i = 0, n - 1 do
  if (redis.call('HGET', KEYS[1], ARGV[2 + 2 * i]) or '') ~= ARGV[3 + 2 * i] then return {-1} end
end
local at = 2 + 2 * n
"""

# KEYS: positions, blobs...  ARGV: n, (source, position) x n, first byte, last byte, ttl in ms, number of
# moves, (source, new position) x moves, then for each blob its expected version bytes ('' = none) and
# the new blob. Answers the conflicts; the positions move, last, if there is none.
WRITE_BLOBS: Final = (
    _CHECK
    + """
local first, last, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2]
local moves = 2 * tonumber(ARGV[at + 3])
local blobs = at + moves
local conflicts = {}
for k = 2, #KEYS do
  local expected = ARGV[blobs + 2 * k]
  if redis.call('GETRANGE', KEYS[k], first, last) == expected then
    redis.call('SET', KEYS[k], ARGV[blobs + 2 * k + 1], 'PX', ttl)
  else
    conflicts[#conflicts + 1] = k - 2
  end
end
if moves > 0 and #conflicts == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, at + 4, at + 3 + moves))
end
return conflicts
"""
)

# KEYS: positions.  ARGV: n, (source, position) x n, then (source, new position) x n.
MOVE_POSITIONS: Final = (
    _CHECK
    + """
for i = 0, n - 1 do redis.call('HSET', KEYS[1], ARGV[at + 2 * i], ARGV[at + 2 * i + 1]) end
return {}
"""
)

# KEYS: one hash whose field 'position' is the offset that it contains, the journal to commit, the
# one before it (worked in; may be the same).
# ARGV: 1, 'position', expected, new position.
COMMIT_JOURNAL: Final = (
    _CHECK
    + """
if redis.call('PERSIST', KEYS[2]) == 0 then return redis.error_reply('ERR the journal is gone') end
redis.call('HSET', KEYS[1], 'position', ARGV[at], 'journal', KEYS[2])
if KEYS[3] ~= KEYS[2] then redis.call('UNLINK', KEYS[3]) end
return {}
"""
)
FENCED: Final = [-1]
