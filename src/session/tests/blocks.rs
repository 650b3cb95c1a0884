//! Transaction blocks.

#[test]
fn outside_of_a_block() {
    shows!(
        "session
         query COMMIT
         query ROLLBACK
         query SAVEPOINT s
         query ROLLBACK TO s
         query RELEASE s
         query COMMIT AND CHAIN
         query ROLLBACK AND CHAIN
         query SET LOCAL timezone = 'UTC'
         query SET TRANSACTION READ ONLY"
    );
}

#[test]
fn a_transaction_block() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b int)
         query INSERT INTO t VALUES (1, 10), (2, 20)
         query BEGIN
         query SELECT b FROM t WHERE a = 1
         query UPDATE t SET b = b + 1 WHERE a = 1
         query SELECT 1, now() = now(); SELECT b FROM t WHERE a = 1; INSERT INTO t VALUES (3, 30)
         2: session
         2: query SELECT count(*), sum(b) FROM t
         query COMMIT
         2: query SELECT count(*), sum(b) FROM t
         query BEGIN; DELETE FROM t; ROLLBACK; SELECT count(*) FROM t
         query START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY
         query SELECT count(*) FROM t
         query COMMIT
         query BEGIN; BEGIN; COMMIT AND CHAIN
         query INSERT INTO t VALUES (4, 40)
         query COMMIT AND CHAIN
         query ROLLBACK AND CHAIN
         query END"
    );
}

#[test]
fn what_was_seen_has_changed() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 10), (2, 20)
         2: session
         quiet
         query BEGIN
         query SELECT b FROM t WHERE a = 1
         2: query UPDATE t SET b = 11 WHERE a = 1
         query UPDATE t SET b = 99 WHERE a = 2
         query COMMIT
         query SELECT * FROM t
         query BEGIN
         query UPDATE t SET b = b + 1 WHERE a = 1
         2: query UPDATE t SET b = b + 1 WHERE a = 1
         query COMMIT
         query SELECT * FROM t
         query BEGIN
         query UPDATE t SET b = 0
         2: query ALTER TABLE t ADD UNIQUE (b)
         query COMMIT
         query SELECT * FROM t"
    );
}

#[test]
fn a_failed_block() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY)
         quiet
         query BEGIN; INSERT INTO t VALUES (1)
         query INSERT INTO t VALUES (1)
         query SELECT 1
         + parse - - SELECT 1
         sync
         query SHOW jit
         query BEGIN
         query COMMIT
         query SELECT count(*) FROM t
         query BEGIN; SELECT 1/0
         query ROLLBACK AND CHAIN
         query SELECT nonsense
         query ROLLBACK
         query BEGIN; CREATE TABLE u (a int)
         query ROLLBACK
         query BEGIN; VACUUM t
         query ROLLBACK
         query BEGIN; SAVEPOINT s
         query ROLLBACK TO s
         query ROLLBACK
         query BEGIN READ ONLY; INSERT INTO t VALUES (1)
         query ROLLBACK
         query BEGIN; SET TRANSACTION READ ONLY; TRUNCATE t
         query END
         query BEGIN; SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
         query END
         query SELEC"
    );
}

#[test]
fn settings_of_a_block() {
    shows!(
        "session
         query BEGIN; SET application_name = 'a'; SET LOCAL TimeZone = 'Europe/Berlin'; SHOW TimeZone
         query COMMIT; SHOW TimeZone; SHOW application_name
         query BEGIN; SET application_name = 'b'; SET LOCAL TimeZone = 'Europe/Berlin'
         query ROLLBACK; SHOW TimeZone; SHOW application_name"
    );
}

#[test]
fn a_block_in_the_extended_protocol() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b int)
         quiet
         + parse begin - BEGIN
         + parse end - END
         + parse insert - INSERT INTO t VALUES ($1, $2)
         + parse select - SELECT * FROM t ORDER BY a
         sync
         + bind - begin
         + execute -
         sync
         + bind - insert 1 10
         + execute -
         + bind - insert 2 20
         + execute -
         sync
         + bind rows select
         + execute rows 1
         sync
         + execute rows 1
         + bind - end
         + execute -
         sync
         + execute rows 1
         sync
         query SELECT * FROM t
         + bind - begin
         + execute -
         + bind - insert 1 10
         + execute -
         + bind - insert 3 30
         + execute -
         sync
         + bind - insert 3 30
         + execute -
         sync
         + bind - end
         + execute -
         sync
         query SELECT count(*) FROM t"
    );
}

#[test]
fn a_block_and_its_leader() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY)
         query BEGIN
         fault drop-reply
         query INSERT INTO t VALUES (1)
         sleep 150
         fault lost
         query COMMIT
         sleep 150
         query BEGIN
         query INSERT INTO t VALUES (2)
         fault drop-reply
         fault drop
         fault drop
         fault drop
         query COMMIT
         sleep 1100
         query SELECT a FROM t
         query BEGIN; UPDATE t SET a = a + 10
         lose-forks
         query SELECT a FROM t
         query COMMIT; SELECT a FROM t
         query BEGIN; SELECT a FROM t
         gone"
    );
}

#[test]
fn a_block_over_several_partitions() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)
         query BEGIN
         query UPDATE t SET n = n - 5 WHERE id = 1
         query UPDATE t SET n = n + 5 WHERE id = 2
         query SELECT sum(n) FROM t
         2: session
         2: query SELECT id, n FROM t ORDER BY id
         query COMMIT
         2: query SELECT id, n FROM t ORDER BY id
         query BEGIN
         query SELECT n FROM t WHERE id = 1
         query SELECT n FROM t WHERE id = 2
         query COMMIT
         query BEGIN; SELECT count(*) FROM t; INSERT INTO t SELECT id + 10, n FROM t
         query ROLLBACK
         lose-forks
         quiet
         query BEGIN; UPDATE t SET n = n + 1 RETURNING id, n
         lose-forks
         query SELECT id, n FROM t ORDER BY id
         query COMMIT"
    );
}

#[test]
fn a_block_that_only_reads_is_of_one_moment() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)
         query BEGIN READ ONLY
         query SELECT n FROM t WHERE id = 1
         2: session
         2: query UPDATE t SET n = n + CASE id WHEN 1 THEN -5 ELSE 5 END WHERE id < 3
         query SELECT id, n FROM t ORDER BY id
         lose-forks
         query SELECT sum(n) FROM t
         query UPDATE t SET n = 0
         query ROLLBACK
         query SELECT id, n FROM t ORDER BY id
         quiet
         query BEGIN; SET TRANSACTION READ ONLY; SELECT count(*) FROM t; COMMIT
         query SET default_transaction_read_only = on
         query INSERT INTO t VALUES (9, 9)
         query CREATE TABLE u (id int PRIMARY KEY)
         query SELECT n FROM t WHERE id = 2
         query BEGIN; SELECT sum(n) FROM t; COMMIT
         query BEGIN READ WRITE; UPDATE t SET n = 1 WHERE id = 1; COMMIT
         query SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SHOW default_transaction_read_only"
    );
}

#[test]
fn what_several_partitions_showed_has_changed() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)
         2: session
         quiet
         query BEGIN
         query SELECT n FROM t WHERE id = 1
         2: query UPDATE t SET n = n - 1 WHERE id = 1; UPDATE t SET n = n + 1 WHERE id = 2
         query SELECT n FROM t WHERE id = 2
         query ROLLBACK
         query BEGIN
         query SELECT n FROM t WHERE id = 1
         query SELECT n FROM t WHERE id = 2
         2: query UPDATE t SET n = n - 1 WHERE id = 1; UPDATE t SET n = n + 1 WHERE id = 2
         query COMMIT
         query BEGIN
         query SELECT n FROM t WHERE id = 1
         query SELECT n FROM t WHERE id = 2
         query SELECT n FROM t WHERE id = 1
         2: query UPDATE t SET n = n - 1 WHERE id = 1; UPDATE t SET n = n + 1 WHERE id = 2
         query COMMIT
         query BEGIN
         query UPDATE t SET n = n + 100 WHERE id = 1
         query UPDATE t SET n = n + 100 WHERE id = 2
         2: query UPDATE t SET n = n - 1 WHERE id = 1; UPDATE t SET n = n + 1 WHERE id = 2
         query COMMIT
         query SELECT * FROM t ORDER BY id
         query BEGIN
         query SELECT n FROM t WHERE id = 1
         query INSERT INTO t VALUES (2, 0)
         query ROLLBACK
         query BEGIN
         query SELECT count(*) FROM t WHERE id IN (1, 2, 4)
         2: query INSERT INTO t VALUES (4, 0)
         query INSERT INTO t VALUES (3, 0)
         query ROLLBACK
         query BEGIN; SELECT sum(1 / (id - 1)) FROM t
         query ROLLBACK
         query BEGIN; SELECT count(*) FROM t
         elsewhere CREATE TABLE u (id int)
         query SELECT count(*) FROM t
         query COMMIT
         query BEGIN; SELECT n FROM t WHERE id = 1
         elsewhere CREATE TABLE v (id int)
         query COMMIT
         query BEGIN; SELECT n FROM t WHERE id = 1; SELECT n FROM t WHERE id = 2
         elsewhere CREATE TABLE w (id int)
         query COMMIT"
    );
}

#[test]
fn savepoints() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query BEGIN; INSERT INTO t VALUES (1, 10)
         query SAVEPOINT a
         query INSERT INTO t VALUES (1, 11)
         query SELECT 1
         query RELEASE a
         query ROLLBACK TO b
         query ROLLBACK TO a
         query INSERT INTO t VALUES (2, 20)
         query SAVEPOINT b; UPDATE t SET n = 0; SAVEPOINT c; DELETE FROM t; RELEASE c
         query SELECT count(*) FROM t
         query ROLLBACK TO b
         query SELECT * FROM t ORDER BY id
         query RELEASE a
         query ROLLBACK TO b
         query ROLLBACK
         quiet
         query BEGIN; INSERT INTO t VALUES (1, 10)
         query SAVEPOINT a
         query INSERT INTO t VALUES (1, 11)
         query ROLLBACK TO a; INSERT INTO t VALUES (2, 20); SAVEPOINT b; UPDATE t SET n = 0
         lose-forks
         query SELECT sum(n) FROM t
         query ROLLBACK TO b
         query COMMIT
         query SELECT * FROM t ORDER BY id
         query BEGIN; SET timezone = 'UTC'; SAVEPOINT s; SET timezone = 'Asia/Tokyo'; ROLLBACK TO s
         query SHOW timezone
         query COMMIT
         query SAVEPOINT s"
    );
}

#[test]
fn what_was_rolled_back_was_seen() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query INSERT INTO t VALUES (1, 10), (2, 20)
         2: session
         quiet
         query BEGIN; SAVEPOINT s; SELECT n FROM t WHERE id = 1
         query ROLLBACK TO s
         2: query UPDATE t SET n = 11 WHERE id = 1
         query UPDATE t SET n = 10 WHERE id = 2
         query ROLLBACK
         query BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1, 0)
         query ROLLBACK TO s
         query UPDATE t SET n = 21 WHERE id = 2
         2: query DELETE FROM t WHERE id = 1
         query COMMIT
         query BEGIN; INSERT INTO t VALUES (5, 50); SAVEPOINT s
         stall 2
         query SELECT count(*) FROM t
         sleep 1000
         go
         sleep 300
         query ROLLBACK TO s
         query SELECT count(*) FROM t
         query COMMIT
         query SELECT * FROM t ORDER BY id"
    );
}

#[test]
fn patience_has_an_end() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY)
         query SET idle_in_transaction_session_timeout = 200; SET statement_timeout = 50
         sleep 500
         query BEGIN
         query INSERT INTO t VALUES (1)
         sleep 150
         query SELECT a FROM t
         hold
         query INSERT INTO t VALUES (2)
         sleep 100
         query ROLLBACK
         query BEGIN; SAVEPOINT s
         query INSERT INTO t VALUES (3)
         sleep 100
         release
         query ROLLBACK TO s
         query SELECT a FROM t
         sleep 150
         hold
         query COMMIT
         sleep 250
         query BEGIN; INSERT INTO t VALUES (4); SELECT
         sleep 100
         query ROLLBACK
         release
         query BEGIN; SELECT nothing
         sleep 250
         2: session
         2: query SET idle_session_timeout = '1s'; SET idle_in_transaction_session_timeout = '5s'
         2: query BEGIN; SELECT a FROM t; COMMIT
         2: sleep 999
         2: query SELECT 1
         2: query BEGIN
         2: sleep 1500
         2: query COMMIT
         2: sleep 1000"
    );
}

#[test]
fn writes_that_read_other_partitions_in_a_block() {
    shows!(
        "partitions 3
         session
         query CREATE TABLE t (id int PRIMARY KEY, n int)
         query CREATE TABLE u (k int PRIMARY KEY, t_id int, v int)
         query INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)
         query INSERT INTO u VALUES (1, 3, 100), (2, 1, 200), (3, 11, 300)
         query BEGIN
         query INSERT INTO t SELECT id + 10, n FROM t
         quiet
         query SELECT id, n FROM t ORDER BY id
         query UPDATE t SET n = n + u.v FROM u WHERE u.t_id = t.id
         lose-forks
         query SELECT id, n FROM t ORDER BY id
         query DELETE FROM t USING u WHERE u.t_id = t.id AND u.k = 2 RETURNING id, n
         query UPDATE t SET id = id + 100 WHERE id = 2
         query SAVEPOINT s
         query INSERT INTO t SELECT t_id, v FROM u
         query ROLLBACK TO s
         query INSERT INTO u SELECT id, id, n FROM t WHERE id > 100
         2: session
         2: query SELECT id, n FROM t ORDER BY id
         lose-forks
         query COMMIT
         2: query SELECT id, n FROM t ORDER BY id
         2: query SELECT k, t_id, v FROM u ORDER BY k
         query BEGIN; INSERT INTO u SELECT id + 1000, id, n FROM t
         2: query UPDATE t SET n = 0 WHERE id = 102
         query COMMIT
         query BEGIN; INSERT INTO u SELECT id + 1000, id, n FROM t
         2: query UPDATE t SET n = n WHERE id = 102
         query COMMIT
         query SHOW TimeZone; INSERT INTO u SELECT k, t_id, v FROM u
         query SHOW TimeZone; INSERT INTO u SELECT k + 5000, t_id, v FROM u WHERE k < 3
         query SELECT count(*) FROM u"
    );
}

#[test]
fn a_commit_of_which_nobody_keeps_what_it_came_to_is_doubtful() {
    shows!(
        "partitions 2
         session
         query CREATE TABLE t (id int PRIMARY KEY)
         query BEGIN
         query INSERT INTO t VALUES (1), (2), (3)
         fault none
         fault not-kept
         fault not-kept
         query COMMIT
         query BEGIN
         query INSERT INTO t VALUES (4), (5), (6)
         fault none
         fault not-kept
         query COMMIT
         query BEGIN
         query SELECT count(*) FROM t WHERE id = 1
         fault none
         fault none
         fault not-kept
         fault not-kept
         query INSERT INTO t VALUES (4), (7)
         query ROLLBACK
         fault none
         fault not-kept
         fault not-kept
         query INSERT INTO t VALUES (8), (9), (10)"
    );
}
