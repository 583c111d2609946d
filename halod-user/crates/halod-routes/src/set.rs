use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{MAX_ROUTES, RouteId};

/// A set of routes, kept as ranges: sorted, apart from each other, each (first, last) inclusive.
///
/// As text it is `1-8,10,12-14` (the empty set is the empty text), in JSON
/// `[[1,8],[10,10],[12,14]]`. What is read may name its ranges in any order, overlapping or not;
/// a route outside 1..=[`MAX_ROUTES`] is refused, so that a few bytes cannot ask for a huge set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(RouteId, RouteId)>", into = "Vec<(RouteId, RouteId)>")]
pub struct RouteSet(Vec<(RouteId, RouteId)>);

impl RouteSet {
    /// The empty set.
    pub fn new() -> RouteSet {
        RouteSet::default()
    }

    /// The ranges, (first, last) both inclusive, ascending.
    pub fn ranges(&self) -> &[(RouteId, RouteId)] {
        &self.0
    }

    /// The routes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = RouteId> {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// How many routes there are in it.
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|&(first, last)| (last - first) as usize + 1)
            .sum()
    }

    /// Whether there is no route in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a route is in it.
    pub fn contains(&self, route: RouteId) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= route);
        after > 0 && self.0[after - 1].1 >= route
    }

    /// The smallest route in it.
    pub fn first(&self) -> Option<RouteId> {
        self.0.first().map(|&(first, _)| first)
    }

    /// The largest route in it.
    pub fn last(&self) -> Option<RouteId> {
        self.0.last().map(|&(_, last)| last)
    }

    /// The routes of this set that are not in the other one.
    pub fn difference(&self, other: &RouteSet) -> RouteSet {
        let mut ranges = Vec::new();
        let mut others = other.0.iter().copied().peekable();
        for &(mut first, last) in &self.0 {
            while others.next_if(|other| other.1 < first).is_some() {}
            // The last of these may reach into the next range too.
            while let Some(&(from, to)) = others.peek().filter(|other| other.0 <= last) {
                if first < from {
                    ranges.push((first, from - 1));
                }
                first = to.saturating_add(1);
                if to > last {
                    break;
                }
                others.next();
            }
            if first <= last {
                ranges.push((first, last));
            }
        }
        RouteSet(ranges)
    }

    /// From ranges with first <= last, in any order.
    fn merged(mut ranges: Vec<(RouteId, RouteId)>) -> RouteSet {
        ranges.sort_unstable();
        let mut merged: Vec<(RouteId, RouteId)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        merged.shrink_to_fit();
        RouteSet(merged)
    }
}

/// Why ranges of routes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRouteSetError {
    /// A part of the text is neither a route nor a range.
    #[error("{0:?} is not a route or a range of routes; write 1-8,10,12-14")]
    Syntax(String),
    /// The range runs backwards.
    #[error("the range {first}-{last} runs backwards; write {last}-{first}")]
    Backwards {
        /// As written.
        first: RouteId,
        /// As written.
        last: RouteId,
    },
    /// No cluster can have that route.
    #[error("there is no route {0}; routes are 1 to {MAX_ROUTES}")]
    NoSuchRoute(RouteId),
}

fn checked(first: RouteId, last: RouteId) -> Result<(RouteId, RouteId), ParseRouteSetError> {
    for route in [first, last] {
        if !(1..=MAX_ROUTES).contains(&route) {
            return Err(ParseRouteSetError::NoSuchRoute(route));
        }
    }
    if first > last {
        return Err(ParseRouteSetError::Backwards { first, last });
    }
    Ok((first, last))
}

impl TryFrom<Vec<(RouteId, RouteId)>> for RouteSet {
    type Error = ParseRouteSetError;

    fn try_from(ranges: Vec<(RouteId, RouteId)>) -> Result<RouteSet, ParseRouteSetError> {
        for &(first, last) in &ranges {
            checked(first, last)?;
        }
        Ok(RouteSet::merged(ranges))
    }
}

impl From<RouteSet> for Vec<(RouteId, RouteId)> {
    fn from(set: RouteSet) -> Vec<(RouteId, RouteId)> {
        set.0
    }
}

/// From routes in any order, repeated or not. Route numbers are the caller's own here, and are
/// not checked.
impl FromIterator<RouteId> for RouteSet {
    fn from_iter<I: IntoIterator<Item = RouteId>>(routes: I) -> RouteSet {
        let mut ranges: Vec<(RouteId, RouteId)> = Vec::new();
        for route in routes {
            match ranges.last_mut() {
                // Mostly the routes come ascending.
                Some((_, last)) if last.checked_add(1) == Some(route) => *last = route,
                _ => ranges.push((route, route)),
            }
        }
        RouteSet::merged(ranges)
    }
}

impl fmt::Display for RouteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(first, last)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for RouteSet {
    type Err = ParseRouteSetError;

    fn from_str(text: &str) -> Result<RouteSet, ParseRouteSetError> {
        if text.trim().is_empty() {
            return Ok(RouteSet::new());
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) => ranges.push(checked(first, last)?),
                _ => return Err(ParseRouteSetError::Syntax(part.chars().take(40).collect())),
            }
        }
        Ok(RouteSet::merged(ranges))
    }
}
