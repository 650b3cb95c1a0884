//! Definitions.

#[test]
fn definitions() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY, a int)
         query CREATE TABLE t (id int)
         query CREATE TABLE IF NOT EXISTS t (id int)
         query SET client_min_messages = warning; CREATE TABLE IF NOT EXISTS t (id int)
         query INSERT INTO t VALUES (1, 1), (2, 1)
         query CREATE INDEX t_a ON t (a)
         query CREATE UNIQUE INDEX t_u ON t (a)
         query SELECT id FROM t WHERE a = 1 ORDER BY id
         query DELETE FROM t WHERE id = 2
         query CREATE UNIQUE INDEX t_u ON t (a)
         query INSERT INTO t VALUES (3, 1)
         query DROP TABLE nowhere
         query DROP TABLE t
         query SELECT * FROM t"
    );
}

#[test]
fn other_gateways_define_too() {
    shows!(
        "session
         elsewhere CREATE TABLE t (id int PRIMARY KEY)
         query SELECT * FROM t
         elsewhere DROP TABLE t
         query SELECT * FROM t
         elsewhere CREATE TABLE u (id int PRIMARY KEY)
         query INSERT INTO u VALUES (1)
         elsewhere CREATE TABLE v (id int PRIMARY KEY)
         query INSERT INTO u VALUES (2)
         elsewhere CREATE TABLE w (id int PRIMARY KEY)
         query CREATE TABLE w (id int)
         query CREATE TABLE x (id int)
         elsewhere CREATE TABLE y (id int)
         query CREATE TABLE z (id int)
         query INSERT INTO z VALUES (1)"
    );
}

#[test]
fn a_definition_that_is_not_in_force_everywhere_is_not_acknowledged() {
    shows!(
        "partitions 2
         session
         stall 2
         query CREATE TABLE t (id int PRIMARY KEY)
         sleep 1000
         go
         sleep 300
         query SELECT count(*) FROM t
         query CREATE UNIQUE INDEX ON t (id)"
    );
}

#[test]
fn an_order_and_a_definition() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY)
         elsewhere CREATE TABLE u (id int PRIMARY KEY)
         query INSERT INTO t VALUES (1), (2), (3)
         query INSERT INTO u VALUES (1), (2), (3)
         elsewhere DROP TABLE u
         query SELECT count(*) FROM u
         query SELECT count(*) FROM t
         query ALTER TABLE t ADD COLUMN n int DEFAULT 7"
    );
}

#[test]
fn rows_move_when_a_table_gets_a_key() {
    shows!(
        "partitions 3
         session
         quiet
         query CREATE TABLE t (id int NOT NULL, n int)
         query INSERT INTO t SELECT i, i * i FROM generate_series(1, 20) AS i
         query ALTER TABLE t ADD PRIMARY KEY (id)
         query SELECT count(*), sum(n) FROM t
         query SELECT n FROM t WHERE id = 7; SELECT n FROM t WHERE id = 8
         query INSERT INTO t VALUES (21, 1), (7, 1)
         query CREATE UNIQUE INDEX ON t (n, id)
         query CREATE TABLE u (id int, n int); INSERT INTO u VALUES (1, 1), (1, 2)
         query ALTER TABLE u ADD PRIMARY KEY (id)
         query SELECT count(*) FROM u"
    );
}
