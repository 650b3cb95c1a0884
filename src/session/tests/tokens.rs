//! Idempotency tokens: what is executed once, and what is told when it is asked for again.

#[test]
fn a_token_is_for_one_command() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, b int)
         query SET orrery.idempotency_token = 'first'
         query INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)
         query SHOW orrery.idempotency_token
         query UPDATE t SET b = b + 1 WHERE id = 1
         gone
         2: session
         2: query SET orrery.idempotency_token = 'first'
         2: query SELECT count(*) FROM t
         2: query INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)
         2: query SHOW orrery.idempotency_token
         2: query SET orrery.idempotency_token = 'first'
         2: query DELETE FROM t WHERE id = 3
         2: query SET orrery.idempotency_token = 'second'
         2: query DELETE FROM t WHERE id = 3 RETURNING b
         2: query SET orrery.idempotency_token = 'second'
         2: query DELETE FROM t WHERE id = 3 RETURNING b
         2: query SELECT id, b FROM t ORDER BY id"
    );
}

#[test]
fn a_token_stays_until_something_was_executed_under_it() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         query SET orrery.idempotency_token = 'one'
         query INSERT INTO t VALUES (1), (1)
         query SHOW orrery.idempotency_token
         query INSERT INTO t VALUES (1)
         query SHOW orrery.idempotency_token
         query SET orrery.idempotency_token = '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789'"
    );
}

#[test]
fn a_transaction_under_a_token_is_committed_once() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, b int)
         query BEGIN
         query SET LOCAL orrery.idempotency_token = 'block'
         query INSERT INTO t VALUES (1, 1)
         query INSERT INTO t VALUES (2, 2)
         query COMMIT
         query SHOW orrery.idempotency_token
         gone
         2: session
         2: query SET orrery.idempotency_token = 'block'
         2: query BEGIN
         2: query INSERT INTO t VALUES (3, 3)
         2: query ROLLBACK
         2: query SHOW orrery.idempotency_token
         2: query SET orrery.idempotency_token = 'block'
         2: query INSERT INTO t VALUES (3, 3)
         2: query SET orrery.idempotency_token = 'text'
         2: query SET x.y = '1'; INSERT INTO t VALUES (4, 4)
         2: query SHOW orrery.idempotency_token
         2: query SELECT id, b FROM t ORDER BY id"
    );
}

#[test]
fn definitions_are_refused_under_a_token_and_so_is_what_follows_its_transaction_in_a_pipeline() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query CREATE SEQUENCE s
         query SET orrery.idempotency_token = 'one'
         query ALTER TABLE t ADD COLUMN b int
         query TRUNCATE t RESTART IDENTITY
         query SELECT setval('s', 5)
         query ALTER NODE 1 SET WEIGHT 2
         + parse i - INSERT INTO t VALUES ($1)
         + parse d - CREATE TABLE u (a int)
         + parse c - COMMIT
         + bind - i 1
         + execute -
         + bind - d
         + execute -
         sync
         + bind - i 1
         + execute -
         + bind - c
         + execute -
         + bind - i 2
         + execute -
         sync
         query SELECT a FROM t
         query SHOW orrery.idempotency_token
         query SET orrery.idempotency_token = 'one'
         + bind - i 1
         + execute -
         + bind - c
         + execute -
         + bind - i 2
         + execute -
         sync
         query SELECT a FROM t
         query SELECT last_value FROM s"
    );
}

#[test]
fn a_block_of_definitions_is_not_committed_under_a_token_that_was_set_behind_them() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query BEGIN
         query CREATE TABLE u (a int)
         query SET orrery.idempotency_token = 'one'
         query INSERT INTO t VALUES (1)
         query COMMIT
         query SELECT a FROM t
         query SHOW orrery.idempotency_token"
    );
}

#[test]
fn a_token_that_another_has_hidden_stays() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query SET orrery.idempotency_token = 'B'
         query INSERT INTO t VALUES (1)
         query SET orrery.idempotency_token = 'A'
         query BEGIN; SET LOCAL orrery.idempotency_token = 'B'
         query INSERT INTO t VALUES (2)
         query ROLLBACK
         query SHOW orrery.idempotency_token
         query INSERT INTO t VALUES (3)
         query SHOW orrery.idempotency_token"
    );
}

#[test]
fn a_text_that_commits_in_its_middle_is_refused_under_a_token() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query CREATE SEQUENCE s
         query SET orrery.idempotency_token = 'one'
         query INSERT INTO t VALUES (1); CREATE TABLE u (a int); INSERT INTO t VALUES (2)
         query INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)
         query INSERT INTO t VALUES (1); SELECT setval('s', 5); INSERT INTO t VALUES (2)
         query SELECT count(*) FROM t
         query BEGIN; INSERT INTO t VALUES (3); COMMIT
         query SELECT count(*) FROM t"
    );
}
