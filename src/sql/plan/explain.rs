//! EXPLAIN: a plan as text, one operator a line, in PostgreSQL's manner without costs.

use super::{Access, CombineKind, JoinKind, Node, Path, Rows, Scan, SortKey, Write};
use crate::sql::expr::{Comparison, Expr, SubqueryKind};
use crate::types::datetime::TimeZone;
use crate::types::{Value, text};

/// Lines of a query's plan.
pub(in crate::sql) fn explain(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    describe(node, 0, &mut lines);
    lines
}

/// Lines of a write's plan.
pub(in crate::sql) fn explain_write(write: &Write) -> Vec<String> {
    let mut lines = Vec::new();
    match write {
        Write::Insert(insert) => {
            head(&mut lines, 0, &format!("Insert on {}", insert.target.table.name));
            if let Some(conflict) = &insert.conflict {
                let action = if conflict.update.is_some() { "UPDATE" } else { "NOTHING" };
                detail(&mut lines, 0, &format!("Conflict Resolution: {action}"));
            }
            describe(&insert.source, 1, &mut lines);
        }
        Write::Update(update) => {
            head(&mut lines, 0, &format!("Update on {}", update.target.table.name));
            describe_rows(&update.rows, &mut lines);
        }
        Write::Delete(delete) => {
            head(&mut lines, 0, &format!("Delete on {}", delete.target.table.name));
            describe_rows(&delete.rows, &mut lines);
        }
        Write::Copy(copy) => head(&mut lines, 0, &format!("Copy into {}", copy.target.table.name)),
        Write::Truncate(tables) => {
            for table in tables {
                head(&mut lines, 0, &format!("Truncate {}", table.name));
            }
        }
    }
    lines
}

fn describe_rows(rows: &Rows, lines: &mut Vec<String>) {
    match rows {
        Rows::Scan(scan) => describe_scan(scan, 1, lines),
        Rows::Join(node) => describe(node, 1, lines),
    }
}

fn head(lines: &mut Vec<String>, depth: usize, text: &str) {
    lines.push(if depth == 0 { text.to_owned() } else { format!("{:width$}->  {text}", "", width = depth * 6 - 4) });
}

fn detail(lines: &mut Vec<String>, depth: usize, text: &str) {
    lines.push(format!("{:width$}{text}", "", width = depth * 6 + 2));
}

fn describe(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let below = |node: &Node| node.inputs().first().map(|input| names(input)).unwrap_or_default();
    match node {
        Node::Once => head(lines, depth, "Result"),
        Node::Nothing => head(lines, depth, "Nothing"),
        Node::Parts => head(lines, depth, "Gather"),
        Node::Values(rows) => head(lines, depth, &format!("Values ({} rows)", rows.len())),
        Node::Series(series) => head(lines, depth, &format!("Function Scan on generate_series {}", series.alias)),
        Node::Scan(scan) => return describe_scan(scan, depth, lines),
        Node::Project { input, columns } => {
            // A projection is not worth a line of its own, but the subqueries in it are worth theirs.
            describe(input, depth, lines);
            subqueries(columns.iter(), depth, lines);
            return;
        }
        Node::Filter { condition, .. } => {
            head(lines, depth, "Filter");
            detail(lines, depth, &format!("Filter: {}", show(condition, &below(node))));
        }
        Node::Join(join) => {
            let kind = match join.kind {
                JoinKind::Inner => "",
                JoinKind::Left => " Left",
                JoinKind::Right => " Right",
                JoinKind::Full => " Full",
            };
            let method = if join.keys.is_empty() { "Nested Loop" } else { "Hash" };
            let suffix = if join.keys.is_empty() && kind.is_empty() { "" } else { " Join" };
            head(lines, depth, &format!("{method}{kind}{suffix}"));
            let (left, right) = (names(&join.left), names(&join.right));
            let pair = |(l, r, _): &(Expr, Expr, _)| format!("({} = {})", show(l, &left), show(r, &right));
            if !join.keys.is_empty() {
                let pairs: Vec<_> = join.keys.iter().map(pair).collect();
                detail(lines, depth, &format!("Hash Cond: {}", pairs.join(" AND ")));
            }
            if let Some(condition) = &join.condition {
                detail(lines, depth, &format!("Join Filter: {}", show(condition, &names(node))));
            }
        }
        Node::Group(group) => {
            head(lines, depth, if group.keys.is_empty() { "Aggregate" } else { "HashAggregate" });
            if !group.keys.is_empty() {
                let keys: Vec<_> = group.keys.iter().map(|(key, _)| show(key, &below(node))).collect();
                detail(lines, depth, &format!("Group Key: {}", keys.join(", ")));
            }
        }
        Node::Sort(sort) => {
            head(lines, depth, if sort.top.is_some() { "Top-N Sort" } else { "Sort" });
            let key = |key: &SortKey| {
                let down = if key.descending { " DESC" } else { "" };
                let nulls = match (key.nulls_first, key.descending) {
                    (true, false) => " NULLS FIRST",
                    (false, true) => " NULLS LAST",
                    _ => "",
                };
                format!("{}{down}{nulls}", show(&key.expr, &below(node)))
            };
            let keys: Vec<_> = sort.keys.iter().map(key).collect();
            detail(lines, depth, &format!("Sort Key: {}", keys.join(", ")));
        }
        Node::Limit(_) => head(lines, depth, "Limit"),
        Node::Unique { .. } => head(lines, depth, "Unique"),
        Node::Lock(_) => head(lines, depth, "LockRows"),
        Node::Combine(combine) => {
            let kind = match (combine.kind, combine.all) {
                (CombineKind::Union, true) => "Append",
                (CombineKind::Union, false) => "HashUnion",
                (CombineKind::Intersect, false) => "HashSetOp Intersect",
                (CombineKind::Intersect, true) => "HashSetOp Intersect All",
                (CombineKind::Except, false) => "HashSetOp Except",
                (CombineKind::Except, true) => "HashSetOp Except All",
            };
            head(lines, depth, kind);
        }
    }
    for input in node.inputs() {
        describe(input, depth + 1, lines);
    }
    subqueries(node.expressions().into_iter(), depth, lines);
}

fn describe_scan(scan: &Scan, depth: usize, lines: &mut Vec<String>) {
    let (table, access) = (&scan.table, &scan.access);
    let back = if access.backwards { " Backward" } else { "" };
    let alias = if scan.alias == table.name { String::new() } else { format!(" {}", scan.alias) };
    let bounded = !access.equal.is_empty() || access.lower.is_some() || access.upper.is_some();
    let line = match access.path {
        Path::Index(index) => format!("Index Scan{back} using {} on {}{alias}", table.indexes[index].name, table.name),
        Path::Primary if bounded || access.backwards => {
            let name = table.primary_key_name.as_deref().unwrap_or("rows");
            format!("Index Scan{back} using {name} on {}{alias}", table.name)
        }
        Path::Primary => format!("Seq Scan on {}{alias}", table.name),
    };
    head(lines, depth, &line);
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let conditions = access_conditions(access, &names);
    if !conditions.is_empty() {
        let condition = conditions.join(" AND ");
        let shown = if conditions.len() > 1 { format!("({condition})") } else { condition };
        detail(lines, depth, &format!("Index Cond: {shown}"));
    }
    if let Some(condition) = &scan.condition {
        detail(lines, depth, &format!("Filter: {}", show(condition, &names)));
    }
    subqueries(scan.expressions().into_iter(), depth, lines);
}

fn access_conditions(access: &Access, names: &[String]) -> Vec<String> {
    let mut conditions = Vec::new();
    for ((column, ..), values) in access.columns.iter().zip(&access.equal) {
        let shown: Vec<_> = values.iter().map(|value| show(value, names)).collect();
        conditions.push(match shown.as_slice() {
            [one] => format!("({} = {one})", names[*column]),
            _ => format!("({} = ANY ({}))", names[*column], shown.join(", ")),
        });
    }
    if let Some((column, ..)) = access.columns.get(access.equal.len()) {
        for (bound, signs) in [(&access.lower, [">", ">="]), (&access.upper, ["<", "<="])] {
            if let Some((value, inclusive)) = bound {
                let sign = signs[usize::from(*inclusive)];
                conditions.push(format!("({} {sign} {})", names[*column], show(value, names)));
            }
        }
    }
    conditions
}

fn subqueries<'e>(expressions: impl Iterator<Item = &'e Expr>, depth: usize, lines: &mut Vec<String>) {
    for expr in expressions {
        expr.walk(&mut |expr| {
            if let Expr::Subquery(subquery) = expr {
                detail(lines, depth, if subquery.slot.is_some() { "InitPlan" } else { "SubPlan" });
                describe(&subquery.plan, depth + 1, lines);
            }
        });
    }
}

/// Names of an operator's columns, for showing expressions above it.
fn names(node: &Node) -> Vec<String> {
    match node {
        Node::Scan(scan) => {
            let key = scan.with_key.then(|| "(key)".to_owned());
            scan.table.columns.iter().map(|column| column.name.clone()).chain(key).collect()
        }
        Node::Project { input, columns } => {
            let below = names(input);
            columns.iter().map(|column| show(column, &below)).collect()
        }
        Node::Join(join) => {
            let mut all = names(&join.left);
            all.resize(join.left_width, "?".to_owned());
            all.extend(names(&join.right));
            all
        }
        Node::Group(group) => {
            let below = names(&group.input);
            let keys = group.keys.iter().map(|(key, _)| show(key, &below));
            let calls = group.aggregates.iter().map(|call| {
                let arguments: Vec<_> = call.arguments.iter().map(|argument| show(argument, &below)).collect();
                let star = if arguments.is_empty() { "*" } else { "" };
                let distinct = if call.distinct.is_some() { "DISTINCT " } else { "" };
                format!("{}({distinct}{star}{})", call.name, arguments.join(", "))
            });
            keys.chain(calls).collect()
        }
        Node::Values(rows) => (0..rows.first().map_or(0, Vec::len)).map(|n| format!("column{}", n + 1)).collect(),
        other => other.inputs().first().map(|input| names(input)).unwrap_or_default(),
    }
}

fn list(expressions: &[Expr], names: &[String], between: &str) -> String {
    expressions.iter().map(|expr| show(expr, names)).collect::<Vec<_>>().join(between)
}

/// An expression as text.
fn show(expr: &Expr, names: &[String]) -> String {
    let binary =
        |left: &Expr, sign: &str, right: &Expr| format!("({} {sign} {})", show(left, names), show(right, names));
    match expr {
        Expr::Constant(value) => constant(value),
        Expr::Literal { text, to } => format!("'{text}'::{to}"),
        Expr::Parameter(number) => format!("${}", number + 1),
        Expr::Drawn(_, what) => what.trim_end_matches(" is").to_owned(),
        Expr::Column(column) => names.get(*column).cloned().unwrap_or_else(|| format!("#{column}")),
        Expr::Outer { level, column } => format!("outer.{level}.{column}"),
        Expr::Aggregate(place) => format!("aggregate.{place}"),
        Expr::Call(call) => format!("{}({})", call.call.function.name, list(&call.arguments, names, ", ")),
        Expr::Binary(op) => binary(&op.left, op.operator.operator.symbol(), &op.right),
        Expr::Unary(op, input) => match op.operator {
            crate::sql::operator::UnaryOperator::Minus => format!("(- {})", show(input, names)),
            crate::sql::operator::UnaryOperator::Plus => format!("(+ {})", show(input, names)),
        },
        Expr::Like(like) => {
            let (input, pattern, escape) =
                (show(&like.input, names), show(&like.pattern, names), show(&like.escape, names));
            format!("({input} LIKE {pattern} ESCAPE {escape})")
        }
        Expr::Compare(compare) => binary(&compare.left, compare.comparison.sign(), &compare.right),
        Expr::Distinct(compare) => binary(&compare.left, "IS DISTINCT FROM", &compare.right),
        Expr::Cast(cast) => format!("({})::{}", show(&cast.input, names), cast.to),
        Expr::And(all) => format!("({})", list(all, names, " AND ")),
        Expr::Or(all) => format!("({})", list(all, names, " OR ")),
        Expr::Not(input) => match input.as_ref() {
            Expr::IsNull(inner) => format!("({} IS NOT NULL)", show(inner, names)),
            _ => format!("(NOT {})", show(input, names)),
        },
        Expr::IsNull(input) => format!("({} IS NULL)", show(input, names)),
        Expr::Is(input, wanted) => format!("({} IS {})", show(input, names), if *wanted { "TRUE" } else { "FALSE" }),
        Expr::In(within) => format!("({} = ANY ({}))", show(&within.needle, names), list(&within.list, names, ", ")),
        Expr::Case(case) => {
            let branch = |(when, then): &(Expr, Expr)| format!("WHEN {} THEN {}", show(when, names), show(then, names));
            let branches: Vec<_> = case.branches.iter().map(branch).collect();
            format!("CASE {} ELSE {} END", branches.join(" "), show(&case.otherwise, names))
        }
        Expr::Coalesce(all) => format!("COALESCE({})", list(all, names, ", ")),
        Expr::Extreme(greatest, all, _) => {
            format!("{}({})", if *greatest { "GREATEST" } else { "LEAST" }, list(all, names, ", "))
        }
        Expr::Subquery(subquery) => match &subquery.kind {
            SubqueryKind::Scalar => "(SubPlan)".to_owned(),
            SubqueryKind::Exists => "EXISTS(SubPlan)".to_owned(),
            SubqueryKind::Any { needle, comparison, .. } => quantified(needle, *comparison, "ANY", names),
            SubqueryKind::All { needle, comparison, .. } => quantified(needle, *comparison, "ALL", names),
        },
    }
}

fn quantified(needle: &Expr, comparison: Comparison, word: &str, names: &[String]) -> String {
    format!("({} {} {word} (SubPlan))", show(needle, names), comparison.sign())
}

fn constant(value: &Value) -> String {
    let text = text::print(value, &TimeZone::utc());
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(is) => if *is { "true" } else { "false" }.to_owned(),
        Value::Int2(_) | Value::Int4(_) | Value::Int8(_) | Value::Float8(_) | Value::Numeric(_) => text,
        _ => format!("'{}'", text.replace('\'', "''")),
    }
}
