//! Statements that are one transaction without BEGIN.

#[test]
fn a_text_is_a_transaction() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY)
         query INSERT INTO t VALUES (1); SET application_name = 'x'; INSERT INTO t VALUES (1)
         query SELECT count(*) FROM t; SHOW application_name
         query INSERT INTO t VALUES (1); SHOW application_name; INSERT INTO t VALUES (2)
         query INSERT INTO t VALUES (3); BEGIN; INSERT INTO t VALUES (4)
         query ROLLBACK
         query INSERT INTO t VALUES (5); ROLLBACK; INSERT INTO t VALUES (6)
         query INSERT INTO t VALUES (7); COMMIT; INSERT INTO t VALUES (7)
         query INSERT INTO t VALUES (8); SAVEPOINT s
         query INSERT INTO t VALUES (8); COMMIT AND CHAIN
         query INSERT INTO t VALUES (8); VACUUM t
         query SET application_name = 'y'; CREATE TABLE u (a int); INSERT INTO u VALUES (1); SELECT 1/0
         query INSERT INTO t VALUES (9); CREATE TABLE v (a int); SET TimeZone = 'Europe/Rome'; INSERT INTO t VALUES (9)
         query SELECT count(*) FROM u; SHOW application_name; SELECT a FROM t; SHOW TimeZone
         query INSERT INTO t VALUES (10); SELECT count(*) FROM system.nodes
         query SHOW TimeZone; COPY t FROM STDIN; SELECT count(*) FROM t
         data 20\\n21\\n
         done
         query SET application_name = 'z'; SELECT a FROM t; SELECT nothing
         fault none
         fault none
         fault drop
         query SHOW TimeZone; SELECT count(*) FROM t; INSERT INTO t VALUES (30)
         2: session
         2: query INSERT INTO t VALUES (31)
         sleep 150
         query SELECT a FROM t"
    );
}

#[test]
fn what_comes_before_a_sync_is_a_transaction() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY)
         + parse i - INSERT INTO t VALUES ($1)
         + bind - i 1
         + execute -
         + bind - i 2
         + execute -
         sync
         + bind - i 3
         + execute -
         + bind - i 1
         + execute -
         + bind - i 4
         + execute -
         sync
         + bind - i 5
         + describe P -
         + execute -
         + flush
         sync
         bind - i 6
         execute -
         flush
         + bind - i 7
         + execute -
         flush
         sync
         bind - i 8
         execute -
         close P -
         sync
         bind - i 9
         execute -
         gone
         2: session
         2: query SELECT a FROM t
         2: parse i - INSERT INTO t VALUES ($1)
         2: parse s - SET application_name = 'x'
         2: parse d - CREATE TABLE u (a int)
         2: parse begin - BEGIN
         2: parse commit - COMMIT
         2: parse rollback - ROLLBACK
         2: parse vacuum - VACUUM t
         2: sync
         2: + bind - s
         2: + execute -
         2: + bind - i 1
         2: + execute -
         2: sync
         2: + bind - i 10
         2: + execute -
         2: + bind - d
         2: + execute -
         2: + bind - i 1
         2: + execute -
         2: sync
         2: + bind - i 11
         2: + execute -
         2: + bind - begin
         2: + execute -
         2: + bind - i 12
         2: + execute -
         2: sync
         2: + bind - rollback
         2: + execute -
         2: sync
         2: + bind - i 13
         2: + execute -
         2: + bind - commit
         2: + execute -
         2: + bind - i 14
         2: + execute -
         2: + bind - rollback
         2: + execute -
         2: + bind - i 15
         2: + execute -
         2: sync
         2: + bind - i 16
         2: + execute -
         2: + bind - vacuum
         2: + execute -
         2: sync
         2: + bind - i 17
         2: + execute -
         2: query INSERT INTO t VALUES (18)
         2: query SELECT a FROM t
         fault none
         fault none
         fault drop
         fault drop
         fault drop
         fault drop
         2: + bind - i 19
         2: + execute -
         2: + bind - i 20
         2: + execute -
         2: sync
         sleep 1100
         2: + bind - i 21
         2: + execute -
         2: terminate"
    );
}

#[test]
fn who_has_seen_nothing_is_not_told_of_a_conflict() {
    shows!(
        "session
         2: session
         query CREATE TABLE t (a int PRIMARY KEY)
         fault none
         fault none
         fault drop
         query SET application_name = 'x'; SELECT count(*) FROM t; INSERT INTO t VALUES (1)
         2: query INSERT INTO t VALUES (2)
         sleep 150
         fault none
         fault none
         fault drop
         + parse - - SELECT count(*) FROM t
         + bind - -
         + execute -
         + parse - - INSERT INTO t VALUES (3)
         + bind - -
         + execute -
         sync
         2: query INSERT INTO t VALUES (4)
         sleep 150
         fault none
         fault none
         fault drop
         + parse - - SELECT count(*) FROM t
         + bind - -
         + execute -
         flush
         + parse - - INSERT INTO t VALUES (5)
         + bind - -
         + execute -
         sync
         2: query INSERT INTO t VALUES (6)
         sleep 150
         fault none
         fault none
         fault drop
         query SHOW TimeZone; SELECT count(*) FROM t; BEGIN; INSERT INTO t VALUES (7); COMMIT
         2: query INSERT INTO t VALUES (8)
         sleep 150
         query SELECT a FROM t; SHOW application_name
         stall 1
         query CREATE TABLE u (a int)
         2: query CREATE TABLE v (a int)
         go
         sleep 200
         query SELECT * FROM u; SELECT * FROM v"
    );
}
