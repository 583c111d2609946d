-- Schema 3 of halod's store (pragma user_version). Written for people too: open it with sqlite3.
-- A file of schema 1 or 2 gets the tables that it does not have.

-- The cluster, one row.
CREATE TABLE IF NOT EXISTS cluster (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    generation  INTEGER NOT NULL,
    routes      INTEGER NOT NULL,
    slots       INTEGER NOT NULL
) STRICT;

-- The key by which listeners with one port for all routes tell them apart, one row. Another key sends
-- nearly every user to another node.
CREATE TABLE IF NOT EXISTS select_key (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    key  TEXT NOT NULL                      -- 32 hexadecimal digits
) STRICT;

CREATE TABLE IF NOT EXISTS node (
    id      INTEGER PRIMARY KEY,            -- its number in the kernel's table
    name    TEXT NOT NULL UNIQUE,
    state   TEXT NOT NULL CHECK (state IN ('reserve', 'active', 'draining', 'lost')),
    slot    INTEGER,
    routes  TEXT NOT NULL,                  -- what it holds, as 1-8,10
    parked  INTEGER NOT NULL,               -- whether an operator put it into reserve
    token   TEXT NOT NULL,                  -- what it shows to take its place again
    turn    INTEGER NOT NULL                -- orders nodes by how long they are in their state
) STRICT;

CREATE TABLE IF NOT EXISTS address (
    node      INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    address   TEXT NOT NULL,
    PRIMARY KEY (node, position)
) STRICT, WITHOUT ROWID;

-- A node's own port of route 1, where it differs from the listener's.
CREATE TABLE IF NOT EXISTS port (
    node      INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    listener  TEXT NOT NULL,
    port      INTEGER NOT NULL,
    PRIMARY KEY (node, listener)
) STRICT, WITHOUT ROWID;

-- The nodes that routes have left and that keep their connections, the oldest at position 0. Routes
-- of which all of this is the same are one row a position.
CREATE TABLE IF NOT EXISTS drain (
    routes       TEXT NOT NULL,             -- as 1-8,10
    position     INTEGER NOT NULL,
    node         INTEGER NOT NULL,
    left_ms      INTEGER NOT NULL,          -- for how long, from the moment of writing
    udp_left_ms  INTEGER NOT NULL,          -- the same for UDP
    PRIMARY KEY (routes, position)
) STRICT, WITHOUT ROWID;

-- The last changes of the table, for people; never read.
CREATE TABLE IF NOT EXISTS change (
    generation  INTEGER PRIMARY KEY,
    time        TEXT NOT NULL,
    cause       TEXT NOT NULL,
    moves       TEXT NOT NULL
) STRICT;
