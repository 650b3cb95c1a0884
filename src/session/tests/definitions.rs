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

#[test]
fn databases() {
    shows!(
        "partitions 3
         session
         quiet
         query CREATE DATABASE testdb; CREATE TABLE testdb.users (id serial PRIMARY KEY, name text UNIQUE)
         query CREATE TABLE users (id int)
         2: open
         2: startup user=ada database=testdb
         2: query INSERT INTO users (name) VALUES ('ada'), ('bob') RETURNING id
         2: query CREATE SCHEMA s; SET search_path = s, public; CREATE TABLE t (a int PRIMARY KEY, u int DEFAULT nextval('users_id_seq'))
         2: query INSERT INTO t (a) VALUES (1); SELECT * FROM s.t; SELECT current_database(), current_schema()
         2: query CREATE UNIQUE INDEX ON t (u)
         2: query SELECT setval('users_id_seq', 50); SELECT setval('public.users_id_seq', 60)
         2: query SELECT * FROM orrery.users; SELECT pg_get_serial_sequence('public.users', 'id'); DROP DATABASE testdb
         query SELECT * FROM testdb.users ORDER BY id; INSERT INTO testdb.s.t (a) VALUES (2) RETURNING u
         query SELECT schema, name FROM system.tables WHERE schema <> 'system' ORDER BY 1, 2
         query SELECT * FROM system.databases
         query DROP DATABASE testdb
         2: query SELECT * FROM users
         2: query CREATE TABLE users (a int)
         3: open
         3: startup user=ada database=testdb"
    );
}

#[test]
fn a_database_that_was_made_elsewhere_is_looked_up() {
    shows!(
        "session
         elsewhere CREATE DATABASE shop
         2: open
         2: startup user=ada database=shop
         2: query SELECT current_database()
         3: open
         3: startup user=ada database=nowhere
         fault drop
         fault drop
         4: open
         4: startup user=ada database=other
         sleep 60000"
    );
}
