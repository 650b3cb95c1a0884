//! The scripts.

use super::dialogue::play;

/// Compares what came of a script with the snapshot named like the test.
macro_rules! shows {
    ($script:literal) => {
        let shown = play($script);
        insta::assert_snapshot!(shown);
    };
}

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
fn copy_in_a_block() {
    shows!(
        "session
         query CREATE TABLE t (a int, b text)
         query begin
         query truncate t
         query copy t from stdin with (freeze on)
         data 1\\tone\\n2\\ttwo\\n
         data \\\\.\\n
         done
         query SELECT count(*) FROM t
         query commit
         quiet
         query SELECT * FROM t
         query BEGIN; COPY t FROM STDIN; SELECT 2
         data x
         done
         query COMMIT
         query SELECT count(*) FROM t"
    );
}

#[test]
fn a_large_copy_in_a_block_outlives_its_leader() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b text)
         query BEGIN
         query SET search_path TO public
         query SAVEPOINT s
         query COPY t FROM STDIN
         rows 0 3000
         rows 3000 6000
         lose-forks
         fault none
         fault drop
         rows 6000 6500
         done
         sleep 500
         query INSERT INTO t VALUES (0)
         query ROLLBACK TO s
         query COPY t FROM STDIN
         rows 0 5
         done
         lose-forks
         fault none
         fault none
         fault none
         fault drop-reply
         query SELECT count(*) FROM t
         sleep 500
         query COMMIT
         query BEGIN
         query COPY t FROM STDIN
         rows 10 3000
         rows 3000 5000
         done
         elsewhere CREATE TABLE u (a int)
         lose-forks
         query SELECT 1 FROM t
         quiet
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

#[test]
fn copy_from_stdin() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b text, c char(3) DEFAULT 'x')
         query COPY t FROM STDIN
         data 1\\tone\\tx\\n2\\t\\\\N
         data \\t\\\\N\\n3\\ta\\\\tb\\\\\\nc\\\\\\\\\\tz\\n
         done
         query copy t (b, a) from stdin with (freeze on); SELECT * FROM t ORDER BY a
         data four\\t4\\n\\\\.\\nignored\\n
         done
         query COPY t FROM STDIN (FORMAT csv, HEADER, NULL 'nil')
         data a,b,c\\n5,\"two\\nlines, \"\"quoted\"\"\",nil\\n6,nil,\"nil\"
         done
         query SELECT * FROM t WHERE a > 4 ORDER BY a
         query COPY t FROM STDIN
         done"
    );
}

#[test]
fn a_copy_fails_as_a_whole() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL, CHECK (a < 100))
         query COPY t FROM STDIN
         data 1\\tone\\n2\\n
         done
         quiet
         query COPY t FROM STDIN
         data 1\\tone\\n2\\ttwo\\tmore\\n
         done
         query COPY t FROM STDIN
         data 1\\tone\\nzwei\\ttwo\\n
         done
         query COPY t FROM STDIN
         data 1\\tone\\n1\\ttwo\\n
         done
         query COPY t FROM STDIN
         data 1\\t\\\\N\\n
         done
         query COPY t FROM STDIN
         data 100\\ttoo large\\n
         done
         query COPY t FROM STDIN
         data 1\\tone\\n
         copyfail changed my mind
         query SELECT count(*) FROM t
         query COPY nowhere FROM STDIN
         data left over
         done
         query COPY t (z) FROM STDIN
         query COPY t FROM '/etc/passwd'
         query COPY t TO STDOUT
         query COPY t FROM STDIN (FORMAT binary)
         query COPY t FROM STDIN (DELIMITER 'ab')
         query COPY t FROM STDIN (nonsense)
         query COPY t FROM STDIN
         query SELECT 1"
    );
}

#[test]
fn copy_in_the_extended_protocol() {
    shows!(
        "session
         query CREATE TABLE t (a int PRIMARY KEY, b text)
         quiet
         + parse - - COPY t FROM STDIN
         + bind - -
         + execute -
         sync
         data 1\\tone\\n
         + done
         sync
         + parse - - COPY t FROM STDIN
         + bind - -
         execute -
         data 1\\ttwice\\n
         + done
         sync
         query SELECT * FROM t"
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
fn system_tables() {
    shows!(
        "session
         query SELECT node, state, sql_address, replicas, leads FROM system.nodes
         query SELECT partition, kind, leader, era, answering, max_lag FROM system.partitions ORDER BY partition DESC
         query SELECT partition, node, role, lag, digest FROM system.replicas WHERE partition = 1
         query SELECT node, pid, user_name, state, statement FROM system.sessions
         query SELECT node, severity, kind, text FROM system.events WHERE node > 1
         query SELECT n.node, count(*) FROM system.nodes n JOIN system.replicas r ON n.node = r.node GROUP BY n.node
         query SET statement_timeout = '3s'; SELECT scope, name, value FROM system.settings WHERE name IN ('statement_timeout', 'heartbeat')
         query EXPLAIN SELECT * FROM system.nodes WHERE node = 2
         parse s - SELECT state FROM system.nodes WHERE node = $1
         bind - s 2
         describe P -
         execute -
         sync"
    );
}

#[test]
fn a_silent_node_is_shown_as_such() {
    shows!(
        "session
         silent 3
         query SELECT node, state, clock IS NULL AS no_clock FROM system.nodes
         sleep 49
         sleep 1
         sleep 50
         query SELECT partition, leader, replicas, answering FROM system.partitions
         sleep 200
         silent 2
         query SELECT partition, leader, answering FROM system.partitions
         sleep 200
         query SELECT node, role FROM system.replicas WHERE partition = 1
         2: open
         2: cancel 1
         terminate"
    );
}

#[test]
fn system_tables_show_definitions() {
    shows!(
        "session
         query CREATE TABLE planet (id int PRIMARY KEY, name text UNIQUE NOT NULL, moons int DEFAULT 0 CHECK (moons >= 0))
         query CREATE INDEX ON planet (moons DESC)
         elsewhere CREATE TABLE elsewhere (a int)
         query SELECT name, columns, primary_key, partition_key FROM system.tables WHERE schema = 'public'
         query SELECT table_name, position, name, type, not_null, default_value FROM system.columns WHERE schema = 'public'
         query SELECT name, columns, is_unique, state FROM system.indexes
         query SELECT name, kind, definition FROM system.constraints WHERE schema = 'public'
         query SELECT name, description FROM system.tables WHERE schema = 'system'"
    );
}

#[test]
fn system_tables_stand_alone() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query SELECT * FROM t, system.nodes
         query INSERT INTO t SELECT node FROM system.nodes
         query INSERT INTO system.nodes VALUES (1)
         query UPDATE system.nodes SET state = 'up'
         query DELETE FROM system.nodes
         query TRUNCATE system.nodes
         query DROP TABLE system.nodes
         query CREATE INDEX ON system.nodes (state)
         query CREATE TABLE system.t (a int)
         query SELECT * FROM nodes
         query SELECT * FROM system.moons
         query SET search_path = system, public
         query SELECT node FROM nodes
         query INSERT INTO t VALUES (1); SELECT node FROM system.nodes; SELECT a FROM t; SELECT 1 / (a - 1) FROM t
         query SELECT 1 / (node - 2) FROM system.nodes"
    );
}

#[test]
fn slow_statements_are_told() {
    shows!(
        "session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         fault drop
         query INSERT INTO t VALUES (1)
         sleep 100
         fault drop
         fault drop
         query INSERT INTO t VALUES (2)
         sleep 600
         query SELECT a FROM t"
    );
}

#[test]
fn system_tables_are_no_part_of_a_transaction() {
    shows!(
        "session
         2: session
         quiet
         query CREATE TABLE t (a int PRIMARY KEY)
         query BEGIN
         query INSERT INTO t VALUES (1)
         query SELECT node, state FROM system.nodes WHERE node = 1
         2: query SELECT pid, state, statement FROM system.sessions
         query SELECT 1 / (node - 2) FROM system.nodes
         2: query SELECT pid, state FROM system.sessions
         query SELECT node FROM system.nodes
         query ROLLBACK
         2: query SELECT pid, state FROM system.sessions"
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
