//! SELECT: FROM, WHERE, GROUP BY, HAVING, the select list, DISTINCT and ORDER BY.

use super::grouping::Keys;
use super::query::{Bound, BoundColumn, Bounds, limited, sort_key, sorted};
use super::scope::Scope;
use super::{Aggregates, Binder, Typed, fold};
use crate::sql::cast::CastContext;
use crate::sql::expr::Expr;
use crate::sql::plan::{Group, Held, Lock, LockedRows, Node, SortKey};
use crate::types::{DataType, SqlError, SqlState};
use sqlparser::ast::{self, Distinct, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind};

/// A column of the select list.
struct Output {
    typed: Typed,
    column: BoundColumn,
}

impl Binder<'_> {
    pub(super) fn select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        bounds: Bounds,
        targets: &[DataType],
    ) -> Result<Bound, SqlError> {
        refuse_what_is_missing(select)?;
        let aggregates = std::mem::replace(&mut self.aggregates, Aggregates::Refused("FROM"));
        let bound = self.from(&select.from).and_then(|(input, scope)| {
            self.scopes.push(scope);
            let bound = self.select_over(select, input, order, bounds, targets);
            self.scopes.pop();
            bound
        });
        self.aggregates = aggregates;
        bound
    }

    fn scope(&self) -> &Scope {
        self.scopes.last().expect("a query binds inside its own scope")
    }

    fn select_over(
        &mut self,
        select: &ast::Select,
        mut input: Node,
        order: &[ast::OrderByExpr],
        bounds: Bounds,
        targets: &[DataType],
    ) -> Result<Bound, SqlError> {
        if let Some(selection) = &select.selection {
            self.aggregates = Aggregates::Refused("WHERE");
            let typed = self.expression(selection)?;
            let condition = self.condition(typed, "WHERE")?;
            input = Node::Filter { input: Box::new(input), condition };
        }
        self.aggregates = Aggregates::Allowed(Vec::new());
        let mut outputs = self.outputs(&select.projection, targets)?;
        let mut having = match &select.having {
            None => None,
            Some(having) => {
                let typed = self.expression(having)?;
                let span = typed.span;
                Some((self.condition(typed, "HAVING")?, span))
            }
        };
        let distinct = match &select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return Err(SqlError::unsupported("DISTINCT ON is not supported")),
        };
        let mut keys = self.order(&outputs, order, distinct)?;
        let Aggregates::Allowed(calls) = std::mem::replace(&mut self.aggregates, Aggregates::Refused("GROUP BY"))
        else {
            return Err(SqlError::unsupported("aggregates cannot be used here"));
        };
        let group_by = self.group_by(&select.group_by, &outputs)?;
        let locked = self.locked_rows(&[
            (distinct, "DISTINCT clause"),
            (group_by.is_some(), "GROUP BY clause"),
            (having.is_some(), "HAVING clause"),
            (!calls.is_empty(), "aggregate functions"),
        ])?;
        if !calls.is_empty() || having.is_some() || group_by.is_some() {
            let scope = self.scope().clone();
            let grouping = Keys::new(self, &scope, group_by.unwrap_or_default());
            for output in &mut outputs {
                grouping.rewrite_typed(self, &mut output.typed)?;
            }
            if let Some((condition, span)) = &mut having {
                grouping.rewrite(self, condition, *span)?;
            }
            for (key, item) in keys.iter_mut().zip(order) {
                grouping.rewrite(self, &mut key.expr, sqlparser::ast::Spanned::span(&item.expr))?;
            }
            input = Node::Group(Box::new(Group { input, keys: grouping.all(), aggregates: calls }));
            if let Some((condition, _)) = having {
                input = Node::Filter { input: Box::new(input), condition };
            }
        }
        Ok(finish(input, outputs, keys, distinct, bounds, locked))
    }

    fn outputs(&mut self, items: &[SelectItem], targets: &[DataType]) -> Result<Vec<Output>, SqlError> {
        let mut outputs = Vec::with_capacity(items.len());
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    outputs.push(self.output(expr, output_name(expr), &outputs, targets)?)
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    outputs.push(self.output(expr, fold(alias), &outputs, targets)?);
                }
                SelectItem::Wildcard(_) => {
                    if self.scope().columns.is_empty() {
                        let message = "SELECT * with no tables specified is not valid";
                        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
                    }
                    self.wildcard(None, &mut outputs);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let relation = super::name_parts(name)?.pop().unwrap_or_default();
                    if !self.scope().columns.iter().any(|column| column.relation == relation) {
                        let message = format!("missing FROM-clause entry for table \"{relation}\"");
                        return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message));
                    }
                    self.wildcard(Some(&relation), &mut outputs);
                }
                _ => return Err(SqlError::unsupported("this select item is not supported")),
            }
        }
        Ok(outputs)
    }

    fn output(
        &mut self,
        expr: &ast::Expr,
        name: String,
        before: &[Output],
        targets: &[DataType],
    ) -> Result<Output, SqlError> {
        let typed = self.expression(expr)?;
        let unknown = typed.data_type.is_none();
        let target = targets.get(before.len());
        let typed = match target {
            Some(target) if unknown => self.coerce(typed.clone(), *target, CastContext::Assignment)?.unwrap_or(typed),
            _ => self.known(typed)?,
        };
        let data_type = typed.data_type.unwrap_or(DataType::Text);
        let origin = match &typed.expr {
            Expr::Column(column) => self.scope().columns[*column].origin,
            _ => None,
        };
        let guessed = unknown && target.is_none();
        Ok(Output { typed, column: BoundColumn { name, data_type, guessed, origin } })
    }

    fn wildcard(&self, relation: Option<&str>, outputs: &mut Vec<Output>) {
        for (place, column) in self.scope().columns.iter().enumerate() {
            let wanted = relation.map_or(!column.merged, |relation| column.relation == relation);
            if wanted && !column.hidden {
                let data_type = column.data_type;
                let span = sqlparser::tokenizer::Span::empty();
                outputs.push(Output {
                    typed: Typed { expr: Expr::Column(place), data_type: Some(data_type), span },
                    column: BoundColumn { name: column.name.clone(), data_type, guessed: false, origin: column.origin },
                });
            }
        }
    }

    /// ORDER BY: positions, names of the select list, else expressions over the input. With DISTINCT only what is
    /// selected can be sorted by.
    fn order(
        &mut self,
        outputs: &[Output],
        order: &[ast::OrderByExpr],
        distinct: bool,
    ) -> Result<Vec<SortKey>, SqlError> {
        let mut keys = Vec::with_capacity(order.len());
        for item in order {
            let named = match &item.expr {
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    let mut matching = outputs.iter().filter(|output| output.column.name == name);
                    let first = matching.next();
                    if matching.any(|other| first.is_some_and(|first| first.typed.expr != other.typed.expr)) {
                        return self.error(
                            ident.span,
                            SqlState::AMBIGUOUS_COLUMN,
                            format!("ORDER BY \"{name}\" is ambiguous"),
                        );
                    }
                    first
                }
                other => self.position(other, outputs.len(), "ORDER BY")?.map(|place| &outputs[place]),
            };
            let (expr, data_type) = match named {
                Some(output) => (output.typed.expr.clone(), output.column.data_type),
                None => {
                    let typed = self.expression(&item.expr)?;
                    let typed = self.known(typed)?;
                    if distinct && !outputs.iter().any(|output| output.typed.expr == typed.expr) {
                        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in select list";
                        return self.error(typed.span, SqlState::INVALID_COLUMN_REFERENCE, message);
                    }
                    (typed.expr, typed.data_type.unwrap_or(DataType::Text))
                }
            };
            keys.push(sort_key(expr, data_type, &item.options));
        }
        Ok(keys)
    }

    /// GROUP BY: positions, columns of the input, names of the select list, expressions. `None`: there is none.
    fn group_by(
        &mut self,
        group_by: &GroupByExpr,
        outputs: &[Output],
    ) -> Result<Option<Vec<(Expr, DataType)>>, SqlError> {
        let list = match group_by {
            GroupByExpr::Expressions(list, modifiers) if modifiers.is_empty() => list,
            _ => return Err(SqlError::unsupported("GROUP BY ALL, ROLLUP and CUBE are not supported")),
        };
        if list.is_empty() {
            return Ok(None);
        }
        let mut keys: Vec<(Expr, DataType)> = Vec::with_capacity(list.len());
        for item in list {
            let position = self.position(item, outputs.len(), "GROUP BY")?.map(|place| &outputs[place]);
            let named = match item {
                ast::Expr::Identifier(ident) => {
                    let name = fold(ident);
                    let hidden = matches!(self.scope().find(None, &name), super::scope::Found::Column(_));
                    outputs.iter().find(|output| !hidden && output.column.name == name)
                }
                _ => None,
            };
            let key = match position.or(named) {
                Some(output) => {
                    let mut aggregated = false;
                    output.typed.expr.walk(&mut |expr| aggregated |= matches!(expr, Expr::Aggregate(_)));
                    if aggregated {
                        let message = "aggregate functions are not allowed in GROUP BY";
                        return self.error(output.typed.span, SqlState::GROUPING_ERROR, message);
                    }
                    (output.typed.expr.clone(), output.column.data_type)
                }
                None => {
                    let typed = self.expression(item)?;
                    let typed = self.known(typed)?;
                    (typed.expr, typed.data_type.unwrap_or(DataType::Text))
                }
            };
            if !keys.iter().any(|(known, _)| *known == key.0) {
                keys.push(key);
            }
        }
        Ok(Some(keys))
    }
}

fn finish(
    input: Node,
    outputs: Vec<Output>,
    keys: Vec<SortKey>,
    distinct: bool,
    bounds: Bounds,
    locked: Vec<LockedRows>,
) -> Bound {
    let expressions: Vec<Expr> = outputs.iter().map(|output| output.typed.expr.clone()).collect();
    let types: Vec<DataType> = outputs.iter().map(|output| output.column.data_type).collect();
    let columns = outputs.into_iter().map(|output| output.column).collect();
    let plan = if distinct {
        let keys = keys.into_iter().map(|key| {
            let place = expressions.iter().position(|expr| *expr == key.expr);
            SortKey { expr: Expr::Column(place.unwrap_or(0)), ..key }
        });
        let keys = keys.collect();
        let projected = Node::Project { input: Box::new(input), columns: expressions };
        let columns = types.into_iter().enumerate().collect();
        sorted(Node::Unique { input: Box::new(projected), columns }, keys, &bounds)
    } else {
        // Sorting before projecting: what is sorted by need not be selected.
        Node::Project { input: Box::new(with_locks(input, keys, &bounds, locked)), columns: expressions }
    };
    Bound { plan: limited(plan, bounds), columns }
}

/// Sorted, and the rows locked that come out.
fn with_locks(input: Node, keys: Vec<SortKey>, bounds: &Bounds, of: Vec<LockedRows>) -> Node {
    // Where rows are skipped above it a sort cannot know how many are wanted.
    let skips = of.iter().any(|rows| rows.held == Held::Skip);
    let input = sorted(input, keys, if skips { &(None, None) } else { bounds });
    if of.is_empty() {
        return input;
    }
    Node::Lock(Box::new(Lock { input, of, limited: bounds.0.is_some() }))
}

/// The name that PostgreSQL gives a column without alias.
fn output_name(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Identifier(ident) => fold(ident),
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        ast::Expr::Nested(inner) | ast::Expr::Collate { expr: inner, .. } => output_name(inner),
        ast::Expr::Function(function) => {
            super::name_parts(&function.name).ok().and_then(|mut parts| parts.pop()).unwrap_or_default()
        }
        ast::Expr::Cast { expr, data_type, .. } => match output_name(expr).as_str() {
            "?column?" => {
                super::data_type(data_type).map_or_else(|_| "?column?".to_owned(), |t| t.internal_name().to_owned())
            }
            name => name.to_owned(),
        },
        ast::Expr::TypedString(typed) => {
            super::data_type(&typed.data_type).map_or_else(|_| "?column?".to_owned(), |t| t.internal_name().to_owned())
        }
        ast::Expr::Case { else_result, .. } => match else_result.as_deref().map(output_name).as_deref() {
            None | Some("?column?") => "case".to_owned(),
            Some(name) => name.to_owned(),
        },
        ast::Expr::Exists { .. } => "exists".to_owned(),
        ast::Expr::Subquery(query) => match query.body.as_ref() {
            ast::SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::UnnamedExpr(expr)) => output_name(expr),
                Some(SelectItem::ExprWithAlias { alias, .. }) => fold(alias),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        ast::Expr::Extract { .. } => "extract".to_owned(),
        ast::Expr::Substring { .. } => "substring".to_owned(),
        ast::Expr::Position { .. } => "position".to_owned(),
        ast::Expr::Ceil { .. } => "ceil".to_owned(),
        ast::Expr::Floor { .. } => "floor".to_owned(),
        ast::Expr::Overlay { .. } => "overlay".to_owned(),
        ast::Expr::AtTimeZone { .. } => "timezone".to_owned(),
        ast::Expr::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            _ => "btrim".to_owned(),
        },
        ast::Expr::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => "bool".to_owned(),
        _ => "?column?".to_owned(),
    }
}

fn refuse_what_is_missing(select: &ast::Select) -> Result<(), SqlError> {
    let missing = if select.into.is_some() {
        "SELECT INTO"
    } else if !select.named_window.is_empty() || select.qualify.is_some() {
        "WINDOW"
    } else if select.top.is_some() || select.prewhere.is_some() || !select.lateral_views.is_empty() {
        "this SELECT clause"
    } else {
        return Ok(());
    };
    Err(SqlError::unsupported(format!("{missing} is not supported")))
}

impl Binder<'_> {
    /// A select list over one table's rows: RETURNING.
    pub(super) fn returning(
        &mut self,
        items: &[SelectItem],
        scope: Scope,
    ) -> Result<(Vec<Expr>, Vec<BoundColumn>), SqlError> {
        self.scopes.push(scope);
        self.aggregates = Aggregates::Refused("RETURNING");
        let outputs = self.outputs(items, &[]);
        self.scopes.pop();
        Ok(outputs?.into_iter().map(|output| (output.typed.expr, output.column)).unzip())
    }
}
