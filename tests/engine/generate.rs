//! Random statements over the tables of [`TABLES`]: queries whose rows are determined (an order, if there is one, is over
//! everything that is selected) and writes whose outcome is.

/// The tables, one of each kind of placement.
pub const TABLES: &str = "
    CREATE TABLE a (id int PRIMARY KEY, g int, t text, n numeric);
    CREATE INDEX a_g ON a (g);
    CREATE TABLE b (x int, y int, v int, PRIMARY KEY (x, y));
    CREATE TABLE c (code text PRIMARY KEY, name text, g int) WITH (REPLICATED);
    CREATE TABLE h (k int, v text);
    CREATE TABLE p (k int NOT NULL, s char(6), v int) PARTITION BY HASH (k);
    CREATE TABLE s (k char(6) PRIMARY KEY, v int);
    CREATE TABLE m (id bigint PRIMARY KEY, v int, UNIQUE (id, v));
    CREATE TABLE e (k int PRIMARY KEY, v int) PARTITION BY RANGE (k) WITH (split_at = '5, 10, 20, 30');";

/// Names of the tables.
pub const ALL: [&str; 8] = ["a", "b", "c", "h", "p", "s", "m", "e"];

/// Whole-number columns of each.
const NUMBERS: [(&str, &[&str]); 8] = [
    ("a", &["id", "g"]),
    ("b", &["x", "y", "v"]),
    ("c", &["g"]),
    ("h", &["k"]),
    ("p", &["k", "v"]),
    ("s", &["v"]),
    ("m", &["id", "v"]),
    ("e", &["k", "v"]),
];

/// A small generator: the tests choose, not the machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % below as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.roll(list.len())]
    }

    /// One in so many.
    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    fn number(&mut self, below: usize) -> String {
        if self.once_in(9) { "NULL".to_owned() } else { self.roll(below).to_string() }
    }
}

/// Statements that fill the tables.
pub fn rows(dice: &mut Dice) -> Vec<String> {
    let mut values: [Vec<String>; 7] = Default::default();
    for id in 0..20 {
        let id = id * 3 + dice.roll(3);
        let [a, b, h, p, s, m, e] = &mut values;
        let (t, n) = (dice.pick(&["'x'", "'yy'", "NULL", "'zebra'"]), dice.pick(&["1.5", "-2", "NULL", "100.25"]));
        a.push(format!("({id}, {}, {t}, {n})", dice.number(5)));
        b.push(format!("({}, {id}, {})", dice.roll(6), dice.number(9)));
        h.push(format!("({}, {})", dice.number(8), dice.pick(&["'p'", "'q'", "NULL"])));
        let v = dice.number(4);
        p.push(format!("({}, 's{v}', {v}), ({}, NULL, 1)", dice.roll(12), dice.roll(12)));
        s.push(format!("('k{id}', {v})"));
        m.push(format!("({}, {})", id / 2 * 2 + id % 2, dice.number(6)));
        e.push(format!("({id}, {})", dice.number(20)));
    }
    let mut statements: Vec<String> = ["a", "b", "h", "p", "s", "m", "e"]
        .iter()
        .zip(&values)
        .map(|(table, values)| format!("INSERT INTO {table} VALUES {}", values.join(", ")))
        .collect();
    statements
        .push("INSERT INTO c VALUES ('x', 'ex', 0), ('yy', 'why', 1), ('q', 'queue', 2), ('z', NULL, NULL)".into());
    statements
}

/// What can be named in an expression: aliases with their whole-number columns.
type Scope = Vec<(String, Vec<String>)>;

fn column(dice: &mut Dice, scope: &Scope) -> String {
    let (alias, columns) = &scope[dice.roll(scope.len())];
    format!("{alias}.{}", columns[dice.roll(columns.len())])
}

fn scalar(dice: &mut Dice, scope: &Scope) -> String {
    match dice.roll(6) {
        0 => dice.roll(20).to_string(),
        1 => format!("{} + {}", column(dice, scope), dice.roll(4)),
        2 => format!("coalesce({}, {})", column(dice, scope), dice.roll(9)),
        _ => column(dice, scope),
    }
}

fn condition(dice: &mut Dice, scope: &Scope, depth: usize) -> String {
    let sign = dice.pick(&["=", "<>", "<", ">", "<=", ">="]);
    match dice.roll(if depth > 0 { 12 } else { 6 }) {
        0 => format!("{} IS {}NULL", column(dice, scope), dice.pick(&["", "NOT "])),
        1 => format!("{} IN ({}, {}, {})", column(dice, scope), dice.roll(12), dice.roll(30), dice.roll(60)),
        2 => format!("{} = {}", column(dice, scope), column(dice, scope)),
        3 => format!("{} = {}", column(dice, scope), dice.roll(30)),
        4 | 5 => format!("{} {sign} {}", column(dice, scope), scalar(dice, scope)),
        6 => format!("({} OR {})", condition(dice, scope, depth - 1), condition(dice, scope, depth - 1)),
        7 => format!("({} AND {})", condition(dice, scope, depth - 1), condition(dice, scope, depth - 1)),
        8 => format!("NOT ({})", condition(dice, scope, depth - 1)),
        9 => {
            let (table, names) = table(dice, "i");
            let inner = vec![("i".to_owned(), owned(names))];
            let filter = condition(dice, &inner, 0);
            format!("{} IN (SELECT i.{} FROM {table} WHERE {filter})", column(dice, scope), dice.pick(names))
        }
        10 => {
            let (table, inner) = table(dice, "j");
            let not = dice.pick(&["", "NOT "]);
            format!("{not}EXISTS (SELECT 1 FROM {table} WHERE j.{} = {})", dice.pick(inner), column(dice, scope))
        }
        _ => {
            let (table, inner) = table(dice, "k");
            let inner = dice.pick(inner);
            format!(
                "{} {sign} (SELECT {}(k.{inner}) FROM {table})",
                column(dice, scope),
                dice.pick(&["max", "min", "count"])
            )
        }
    }
}

fn table(dice: &mut Dice, alias: &str) -> (String, &'static [&'static str]) {
    let (name, columns) = dice.pick(&NUMBERS);
    (format!("{name} {alias}"), columns)
}

fn owned(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|name| (*name).to_owned()).collect()
}

fn from(dice: &mut Dice, depth: usize) -> (String, Scope) {
    let mut scope: Scope = Vec::new();
    let mut text = String::new();
    for number in 0..1 + dice.roll(3) {
        let alias = format!("t{number}");
        let (relation, columns) = if depth > 0 && dice.once_in(6) {
            (format!("({}) {alias} (d0)", single(dice, depth - 1)), vec!["d0".to_owned()])
        } else {
            let (relation, columns) = table(dice, &alias);
            (relation, owned(columns))
        };
        if number == 0 {
            text = relation;
            scope.push((alias, columns));
            continue;
        }
        let kind = dice.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let left = column(dice, &scope);
        let right = format!("{alias}.{}", columns[dice.roll(columns.len())]);
        scope.push((alias, columns));
        let more = if dice.once_in(3) { format!(" AND {}", condition(dice, &scope, 0)) } else { String::new() };
        text = format!("{text} {kind} {relation} ON {left} = {right}{more}");
    }
    (text, scope)
}

/// A query of one whole-number column.
fn single(dice: &mut Dice, depth: usize) -> String {
    let (from, scope) = from(dice, depth);
    let filter = condition(dice, &scope, depth);
    match dice.roll(4) {
        0 => format!("SELECT DISTINCT {} FROM {from} WHERE {filter}", scalar(dice, &scope)),
        1 => {
            let key = column(dice, &scope);
            format!("SELECT count(*)::int FROM {from} WHERE {filter} GROUP BY {key}")
        }
        2 => format!("SELECT {} FROM {from} WHERE {filter} ORDER BY 1 LIMIT {}", scalar(dice, &scope), dice.roll(9)),
        _ => format!("SELECT {} FROM {from} WHERE {filter}", scalar(dice, &scope)),
    }
}

/// A query, and whether its rows have an order.
pub fn query(dice: &mut Dice) -> (String, bool) {
    let (mut text, width) = match dice.roll(6) {
        0 => {
            let sign = dice.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"]);
            (format!("({}) {sign} ({})", single(dice, 1), single(dice, 1)), 1)
        }
        1 | 2 => grouped(dice),
        _ => {
            let (from, scope) = from(dice, 1);
            let items: Vec<String> = (0..1 + dice.roll(3)).map(|_| scalar(dice, &scope)).collect();
            let distinct = if dice.once_in(4) { "DISTINCT " } else { "" };
            let filter = if dice.once_in(4) { String::new() } else { format!(" WHERE {}", condition(dice, &scope, 2)) };
            (format!("SELECT {distinct}{} FROM {from}{filter}", items.join(", ")), items.len())
        }
    };
    let ordered = dice.roll(3) > 0;
    if ordered {
        let key = |place: usize, dice: &mut Dice| format!("{} {}", place + 1, dice.pick(&["", "DESC", "NULLS FIRST"]));
        let keys: Vec<String> = (0..width).map(|place| key(place, dice)).collect();
        text = format!("{text} ORDER BY {}", keys.join(", "));
        if dice.roll(2) == 0 {
            text = format!("{text} LIMIT {} OFFSET {}", dice.roll(8), dice.roll(4));
        }
    }
    (text, ordered)
}

fn grouped(dice: &mut Dice) -> (String, usize) {
    let (from, scope) = from(dice, 1);
    let keys: Vec<String> = (0..dice.roll(3)).map(|_| column(dice, &scope)).collect();
    let mut items = keys.clone();
    for _ in 0..1 + dice.roll(3) {
        let over = scalar(dice, &scope);
        let call = match dice.roll(8) {
            0 => "count(*)".to_owned(),
            1 => format!("count(DISTINCT {over})"),
            2 => format!("bool_and({over} > 3)"),
            3 => format!("count({over}) FILTER (WHERE {})", condition(dice, &scope, 0)),
            4 => format!("avg({over})"),
            5 => format!("sum({over}) + 1"),
            _ => format!("{}({over})", dice.pick(&["min", "max", "sum", "stddev"])),
        };
        items.push(call);
    }
    let filter = if dice.once_in(2) { String::new() } else { format!(" WHERE {}", condition(dice, &scope, 1)) };
    let by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let having = if dice.once_in(3) { " HAVING count(*) > 1" } else { "" };
    (format!("SELECT {} FROM {from}{filter}{by}{having}", items.join(", ")), items.len())
}

/// A write.
pub fn write(dice: &mut Dice) -> String {
    let (table, columns) = dice.pick(&NUMBERS);
    let scope: Scope = vec![(table.to_owned(), owned(columns))];
    let returning = if dice.once_in(2) { " RETURNING *" } else { "" };
    match dice.roll(8) {
        6 | 7 => {
            let (other, names) = self::table(dice, "k");
            let both: Scope = vec![(table.to_owned(), owned(columns)), ("k".to_owned(), owned(names))];
            let met = format!("{table}.{} = k.{}", dice.pick(columns), dice.pick(names));
            let filter = condition(dice, &both, 1);
            let column = dice.pick(columns);
            match dice.roll(3) {
                0 => format!("DELETE FROM {table} USING {other} WHERE {met} AND {filter}"),
                // Which of several partners it is must not matter.
                1 => {
                    format!("UPDATE {table} SET {column} = {table}.{column} + 1 FROM {other} WHERE {met} AND {filter}")
                }
                _ => {
                    let (name, of) = (dice.pick(names), other.split(' ').next().unwrap_or_default());
                    let most = format!("(SELECT max({name}) AS k FROM {of}) k");
                    format!("UPDATE {table} SET {column} = (k.k + {table}.{column})::int FROM {most} WHERE k.k > 2")
                }
            }
        }
        0 => format!("DELETE FROM {table} WHERE {}{returning}", condition(dice, &scope, 2)),
        1 => {
            let conflict = dice.pick(&["", " ON CONFLICT DO NOTHING"]);
            let (into, columns) = dice.pick(&[("a", "id"), ("h", "k"), ("p", "k"), ("m", "id"), ("e", "k")]);
            format!("INSERT INTO {into} ({columns}) {}{conflict}{returning}", single(dice, 1))
        }
        2 => {
            format!("INSERT INTO {} SELECT * FROM {}", dice.pick(&["e", "m"]), dice.pick(&["e", "m WHERE id < 100000"]))
        }
        _ => {
            let column = dice.pick(columns);
            let value = match dice.roll(4) {
                0 => dice.roll(30).to_string(),
                1 => format!("{column} + {}", 1 + dice.roll(50)),
                2 => scalar(dice, &scope),
                _ => {
                    let (inner, names) = self::table(dice, "k");
                    format!("(SELECT max(k.{}) FROM {inner} WHERE {})", dice.pick(names), {
                        let inner = vec![("k".to_owned(), owned(names))];
                        condition(dice, &inner, 0)
                    })
                }
            };
            let value = if column == "id" && table == "m" { value } else { format!("({value})::int") };
            format!("UPDATE {table} SET {column} = {value} WHERE {}{returning}", condition(dice, &scope, 2))
        }
    }
}
