-- Schema 1 of halod's store (pragma user_version). Written for people too: open it with sqlite3.

-- The cluster, one row. With the nodes' slots this is the whole route table, since which
-- slot holds which route follows from the numbers of routes and slots.
CREATE TABLE cluster (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    generation  INTEGER NOT NULL,
    routes      INTEGER NOT NULL,
    slots       INTEGER NOT NULL
) STRICT;

CREATE TABLE node (
    id      INTEGER PRIMARY KEY,            -- its number in the kernel's table
    name    TEXT NOT NULL UNIQUE,
    state   TEXT NOT NULL CHECK (state IN ('reserve', 'active', 'draining', 'lost')),
    slot    INTEGER,
    routes  TEXT NOT NULL,                  -- what it holds, as 1-8,10; for people, never read
    parked  INTEGER NOT NULL,               -- whether an operator put it into reserve
    token   TEXT NOT NULL,                  -- what it shows to take its place again
    turn    INTEGER NOT NULL                -- orders nodes by how long they are in their state
) STRICT;

CREATE TABLE address (
    node      INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    address   TEXT NOT NULL,
    PRIMARY KEY (node, position)
) STRICT, WITHOUT ROWID;

-- A node's own port of route 1, where it differs from the listener's.
CREATE TABLE port (
    node      INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    listener  TEXT NOT NULL,
    port      INTEGER NOT NULL,
    PRIMARY KEY (node, listener)
) STRICT, WITHOUT ROWID;

-- The last changes of the table, for people; never read.
CREATE TABLE change (
    generation  INTEGER PRIMARY KEY,
    time        TEXT NOT NULL,
    cause       TEXT NOT NULL,
    moves       TEXT NOT NULL
) STRICT;
