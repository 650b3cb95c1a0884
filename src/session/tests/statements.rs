//! Statements, in both protocols, and what is answered when partitions do not.

#[test]
fn simple_queries() {
    shows!(
        "session
         query SELECT 1 AS one, 'x' AS word, NULL::int AS nothing
         query CREATE TABLE account (id int PRIMARY KEY, owner text NOT NULL, balance numeric(10,2) DEFAULT 0)
         query INSERT INTO account VALUES (1, 'ada', 10.5), (2, 'bob', 20)
         query SELECT * FROM account ORDER BY id
         query UPDATE account SET balance = balance + 1 WHERE id = 1
         query DELETE FROM account WHERE id = 2
         query INSERT INTO account (id, owner) VALUES (3, 'eve') RETURNING id, balance
         query SELECT 1/0
         query SELECT id FROM account WHERE id = 1/0
         query INSERT INTO account VALUES (1, 'eve', 0)
         query INSERT INTO account VALUES (4, NULL, 0)
         query EXPLAIN SELECT * FROM account WHERE id = 1"
    );
}

#[test]
fn texts_of_several_statements() {
    shows!(
        "session
         query CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)
         query INSERT INTO a VALUES (1); INSERT INTO b VALUES (2); SELECT id FROM a; SELECT 7 AS seven
         query INSERT INTO a VALUES (2); INSERT INTO a VALUES (1); INSERT INTO a VALUES (3)
         query SELECT count(*) FROM a
         query SELECT id FROM a; SELECT nothing FROM a
         query INSERT INTO a VALUES (8); SET my.own = 1; INSERT INTO a VALUES (9); CREATE TABLE c (id int); SELECT * FROM c
         query INSERT INTO a VALUES (10); CREATE TABLE c (id int); INSERT INTO a VALUES (11)
         query SELECT id FROM a ORDER BY id"
    );
}

#[test]
fn prepared_statements() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY, name text)
         + parse add - INSERT INTO t VALUES ($1, $2)
         + describe S add
         sync
         + bind - add 0x00000001 one
         + describe P -
         + execute - 0
         + bind - add 2 null
         + execute - 0
         sync
         + parse get 23 SELECT id, name FROM t WHERE id >= $1 ORDER BY id
         + describe S get
         flush
         + bind - get 0x00000000 => b t
         + describe P -
         + execute - 0
         sync
         + bind p get 0 => b
         + execute p 1
         + execute p 1
         + execute p 1
         + execute p 0
         sync
         execute p 0
         sync
         + parse - - DELETE FROM t RETURNING name
         + bind - -
         + execute - 1
         + execute - 0
         + execute - 0
         sync
         + parse - - CREATE TABLE u (id int)
         + describe S -
         + bind - -
         + execute - 0
         sync
         + parse show - SHOW jit
         + describe S show
         + bind - show
         + execute - 0
         + close P -
         + close S show
         sync"
    );
}

#[test]
fn an_error_skips_to_sync() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY, name text)
         + parse - - SELECT 1/0
         + bind - -
         + execute - 0
         + parse kept - SELECT 1
         + flush
         sync
         bind - kept
         sync
         + parse s - SELECT id FROM t WHERE id = $1
         sync
         parse s - SELECT 1
         sync
         bind - s
         sync
         bind - s 1 2
         sync
         bind - s zzz
         sync
         bind - s 0x0001
         sync
         bind - s 1 => b b
         sync
         describe S nothing
         sync
         describe P nothing
         sync
         execute nothing 0
         sync
         parse - 3802 SELECT $1
         sync
         parse - - SELECT * FROM nowhere
         sync
         + bind p s 1
         bind p s 1
         sync
         describe X s
         sync"
    );
}

#[test]
fn a_plan_must_not_change_its_columns() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         + parse s - SELECT * FROM t
         sync
         elsewhere DROP TABLE t
         elsewhere CREATE TABLE t (id int PRIMARY KEY, more text)
         + bind - s
         + execute - 0
         sync
         query SELECT * FROM t"
    );
}

#[test]
fn retries_keep_their_identity() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         fault not-leader 3
         query INSERT INTO t VALUES (1)
         fault drop-reply
         query INSERT INTO t VALUES (2)
         sleep 150
         fault drop
         query INSERT INTO t VALUES (3)
         sleep 150
         fault lost
         query INSERT INTO t VALUES (4)
         sleep 50
         fault overloaded
         query INSERT INTO t VALUES (5)
         sleep 50
         query SELECT id FROM t ORDER BY id"
    );
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         hold
         query INSERT INTO t VALUES (1)
         sleep 1000
         release
         query SELECT id FROM t
         again
         hold
         query SELECT id FROM t
         sleep 1000
         query SET statement_timeout = 50
         query SELECT id FROM t
         sleep 50
         query CREATE TABLE u (id int)
         sleep 50
         release
         query CREATE TABLE u (id int)
         stats"
    );
}

#[test]
fn statements_over_several_partitions() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 100))
         query INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)
         query SELECT count(*), sum(n) FROM t
         quiet
         query SELECT id, n FROM t ORDER BY n DESC LIMIT 2
         query UPDATE t SET n = n + 1 WHERE id < 4 RETURNING id, n
         query INSERT INTO t VALUES (6, 60), (1, 1)
         query INSERT INTO t VALUES (6, 60), (7, 1 / 0)
         query UPDATE t SET n = n * 2
         query SELECT n FROM t WHERE id = 1; SELECT n FROM t WHERE id = 2; SELECT 'beside' AS it
         query UPDATE t SET n = n - 5 WHERE id = 1; UPDATE t SET n = n + 5 WHERE id = 2; SELECT sum(n) FROM t
         query UPDATE t SET n = 0 WHERE id = 1; SELECT sum(1 / n) FROM t
         query INSERT INTO t SELECT id + 100, n FROM t WHERE n > 30 RETURNING id
         query SELECT a.id, b.id FROM t a JOIN t b ON a.n = b.n AND a.id < b.id ORDER BY 1
         + parse - - SELECT id FROM t WHERE n > $1 ORDER BY id
         + bind - - 20
         + execute - 2
         + execute -
         sync
         query DELETE FROM t
         query SELECT count(*) FROM t"
    );
}

#[test]
fn what_becomes_of_an_ordered_command() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY)
         fault none
         fault drop
         fault lost
         query INSERT INTO t VALUES (1), (2), (3)
         sleep 150
         fault drop-reply
         query INSERT INTO t VALUES (4), (5), (6)
         sleep 150
         stall 2
         query INSERT INTO t VALUES (7), (8), (9)
         sleep 1000
         query SELECT count(*) FROM t
         sleep 1000
         go
         sleep 300
         query SELECT count(*) FROM t
         stall 2
         query SELECT count(*) FROM t
         2: open
         2: cancel 1
         query INSERT INTO t VALUES (10), (11), (12)
         3: open
         3: cancel 1
         sleep 100
         go
         sleep 300
         query SELECT count(*) FROM t
         stats"
    );
}
