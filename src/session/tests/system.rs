//! System tables.

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
fn a_node_is_asked_to_recover() {
    shows!(
        "session
         query SELECT * FROM system.recoveries
         query RECOVER NODE 2;
         query RECOVER NODE 9
         query RECOVER NODE
         query BEGIN; RECOVER NODE 2
         query ROLLBACK
         behind 3
         query RECOVER NODE 1; RECOVER NODE 3
         query SELECT * FROM system.recoveries
         + parse s - RECOVER NODE 3
         + bind - s
         + execute -
         sync
         silent 3
         query RECOVER NODE 3
         sleep 200
         query SELECT node_id, is_alive FROM system.nodes
         sleep 200"
    );
}
