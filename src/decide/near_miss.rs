//! Which name somebody may have meant who wrote another one.

use crate::api::names::Pacticipant;

/// How long names are, in characters, of which one is taken for the other with a letter wrong.
const SHORTEST_WITH_SLIPS: usize = 5;

/// The name that somebody may have meant by `wanted`: the nearest one, if it is near enough for a slip, or one that is
/// the other's beginning, as `prod` is of `production`. Case does not count.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let begins =
                wanted.len() >= 3 && lower.starts_with(&wanted) || lower.len() >= 3 && wanted.starts_with(&lower);
            let distance = if begins { 0 } else { strsim::damerau_levenshtein(&wanted, &lower) };
            (distance <= 1 + wanted.chars().count() / 4).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// Whether one name is the other with a slip: another case, or one letter that is missing, added, replaced, or swapped
/// with its neighbour. Short names differ by a letter on purpose.
#[must_use]
pub fn is_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let long = one.chars().count().min(other.chars().count()) >= SHORTEST_WITH_SLIPS;
    one == other || (long && strsim::damerau_levenshtein(&one, &other) == 1)
}

/// Whether one name is another spelling of the other: only the case of letters differs.
#[must_use]
pub fn other_spelling(one: &Pacticipant, other: &Pacticipant) -> bool {
    one != other && one.as_str().to_lowercase() == other.as_str().to_lowercase()
}

/// What is said about a broker that knows a pacticipant by another spelling (case 90).
#[must_use]
pub fn spelling(ours: &Pacticipant, theirs: &str) -> String {
    format!(
        "the broker spells the pacticipant {theirs}, and not {ours}: correct the annotation, for names are compared as \
         they are written"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_89_a_slip_is_one_letter_or_another_case() {
        for (one, other, slip) in [
            ("orders", "Orders", true),
            ("ordres", "orders", true),
            ("oders", "orders", true),
            ("order-service", "Order Service", true),
            ("orders", "order-service", false),
            ("app", "api", false),
            ("API", "api", true),
            ("billing", "orders", false),
        ] {
            assert_eq!((is_slip(one, other), is_slip(other, one)), (slip, slip), "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        for (wanted, suggestion) in [
            ("prod", Some("production")),
            ("prodution", Some("production")),
            ("Production", Some("production")),
            ("stagign", Some("staging")),
            ("tset", Some("test")),
            ("integration", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(wanted, ["production", "staging", "test"].into_iter()), suggestion, "{wanted}");
        }
    }
}
