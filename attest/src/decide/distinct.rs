//! Counts operators that are different in the ways that a rule asks.

use std::collections::BTreeMap;

use crate::policy::{Policy, Rule};

/// The largest number of these operators of which no two share a value of any attribute that the rule
/// names. Each operator is named once; an operator without a value, which no checked policy has, is
/// not counted.
pub(super) fn count<'a>(
    policy: &Policy,
    rule: &Rule,
    operators: impl Iterator<Item = &'a str>,
) -> usize {
    let value = |operator: &str, attribute: &String| {
        let operator = policy.operators().get(operator)?;
        operator.attributes.get(attribute).cloned()
    };
    match &rule.distinct[..] {
        [] => operators.count(),
        [one] => {
            let mut values: Vec<String> = operators.filter_map(|o| value(o, one)).collect();
            values.sort();
            values.dedup();
            values.len()
        }
        [one, two, ..] => {
            let pairs = operators.filter_map(|o| value(o, one).zip(value(o, two)));
            matching(pairs)
        }
    }
}

/// Operators are edges between a value on the left and one on the right; those of which no two share a
/// value are a matching. The largest one is found by Kuhn's augmenting paths.
fn matching(pairs: impl Iterator<Item = (String, String)>) -> usize {
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (left, right) in pairs {
        edges.entry(left).or_default().push(right);
    }
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    edges
        .keys()
        .filter(|left| augment(&edges, &mut taken, left, &mut Vec::new()))
        .count()
}

fn augment(
    edges: &BTreeMap<String, Vec<String>>,
    taken: &mut BTreeMap<String, String>,
    left: &str,
    visited: &mut Vec<String>,
) -> bool {
    for right in edges.get(left).into_iter().flatten() {
        if visited.contains(right) {
            continue;
        }
        visited.push(right.clone());
        let holder = taken.get(right).cloned();
        if holder.is_none_or(|holder| augment(edges, taken, &holder, visited)) {
            taken.insert(right.clone(), left.to_owned());
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], expected: usize) {
        let owned = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        assert_eq!(matching(owned), expected, "{pairs:?}");
    }

    #[test]
    fn no_two_that_are_counted_share_a_value() {
        check(&[], 0);
        check(&[("a", "x"), ("a", "x")], 1);
        check(&[("a", "x"), ("b", "y")], 2);
        // three countries and three kinds of software, and still only two that share neither
        check(
            &[("a", "x"), ("a", "y"), ("a", "z"), ("b", "x"), ("c", "x")],
            2,
        );
        // taking the first that comes would end with two
        check(
            &[("a", "x"), ("a", "y"), ("b", "x"), ("c", "y"), ("c", "z")],
            3,
        );
    }
}
