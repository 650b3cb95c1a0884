//! Constraints that concern several partitions.

use super::dialogue::play;

#[test]
fn constraints_over_several_partitions() {
    insta::assert_snapshot!(play(
        "partitions 3
         session
         query CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE)
         query CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)
         query INSERT INTO p VALUES (1, 'a')
         quiet
         query INSERT INTO p VALUES (2, 'b'), (3, NULL), (4, 'd')
         query INSERT INTO p VALUES (5, 'b')
         query INSERT INTO c VALUES (1, 7)
         query INSERT INTO c VALUES (1, 1), (2, 1), (3, 2); INSERT INTO p VALUES (8, 'h'); SELECT count(*) FROM c
         query INSERT INTO c VALUES (9, 1); INSERT INTO c VALUES (10, 77)
         query COPY p FROM STDIN
         rows 20 22
         done
         query COPY p FROM STDIN
         rows 20 21
         done
         query DELETE FROM p WHERE code = 'a'
         query SELECT id, p FROM c ORDER BY id
         query ALTER TABLE c ADD UNIQUE (p)
         query INSERT INTO c VALUES (4, 2)
         query SELECT name, kind, definition FROM system.constraints WHERE table_name = 'c' ORDER BY name"
    ));
}

#[test]
fn constraints_in_a_block() {
    insta::assert_snapshot!(play(
        "partitions 3
         session
         2: session
         quiet
         query CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE)
         query CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)
         query INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c')
         query BEGIN
         query INSERT INTO c VALUES (1, 3)
         query SAVEPOINT s
         query INSERT INTO p VALUES (4, 'd')
         query INSERT INTO p VALUES (5, 'a')
         query ROLLBACK TO s
         lose-forks
         query INSERT INTO p VALUES (6, 'd')
         query DELETE FROM p WHERE id = 3
         query SELECT * FROM c
         query COMMIT
         query SELECT * FROM p ORDER BY id
         query BEGIN
         query INSERT INTO p VALUES (7, 'x')
         2: query INSERT INTO p VALUES (8, 'x')
         query COMMIT
         query BEGIN
         query INSERT INTO c VALUES (5, 1)
         2: query DELETE FROM p WHERE id = 1
         query INSERT INTO c VALUES (6, 2)
         query COMMIT
         query BEGIN
         query INSERT INTO c VALUES (7, 55)
         query ROLLBACK
         query SELECT * FROM c"
    ));
}

/// What is deferred is the same however many partitions there are.
const DEFERRED: &str = "session
         quiet
         query CREATE TABLE p (id int PRIMARY KEY)
         query CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)
         query CREATE TABLE d (id int PRIMARY KEY, c int CONSTRAINT dc REFERENCES c DEFERRABLE)
         query INSERT INTO c VALUES (1, 1)
         query BEGIN; INSERT INTO c VALUES (1, 1); INSERT INTO p VALUES (1); COMMIT
         query INSERT INTO c VALUES (2, 2); INSERT INTO p VALUES (2)
         query INSERT INTO c VALUES (3, 3); SELECT 1
         query BEGIN
         query INSERT INTO c VALUES (3, 3)
         query COMMIT
         query SELECT * FROM c ORDER BY id
         query BEGIN
         query DELETE FROM p WHERE id = 1
         query INSERT INTO c VALUES (4, 1)
         query UPDATE c SET p = 2 WHERE p = 1
         query COMMIT
         query BEGIN; DELETE FROM p WHERE id = 2; COMMIT
         query BEGIN
         query INSERT INTO d VALUES (1, 9)
         query ROLLBACK
         query BEGIN; SET CONSTRAINTS dc DEFERRED; INSERT INTO d VALUES (1, 9); INSERT INTO c VALUES (9, NULL); SET CONSTRAINTS dc IMMEDIATE; COMMIT
         query BEGIN
         query SET CONSTRAINTS ALL DEFERRED
         query INSERT INTO d VALUES (2, 10)
         query SAVEPOINT s
         query INSERT INTO c VALUES (10, NULL)
         query SET CONSTRAINTS ALL IMMEDIATE
         query ROLLBACK TO s
         query COMMIT
         query SELECT count(*) FROM d
         query BEGIN
         query INSERT INTO c VALUES (20, 20)
         lose-forks
         query INSERT INTO c VALUES (21, NULL)
         query COMMIT AND CHAIN
         query SELECT count(*) FROM c
         query SET CONSTRAINTS ALL DEFERRED
         query BEGIN; SET CONSTRAINTS nowhere DEFERRED
         query ROLLBACK; BEGIN; SET CONSTRAINTS c_pkey DEFERRED
         query ROLLBACK
         + parse - - INSERT INTO c VALUES (30, 30)
         + bind - -
         + execute -
         + parse - - INSERT INTO p VALUES (30)
         + bind - -
         + execute -
         sync
         + parse - - INSERT INTO c VALUES (31, 31)
         + bind - -
         + execute -
         + parse - - SELECT 1
         + bind - -
         + execute -
         sync
         query SELECT name, definition FROM system.constraints WHERE kind = 'foreign key' ORDER BY 1
         query BEGIN
         query INSERT INTO p VALUES (40), (41), (42), (43)
         query INSERT INTO c VALUES (40, 49)
         query INSERT INTO p VALUES (40)
         query ROLLBACK
         query BEGIN; INSERT INTO c VALUES (50, 50); UPDATE c SET id = 53 WHERE id = 50; COMMIT
         query BEGIN; INSERT INTO c VALUES (50, 50); UPDATE c SET id = 53 WHERE id = 50; INSERT INTO p VALUES (50); COMMIT
         query BEGIN; INSERT INTO c VALUES (60, 60); DELETE FROM c WHERE id = 60; COMMIT
         query BEGIN; INSERT INTO c VALUES (60, 60); UPDATE c SET p = 50 WHERE id = 60; DELETE FROM p WHERE id = 50; SAVEPOINT s; INSERT INTO p VALUES (50); COMMIT
         + parse - - SET CONSTRAINTS dc DEFERRED
         + bind - -
         + execute -
         + parse - - INSERT INTO d VALUES (70, 70)
         + bind - -
         + execute -
         + parse - - INSERT INTO c VALUES (70, NULL)
         + bind - -
         + execute -
         sync
         query SET CONSTRAINTS dc DEFERRED; INSERT INTO d VALUES (71, 71); SELECT 1
         query BEGIN; INSERT INTO c VALUES (80, 80); SET CONSTRAINTS c_p_fkey IMMEDIATE
         query ROLLBACK
         query BEGIN; SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO c VALUES (80, 80)
         query ROLLBACK
         query CREATE TABLE u (id int UNIQUE DEFERRABLE)
         query CREATE TABLE u (id int PRIMARY KEY INITIALLY DEFERRED)";

#[test]
fn deferred_constraints_over_several_partitions() {
    insta::assert_snapshot!(play(&format!("partitions 3\n{DEFERRED}")));
}

#[test]
fn deferred_constraints_in_one_partition() {
    insta::assert_snapshot!(play(&format!("partitions 1\n{DEFERRED}")));
}

#[test]
fn a_foreign_key_over_rows_that_are_there() {
    let script = "session
         quiet
         query CREATE TABLE p (id int PRIMARY KEY)
         query CREATE TABLE c (id int PRIMARY KEY, p int)
         query INSERT INTO c VALUES (1, 10), (2, 20), (3, 30), (4, NULL)
         query ALTER TABLE c ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES p NOT VALID
         query INSERT INTO c VALUES (5, 50)
         query UPDATE c SET p = 11 WHERE id = 1
         query UPDATE c SET p = 10 WHERE id = 1
         query ALTER TABLE c VALIDATE CONSTRAINT f
         query INSERT INTO p VALUES (10), (20), (30)
         query ALTER TABLE c VALIDATE CONSTRAINT f
         query ALTER TABLE c RENAME CONSTRAINT f TO g
         query DELETE FROM p WHERE id = 20
         query SELECT definition FROM system.constraints WHERE name = 'g'";
    insta::assert_snapshot!(play(&format!("partitions 3\n{script}")));
}

/// Who is told that nobody knows what became of COMMIT is out of the block all the same: the next statement is checked at its end.
#[test]
fn nothing_is_deferred_behind_a_commit_that_is_in_doubt() {
    insta::assert_snapshot!(play(
        "partitions 1
         session
         quiet
         query CREATE TABLE p (id int PRIMARY KEY)
         query CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)
         query SET statement_timeout = '1s'
         query BEGIN; INSERT INTO c VALUES (1, 1); INSERT INTO p VALUES (1)
         fault none
         fault drop
         fault drop
         fault drop
         fault drop
         query COMMIT
         sleep 3000
         query INSERT INTO c VALUES (99, 99)
         query DELETE FROM p
         query SELECT id FROM c
         query BEGIN; SET CONSTRAINTS c_pkey IMMEDIATE; COMMIT"
    ));
}

/// A foreign key that takes the place of one over other values is proved.
#[test]
fn a_foreign_key_over_values_that_change_with_it_is_proved() {
    insta::assert_snapshot!(play(
        "partitions 1
         session
         quiet
         query CREATE TABLE p (id int PRIMARY KEY)
         query CREATE TABLE c (id int PRIMARY KEY, p int CONSTRAINT f REFERENCES p)
         query INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)
         query ALTER TABLE c DROP CONSTRAINT f, ALTER COLUMN p TYPE int USING p + 100, ADD CONSTRAINT g FOREIGN KEY (p) REFERENCES p
         query ALTER TABLE c DROP CONSTRAINT f, ADD CONSTRAINT g FOREIGN KEY (p) REFERENCES p
         query SELECT p FROM c"
    ));
}
