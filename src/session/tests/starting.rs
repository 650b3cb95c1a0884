//! How sessions begin and end, and what they are set to.

#[test]
fn startup() {
    shows!(
        "start
         open
         ssl
         gss
         startup user=ada database=orrery application_name=psql options=-c~statement_timeout=5s client_encoding=UTF8
         terminate
         2: open
         2: startup 3.2 user=ada database=postgres
         3: open
         3: startup 3.9999 user=ada _pq_.new=1
         4: open
         4: startup user=ada database=nowhere
         5: open
         5: startup database=orrery
         6: open
         6: startup user=ada nonsense=1
         7: open
         7: startup 2.0 user=ada
         8: open
         8: startup user=ada replication=database
         stats"
    );
}

#[test]
fn a_session_waits_for_the_gateways_number() {
    shows!(
        "open
         startup user=ada
         fault drop
         fault not-leader 3
         start
         2: open
         2: startup user=bob
         sleep 100
         query SHOW application_name"
    );
}

#[test]
fn a_session_does_not_wait_for_ever() {
    shows!(
        "quiet
         open
         startup user=ada
         sleep 1000
         2: open
         sleep 60000"
    );
}

#[test]
fn too_many_connections() {
    shows!(
        "session
         2: session
         3: session
         4: open
         4: startup user=a
         1: terminate
         5: session
         stats"
    );
}

#[test]
fn settings() {
    shows!(
        "start
         open
         startup user=ada application_name=first
         query SET application_name = 'second'; SET statement_timeout TO '3s'; SET my.own = 1
         query SHOW application_name; SHOW statement_timeout; SHOW my.own; SHOW server_version; SHOW TimeZone
         query SET TIME ZONE 'Europe/Berlin'
         query SHOW search_path
         query SET search_path = \"A b\", public
         query SHOW search_path
         query RESET ALL
         query SHOW ALL
         query SET nonsense = 1
         query SET client_encoding = latin1
         query SET LOCAL search_path = x
         query SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
         query SHOW transaction isolation level
         query DISCARD ALL
         query DEALLOCATE nothing
         query DEALLOCATE ALL"
    );
}

#[test]
fn what_is_no_statement() {
    shows!(
        "session
         query
         query ; ;
         query SELEC 1
         query COPY t FROM STDIN
         function
         parse - - SELECT 1; SELECT 2
         sync
         + parse - -
         + bind - -
         + describe P -
         + execute - 0
         sync"
    );
}

#[test]
fn malformed_bytes_close_the_connection() {
    shows!(
        "session
         quiet
         1: gone
         1: open
         raw 474554202f20
         1: open
         1: raw 16030100
         2: open
         2: raw 00000009000300007573
         2: gone
         3: session
         3: raw 21
         4: session
         4: raw 5100000003
         5: session
         5: raw 51 7fffffff
         6: session
         6: raw 42 00000008 00 00 ffff
         7: session
         7: raw 51 00000008 ff ff ff 00
         7: raw 50 00000009 ff 00 00 00 00
         7: sync
         7: raw 70 00000005 00
         stats"
    );
}

#[test]
fn cancellation() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         hold
         query SELECT id FROM t
         2: open
         2: cancel 1
         query INSERT INTO t VALUES (1)
         3: open
         3: cancel 1
         sleep 50
         release
         hold
         query INSERT INTO t VALUES (2)
         4: open
         4: cancel 1
         sleep 100
         release
         5: open
         5: cancel 1
         query SELECT id FROM t ORDER BY id"
    );
}

#[test]
fn shutdown_lets_statements_finish() {
    shows!(
        "session
         2: session
         query CREATE TABLE t (id int PRIMARY KEY)
         hold
         query INSERT INTO t VALUES (1)
         shutdown
         3: open
         release"
    );
}

#[test]
fn shutdown_waits_for_blocks_and_pipelines() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         query BEGIN
         query INSERT INTO t VALUES (1)
         2: session
         2: + parse - - INSERT INTO t VALUES (2)
         2: + bind - -
         2: + execute -
         2: flush
         3: session
         3: query BEGIN
         shutdown
         5: open
         5: startup user=eve
         query INSERT INTO t VALUES (3)
         query COMMIT
         2: sync
         sleep 3000
         3: query INSERT INTO t VALUES (4)
         sleep 2000"
    );
}

#[test]
fn a_client_that_leaves_is_forgotten() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY)
         hold
         query INSERT INTO t VALUES (1)
         gone
         release
         sleep 2000
         2: session
         2: query SELECT id FROM t
         stats"
    );
}

#[test]
fn vacuum_and_analyze() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b text)
         quiet
         query VACUUM; VACUUM t; VACUUM ANALYZE t, t (a, b); VACUUM (VERBOSE, PARALLEL 2, ANALYZE on) t
         query ANALYZE; ANALYZE VERBOSE t (b); ANALYZE (SKIP_LOCKED) public.t
         query VACUUM nowhere
         query ANALYZE t (c)
         query VACUUM (nonsense)
         query VACUUM t t
         + parse - - VACUUM t
         + bind - -
         + execute -
         sync"
    );
}
