//! Where two runs part: the first event that differs, with what both had before it and what each did then.

/// Two sequences of events compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Events that are the same.
    pub same: usize,
    /// The last of these.
    pub before: Vec<String>,
    /// What the first goes on with; empty: it ends.
    pub left: Vec<String>,
    /// What the second goes on with; empty: it ends.
    pub right: Vec<String>,
}

/// Finds the first difference, with so many events of context.
#[must_use]
pub fn difference(left: &[String], right: &[String], context: usize) -> Option<Difference> {
    let same = left.iter().zip(right).take_while(|(one, other)| one == other).count();
    if same == left.len() && same == right.len() {
        return None;
    }
    let after = |events: &[String]| events[same..].iter().take(context.max(1)).cloned().collect();
    Some(Difference {
        same,
        before: left[same.saturating_sub(context)..same].to_vec(),
        left: after(left),
        right: after(right),
    })
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.before {
            writeln!(f, "  {line}")?;
        }
        for (sign, lines) in [('-', &self.left), ('+', &self.right)] {
            if lines.is_empty() {
                writeln!(f, "{sign} (ends)")?;
            }
            for line in lines {
                writeln!(f, "{sign} {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_first_difference_with_context() {
        assert_eq!(difference(&lines("a b c"), &lines("a b c"), 3), None);
        let found = difference(&lines("a b c d x e f"), &lines("a b c d y e f"), 2).expect("x and y");
        insta::assert_snapshot!(found, @r"
          c
          d
        - x
        - e
        + y
        + e
        ");
        assert_eq!(found.same, 4);
        let found = difference(&lines("a b"), &lines("a b c"), 1).expect("one ends");
        insta::assert_snapshot!(found, @r"
          b
        - (ends)
        + c
        ");
    }
}
