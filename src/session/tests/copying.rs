//! COPY.

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
fn the_pieces_of_a_copy_are_checked_together() {
    shows!(
        "session
         query CREATE TABLE t (id int PRIMARY KEY, note text, parent int DEFAULT 1400 REFERENCES t)
         quiet
         query COPY t (id, note) FROM STDIN
         rows 1 1500
         done
         query SELECT count(*) FROM t
         query COPY t (id, note, parent) FROM STDIN
         rows 2000 2001
         done
         query DELETE FROM t
         query ALTER TABLE t ALTER parent SET DEFAULT 1600
         query COPY t (id, note) FROM STDIN
         rows 1 1500
         done
         query SELECT count(*) FROM t"
    );
}
