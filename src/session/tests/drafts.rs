//! Definitions in transaction blocks.

#[test]
fn a_block_of_definitions_is_one_command() {
    shows!(
        "partitions 2
         session
         query BEGIN
         query CREATE TABLE t (id serial PRIMARY KEY, n int)
         query CREATE TABLE IF NOT EXISTS t (id int)
         query SET search_path = public
         query CREATE INDEX ON t (n)
         query ALTER TABLE t ADD COLUMN a text DEFAULT 'x'
         query SELECT name FROM system.tables
         query SELECT 1
         query COMMIT
         query INSERT INTO t (n) VALUES (1), (2)
         query SELECT * FROM t ORDER BY id
         query BEGIN
         query DROP TABLE t
         query ROLLBACK
         query SELECT count(*) FROM t"
    );
}

#[test]
fn definitions_and_rows_stand_in_one_block() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE applied (id int PRIMARY KEY)
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 1), (2, NULL), (3, 3)
         query BEGIN
         query UPDATE t SET n = 0 WHERE n IS NULL
         query ALTER TABLE t ALTER n SET NOT NULL
         query CREATE TABLE u (id int PRIMARY KEY REFERENCES t)
         query INSERT INTO applied VALUES (1), (2) RETURNING id
         query COMMIT
         query SELECT id, n FROM t ORDER BY id
         query INSERT INTO t VALUES (4, NULL)
         query SELECT count(*) FROM applied
         query BEGIN
         query INSERT INTO applied VALUES (3)
         query CREATE UNIQUE INDEX ON applied (id)
         query INSERT INTO applied VALUES (4)
         query ROLLBACK"
    );
}

#[test]
fn what_a_block_has_defined_anew_is_not_for_its_rows() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query CREATE TABLE parent (id int PRIMARY KEY)
         query BEGIN
         query CREATE TABLE u (id int PRIMARY KEY)
         query INSERT INTO u VALUES (1)
         query COMMIT
         query BEGIN
         query ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES parent
         query SAVEPOINT a
         query DELETE FROM parent
         query ROLLBACK TO a
         query DROP TABLE t
         query SELECT * FROM t
         query ROLLBACK TO a
         query SELECT count(*) FROM parent
         query CREATE DATABASE d
         query ROLLBACK TO a
         query CREATE SEQUENCE s
         query SELECT setval('s', 40)
         query SELECT nextval('s')
         query ROLLBACK TO a
         query COMMIT
         query INSERT INTO t VALUES (1, 1)
         query SELECT * FROM u
         query BEGIN READ ONLY
         query CREATE TABLE u (id int)
         query ROLLBACK
         query BEGIN
         query CREATE SEQUENCE s
         query SELECT setval('s', 40), setval('s', 50, false)
         query COMMIT
         query SELECT nextval('s')
         query SET orrery.idempotency_token = 'k'
         query BEGIN
         query CREATE TABLE u (id int)"
    );
}

#[test]
fn a_definition_that_cannot_be_undoes_the_block() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 7), (2, 7), (3, 8)
         query BEGIN
         query INSERT INTO t VALUES (4, 9)
         query CREATE TABLE u (id int PRIMARY KEY)
         query CREATE UNIQUE INDEX ON t (id, n)
         query ALTER TABLE t ADD CHECK (n < 9)
         query COMMIT
         query SELECT count(*) FROM t
         query SELECT * FROM u
         query BEGIN
         query CREATE TABLE u (id int PRIMARY KEY)
         query CREATE TABLE u (id int PRIMARY KEY)
         query COMMIT
         query BEGIN
         query CREATE TABLE u (id int PRIMARY KEY)
         elsewhere CREATE TABLE v (id int)
         query COMMIT
         query SELECT * FROM u
         query BEGIN
         query CREATE TABLE u (id int PRIMARY KEY)
         elsewhere CREATE TABLE x (id int)
         query INSERT INTO t VALUES (6, 1)
         query ROLLBACK
         query BEGIN
         query SAVEPOINT a
         query CREATE TABLE u (id int PRIMARY KEY)
         query ROLLBACK TO a
         elsewhere CREATE TABLE y (id int)
         query INSERT INTO t VALUES (6, 1)
         query COMMIT
         query BEGIN
         query CREATE TABLE u (id int PRIMARY KEY)
         parse p - INSERT INTO t VALUES ($1, 1)
         bind p p 5
         execute p
         parse d - CREATE TABLE w (id int)
         bind d d
         execute d
         sync
         fault drop-reply
         query COMMIT
         sleep 150
         query SELECT * FROM w, u"
    );
}

#[test]
fn a_block_that_only_reads_outlives_definitions() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 1), (2, 2)
         query BEGIN READ ONLY
         query SELECT * FROM t ORDER BY id
         elsewhere ALTER TABLE t ADD COLUMN a int DEFAULT 5
         query SELECT * FROM t ORDER BY id
         elsewhere DROP TABLE t
         query SELECT 1 FROM nothing
         query ROLLBACK
         query BEGIN READ ONLY
         query SELECT count(*) FROM system.tables
         query SELECT * FROM t
         query COMMIT"
    );
}
