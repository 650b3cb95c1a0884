//! Values of sequences.

#[test]
fn values_of_sequences_are_reserved_in_blocks_and_sent_with_the_statement() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)
         query INSERT INTO t (n) VALUES (1) RETURNING id
         query INSERT INTO t (n) VALUES (2), (3) RETURNING id
         parse q - INSERT INTO t (n) VALUES ($1) RETURNING id
         bind p q 4
         execute p
         sync
         query SELECT nextval('t_id_seq'), currval('t_id_seq'), lastval()
         query SELECT setval('t_id_seq', 100)
         query INSERT INTO t (n) VALUES (5) RETURNING id
         query SELECT setval('t_id_seq', max(id) + 100, false) FROM t
         query INSERT INTO t (n) SELECT n FROM t
         query SELECT count(*), count(DISTINCT id), max(id) FROM t
         query SELECT last_value, is_called FROM t_id_seq
         query CREATE TABLE u (id serial, n int)
         query COPY u (n) FROM STDIN
         data 1\\n2\\n3\\n
         done
         query SELECT id, n FROM u ORDER BY id"
    );
}

#[test]
fn a_reservation_that_gets_lost_is_made_once_and_values_of_what_fails_are_gaps() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id serial PRIMARY KEY, n int CHECK (n > 0))
         fault drop-reply
         query INSERT INTO t (n) VALUES (1) RETURNING id
         sleep 150
         query INSERT INTO t (n) VALUES (0) RETURNING id
         query INSERT INTO t (n) VALUES (1) RETURNING id
         query CREATE SEQUENCE few MAXVALUE 2
         query SELECT nextval('few')
         query SELECT nextval('few'), nextval('few')
         query SELECT nextval('few')
         query SELECT nextval('few')
         query CREATE SEQUENCE more
         stall 1
         stall 2
         query SELECT nextval('more')
         sleep 1000"
    );
}

#[test]
fn a_sequence_that_was_set_elsewhere_is_drawn_anew() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id serial PRIMARY KEY, n int)
         query INSERT INTO t (n) VALUES (1) RETURNING id
         elsewhere ALTER SEQUENCE t_id_seq RESTART WITH 500
         query INSERT INTO t (n) VALUES (2) RETURNING id
         elsewhere DROP TABLE t
         query INSERT INTO t (n) VALUES (3) RETURNING id"
    );
}

#[test]
fn a_block_keeps_what_it_has_drawn() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id serial PRIMARY KEY, n int)
         query BEGIN
         query INSERT INTO t (n) VALUES (1) RETURNING id
         query INSERT INTO t (n) VALUES (2) RETURNING id
         lose-forks
         query INSERT INTO t (n) VALUES (3) RETURNING id
         query COMMIT
         query BEGIN
         query INSERT INTO t (n) VALUES (4) RETURNING id
         query ROLLBACK
         query INSERT INTO t (n) VALUES (5) RETURNING id
         query BEGIN
         query INSERT INTO t (n) SELECT i FROM generate_series(1, 3) AS g(i) RETURNING id
         query SELECT setval('t_id_seq', 9)
         query ROLLBACK
         query SELECT id FROM t ORDER BY id"
    );
}

#[test]
fn what_is_read_only_takes_nothing_from_sequences() {
    shows!(
        "session
         query CREATE TABLE t (id serial PRIMARY KEY, n int)
         query SELECT nextval('t_id_seq')
         query SET default_transaction_read_only = on
         query SELECT setval('t_id_seq', 1)
         query SELECT nextval('t_id_seq')
         query INSERT INTO t (n) VALUES (1)
         query SELECT nextval('t_id_seq') FROM system.nodes
         query SELECT currval('t_id_seq'), lastval()
         query BEGIN READ WRITE; SELECT nextval('t_id_seq'); COMMIT
         query SET default_transaction_read_only = off
         query BEGIN READ ONLY
         query SELECT count(*) FROM t
         query SELECT nextval('t_id_seq') FROM t
         query ROLLBACK
         query BEGIN READ ONLY
         query SELECT setval('t_id_seq', 1)
         query ROLLBACK"
    );
}

#[test]
fn statements_over_system_tables_draw_too() {
    shows!(
        "session
         query CREATE SEQUENCE s
         query SELECT currval('s') FROM system.nodes
         query SELECT node, nextval('s') FROM system.nodes
         query SELECT node, nextval('s'), currval('s') FROM system.nodes WHERE node < 3
         query SELECT nextval('s'), (SELECT count(*) FROM system.nodes)
         query SELECT currval('s'), lastval() FROM system.nodes
         query SELECT setval('s', 70) FROM system.nodes WHERE node = 2
         query SELECT nextval('s')
         query BEGIN
         query SELECT setval('s', 1) FROM system.nodes
         query ROLLBACK"
    );
}

#[test]
fn a_setval_that_another_definition_has_overtaken_is_made_again() {
    shows!(
        "partitions 2
         session
         query CREATE SEQUENCE s
         fault none
         fault replan
         fault replan
         fault replan
         query SELECT setval('s', 7), 'shown'; SELECT 'and what follows'
         query SELECT currval('s'), nextval('s')"
    );
}

#[test]
fn a_sequence_is_set_in_a_block_and_the_block_goes_on() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id serial PRIMARY KEY, n int)
         query INSERT INTO t (n) VALUES (1), (2)
         query BEGIN
         query UPDATE t SET n = n + 10 RETURNING id, n
         query SELECT setval('t_id_seq', max(id) + 100) FROM t
         query INSERT INTO t (n) VALUES (3) RETURNING id
         query SAVEPOINT a
         query SELECT setval('t_id_seq', 500), setval('t_id_seq', 700)
         query ROLLBACK TO a
         query INSERT INTO t (n) VALUES (4) RETURNING id
         query COMMIT
         query SELECT id, n FROM t ORDER BY id
         query BEGIN
         query SELECT setval('t_id_seq', 900)
         query ROLLBACK
         query INSERT INTO t (n) VALUES (5) RETURNING id
         query BEGIN
         query SELECT is_called FROM t_id_seq
         query SELECT setval('t_id_seq', 1, false)
         query COMMIT
         query BEGIN
         query SELECT last_value FROM t_id_seq
         query INSERT INTO t (id, n) VALUES (90, 0)
         query SELECT setval('t_id_seq', 80)
         query SELECT nextval('t_id_seq')
         query COMMIT"
    );
}
