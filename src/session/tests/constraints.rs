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
