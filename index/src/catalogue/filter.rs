//! Given a filter expression, which SQL condition over `facets` is it?
//!
//! A property that is not there is NULL, and so is what is said of it; NOT is
//! written so that it takes NULL for false, as a filter does.

use std::path::Path;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::Catalogue;
use super::facets::Field;
use super::item::kind_code;
use crate::filter::{InFolder, Node, RowSet};
use crate::{Dimensions, Expr, Near, PathPattern, Pattern, Span, StoreError, Term};

impl Catalogue {
    /// Looks at rows from where `rows` ends up to all that `len` says, and puts
    /// in those whose items the expression accepts.
    pub(crate) fn filter(
        &self,
        expr: &Expr,
        rows: &mut RowSet,
        len: u64,
    ) -> Result<(), StoreError> {
        let mut sql = Sql { catalogue: self, text: String::new(), values: vec![] };
        sql.node(&expr.0)?;
        let Sql { text, mut values, .. } = sql;
        let from = rows.len();
        // Of the newest rows there are few; of all, those that an index finds.
        let query = if from > 0 {
            values.push((from as i64).into());
            format!("SELECT row FROM facets NOT INDEXED WHERE ({text}) AND row >= ?")
        } else {
            format!("SELECT row FROM facets WHERE {text}")
        };
        rows.extend_to(len);
        self.sql(|c| {
            let mut statement = c.prepare(&query)?;
            let mut found = statement.query(params_from_iter(values))?;
            while let Some(row) = found.next()? {
                rows.insert(row.get::<_, i64>(0)? as u64);
            }
            Ok(())
        })
    }

    /// As [`Catalogue::filter`], by looking at every item: slow, but in need of
    /// nothing derived. It sees the rows of the newest state only.
    pub(crate) fn filter_items(
        &self,
        expr: &Expr,
        rows: &mut RowSet,
        len: u64,
    ) -> Result<(), StoreError> {
        rows.extend_to(len);
        let given = self.given_labels()?;
        self.select("", [], |stored| {
            if given.seen(&stored.item, stored.row, |item| expr.accepts(item)) {
                rows.insert(stored.row);
            }
            Ok(())
        })
    }
}

/// A condition in the making.
struct Sql<'a> {
    catalogue: &'a Catalogue,
    text: String,
    values: Vec<Value>,
}

impl Sql<'_> {
    fn push(&mut self, text: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(text);
        self.values.extend(values);
    }

    fn node(&mut self, node: &Node) -> Result<(), StoreError> {
        match node {
            Node::All(list) => self.joined(list, " AND "),
            Node::Any(list) => self.joined(list, " OR "),
            Node::Not(inner) => {
                self.text.push('(');
                self.node(inner)?;
                self.text.push_str(") IS NOT TRUE");
                Ok(())
            }
            Node::Is(term) => self.term(term),
        }
    }

    fn joined(&mut self, list: &[Node], between: &str) -> Result<(), StoreError> {
        for (i, node) in list.iter().enumerate() {
            self.text.push_str(if i == 0 { "(" } else { between });
            self.text.push('(');
            self.node(node)?;
            self.text.push(')');
        }
        self.text.push(')');
        Ok(())
    }

    fn term(&mut self, term: &Term) -> Result<(), StoreError> {
        match term {
            Term::Kind(kind) => self.push("kind = ?", [kind_code(*kind).into()]),
            Term::Path(pattern) => return self.path(pattern),
            Term::Folder(pattern) => {
                let has = |path: &str| pattern.is_a_name_in(Path::new(path));
                return self.one_of("folder", Field::Folder, has);
            }
            Term::Name(pattern) => self.name(pattern),
            Term::Format(pattern) => {
                return self.one_of("format", Field::Format, |text| pattern.is(text));
            }
            Term::Size(span) => {
                self.span("size", span.map(|b| i64::try_from(b.0).unwrap_or(i64::MAX)));
            }
            Term::Width(span) => self.span("width", span.map(i64::from)),
            Term::Height(span) => self.span("height", span.map(i64::from)),
            Term::Dimensions(span) => self.dimensions(*span),
            Term::Taken(span) => self.dates("taken_from", "taken_to", *span),
            Term::Modified(span) => self.dates("modified", "modified", *span),
            Term::Camera(pattern) => {
                let fits = |text: &str| pattern.is_among_words_of(text);
                return self.one_of("camera", Field::Camera, fits);
            }
            Term::Lens(pattern) => {
                let fits = |text: &str| pattern.is_among_words_of(text);
                return self.one_of("lens", Field::Lens, fits);
            }
            Term::Iso(span) => return self.number(Field::Iso, span.map(u64::from)),
            Term::Aperture(span) => {
                return self.number(Field::Aperture, span.map(|n| n.0.into()));
            }
            Term::Exposure(span) => return self.number(Field::Exposure, span.map(|n| n.0)),
            Term::Focal(span) => return self.number(Field::Focal, span.map(|n| n.0.into())),
            Term::Tag(pattern) => return self.mark(Field::Tag, |text| pattern.is(text)),
            Term::Label(pattern) => return self.label(pattern),
            Term::Colour(colour) => {
                return self.mark(Field::Colour, |text| text == colour.as_str());
            }
            Term::Near(near) => self.near(*near),
        }
        Ok(())
    }

    fn span(&mut self, column: &str, span: Span<i64>) {
        let (sign, value) = match span {
            Span::Is(a) => ("=", a),
            Span::Over(a) => (">", a),
            Span::From(a) => (">=", a),
            Span::Under(a) => ("<", a),
            Span::UpTo(a) => ("<=", a),
            Span::Within(a, b) => {
                return self.push(&format!("{column} BETWEEN ? AND ?"), [a.into(), b.into()]);
            }
        };
        self.push(&format!("{column} {sign} ?"), [value.into()]);
    }

    fn dimensions(&mut self, span: Span<Dimensions>) {
        self.text.push('(');
        self.span("width", span.map(|d| d.width.into()));
        self.text.push_str(" AND ");
        self.span("height", span.map(|d| d.height.into()));
        self.text.push(')');
    }

    fn dates(&mut self, from: &str, to: &str, span: Span<crate::Date>) {
        let (first, last) = match span {
            Span::Over(a) => return self.span(from, Span::Over(a.last())),
            Span::From(a) => return self.span(from, Span::From(a.first())),
            Span::Under(a) => return self.span(to, Span::Under(a.first())),
            Span::UpTo(a) => return self.span(to, Span::UpTo(a.last())),
            Span::Is(a) => (a, a),
            Span::Within(a, b) => (a, b),
        };
        // Whatever begins too late ends too late as well; said so that an index finds both ends.
        let ends = [first.first(), last.last(), last.last()].map(Value::from);
        self.push(&format!("({from} BETWEEN ? AND ? AND {to} <= ?)"), ends);
    }

    fn near(&mut self, near: Near) {
        let ([x, y, z], (south, north)) = (near.place.point(), near.latitudes());
        let square = |axis: &str| format!("({axis} - ?) * ({axis} - ?)");
        let text = format!(
            "(latitude BETWEEN ? AND ? AND {} + {} + {} <= ?)",
            square("x"),
            square("y"),
            square("z")
        );
        let numbers = [x, x, y, y, z, z, near.chord_squared()].map(Value::from);
        self.push(&text, [south.into(), north.into()].into_iter().chain(numbers));
    }

    /// Of the texts of a field, those that fit.
    fn fitting(&self, field: Field, fits: impl Fn(&str) -> bool) -> Result<Vec<i64>, StoreError> {
        let mut ids = vec![];
        self.catalogue.terms(field, |id, text| {
            if fits(text) {
                ids.push(id);
            }
        })?;
        Ok(ids)
    }

    fn one_of(
        &mut self,
        column: &str,
        field: Field,
        fits: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let ids = self.fitting(field, fits)?;
        self.in_list(column, &ids);
        Ok(())
    }

    fn in_list(&mut self, column: &str, ids: &[i64]) {
        let list = serde_json::Value::from(ids).to_string();
        let text = format!("{column} IN (SELECT value FROM json_each(?))");
        self.push(&text, [list.into()]);
    }

    fn mark(&mut self, field: Field, fits: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let ids = self.fitting(field, fits)?;
        self.text.push_str("row IN (SELECT row FROM marks WHERE ");
        self.in_list("term", &ids);
        self.text.push(')');
        Ok(())
    }

    /// What items are labelled, and what label sets say of pictures.
    fn label(&mut self, pattern: &Pattern) -> Result<(), StoreError> {
        self.text.push('(');
        self.mark(Field::Label, |text| pattern.is_label(text))?;
        let mut ids = self.catalogue.applied_labels()?;
        ids.retain(|(_, label)| pattern.is_label(label));
        if !ids.is_empty() {
            let ids: Vec<i64> = ids.into_iter().map(|(id, _)| id).collect();
            self.text.push_str(" OR row IN (SELECT row FROM applied_rows WHERE ");
            self.in_list("label", &ids);
            self.text.push(')');
        }
        self.text.push(')');
        Ok(())
    }

    /// Of numbers that many items share.
    fn number(&mut self, field: Field, span: Span<u64>) -> Result<(), StoreError> {
        self.mark(field, |text| text.parse().is_ok_and(|number| span.holds(number)))
    }

    fn name(&mut self, pattern: &Pattern) {
        if pattern.is_wild() {
            self.push("name GLOB ?", [escaped(pattern.folded()).into()]);
        } else {
            self.push("instr(name, ?) > 0", [pattern.folded().to_owned().into()]);
        }
    }

    fn path(&mut self, pattern: &PathPattern) -> Result<(), StoreError> {
        let (mut all, mut some, mut last) = (vec![], vec![], None);
        self.catalogue.terms(Field::Folder, |id, folder| {
            match pattern.in_folder(Path::new(folder)) {
                InFolder::All => all.push(id),
                InFolder::None => {}
                InFolder::Named(name) => {
                    some.push(id);
                    last = Some(name);
                }
            }
        })?;
        self.text.push('(');
        self.in_list("folder", &all);
        if let Some(name) = last {
            self.text.push_str(" OR (");
            self.in_list("folder", &some);
            self.push(" AND name GLOB ?)", [escaped(name).into()]);
        }
        self.text.push(')');
        Ok(())
    }
}

/// For GLOB, where brackets mean something.
fn escaped(pattern: &str) -> String {
    pattern.replace('[', "[[]")
}
