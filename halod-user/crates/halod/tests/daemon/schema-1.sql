-- A store as halod wrote it before it knew drains: n1 and n2 active, n3 in reserve, n4 lost.
PRAGMA application_id = 1214344303;
PRAGMA user_version = 1;
PRAGMA journal_mode = wal;

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

INSERT INTO cluster VALUES (1, 7, 24, 2);
INSERT INTO node VALUES (1, 'n1', 'active', 1, '1-12', 0, '000102030405060708090a0b0c0d0e01', 2);
INSERT INTO node VALUES (2, 'n2', 'active', 2, '13-24', 0, '000102030405060708090a0b0c0d0e02', 4);
INSERT INTO node VALUES (3, 'n3', 'reserve', NULL, '', 1, '000102030405060708090a0b0c0d0e03', 6);
INSERT INTO node VALUES (4, 'n4', 'lost', NULL, '', 0, '000102030405060708090a0b0c0d0e04', 1);
INSERT INTO address VALUES (1, 0, '192.0.2.11');
INSERT INTO address VALUES (1, 1, '2001:db8::11');
INSERT INTO address VALUES (2, 0, '192.0.2.12');
INSERT INTO address VALUES (3, 0, '192.0.2.13');
INSERT INTO address VALUES (4, 0, '192.0.2.14');
INSERT INTO port VALUES (1, 'browsers', 8100);
INSERT INTO change VALUES (7, '2026-01-02T03:04:05.000006Z', 'n2 joined', '13-24 from n1 to n2');
