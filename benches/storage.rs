//! What storage costs: nanoseconds for each get, put, scanned row and snapshot. `cargo bench --bench storage [rows]`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its figures")]

use orrery::storage::Store;
use orrery::types::TreeId;
use std::hint::black_box;
use std::ops::Bound;
use std::time::Instant;

const TREE: TreeId = TreeId(1);

/// Every number below a power of two once, in no order (an odd multiplier is a bijection).
fn scattered(number: u64, rows: u64) -> [u8; 9] {
    let mut key = [1; 9];
    key[1..].copy_from_slice(&(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (rows - 1)).to_be_bytes());
    key
}

fn measure(what: &str, count: u64, mut each: impl FnMut(u64)) {
    let begin = Instant::now();
    (0..count).for_each(&mut each);
    let nanos = begin.elapsed().as_nanos() as f64 / count as f64;
    println!("{what:44} {nanos:9.1} ns");
}

fn main() {
    let rows =
        std::env::args().find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(1 << 20).next_power_of_two();
    let value = [7_u8; 64];
    println!("{rows} rows, keys of 9 bytes, values of 64");

    let mut store = Store::new();
    store.create_tree(TREE);
    measure("put, rising keys", rows, |at| {
        let mut key = [1; 9];
        key[1..].copy_from_slice(&at.to_be_bytes());
        store.put(TREE, &key, &value);
        store.commit();
    });
    drop(store);

    let mut store = Store::new();
    store.create_tree(TREE);
    measure("put, keys in no order", rows, |at| {
        store.put(TREE, &scattered(at, rows), &value);
        store.commit();
    });
    measure("get, keys in no order", rows, |at| {
        black_box(store.get(TREE, &scattered(at * 7 + 3, rows)));
    });
    measure("get, 1000 hot keys", rows, |at| {
        black_box(store.get(TREE, &scattered(at % 1000, rows)));
    });
    measure("replace, keys in no order", rows, |at| {
        store.put(TREE, &scattered(at * 5 + 1, rows), &value);
        store.commit();
    });
    measure("replace and roll back", rows / 4, |at| {
        let mark = store.mark();
        store.put(TREE, &scattered(at, rows), &value);
        store.rollback(mark);
    });
    let passes = 4;
    measure("scan, each row", passes * rows, {
        let mut scan = store.scan(TREE, Bound::Unbounded, Bound::Unbounded);
        let store = &store;
        move |_| {
            if black_box(scan.next()).is_none() {
                scan = store.scan(TREE, Bound::Unbounded, Bound::Unbounded);
            }
        }
    });
    measure("scan of one row, keys in no order", rows, |at| {
        let key = scattered(at * 3, rows);
        black_box(store.scan(TREE, Bound::Included(&key), Bound::Included(&key)).next());
    });
    measure("snapshot and drop", 1_000_000, |_| drop(black_box(store.snapshot())));
    measure("first put to a leaf after a snapshot", 20_000, |at| {
        let snapshot = store.snapshot();
        store.put(TREE, &scattered(at * 11, rows), &value);
        store.commit();
        drop(black_box(snapshot));
    });
    measure("digest", 1_000_000, |_| {
        black_box(store.digest());
    });
    measure("remove, keys in no order", rows, |at| {
        store.remove(TREE, &scattered(at, rows));
        store.commit();
    });
}
